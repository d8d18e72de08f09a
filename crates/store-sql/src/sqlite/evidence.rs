//! The calls of the evidence store.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::SqliteStore;
use crate::shared::evidence;
use invigil_domain::{
    id::{AttemptId, EvidenceId},
    time::Timestamp,
};
use invigil_store::{AnnounceOutcome, Error, EvidenceQuota, EvidenceRow, EvidenceStore};

type Result<T> = std::result::Result<T, sqlx::Error>;

#[async_trait]
impl EvidenceStore for SqliteStore {
    async fn announce_file(
        &self,
        row: &EvidenceRow,
        allowed: EvidenceQuota,
    ) -> std::result::Result<AnnounceOutcome, Error> {
        self.run_write("announce evidence", async |db| {
            evidence::announce_file(db, row, allowed).await
        })
        .await
    }

    async fn confirm_file(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
        at: Timestamp,
    ) -> std::result::Result<bool, Error> {
        self.run_write("confirm evidence", async |db| {
            evidence::confirm_file(db, attempt, id, at).await
        })
        .await
    }

    async fn list_files(&self, attempt: AttemptId) -> std::result::Result<Vec<EvidenceRow>, Error> {
        self.run_read("list evidence", async |db| {
            evidence::list_files(db, attempt).await
        })
        .await
    }

    async fn find_file(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
    ) -> std::result::Result<Option<EvidenceRow>, Error> {
        self.run_read("read evidence", async |db| {
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
        self.run_read("find old evidence", async |db| {
            evidence::list_expired(db, before, unstored_before, limit).await
        })
        .await
    }

    async fn delete_rows(&self, ids: &[EvidenceId]) -> std::result::Result<(), Error> {
        self.run_write("delete evidence", async |db| delete_rows(db, ids).await)
            .await
    }
}

async fn delete_rows(connection: &mut SqliteConnection, ids: &[EvidenceId]) -> Result<()> {
    for id in ids {
        sqlx::query("DELETE FROM attempt_evidence WHERE id = $1")
            .bind(id.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
