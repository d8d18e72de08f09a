//! Statements on accommodations.

use super::model::{AccommodatedCandidate, Accommodation};
use crate::{
    ManagementError, UnitOfWork,
    ids::ExamId,
    resource::{ListPage, PageCursor},
};

/// Inserts or replaces an accommodation; false if the exam or the candidate is not visible.
pub(super) async fn upsert_accommodation(
    work: &mut UnitOfWork,
    exam: ExamId,
    username: &str,
    wanted: &Accommodation,
) -> Result<bool, ManagementError> {
    let done = sqlx::query(
        "INSERT INTO exam_accommodations (exam_id, user_id, time_factor, extra_time_ms, reason, granted_by)
         SELECT e.id, p.id, $3, $4, $5, $6
         FROM exams AS e
         CROSS JOIN LATERAL people_by_name(ARRAY[$2], e.organization_id) AS p
         WHERE e.id = $1
         ON CONFLICT (exam_id, user_id) DO UPDATE
         SET time_factor = excluded.time_factor, extra_time_ms = excluded.extra_time_ms,
             reason = excluded.reason, granted_by = excluded.granted_by",
    )
    .bind(exam)
    .bind(username)
    .bind(wanted.time_factor)
    .bind(wanted.extra_minutes.saturating_mul(60_000))
    .bind(&wanted.reason)
    .bind(work.user_id)
    .execute(&mut *work.tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Returns a page of an exam's accommodations, in the order of people's numbers.
pub(super) async fn list_accommodations(
    work: &mut UnitOfWork,
    exam: ExamId,
    cursor: PageCursor,
) -> Result<ListPage<AccommodatedCandidate>, ManagementError> {
    let limit = cursor.clamped_limit();
    let rows = sqlx::query_as(
        "SELECT a.user_id, jsonb_build_object(
             'user_id', a.user_id, 'username', u.username, 'name', u.name,
             'time_factor', a.time_factor, 'extra_minutes', a.extra_time_ms / 60000,
             'reason', a.reason, 'granted_by', a.granted_by, 'updated_at', a.updated_at)
         FROM exam_accommodations AS a
         CROSS JOIN LATERAL app_person_of_exam(a.exam_id, a.user_id) AS u
         WHERE a.exam_id = $1 AND a.user_id > $2
         ORDER BY a.user_id
         LIMIT $3",
    )
    .bind(exam)
    .bind(cursor.after)
    .bind(limit + 1)
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(ListPage::from_rows(rows, limit))
}

/// Deletes an accommodation; false if the candidate has none.
pub(super) async fn delete_accommodation(
    work: &mut UnitOfWork,
    exam: ExamId,
    username: &str,
) -> Result<bool, ManagementError> {
    let gone = sqlx::query(
        "DELETE FROM exam_accommodations AS a
         USING exams AS e
         CROSS JOIN LATERAL people_by_name(ARRAY[$2], e.organization_id) AS p
         WHERE e.id = $1 AND a.exam_id = e.id AND a.user_id = p.id",
    )
    .bind(exam)
    .bind(username)
    .execute(&mut *work.tx)
    .await?;
    Ok(gone.rows_affected() > 0)
}
