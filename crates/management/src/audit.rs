//! The audit trail: search, the chains of seals over its entries, and the log of proctors.

mod chain;
pub mod model;
mod repository;

use chrono::NaiveDate;
use serde_json::Value;
use sqlx::PgConnection;

use self::{
    chain::{entry_seal, find_break},
    model::{AuditSearch, AuditVerification},
    repository::SealRows,
};
use crate::{ManagementError, UnitOfWork, ids::ExamId, resource::PAGE_MAX};
use invigil_store_sql::postgres::PostgresStore;

/// Largest number of entries sealed in one transaction.
const SEALS: i64 = 5_000;

/// Returns matching entries of the audit trail, newest first.
///
/// # Errors
/// [`ManagementError::Forbidden`] for teachers.
pub async fn search_audit(
    work: &mut UnitOfWork,
    search: &AuditSearch,
) -> Result<Vec<Value>, ManagementError> {
    work.require_admin()?;
    repository::search_entries(work, search, search.limit.clamp(1, PAGE_MAX)).await
}

/// Returns the actions of proctors on an exam's attempts, newest first.
///
/// # Errors
/// Database errors.
pub async fn proctor_log(
    work: &mut UnitOfWork,
    exam: ExamId,
    limit: i64,
) -> Result<Vec<Value>, ManagementError> {
    repository::proctor_actions(work, exam, limit.clamp(1, PAGE_MAX)).await
}

/// Extends the chains with all entries that no open transaction can still precede.
pub(crate) async fn seal_entries(
    connection: &mut PgConnection,
    key: &[u8; 32],
) -> Result<usize, ManagementError> {
    repository::use_utc(connection).await?;
    let entries = repository::unsealed_entries(connection, SEALS).await?;
    let mut seals = SealRows::default();
    for chain in entries.chunk_by(|a, b| (&a.table_name, a.day) == (&b.table_name, b.day)) {
        let (table, day) = (&chain[0].table_name, chain[0].day);
        let (mut number, mut seal) = repository::lock_chain(connection, table, day).await?;
        for entry in chain {
            number += 1;
            seal = entry_seal(key, &seal, number, &entry.body);
            seals.push(entry, number, seal.clone());
        }
        repository::write_chain(connection, table, day, number, &seal).await?;
    }
    repository::write_seals(connection, &seals).await?;
    Ok(entries.len())
}

/// Verifies every chain from its first entry to its end.
///
/// # Errors
/// Database errors.
pub async fn verify_audit_trail(
    store: &PostgresStore,
    key: &[u8; 32],
) -> Result<AuditVerification, ManagementError> {
    let mut tx = store.pool().begin().await?;
    repository::use_utc(&mut tx).await?;
    let mut verified = AuditVerification::default();
    for chain in repository::list_chains(&mut tx).await? {
        if repository::is_archived(&mut tx, chain.day).await? {
            verified.archived += 1;
            continue;
        }
        let (table, day): (&str, NaiveDate) = (&chain.table_name, chain.day);
        let entries = repository::sealed_entries(&mut tx, table, day).await?;
        match find_break(key, &entries, chain.length, &chain.seal) {
            None => {
                verified.entries += entries.len() as u64;
                verified.chains += 1;
            }
            Some(place) => verified.breaks.push(format!("{table} of {day}: {place}")),
        }
    }
    Ok(verified)
}
