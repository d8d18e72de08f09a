//! Removal of expired log-ins.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::ManagementError;

/// Removes expired log-ins.
pub(in crate::maintenance) async fn run(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<String, ManagementError> {
    let gone = sqlx::query("DELETE FROM user_sessions WHERE expires_at <= $1")
        .bind(now)
        .execute(connection)
        .await?
        .rows_affected();
    Ok(format!("{gone} expired log-ins removed"))
}
