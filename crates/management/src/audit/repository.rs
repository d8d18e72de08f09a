//! Statements on the audit trail, its chains and the log of proctors.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use super::model::{AuditChain, AuditEntry, AuditSearch};
use crate::{
    ManagementError, UnitOfWork,
    ids::{AuditEntryId, ExamId},
};

/// Returns matching entries, newest first.
pub(super) async fn search_entries(
    work: &mut UnitOfWork,
    search: &AuditSearch,
    limit: i64,
) -> Result<Vec<Value>, ManagementError> {
    let rows: Vec<Json<Value>> = sqlx::query_scalar(
        "SELECT to_jsonb(a) - 'seal' - 'transaction_id' || jsonb_build_object('sealed', a.seal IS NOT NULL)
         FROM audit_logs AS a
         WHERE ($1::text IS NULL OR a.table_name = $1)
           AND ($2::text IS NULL OR a.record_id = $2)
           AND ($3::bigint IS NULL OR a.user_id = $3)
           AND ($4::bigint IS NULL OR a.id < $4)
         ORDER BY a.id DESC
         LIMIT $5",
    )
    .bind(&search.table)
    .bind(&search.record)
    .bind(search.user_id)
    .bind(search.before)
    .bind(limit)
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(rows.into_iter().map(|Json(row)| row).collect())
}

/// Returns the actions of proctors on an exam's attempts, newest first.
pub(super) async fn proctor_actions(
    work: &mut UnitOfWork,
    exam: ExamId,
    limit: i64,
) -> Result<Vec<Value>, ManagementError> {
    let rows: Vec<Json<Value>> = sqlx::query_scalar(
        "SELECT to_jsonb(p) || jsonb_build_object('reason', coalesce(p.details ->> 'reason', t.data ->> 'reason'))
         FROM exam_attempt_keys AS k
         JOIN proctor_logs AS p ON p.attempt_id = k.attempt_id
         LEFT JOIN attempt_timeline AS t
           ON t.attempt_id = p.attempt_id AND t.entry_no = (p.details ->> 'entry')::bigint
         WHERE k.exam_id = $1
         ORDER BY p.occurred_at DESC, p.id DESC
         LIMIT $2",
    )
    .bind(exam)
    .bind(limit)
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(rows.into_iter().map(|Json(row)| row).collect())
}

/// Makes the text of an instant the same in every session.
pub(super) async fn use_utc(connection: &mut PgConnection) -> Result<(), ManagementError> {
    sqlx::query("SET LOCAL TimeZone = 'UTC'")
        .execute(connection)
        .await?;
    Ok(())
}

/// Query of entries with the text that a seal covers: all columns but the seal itself.
/// `jsonb` makes the text of equal values equal.
const ENTRY: &str = "
SELECT a.id, a.created_at, a.table_name, (a.created_at AT TIME ZONE 'UTC')::date AS day,
       (to_jsonb(a) - 'seal' - 'seal_no')::text AS body, a.seal_no, a.seal
FROM audit_logs AS a";

/// Returns the first entries without a seal that no open transaction can still precede, chain
/// by chain.
pub(super) async fn unsealed_entries(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<AuditEntry>, ManagementError> {
    let sql = format!(
        "{ENTRY} WHERE a.seal IS NULL AND a.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY a.table_name, day, a.id LIMIT $1"
    );
    let entries = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(entries)
}

/// Locks a chain. Returns its length and its last seal; none of either for a new chain.
pub(super) async fn lock_chain(
    connection: &mut PgConnection,
    table: &str,
    day: NaiveDate,
) -> Result<(i64, Vec<u8>), ManagementError> {
    let end: Option<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT length, seal FROM audit_chains WHERE table_name = $1 AND day = $2 FOR UPDATE",
    )
    .bind(table)
    .bind(day)
    .fetch_optional(connection)
    .await?;
    Ok(end.unwrap_or_default())
}

pub(super) async fn write_chain(
    connection: &mut PgConnection,
    table: &str,
    day: NaiveDate,
    length: i64,
    seal: &[u8],
) -> Result<(), ManagementError> {
    sqlx::query(
        "INSERT INTO audit_chains (table_name, day, length, seal) VALUES ($1, $2, $3, $4)
         ON CONFLICT (table_name, day) DO UPDATE
         SET length = excluded.length, seal = excluded.seal, updated_at = now()",
    )
    .bind(table)
    .bind(day)
    .bind(length)
    .bind(seal)
    .execute(connection)
    .await?;
    Ok(())
}

/// Seals to be written, by column.
#[derive(Default)]
pub(super) struct SealRows {
    ids: Vec<AuditEntryId>,
    at: Vec<DateTime<Utc>>,
    numbers: Vec<i64>,
    seals: Vec<Vec<u8>>,
}

impl SealRows {
    pub(super) fn push(&mut self, entry: &AuditEntry, number: i64, seal: Vec<u8>) {
        self.ids.push(entry.id);
        self.at.push(entry.created_at);
        self.numbers.push(number);
        self.seals.push(seal);
    }
}

pub(super) async fn write_seals(
    connection: &mut PgConnection,
    rows: &SealRows,
) -> Result<(), ManagementError> {
    sqlx::query(
        "UPDATE audit_logs AS a SET seal_no = n.number, seal = n.seal
         FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::bytea[]) AS n (id, at, number, seal)
         WHERE a.id = n.id AND a.created_at = n.at",
    )
    .bind(&rows.ids)
    .bind(&rows.at)
    .bind(&rows.numbers)
    .bind(&rows.seals)
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns all chains, oldest first.
pub(super) async fn list_chains(
    connection: &mut PgConnection,
) -> Result<Vec<AuditChain>, ManagementError> {
    let chains = sqlx::query_as(
        "SELECT table_name, day, length, seal FROM audit_chains ORDER BY day, table_name",
    )
    .fetch_all(connection)
    .await?;
    Ok(chains)
}

/// Returns true if the month of a day is in the archive.
pub(super) async fn is_archived(
    connection: &mut PgConnection,
    day: NaiveDate,
) -> Result<bool, ManagementError> {
    let month = format!("audit_logs_{}", day.format("y%Ym%m"));
    let archived =
        sqlx::query_scalar("SELECT to_regclass('archive.' || quote_ident($1)) IS NOT NULL")
            .bind(month)
            .fetch_one(connection)
            .await?;
    Ok(archived)
}

/// Returns the sealed entries of a chain, in the order of their seals.
pub(super) async fn sealed_entries(
    connection: &mut PgConnection,
    table: &str,
    day: NaiveDate,
) -> Result<Vec<AuditEntry>, ManagementError> {
    let sql = format!(
        "{ENTRY} WHERE a.table_name = $1 AND a.created_at >= $2::date AND a.created_at < $2::date + 1
           AND a.seal IS NOT NULL
         ORDER BY a.seal_no"
    );
    let entries = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(table)
        .bind(day)
        .fetch_all(connection)
        .await?;
    Ok(entries)
}
