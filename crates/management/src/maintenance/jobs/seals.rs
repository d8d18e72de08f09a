//! Seals of the audit trail.

use sqlx::PgConnection;

use crate::{ManagementError, audit};
use invigil_secrets::sealed::SealingKeys;

/// Seals the entries that no open transaction can still precede.
pub(in crate::maintenance) async fn run(
    connection: &mut PgConnection,
    keys: &SealingKeys,
) -> Result<String, ManagementError> {
    let sealed = audit::seal_entries(connection, &keys.audit_key()).await?;
    Ok(format!("{sealed} audit entries sealed"))
}
