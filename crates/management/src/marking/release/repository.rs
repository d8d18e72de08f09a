//! Statements on releases.

use crate::{ManagementError, UnitOfWork, ids::ExamId};

/// Counts of handed-in attempts.
#[derive(sqlx_macros::FromRow)]
pub(super) struct ResultCounts {
    pub unmarked: i64,
    pub whole: i64,
}

/// Counts the handed-in attempts of an exam, or those of a list.
pub(super) async fn count_results(
    work: &mut UnitOfWork,
    exam: ExamId,
    attempts: Option<&[i64]>,
) -> Result<ResultCounts, ManagementError> {
    let counts = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE needs_marking) AS unmarked, count(*) AS whole
         FROM exam_attempts
         WHERE exam_id = $1 AND submitted_at IS NOT NULL AND ($2::bigint[] IS NULL OR id = ANY ($2))",
    )
    .bind(exam)
    .bind(attempts)
    .fetch_one(&mut *work.tx)
    .await?;
    Ok(counts)
}

/// Releases all results of an exam. Returns the count of changed exams.
pub(super) async fn release_exam(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<u64, ManagementError> {
    let done = sqlx::query(
        "UPDATE exams SET results_released_at = now(), revision = revision + 1 WHERE id = $1",
    )
    .bind(exam)
    .execute(&mut *work.tx)
    .await?;
    Ok(done.rows_affected())
}

/// Releases results of an exam. Returns the count of changed attempts.
pub(super) async fn release_attempts(
    work: &mut UnitOfWork,
    exam: ExamId,
    attempts: &[i64],
) -> Result<u64, ManagementError> {
    let done = sqlx::query(
        "UPDATE exam_attempts SET released_at = coalesce(released_at, now())
         WHERE exam_id = $1 AND submitted_at IS NOT NULL AND id = ANY ($2)",
    )
    .bind(exam)
    .bind(attempts)
    .execute(&mut *work.tx)
    .await?;
    Ok(done.rows_affected())
}
