//! Removal of media files without a question.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::ManagementError;
use invigil_domain::time::Timestamp;
use invigil_objects::media::MediaStore;

/// Removes media files without a question. They stay for a day, because the row of a new
/// file is written after the file.
pub(in crate::maintenance) async fn run(
    connection: &mut PgConnection,
    media: &MediaStore,
    now: DateTime<Utc>,
) -> Result<String, ManagementError> {
    let yesterday = Timestamp::from_ms((now - TimeDelta::days(1)).timestamp_millis());
    let old = media.older_than(yesterday).await;
    let old = old.map_err(ManagementError::internal)?;
    let unused: Vec<String> = sqlx::query_scalar("SELECT unused_media($1)")
        .bind(&old)
        .fetch_all(connection)
        .await?;
    for name in &unused {
        media
            .remove_file(name)
            .await
            .map_err(ManagementError::internal)?;
    }
    Ok(format!("{} media files removed", unused.len()))
}
