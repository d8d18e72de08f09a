//! SQLite, for a single machine without a database server.
//!
//! A single connection writes, every write is a `BEGIN IMMEDIATE` transaction,
//! and a commit is on disk before it is reported (`synchronous=FULL`); a few
//! other connections read beside it (WAL). The data directory belongs to one
//! process at a time.

mod attempts;
mod catalog;
mod evidence;
mod people;
mod read;
mod save;
mod start;
#[cfg(test)]
mod tests;

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{convert::is_data_fault, shared};
use invigil_domain::time::Timestamp;
use invigil_store::Error;

/// The schema of this version of the program.
pub static MIGRATOR: Migrator = sqlx_macros::migrate!("../../migrations/sqlite");

/// The database file, within the data directory.
const DATABASE_FILE: &str = "invigil.db";

/// The file that is locked while a process uses the data directory.
const LOCK_FILE: &str = "invigil.lock";

/// Number of reading connections: listings are slow and run side by side.
const READER_CONNECTIONS: u32 = 4;

/// Time that another program (a backup) may hold the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store in an SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    /// The lock of the data directory, held until the last clone is dropped.
    _directory: Arc<File>,
}

impl SqliteStore {
    /// Opens a data directory, creates it if it is missing (accessible to this
    /// user only), and migrates its file to this version's schema.
    ///
    /// # Errors
    /// [`Error::Schema`] if the directory is in use, cannot be written or is of
    /// a newer version; [`Error::Unavailable`] if the disk is full.
    pub async fn open(dir: &Path) -> Result<Self, Error> {
        let directory = lock_directory(dir)?;
        let options = SqliteConnectOptions::new()
            .filename(dir.join(DATABASE_FILE))
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await
            .map_err(|error| open_error(dir, error))?;
        migrate_schema(dir, &writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READER_CONNECTIONS)
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await
            .map_err(|error| open_error(dir, error))?;
        Ok(Self {
            writer,
            readers,
            _directory: Arc::new(directory),
        })
    }

    /// Closes all connections, so that the directory holds a single complete file.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Runs the daily maintenance: deletes expired log-ins.
    ///
    /// # Errors
    /// As for every call.
    pub async fn run_maintenance(&self, now: Timestamp) -> Result<(), Error> {
        self.run_write("delete expired log-ins", async |db| {
            shared::people::delete_expired_logins(db, now).await
        })
        .await
    }

    /// Runs a writing call in a transaction.
    async fn run_write<T, F>(&self, operation: &'static str, work: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    {
        let fail = |error| classify_error(operation, error);
        let mut connection = self.writer.acquire().await.map_err(fail)?;
        let transact = async {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            let outcome = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(outcome)
        };
        let outcome = transact.await;
        if outcome.is_err() {
            // On a full disk SQLite ends the transaction by itself. sqlx does not
            // notice, and could never begin another one on this connection.
            connection.close().await.ok();
        }
        outcome.map_err(fail)
    }

    /// Runs a reading call on one of the readers.
    async fn run_read<T, F>(&self, operation: &'static str, work: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    {
        let look = async {
            let mut connection = self.readers.acquire().await?;
            work(&mut connection).await
        };
        look.await.map_err(|error| classify_error(operation, error))
    }
}

/// Creates the directory and locks it against other processes.
fn lock_directory(dir: &Path) -> Result<File, Error> {
    let shown = dir.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| {
            Error::Schema(format!(
                "the data directory {shown} cannot be created: {error}"
            ))
        })?;
    let unwritable = |error: io::Error| {
        Error::Schema(format!(
            "the data directory {shown} cannot be written: {error}"
        ))
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(dir.join(LOCK_FILE))
        .map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Schema(format!(
            "the data directory {shown} is in use by another invigil process"
        ))),
        Err(TryLockError::Error(error)) => Err(unwritable(error)),
    }
}

async fn migrate_schema(dir: &Path, writer: &SqlitePool) -> Result<(), Error> {
    let shown = dir.display();
    MIGRATOR.run(writer).await.map_err(|error| {
        if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
            open_error(dir, error)
        } else if let MigrateError::VersionMissing(version) = error {
            Error::Schema(format!(
                "the data directory {shown} was written by a newer invigil (schema {version}): \
                 use that one, or another directory"
            ))
        } else {
            Error::Schema(format!(
                "the data directory {shown} cannot be used: {error}"
            ))
        }
    })
}

/// Classifies a failure to open: a full disk may have room later, all others need the operator.
fn open_error(dir: &Path, error: sqlx::Error) -> Error {
    match primary_code(&error) {
        Some(SQLITE_BUSY) => classify_error("open the data directory", error),
        Some(SQLITE_FULL | SQLITE_IOERR) => Error::Unavailable {
            operation: "open the data directory",
            // SQLite reports an I/O error if there is no room for the file beside its log.
            source: format!("the disk of {} is full, or fails: {error}", dir.display()).into(),
        },
        _ => Error::Schema(format!(
            "{} cannot be opened: {error}",
            dir.join(DATABASE_FILE).display()
        )),
    }
}

const SQLITE_BUSY: i32 = 5;
const SQLITE_IOERR: i32 = 10;
const SQLITE_FULL: i32 = 13;
const SQLITE_TOOBIG: i32 = 18;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_MISMATCH: i32 = 20;

/// Returns SQLite's result code without its extension.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Rejects only errors that the data itself causes. All others (a full disk, a
/// busy file) count as temporary: a retry is better than a lost answer.
fn classify_error(operation: &'static str, error: sqlx::Error) -> Error {
    let data_is_at_fault = is_data_fault(&error)
        || matches!(
            primary_code(&error),
            Some(SQLITE_TOOBIG | SQLITE_CONSTRAINT | SQLITE_MISMATCH)
        );
    let source = Box::new(error);
    if data_is_at_fault {
        Error::Rejected { operation, source }
    } else {
        Error::Unavailable { operation, source }
    }
}
