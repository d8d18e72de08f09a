//! Statements that read attempts, where PostgreSQL's schema is its own.

use sqlx::PgConnection;

use crate::convert::to_column;
use invigil_domain::id::AttemptId;

/// Selects the owners of the attempts `$1`.
pub(super) const READ_OWNERS: &str = "
SELECT attempt_id, owner_node, owner_epoch
FROM exam_attempt_keys
WHERE attempt_id = ANY ($1)";

/// Selects the answers of attempt `$1` with their marks.
pub(super) const READ_ANSWERS: &str = "
SELECT q.question_key, a.user_answer::text AS user_answer, a.flagged, a.rev, a.seq,
       a.answered_at, a.spent_ms, a.points_earned, a.points_possible
FROM exam_attempt_keys AS k
JOIN answers AS a ON a.attempt_id = k.attempt_id
JOIN exam_version_questions AS q
  ON q.exam_version_id = k.exam_version_id AND q.question_id = a.question_id
WHERE k.attempt_id = $1
ORDER BY q.question_key";

/// Selects the receipt of attempt `$1`; by its start, which names its partition.
pub(super) const READ_RECEIPT: &str = "
SELECT receipt::text
FROM exam_attempts
WHERE id = $1
  AND started_at = (SELECT started_at FROM exam_attempt_keys WHERE attempt_id = $1)";

/// Selects `$4` timeline entries before `$3` that follow entry `$2` of attempt `$1`.
pub(super) const LIST_UNRECORDED: &str = "
SELECT t.attempt_id, e.code AS exam, t.entry_no, t.at, t.kind, t.data::text AS data
FROM attempt_timeline AS t
JOIN exam_attempt_keys AS k USING (attempt_id)
JOIN exams AS e ON e.id = k.exam_id
WHERE (t.attempt_id, t.entry_no) > ($1, $2) AND t.at < $3
ORDER BY t.attempt_id, t.entry_no
LIMIT $4";

/// Deletes timeline entries.
pub(super) async fn delete_recorded(
    connection: &mut PgConnection,
    entries: &[(AttemptId, u64)],
) -> Result<(), sqlx::Error> {
    let attempts: Vec<i64> = entries.iter().map(|(attempt, _)| attempt.0).collect();
    let numbers: Vec<i64> = entries
        .iter()
        .map(|(_, number)| to_column(*number))
        .collect::<Result<_, sqlx::Error>>()?;
    sqlx::query(
        "DELETE FROM attempt_timeline AS t
         USING unnest($1::bigint[], $2::bigint[]) AS n (attempt_id, entry_no)
         WHERE t.attempt_id = n.attempt_id AND t.entry_no = n.entry_no",
    )
    .bind(attempts)
    .bind(numbers)
    .execute(connection)
    .await?;
    Ok(())
}
