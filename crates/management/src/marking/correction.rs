//! Correction of a wrong key after attempts were graded by it: preview and application.

pub mod model;
mod repository;

use serde_json::json;
use sqlx::PgConnection;

use self::model::{ChangedResult, KeyCorrection, RegradeReport, ResultSums};
use super::{lock_attempt, read_corrections, regrade_attempt, write_grades};
use crate::{
    FieldFault, ManagementError, UnitOfWork,
    ids::{ExamId, ExamVersionId},
    people,
};
use invigil_domain::{
    exam::{
        Exam,
        definition::{self, CorrectedKey},
    },
    id::AttemptId,
};

/// Grades all attempts by a corrected key, as a preview or for good.
///
/// # Errors
/// [`ManagementError::Invalid`] if the answer is not a valid key of the question.
pub async fn correct_key(
    work: &mut UnitOfWork,
    exam: ExamId,
    key: &KeyCorrection,
    preview: bool,
) -> Result<RegradeReport, ManagementError> {
    if !preview && key.reason.trim().is_empty() {
        return Err(ManagementError::invalid_field("reason", "is missing"));
    }
    let versions = repository::versions_with_question(work, exam, &key.question).await?;
    let current = versions.last().map(|version| version.question_id);
    let current = current.ok_or_else(|| {
        ManagementError::invalid_field("question", "is not a question of this exam")
    })?;
    let mut regraded = RegradeReport::default();
    for version in versions {
        if version.question_id != current {
            continue;
        }
        let mut corrections = read_corrections(work, version.id).await?;
        corrections.push(CorrectedKey {
            question: key.question.clone(),
            answer: key.answer.to_string().into(),
        });
        let corrected = corrected_exam(&version.definition, &corrections)?;
        let revision = corrections.len();
        if !preview {
            repository::insert_correction(work, version.id, current, key, revision).await?;
        }
        regrade_version(work, version.id, &corrected, revision, &mut regraded).await?;
    }
    if preview {
        // The transaction is rolled back, so there is no activity to log.
        return Ok(regraded);
    }
    people::log_activity(
        work,
        "key_corrected",
        json!({"exam": exam, "question": key.question}),
    )
    .await?;
    Ok(regraded)
}

/// Returns the exam with its corrected keys; the errors are those of the newest key.
fn corrected_exam(definition: &str, corrections: &[CorrectedKey]) -> Result<Exam, ManagementError> {
    definition::with_corrected_keys(definition, corrections).map_err(|faults| {
        let faults = faults.iter();
        let faults = faults.map(|fault| FieldFault::new("answer", fault.message.clone()));
        ManagementError::Invalid(faults.collect())
    })
}

async fn regrade_version(
    work: &mut UnitOfWork,
    version: ExamVersionId,
    exam: &Exam,
    key_revision: usize,
    regraded: &mut RegradeReport,
) -> Result<(), ManagementError> {
    for row in repository::handed_in_attempts(work, version).await? {
        let attempt_id = row.attempt();
        let locked = lock_attempt(work, attempt_id).await?;
        let grades = regrade_attempt(exam, &locked);
        write_grades(work, locked, &grades, key_revision).await?;
        regraded.attempts += 1;
        let after = ResultSums {
            score: grades.totals.score,
            passed: grades.totals.passed,
            grade: grades.totals.grade,
        };
        if after.score != row.before.score || after.passed != row.before.passed {
            regraded.changed.push(ChangedResult {
                attempt_id,
                candidate: row.candidate,
                before: row.before,
                after,
            });
        }
    }
    Ok(())
}

/// Returns up to 500 attempts that were graded by a key corrected since, for the maintenance.
pub(crate) async fn stale_attempts(
    connection: &mut PgConnection,
) -> Result<Vec<AttemptId>, ManagementError> {
    repository::stale_attempts(connection).await
}
