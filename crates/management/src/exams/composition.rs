//! The composition of an exam: reading, replacing, and random draws.

pub mod model;
mod repository;

use self::model::{DrawnQuestions, ExamComposition, QuestionDraw};
use super::{ExamResource, model::ExamRecord, repository::raise_revision};
use crate::{FieldFault, ManagementError, UnitOfWork, ids::ExamId, resource};

/// Largest count of questions in a draw.
const DRAW_MAX: i64 = 500;

/// Returns the composition of an exam.
///
/// # Errors
/// Database errors.
pub async fn read_composition(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<ExamComposition, ManagementError> {
    repository::read_composition(work, exam).await
}

/// Replaces the composition of an exam.
///
/// # Errors
/// [`ManagementError::Stale`]; [`ManagementError::Invalid`] for questions that are not in the
/// organisation's bank.
pub async fn replace_composition(
    work: &mut UnitOfWork,
    exam: ExamId,
    revision: i32,
    composition: &ExamComposition,
) -> Result<ExamRecord, ManagementError> {
    raise_revision(work, exam, Some(revision)).await?;
    write_composition(work, exam, composition).await?;
    resource::get_row::<ExamResource>(work, exam).await
}

async fn write_composition(
    work: &mut UnitOfWork,
    exam: ExamId,
    composition: &ExamComposition,
) -> Result<(), ManagementError> {
    let placed = repository::write_composition(work, exam, composition).await?;
    if u64::try_from(composition.places().count()) != Ok(placed) {
        return Err(unknown_questions(work, exam, composition).await?);
    }
    repository::write_sums(work, exam).await
}

async fn unknown_questions(
    work: &mut UnitOfWork,
    exam: ExamId,
    composition: &ExamComposition,
) -> Result<ManagementError, ManagementError> {
    let known = repository::placed_questions(work, exam).await?;
    let unknown = composition
        .places()
        .filter(|(_, _, placed)| !known.contains(&placed.question_id));
    let faults = unknown.map(|(section, position, _)| {
        FieldFault::new(
            format!("sections[{section}].questions[{position}].question_id"),
            "is not a question of this organisation's bank",
        )
    });
    Ok(ManagementError::Invalid(faults.collect()))
}

/// Draws questions at random and adds them to an exam.
///
/// # Errors
/// [`ManagementError::Invalid`] if too few questions of the bank match.
pub async fn draw_questions(
    work: &mut UnitOfWork,
    exam: ExamId,
    revision: i32,
    draw: &QuestionDraw,
) -> Result<DrawnQuestions, ManagementError> {
    raise_revision(work, exam, Some(revision)).await?;
    let seed = match draw.seed {
        Some(seed) => seed,
        None => i64::from(getrandom::u32().map_err(ManagementError::internal)?),
    };
    if !(1..=DRAW_MAX).contains(&draw.count) {
        let message = format!("must be 1 to {DRAW_MAX}");
        return Err(ManagementError::invalid_field("count", message));
    }
    let questions = repository::draw_questions(work, exam, draw, seed).await?;
    if i64::try_from(questions.len()) != Ok(draw.count) {
        let message = format!("the bank has {} matching questions", questions.len());
        return Err(ManagementError::invalid_field("count", message));
    }
    let mut composition = read_composition(work, exam).await?;
    composition.add_questions(&draw.section, &questions);
    write_composition(work, exam, &composition).await?;
    Ok(DrawnQuestions { seed, questions })
}
