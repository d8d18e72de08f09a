//! Security events: possible attacks, and their handling by administrators.

pub mod model;
mod repository;

use serde_json::Value;

use self::model::SecurityEventUpdate;
use crate::{ManagementError, UnitOfWork, ids::SecurityEventId, resource::PAGE_MAX};

/// Returns security events, newest first. A status is a condition of the search: an unknown
/// one matches no event.
///
/// # Errors
/// [`ManagementError::Forbidden`] for teachers.
pub async fn list_security_events(
    work: &mut UnitOfWork,
    status: Option<&str>,
    limit: i64,
) -> Result<Vec<Value>, ManagementError> {
    work.require_admin()?;
    repository::list_events(work, status, limit.clamp(1, PAGE_MAX)).await
}

/// Assigns or resolves a security event.
///
/// # Errors
/// [`ManagementError::Stale`] if it has another revision by now.
pub async fn update_security_event(
    work: &mut UnitOfWork,
    event: SecurityEventId,
    revision: i32,
    update: &SecurityEventUpdate,
) -> Result<Value, ManagementError> {
    work.require_admin()?;
    let changed = repository::write_update(work, event, revision, update).await?;
    let row = repository::read_event(work, event).await?;
    changed.then_some(row).ok_or(ManagementError::Stale)
}
