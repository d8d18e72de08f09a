//! PostgreSQL of a run: a server of its own, and what stands in it.
//!
//! It is asked by `psql`, straight, past the line that faults cut: what is
//! checked must not depend on what is tested.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::process::run;

/// Attempts with their stored answers. It ends where those that are wanted are named.
const ATTEMPTS: &str = "
    SELECT coalesce(json_agg(json_build_object(
        'attempt', k.attempt_id::text,
        'epoch', k.owner_epoch,
        'status', a.status,
        'receipt', a.receipt,
        'extended_ms', (
            SELECT coalesce(sum((change->>'ms')::bigint), 0)
            FROM json_array_elements(a.control->'ledger'->'adjustments') AS change
            WHERE change->>'kind' = 'extended'
        ),
        'pauses', (
            SELECT count(*)
            FROM json_array_elements(a.control->'ledger'->'adjustments') AS change
            WHERE change->>'kind' = 'paused'
        ),
        'answers', (
            SELECT coalesce(json_object_agg(q.question_key,
                       json_build_object('value', n.user_answer, 'rev', n.rev)), '{}')
            FROM answers AS n
            JOIN exam_version_questions AS q
              ON q.exam_version_id = k.exam_version_id AND q.question_id = n.question_id
            WHERE n.attempt_id = k.attempt_id
        ))), '[]')
    FROM exam_attempt_keys AS k
    JOIN exam_attempts AS a ON a.id = k.attempt_id AND a.started_at = k.started_at";

/// An attempt as it is stored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct StoredAttempt {
    pub(crate) attempt: String,
    pub(crate) epoch: i64,
    pub(crate) status: String,
    pub(crate) receipt: Option<Value>,
    /// What staff added to its time.
    pub(crate) extended_ms: u64,
    /// Pauses that are over.
    pub(crate) pauses: u64,
    /// By question.
    pub(crate) answers: BTreeMap<String, StoredAnswer>,
}

/// An answer as it is stored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct StoredAnswer {
    pub(crate) value: Value,
    pub(crate) rev: u64,
}

/// The server. Dropping it ends and removes it.
#[derive(Debug)]
pub(crate) struct Database {
    dir: PathBuf,
    pub(crate) url: String,
    pub(crate) port: u16,
}

impl Database {
    /// One that runs.
    pub(crate) async fn create(dir: &Path) -> anyhow::Result<Self> {
        let mut database = Self {
            dir: dir.to_owned(),
            url: String::new(),
            port: 0,
        };
        database.control("create").await?;
        // What the script prints comes through a pipe that the server would hold.
        let read = |name| std::fs::read_to_string(dir.join(name));
        read("url")?.trim().clone_into(&mut database.url);
        database.port = read("port")?.trim().parse().context("read the port")?;
        Ok(database)
    }

    /// Its address, by way of a proxy.
    pub(crate) fn url_through(&self, proxy: u16) -> String {
        let port = format!(":{}/", self.port);
        self.url.replace(&port, &format!(":{proxy}/"))
    }

    /// `start`, `stop` or `crash`.
    pub(crate) async fn control(&self, verb: &str) -> anyhow::Result<()> {
        let dir = self.dir.display().to_string();
        run(SCRIPT, &[verb, &dir], &[]).await?;
        Ok(())
    }

    /// Every attempt, by its id. An error while the server is away.
    pub(crate) async fn attempts(&self) -> anyhow::Result<BTreeMap<String, StoredAttempt>> {
        self.read("").await
    }

    /// Those of these ids. An error while the server is away.
    pub(crate) async fn attempts_of(
        &self,
        ids: &[String],
    ) -> anyhow::Result<BTreeMap<String, StoredAttempt>> {
        let ids = ids.join(",");
        self.read(&format!(" WHERE k.attempt_id IN ({ids})")).await
    }

    async fn read(&self, wanted: &str) -> anyhow::Result<BTreeMap<String, StoredAttempt>> {
        let query = format!("{ATTEMPTS}{wanted}");
        let arguments = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", &query, &self.url];
        let text = run("psql", &arguments, &[]).await?;
        let stored: Vec<StoredAttempt> =
            serde_json::from_str(&text).context("read the attempts")?;
        let count = stored.len();
        let by_id: BTreeMap<String, StoredAttempt> = stored
            .into_iter()
            .map(|attempt| (attempt.attempt.clone(), attempt))
            .collect();
        ensure!(by_id.len() == count, "an attempt is there twice");
        Ok(by_id)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nothing more can be done than try.
        std::process::Command::new(SCRIPT)
            .arg("destroy")
            .arg(&self.dir)
            .status()
            .ok();
    }
}

/// Makes and controls servers of PostgreSQL; the tests use it too.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/postgres.sh");
