//! Statistics of exams and questions.

use sqlx::PgConnection;

use crate::ManagementError;

/// Computes the statistics of all exams again.
pub(in crate::maintenance) async fn run(
    connection: &mut PgConnection,
) -> Result<String, ManagementError> {
    sqlx::query("SELECT refresh_statistics()")
        .execute(connection)
        .await?;
    Ok("statistics refreshed".to_owned())
}
