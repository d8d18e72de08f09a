//! The calls of the evidence store.

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};

use super::PostgresStore;
use crate::shared::evidence;
use invigil_domain::{
    id::{AttemptId, EvidenceId},
    time::Timestamp,
};
use invigil_store::{AnnounceOutcome, Error, EvidenceQuota, EvidenceRow, EvidenceStore};

type Result<T> = std::result::Result<T, sqlx::Error>;

#[async_trait]
impl EvidenceStore for PostgresStore {
    async fn announce_file(
        &self,
        row: &EvidenceRow,
        allowed: EvidenceQuota,
    ) -> std::result::Result<AnnounceOutcome, Error> {
        self.run_call("announce evidence", async |db| {
            announce_file(db, row, allowed).await
        })
        .await
    }

    async fn confirm_file(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
        at: Timestamp,
    ) -> std::result::Result<bool, Error> {
        self.run_call("confirm evidence", async |db| {
            evidence::confirm_file(db, attempt, id, at).await
        })
        .await
    }

    async fn list_files(&self, attempt: AttemptId) -> std::result::Result<Vec<EvidenceRow>, Error> {
        self.run_call("list evidence", async |db| {
            evidence::list_files(db, attempt).await
        })
        .await
    }

    async fn find_file(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
    ) -> std::result::Result<Option<EvidenceRow>, Error> {
        self.run_call("read evidence", async |db| {
            evidence::find_file(db, attempt, id).await
        })
        .await
    }

    async fn list_expired(
        &self,
        before: Timestamp,
        unstored_before: Timestamp,
        limit: u32,
    ) -> std::result::Result<Vec<EvidenceRow>, Error> {
        self.run_call("find old evidence", async |db| {
            evidence::list_expired(db, before, unstored_before, limit).await
        })
        .await
    }

    async fn delete_rows(&self, ids: &[EvidenceId]) -> std::result::Result<(), Error> {
        self.run_call("delete evidence", async |db| delete_rows(db, ids).await)
            .await
    }
}

async fn announce_file(
    connection: &mut PgConnection,
    row: &EvidenceRow,
    allowed: EvidenceQuota,
) -> Result<AnnounceOutcome> {
    let mut transaction = connection.begin().await?;
    // A lock on the attempt's row would block its saves.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('attempt_evidence', $1))")
        .bind(row.attempt.0)
        .execute(&mut *transaction)
        .await?;
    let outcome = evidence::announce_file(&mut *transaction, row, allowed).await?;
    transaction.commit().await?;
    Ok(outcome)
}

async fn delete_rows(connection: &mut PgConnection, ids: &[EvidenceId]) -> Result<()> {
    let ids: Vec<&str> = ids.iter().map(EvidenceId::as_str).collect();
    sqlx::query("DELETE FROM attempt_evidence WHERE id = ANY ($1)")
        .bind(ids)
        .execute(connection)
        .await?;
    Ok(())
}
