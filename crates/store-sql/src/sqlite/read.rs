//! Statements that read attempts, where SQLite's schema is its own.

use sqlx::SqliteConnection;

use crate::{convert::to_column, shared::rows::leases_from_columns};
use invigil_domain::{id::AttemptId, time::Timestamp};

/// Selects the owners of the attempts `$1`.
pub(super) const READ_OWNERS: &str = "
SELECT id, owner_node, owner_epoch
FROM exam_attempts
WHERE id IN (SELECT value FROM json_each($1))";

/// Selects the answers of attempt `$1` with their marks.
pub(super) const READ_ANSWERS: &str = "
SELECT question_key, user_answer, flagged, rev, seq, answered_at, spent_ms,
       points_earned, points_possible
FROM answers
WHERE attempt_id = $1
ORDER BY question_key";

/// Selects the receipt of attempt `$1`.
pub(super) const READ_RECEIPT: &str = "SELECT receipt FROM exam_attempts WHERE id = $1";

/// Selects `$4` timeline entries before `$3` that follow entry `$2` of attempt `$1`.
pub(super) const LIST_UNRECORDED: &str = "
SELECT t.attempt_id, a.exam, t.entry_no, t.at, t.kind, t.data
FROM attempt_timeline AS t
JOIN exam_attempts AS a ON a.id = t.attempt_id
WHERE (t.attempt_id, t.entry_no) > ($1, $2) AND t.at < $3
ORDER BY t.attempt_id, t.entry_no
LIMIT $4";

/// Returns the attempts that the engine must load, earliest first.
pub(super) async fn find_overdue(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<(AttemptId, u64)>, sqlx::Error> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT id, owner_epoch
         FROM exam_attempts
         WHERE close_at <= $1
         ORDER BY close_at, id
         LIMIT $2",
    )
    .bind(now.as_ms())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    leases_from_columns(rows)
}

/// Deletes timeline entries.
pub(super) async fn delete_recorded(
    connection: &mut SqliteConnection,
    entries: &[(AttemptId, u64)],
) -> Result<(), sqlx::Error> {
    for (attempt, number) in entries {
        sqlx::query("DELETE FROM attempt_timeline WHERE attempt_id = $1 AND entry_no = $2")
            .bind(attempt.0)
            .bind(to_column(*number)?)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
