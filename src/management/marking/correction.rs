//! Keys that were found wrong after people were graded by them: who would
//! change, and the change itself.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::FromRow;
use utoipa::ToSchema;

use super::{corrections, number, regrade, settle_as, take};
use crate::{
    domain::exam::{
        Exam,
        definition::{self, Correction},
    },
    management::{Fault, FieldFault, Work, people},
};

/// A key that was found wrong.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The question's id within the exam.
    pub question: String,
    /// The right key in the exam file's shape.
    #[schema(value_type = Object)]
    pub answer: Value,
    /// Why, for the record.
    #[serde(default)]
    pub reason: String,
}

/// An attempt whose result a corrected key changes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Changed {
    /// The attempt.
    pub attempt_id: i64,
    /// Whose.
    pub candidate: String,
    /// Points before.
    pub score_before: f64,
    /// Points after.
    pub score_after: f64,
    /// Whether it was passed before; none while something is to be marked.
    pub passed_before: Option<bool>,
    /// And after.
    pub passed_after: Option<bool>,
    /// Letter before.
    pub grade_before: Option<String>,
    /// And after.
    pub grade_after: Option<String>,
}

/// What a corrected key does.
#[derive(Debug, Serialize, ToSchema)]
pub struct Regraded {
    /// Attempts that were looked at.
    pub attempts: usize,
    /// Those whose result is another one.
    pub changed: Vec<Changed>,
}

#[derive(FromRow)]
struct ToRegrade {
    attempt_id: i64,
    candidate: String,
    score: Decimal,
    passed: Option<bool>,
    grade: Option<String>,
}

/// Grades all attempts by a corrected key: as a preview, or for good.
///
/// # Errors
/// Where the answer is no key of the question.
pub async fn correct(
    work: &mut Work,
    exam: i64,
    key: &NewKey,
    preview: bool,
) -> Result<Regraded, Fault> {
    if !preview && key.reason.trim().is_empty() {
        return Err(Fault::field("reason", "is missing"));
    }
    // Every version in which this very question stands.
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
    let current = current.ok_or_else(|| Fault::field("question", "names no question"))?;
    let mut regraded = Regraded {
        attempts: 0,
        changed: Vec::new(),
    };
    for (version, definition, question) in versions {
        if question != current {
            continue;
        }
        let mut corrections = corrections(work, version).await?;
        corrections.push(Correction {
            question: key.question.as_str().into(),
            answer: key.answer.to_string().into(),
        });
        let corrected = definition::corrected(&definition, &corrections).map_err(|faults| {
            let faults = faults.iter();
            let faults = faults.map(|fault| FieldFault::new("answer", fault.message.clone()));
            Fault::Invalid(faults.collect())
        })?;
        if !preview {
            keep(work, version, question, key, corrections.len()).await?;
        }
        regrade_version(work, version, &corrected, corrections.len(), &mut regraded).await?;
    }
    if preview {
        // Everything that was tried is undone with the transaction; nothing of it is told.
        return Ok(regraded);
    }
    people::note(
        work,
        "key_corrected",
        json!({"exam": exam, "question": key.question}),
    )
    .await?;
    Ok(regraded)
}

async fn keep(
    work: &mut Work,
    version: i64,
    question: i64,
    key: &NewKey,
    revision: usize,
) -> Result<(), Fault> {
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
    .bind(work.actor.user_id)
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}

async fn regrade_version(
    work: &mut Work,
    version: i64,
    exam: &Exam,
    key_revision: usize,
    regraded: &mut Regraded,
) -> Result<(), Fault> {
    let attempts: Vec<ToRegrade> = sqlx::query_as(
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
        let head = take(work, before.attempt_id).await?;
        let (_, totals) = regrade(exam, &head);
        settle_as(work, before.attempt_id, head, exam, key_revision).await?;
        regraded.attempts += 1;
        if totals.score != before.score || totals.passed != before.passed {
            regraded.changed.push(Changed {
                attempt_id: before.attempt_id,
                candidate: before.candidate,
                score_before: number(before.score),
                score_after: number(totals.score),
                passed_before: before.passed,
                passed_after: totals.passed,
                grade_before: before.grade,
                grade_after: totals.grade,
            });
        }
    }
    Ok(())
}

/// Regrades attempts that were handed in by a key that was corrected
/// meanwhile. For the maintenance, which sees everything.
///
/// # Errors
/// As every query.
pub const STALE: &str = "
SELECT k.attempt_id
FROM exam_attempt_keys AS k
JOIN exam_attempts AS a ON a.id = k.attempt_id AND a.started_at = k.started_at
JOIN (SELECT exam_version_id, max(revision) AS revision FROM key_corrections GROUP BY exam_version_id) AS c
  ON c.exam_version_id = k.exam_version_id
WHERE k.closed_at IS NOT NULL AND a.submitted_at IS NOT NULL AND a.key_revision < c.revision
LIMIT 500";
