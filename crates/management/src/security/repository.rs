//! Statements on security events.

use serde_json::Value;
use sqlx::types::Json;

use super::model::SecurityEventUpdate;
use crate::{ManagementError, UnitOfWork, ids::SecurityEventId};

/// Returns security events, newest first.
pub(super) async fn list_events(
    work: &mut UnitOfWork,
    status: Option<&str>,
    limit: i64,
) -> Result<Vec<Value>, ManagementError> {
    let rows: Vec<Json<Value>> = sqlx::query_scalar(
        "SELECT to_jsonb(e) FROM security_events AS e
         WHERE $1::text IS NULL OR e.status = $1
         ORDER BY e.created_at DESC, e.id DESC
         LIMIT $2",
    )
    .bind(status)
    .bind(limit)
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(rows.into_iter().map(|Json(row)| row).collect())
}

pub(super) async fn read_event(
    work: &mut UnitOfWork,
    event: SecurityEventId,
) -> Result<Value, ManagementError> {
    let Json(row) =
        sqlx::query_scalar("SELECT to_jsonb(e) FROM security_events AS e WHERE e.id = $1")
            .bind(event)
            .fetch_one(&mut *work.tx)
            .await?;
    Ok(row)
}

/// Writes an update; false if no such event has the revision.
pub(super) async fn write_update(
    work: &mut UnitOfWork,
    event: SecurityEventId,
    revision: i32,
    update: &SecurityEventUpdate,
) -> Result<bool, ManagementError> {
    let changed = sqlx::query(
        "UPDATE security_events
         SET status = $3, assigned_to = $4, resolution_notes = $5, revision = revision + 1,
             resolved_at = CASE WHEN $7 THEN now() END,
             resolved_by = CASE WHEN $7 THEN $6::bigint END
         WHERE id = $1 AND revision = $2",
    )
    .bind(event)
    .bind(revision)
    .bind(update.status)
    .bind(update.assigned_to)
    .bind(&update.notes)
    .bind(work.user_id)
    .bind(update.status.is_final())
    .execute(&mut *work.tx)
    .await?;
    Ok(changed.rows_affected() > 0)
}
