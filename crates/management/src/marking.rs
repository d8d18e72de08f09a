//! Marking: the grading queue, claims, first and second marks, regrading after a
//! corrected key, reviews and result releases.
//!
//! A regraded attempt may still be in a node's memory. Marking increments its
//! epoch first, so that the store refuses later writes of that node. The rules are
//! those of [`invigil_domain::marking`], [`invigil_domain::grading`] and
//! [`invigil_domain::attempt`].

pub mod correction;
pub mod model;
pub mod queue;
pub mod release;
mod repository;

use self::{
    model::{AttemptReview, LockedAttempt, MarkingOutcome, NewMark},
    repository::{lock_attempt, read_corrections},
};
use crate::{ManagementError, UnitOfWork, ids::BankQuestionId};
use invigil_domain::{
    exam::{
        Exam,
        definition::{self, CorrectedKey},
    },
    grading::{self, AttemptGrades, StandingAnswer},
    id::{AttemptId, QuestionId},
    marking::{GivenMark, combine_marks, is_mark_allowed, is_marked_by_hand},
};

/// Marks an answer, or changes the acting person's mark of it.
///
/// # Errors
/// [`ManagementError::WrongState`] if the key graded the answer,
/// [`ManagementError::Invalid`] if the points are out of range.
pub async fn mark_answer(
    work: &mut UnitOfWork,
    attempt: AttemptId,
    question: &QuestionId,
    new: &NewMark,
) -> Result<MarkingOutcome, ManagementError> {
    let locked = lock_attempt(work, attempt).await?;
    let answer = locked.answer(question).ok_or(ManagementError::NotFound)?;
    if !is_marked_by_hand(answer.status, answer.grading_method) {
        let sentence = "this answer was graded by its key; correct the key instead";
        return Err(ManagementError::WrongState(sentence.to_owned()));
    }
    let possible = answer.points_possible.unwrap_or_default();
    if !is_mark_allowed(new.points, possible) {
        let message = format!("must be 0 to {possible}, with 2 decimals at most");
        return Err(ManagementError::invalid_field("points", message));
    }
    let question = answer.question_id;
    repository::upsert_mark(work, attempt, question, new).await?;
    let marks = repository::read_marks(work, attempt, question).await?;
    let given: Vec<GivenMark> = marks.iter().map(repository::MarkRow::given).collect();
    let decided = combine_marks(&given, locked.policy);
    let comments: Vec<&str> = marks.iter().map(|mark| mark.comment.as_str()).collect();
    let feedback = comments.join("\n\n");
    repository::write_decided(work, attempt, question, decided, feedback.trim()).await?;
    recompute_attempt(work, attempt).await
}

/// Grades an attempt again and stores its marks, totals, grade and status.
///
/// # Errors
/// [`ManagementError::WrongState`] if it is not handed in, or void.
pub async fn recompute_attempt(
    work: &mut UnitOfWork,
    attempt: AttemptId,
) -> Result<MarkingOutcome, ManagementError> {
    let locked = lock_attempt(work, attempt).await?;
    let corrections = read_corrections(work, locked.exam_version_id).await?;
    let exam = corrected_exam(&locked.definition, &corrections)?;
    let grades = regrade_attempt(&exam, &locked);
    write_grades(work, locked, &grades, corrections.len()).await
}

fn corrected_exam(definition: &str, corrections: &[CorrectedKey]) -> Result<Exam, ManagementError> {
    definition::with_corrected_keys(definition, corrections).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        ManagementError::Internal(faults.join("; ").into())
    })
}

/// Grades an attempt by its key, except where a person marked an answer.
fn regrade_attempt(exam: &Exam, locked: &LockedAttempt) -> AttemptGrades {
    let standing = |question: &QuestionId| {
        let answer = locked.answer(question);
        StandingAnswer {
            value: answer.and_then(|answer| answer.value.as_deref()),
            by_hand: answer.and_then(model::MarkingAnswer::points_by_hand),
        }
    };
    grading::regrade_attempt(exam, standing, locked.late)
}

/// Stores the grades of an attempt and the status that follows from them.
async fn write_grades(
    work: &mut UnitOfWork,
    mut locked: LockedAttempt,
    grades: &AttemptGrades,
    key_revision: usize,
) -> Result<MarkingOutcome, ManagementError> {
    let graded = grades.rows.iter().filter_map(|row| {
        let answer = locked.answer(&row.question)?;
        Some((answer.question_id, row.points_earned))
    });
    let (questions, points): (Vec<BankQuestionId>, Vec<_>) = graded.unzip();
    repository::write_key_points(work, locked.id, &questions, &points).await?;
    locked.control.settle_marks(grades.totals.needs_marking);
    repository::write_totals(work, &locked, &grades.totals, key_revision).await?;
    let status = locked.control.status();
    Ok(MarkingOutcome::new(locked.id, status, &grades.totals))
}

/// Ends the review of an attempt, and removes its flag.
///
/// # Errors
/// [`ManagementError::WrongState`] while answers wait for a mark.
pub async fn review_attempt(
    work: &mut UnitOfWork,
    attempt: AttemptId,
    review: &AttemptReview,
) -> Result<MarkingOutcome, ManagementError> {
    let settled = recompute_attempt(work, attempt).await?;
    let mut locked = lock_attempt(work, attempt).await?;
    locked
        .control
        .end_review(settled.needs_marking)
        .map_err(|refusal| ManagementError::WrongState(refusal.to_string()))?;
    repository::write_review(work, &locked, review).await?;
    Ok(MarkingOutcome {
        status: locked.control.status(),
        ..settled
    })
}
