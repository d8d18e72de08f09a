//! Partitions for the months ahead and for organisations, and archiving of old months.

use sqlx::PgConnection;

use crate::{ManagementError, maintenance::model::RetentionSettings};
use invigil_store_sql::postgres::{MONTHLY_TABLES, MONTHS_AHEAD};

/// Makes the partitions that are missing and detaches months past their retention.
pub(in crate::maintenance) async fn run(
    connection: &mut PgConnection,
    retention: &RetentionSettings,
) -> Result<String, ManagementError> {
    let made: i64 = sqlx::query_scalar(
        "SELECT sum(ensure_monthly_partitions(t, $1)) FROM unnest($2::text[]::regclass[]) AS t",
    )
    .bind(MONTHS_AHEAD)
    .bind(MONTHLY_TABLES)
    .fetch_one(&mut *connection)
    .await?;
    let organizations: i32 = sqlx::query_scalar("SELECT ensure_activity_partitions()")
        .fetch_one(&mut *connection)
        .await?;
    let mut detached: Vec<String> = Vec::new();
    for (table, months) in [
        ("exam_attempts", retention.attempts),
        ("login_attempts", retention.logs),
        ("proctor_logs", retention.logs),
        ("security_events", retention.logs),
        ("audit_logs", retention.audit),
    ] {
        if months == 0 {
            continue;
        }
        let gone: Vec<String> =
            sqlx::query_scalar("SELECT * FROM detach_old_partitions($1::text::regclass, $2)")
                .bind(table)
                .bind(i32::try_from(months).unwrap_or(i32::MAX))
                .fetch_all(&mut *connection)
                .await?;
        detached.extend(gone);
    }
    if !detached.is_empty() {
        tracing::info!(
            ?detached,
            "moved months past their retention to schema archive"
        );
    }
    Ok(format!(
        "{made} months and {organizations} organisations' parts made, {} months detached",
        detached.len()
    ))
}
