//! Statements on corrected keys.

use sqlx::PgConnection;

use super::model::{KeyCorrection, ResultSums};
use crate::{
    ManagementError, UnitOfWork,
    ids::{BankQuestionId, ExamId, ExamVersionId},
};
use invigil_domain::id::{AttemptId, QuestionId};

/// A version of an exam with the question whose key is corrected.
#[derive(sqlx_macros::FromRow)]
pub(super) struct VersionRow {
    pub id: ExamVersionId,
    pub definition: String,
    pub question_id: BankQuestionId,
}

/// Returns all versions with a question of this id, also where another bank question had the
/// id, oldest first.
pub(super) async fn versions_with_question(
    work: &mut UnitOfWork,
    exam: ExamId,
    question: &QuestionId,
) -> Result<Vec<VersionRow>, ManagementError> {
    let versions = sqlx::query_as(
        "SELECT v.id, v.definition::text, x.question_id
         FROM exam_versions AS v
         JOIN exam_version_questions AS x ON x.exam_version_id = v.id AND x.question_key = $2
         WHERE v.exam_id = $1
         ORDER BY v.id",
    )
    .bind(exam)
    .bind(question.as_str())
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(versions)
}

pub(super) async fn insert_correction(
    work: &mut UnitOfWork,
    version: ExamVersionId,
    question: BankQuestionId,
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

/// An attempt with its result before a correction.
#[derive(sqlx_macros::FromRow)]
pub(super) struct RegradeRow {
    attempt_id: i64,
    pub candidate: String,
    #[sqlx(flatten)]
    pub before: ResultSums,
}

impl RegradeRow {
    pub(super) const fn attempt(&self) -> AttemptId {
        AttemptId(self.attempt_id)
    }
}

/// Returns the handed-in attempts of a version.
pub(super) async fn handed_in_attempts(
    work: &mut UnitOfWork,
    version: ExamVersionId,
) -> Result<Vec<RegradeRow>, ManagementError> {
    let attempts = sqlx::query_as(
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
    Ok(attempts)
}

const STALE_ATTEMPTS: &str = "
SELECT k.attempt_id
FROM exam_attempt_keys AS k
JOIN exam_attempts AS a ON a.id = k.attempt_id AND a.started_at = k.started_at
JOIN (SELECT exam_version_id, max(revision) AS revision FROM key_corrections GROUP BY exam_version_id) AS c
  ON c.exam_version_id = k.exam_version_id
WHERE k.closed_at IS NOT NULL AND a.submitted_at IS NOT NULL AND a.key_revision < c.revision
LIMIT 500";

/// Returns attempts that were graded by a key corrected since.
pub(super) async fn stale_attempts(
    connection: &mut PgConnection,
) -> Result<Vec<AttemptId>, ManagementError> {
    let stale: Vec<i64> = sqlx::query_scalar(STALE_ATTEMPTS)
        .fetch_all(connection)
        .await?;
    Ok(stale.into_iter().map(AttemptId).collect())
}
