//! SQLite, for one machine with nothing installed.
//!
//! One connection writes, every write is one `BEGIN IMMEDIATE` transaction, and
//! a commit is on disk before it is told (`synchronous=FULL`); a few others read
//! beside it (WAL). The data directory belongs to one process at a time.

mod attempts;
mod catalog;
mod evidence;
mod people;
mod read;
mod rows;
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

use super::Error;
use crate::domain::time::Timestamp;

/// The schema of this version of the program.
pub static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// The file of everything, within the data directory.
const DATABASE: &str = "invigil.db";

/// Held locked while a process uses the data directory.
const LOCK: &str = "invigil.lock";

/// Listings may take a while; so many of them may run beside each other.
const READERS: u32 = 4;

/// Another program that looks at the file (a backup) may hold it for so long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store in one file.
#[derive(Debug, Clone)]
pub struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Locked until the last clone is gone.
    _directory: Arc<File>,
}

impl Sqlite {
    /// Opens a data directory, makes it where it is missing (for this user
    /// alone), and brings its file to this version's schema.
    ///
    /// # Errors
    /// [`Error::Schema`] with a sentence where the directory is in use, cannot
    /// be written or is of a newer version; [`Error::Unavailable`] where the
    /// disk is full.
    pub async fn open(dir: &Path) -> Result<Self, Error> {
        let directory = lock(dir)?;
        let options = SqliteConnectOptions::new()
            .filename(dir.join(DATABASE))
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
            .map_err(|error| cannot_open(dir, error))?;
        migrate(dir, &writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await
            .map_err(|error| cannot_open(dir, error))?;
        Ok(Self {
            writer,
            readers,
            _directory: Arc::new(directory),
        })
    }

    /// Ends all connections, so that the directory holds one whole file.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// What is to be done every day: an end to log-ins that are no longer valid.
    ///
    /// # Errors
    /// As every call.
    pub async fn maintain(&self, now: Timestamp) -> Result<(), Error> {
        self.write("forget old log-ins", async |db| {
            people::forget_logins(db, now).await
        })
        .await
    }

    /// Runs one call that writes, in one transaction.
    async fn write<T, F>(&self, operation: &'static str, work: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    {
        let fail = |error| failed(operation, error);
        let mut connection = self.writer.acquire().await.map_err(fail)?;
        let transact = async {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            let outcome = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(outcome)
        };
        let outcome = transact.await;
        if outcome.is_err() {
            // Where the disk is full, SQLite ends the transaction by itself; sqlx
            // does not learn of it, and could never begin another on this one.
            connection.close().await.ok();
        }
        outcome.map_err(fail)
    }

    /// Runs one call that reads, on one state of the file.
    async fn read<T, F>(&self, operation: &'static str, work: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    {
        let look = async {
            let mut connection = self.readers.acquire().await?;
            work(&mut connection).await
        };
        look.await.map_err(|error| failed(operation, error))
    }
}

/// Makes the directory and keeps other processes out of it.
fn lock(dir: &Path) -> Result<File, Error> {
    let shown = dir.display();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| {
            Error::Schema(format!(
                "the data directory {shown} cannot be made: {error}"
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
        .open(dir.join(LOCK))
        .map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Schema(format!(
            "the data directory {shown} is in use by another invigil process"
        ))),
        Err(TryLockError::Error(error)) => Err(unwritable(error)),
    }
}

async fn migrate(dir: &Path, writer: &SqlitePool) -> Result<(), Error> {
    let shown = dir.display();
    MIGRATOR.run(writer).await.map_err(|error| {
        if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
            cannot_open(dir, error)
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

/// A full disk may have room later; whatever else is in the way is for the operator.
fn cannot_open(dir: &Path, error: sqlx::Error) -> Error {
    match primary_code(&error) {
        Some(BUSY) => failed("open the data directory", error),
        Some(FULL | IO) => Error::Unavailable {
            operation: "open the data directory",
            // SQLite calls it an I/O error where the file beside its log finds no room.
            source: format!("the disk of {} is full, or fails: {error}", dir.display()).into(),
        },
        _ => Error::Schema(format!(
            "{} cannot be opened: {error}",
            dir.join(DATABASE).display()
        )),
    }
}

const BUSY: i32 = 5;
const IO: i32 = 10;
const FULL: i32 = 13;
const TOO_BIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;

/// SQLite's result code without its extension.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Only what is the data's own fault is refused for good; of everything else
/// (a full disk, a busy file) it is better to think that it passes than to
/// drop an answer.
fn failed(operation: &'static str, error: sqlx::Error) -> Error {
    let data_is_at_fault = super::convert::is_data_fault(&error)
        || matches!(primary_code(&error), Some(TOO_BIG | CONSTRAINT | MISMATCH));
    let source = Box::new(error);
    if data_is_at_fault {
        Error::Rejected { operation, source }
    } else {
        Error::Unavailable { operation, source }
    }
}
