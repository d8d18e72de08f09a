//! PostgreSQL of a run: its own server, and the stored attempts.
//!
//! Checks query it directly by `psql`, past the proxies that faults affect: a check
//! must not depend on the tested path.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::process::run_program;

/// Query of attempts with their stored answers; a condition may follow.
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

/// A stored attempt.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct DatabaseAttempt {
    pub(crate) attempt: String,
    pub(crate) epoch: i64,
    pub(crate) status: String,
    pub(crate) receipt: Option<Value>,
    /// Time added by staff.
    pub(crate) extended_ms: u64,
    /// Number of pauses that are over.
    pub(crate) pauses: u64,
    /// Answers by question.
    pub(crate) answers: BTreeMap<String, DatabaseAnswer>,
}

/// A stored answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct DatabaseAnswer {
    pub(crate) value: Value,
    pub(crate) rev: u64,
}

/// A server, which is stopped and removed when dropped.
#[derive(Debug)]
pub(crate) struct RunDatabase {
    dir: PathBuf,
    pub(crate) url: String,
    pub(crate) port: u16,
}

impl RunDatabase {
    /// Creates and starts a server.
    pub(crate) async fn create(dir: &Path) -> anyhow::Result<Self> {
        let mut database = Self {
            dir: dir.to_owned(),
            url: String::new(),
            port: 0,
        };
        database.control_server("create").await?;
        // Read from files: the server would keep a pipe of the script open.
        let read = |name| std::fs::read_to_string(dir.join(name));
        read("url")?.trim().clone_into(&mut database.url);
        database.port = read("port")?.trim().parse().context("read the port")?;
        Ok(database)
    }

    /// Returns its address through a proxy.
    pub(crate) fn url_through(&self, proxy: u16) -> String {
        let port = format!(":{}/", self.port);
        self.url.replace(&port, &format!(":{proxy}/"))
    }

    /// Runs `start`, `stop` or `crash`.
    pub(crate) async fn control_server(&self, verb: &str) -> anyhow::Result<()> {
        let dir = self.dir.display().to_string();
        run_program(SCRIPT, &[verb, &dir], &[]).await?;
        Ok(())
    }

    /// Returns all attempts by id. An error while the server is away.
    pub(crate) async fn read_attempts(&self) -> anyhow::Result<BTreeMap<String, DatabaseAttempt>> {
        self.query_attempts("").await
    }

    /// Returns the attempts with these ids. An error while the server is away.
    pub(crate) async fn read_attempts_of(
        &self,
        ids: &[String],
    ) -> anyhow::Result<BTreeMap<String, DatabaseAttempt>> {
        let ids = ids.join(",");
        self.query_attempts(&format!(" WHERE k.attempt_id IN ({ids})"))
            .await
    }

    async fn query_attempts(
        &self,
        wanted: &str,
    ) -> anyhow::Result<BTreeMap<String, DatabaseAttempt>> {
        let query = format!("{ATTEMPTS}{wanted}");
        let arguments = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", &query, &self.url];
        let text = run_program("psql", &arguments, &[]).await?;
        let stored: Vec<DatabaseAttempt> =
            serde_json::from_str(&text).context("read the attempts")?;
        let count = stored.len();
        let by_id: BTreeMap<String, DatabaseAttempt> = stored
            .into_iter()
            .map(|attempt| (attempt.attempt.clone(), attempt))
            .collect();
        ensure!(by_id.len() == count, "an attempt is stored twice");
        Ok(by_id)
    }
}

impl Drop for RunDatabase {
    fn drop(&mut self) {
        // A failure cannot be handled here.
        std::process::Command::new(SCRIPT)
            .arg("destroy")
            .arg(&self.dir)
            .status()
            .ok();
    }
}

/// Script that creates and controls PostgreSQL servers, shared with the tests.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/postgres.sh");
