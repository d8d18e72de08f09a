//! Correction of a wrong key after attempts were graded by it: preview and application.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::FromRow;
use utoipa::ToSchema;

use super::{lock_attempt, read_corrections, recompute_with, regrade_attempt, to_float};
use crate::{FieldFault, ManagementError, UnitOfWork, people};
use invigil_domain::exam::{
    Exam,
    definition::{self, CorrectedKey},
};

/// The corrected key of a question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey)]
pub struct KeyCorrection {
    /// Id of the question within the exam.
    pub question: String,
    /// Correct key, as in the exam file.
    #[schema(value_type = Object)]
    pub answer: Value,
    /// Reason, kept with the correction.
    #[serde(default)]
    pub reason: String,
}

/// An attempt whose result is changed by a corrected key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Changed)]
pub struct ChangedResult {
    /// Number of the attempt.
    pub attempt_id: i64,
    /// Sign-in name of the candidate.
    pub candidate: String,
    /// Points before.
    pub score_before: f64,
    /// Points after.
    pub score_after: f64,
    /// True if it was passed before; none while answers wait for a mark.
    pub passed_before: Option<bool>,
    /// True if it is passed after; none while answers wait for a mark.
    pub passed_after: Option<bool>,
    /// Grade before.
    pub grade_before: Option<String>,
    /// Grade after.
    pub grade_after: Option<String>,
}

/// Effects of a corrected key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Regraded)]
pub struct RegradeReport {
    /// Count of regraded attempts.
    pub attempts: usize,
    /// Attempts whose result changes.
    pub changed: Vec<ChangedResult>,
}

#[derive(FromRow)]
struct RegradeRow {
    attempt_id: i64,
    candidate: String,
    score: Decimal,
    passed: Option<bool>,
    grade: Option<String>,
}

/// Grades all attempts by a corrected key, as a preview or for good.
///
/// # Errors
/// [`ManagementError::Invalid`] if the answer is not a valid key of the question.
pub async fn correct_key(
    work: &mut UnitOfWork,
    exam: i64,
    key: &KeyCorrection,
    preview: bool,
) -> Result<RegradeReport, ManagementError> {
    if !preview && key.reason.trim().is_empty() {
        return Err(ManagementError::invalid_field("reason", "is missing"));
    }
    // All versions with a question of this id, also where another bank question had the id.
    let versions: Vec<(i64, String, i64)> = sqlx::query_as(
        "SELECT v.id, v.definition::text, x.question_id
         FROM exam_versions AS v
         JOIN exam_version_questions AS x ON x.exam_version_id = v.id AND x.question_key = $2
         WHERE v.exam_id = $1
         ORDER BY v.id",
    )
    .bind(exam)
    .bind(&key.question)
    .fetch_all(&mut *work.tx)
    .await?;
    let current = versions.last().map(|(.., question)| *question);
    let current = current.ok_or_else(|| {
        ManagementError::invalid_field("question", "is not a question of this exam")
    })?;
    let mut regraded = RegradeReport {
        attempts: 0,
        changed: Vec::new(),
    };
    for (version, definition, question) in versions {
        if question != current {
            continue;
        }
        let mut corrections = read_corrections(work, version).await?;
        corrections.push(CorrectedKey {
            question: key.question.as_str().into(),
            answer: key.answer.to_string().into(),
        });
        let corrected =
            definition::with_corrected_keys(&definition, &corrections).map_err(|faults| {
                let faults = faults.iter();
                let faults = faults.map(|fault| FieldFault::new("answer", fault.message.clone()));
                ManagementError::Invalid(faults.collect())
            })?;
        if !preview {
            insert_correction(work, version, question, key, corrections.len()).await?;
        }
        regrade_version(work, version, &corrected, corrections.len(), &mut regraded).await?;
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

async fn insert_correction(
    work: &mut UnitOfWork,
    version: i64,
    question: i64,
    key: &KeyCorrection,
    revision: usize,
) -> Result<(), ManagementError> {
    sqlx::query(
        "INSERT INTO key_corrections
             (exam_version_id, revision, question_id, answer, reason, corrected_by)
         VALUES ($1, $2, $3, $4::json, $5, $6)",
    )
    .bind(version)
    .bind(i32::try_from(revision).unwrap_or(i32::MAX))
    .bind(question)
    .bind(key.answer.to_string())
    .bind(&key.reason)
    .bind(work.user_id)
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}

async fn regrade_version(
    work: &mut UnitOfWork,
    version: i64,
    exam: &Exam,
    key_revision: usize,
    regraded: &mut RegradeReport,
) -> Result<(), ManagementError> {
    let attempts: Vec<RegradeRow> = sqlx::query_as(
        "SELECT k.attempt_id, u.username AS candidate, a.score, a.passed, a.grade
         FROM exam_attempt_keys AS k
         JOIN exam_attempts AS a ON a.id = k.attempt_id AND a.started_at = k.started_at
         JOIN users AS u ON u.id = k.user_id
         WHERE k.exam_version_id = $1 AND k.closed_at IS NOT NULL AND a.submitted_at IS NOT NULL
         ORDER BY k.attempt_id",
    )
    .bind(version)
    .fetch_all(&mut *work.tx)
    .await?;
    for before in attempts {
        let locked = lock_attempt(work, before.attempt_id).await?;
        let (_, totals) = regrade_attempt(exam, &locked);
        recompute_with(work, before.attempt_id, locked, exam, key_revision).await?;
        regraded.attempts += 1;
        if totals.score != before.score || totals.passed != before.passed {
            regraded.changed.push(ChangedResult {
                attempt_id: before.attempt_id,
                candidate: before.candidate,
                score_before: to_float(before.score),
                score_after: to_float(totals.score),
                passed_before: before.passed,
                passed_after: totals.passed,
                grade_before: before.grade,
                grade_after: totals.grade,
            });
        }
    }
    Ok(())
}

/// Query of attempts that were graded by a key corrected since, for the maintenance.
pub const STALE_ATTEMPTS: &str = "
SELECT k.attempt_id
FROM exam_attempt_keys AS k
JOIN exam_attempts AS a ON a.id = k.attempt_id AND a.started_at = k.started_at
JOIN (SELECT exam_version_id, max(revision) AS revision FROM key_corrections GROUP BY exam_version_id) AS c
  ON c.exam_version_id = k.exam_version_id
WHERE k.closed_at IS NOT NULL AND a.submitted_at IS NOT NULL AND a.key_revision < c.revision
LIMIT 500";
