//! A server of PostgreSQL for one test alone, which no other test misses.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::process::Command;

/// The server.
pub(crate) struct Postgres {
    dir: TempDir,
}

impl Postgres {
    /// Starts a server; returns it and its address.
    pub(crate) async fn create() -> (Self, String) {
        let dir = tempfile::Builder::new().prefix("invigil-test-").tempdir();
        let server = Self { dir: dir.unwrap() };
        let url = server.control("create").await;
        (server, url)
    }

    /// Returns the folder of all its files.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    fn script(&self, verb: &str) -> std::process::Command {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres.sh");
        let mut command = std::process::Command::new(script);
        command.arg(verb).arg(self.dir());
        command
    }

    /// `start`, `stop` or `crash`.
    pub(crate) async fn control(&self, verb: &str) -> String {
        let done = Command::from(self.script(verb)).output().await.unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{verb}: {said}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let done = self.script("destroy").status();
        assert!(done.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
