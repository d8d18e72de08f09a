//! Attack detection.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::ManagementError;

/// Looks for attacks since the last run.
pub(in crate::maintenance) async fn run(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
) -> Result<String, ManagementError> {
    let found = sqlx::query("SELECT * FROM detect_security_events($1)")
        .bind(now)
        .fetch_all(connection)
        .await?
        .len();
    if found > 0 {
        tracing::warn!(found, "new security events");
    }
    Ok(format!("{found} new security events"))
}
