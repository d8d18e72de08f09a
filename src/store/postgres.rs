//! PostgreSQL, for servers.
//!
//! The engine connects directly (no pooler in between) with few connections:
//! from two writers on, more of them only add latency. Every call has an end:
//! a server that vanished is [`Error::Unavailable`] after [`CALL_TIMEOUT`], and
//! its connection is thrown away.

mod attempts;
mod bank;
pub(crate) mod catalog;
mod evidence;
mod keys;
mod people;
mod read;
mod rows;
mod save;
mod settle;
mod start;

use std::{str::FromStr, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    error::DatabaseError,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use self::keys::QuestionKeys;
use super::{Error, convert::is_data_fault};
use crate::domain::time::Timestamp;

/// The statement of the hot path, to be measured from a bare client beside the adapter.
pub use self::save::SAVE;

/// The schema of this version of the program.
pub static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// What each role may do.
const ROLES: &str = include_str!("postgres/roles.sql");

/// Where a database keeps which [`ROLES`] were granted: as this function's comment.
const ROLES_MARK: &str = "app_numbers(text)";

/// Whose rights the management side has.
const APP_ROLE: &str = "invigil_app";

/// Whose rights the engine has.
const ENGINE_ROLE: &str = "invigil_engine";

/// The server gives up a statement after this: far over what any takes, short
/// enough that a blocked batch is tried again while candidates still wait.
const STATEMENT_TIMEOUT: &str = "8s";

/// The client gives up a call after this: a little after the server would have.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// To connect, to get a connection of the pool, to try an idle one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is tried before it is used: the
/// server may have gone meanwhile. A busy one finds out by itself, and a round
/// trip before each batch would cost more than it tells.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// Partitions are made for so many months ahead.
pub(crate) const MONTHS_AHEAD: i32 = 12;

/// What is partitioned by month.
pub(crate) const MONTHLY: [&str; 5] = [
    "exam_attempts",
    "login_attempts",
    "proctor_logs",
    "security_events",
    "audit_logs",
];

/// The store on PostgreSQL.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
    question_keys: Arc<QuestionKeys>,
}

impl Postgres {
    /// Connects to a database that has this version's schema.
    ///
    /// # Errors
    /// [`Error::Schema`] where it has another one or `url` is no address;
    /// [`Error::Unavailable`] where it cannot be reached.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self, Error> {
        Self::connect_as(url, max_connections, None).await
    }

    /// Connects with the rights of the engine and no more, where
    /// [`Postgres::grant_roles`] made its role and the log-in may use it.
    ///
    /// # Errors
    /// As [`Postgres::connect`].
    pub async fn connect_as_engine(url: &str, max_connections: u32) -> Result<Self, Error> {
        let role = usable_role(url, ENGINE_ROLE).await?;
        if role.is_none() {
            tracing::warn!(
                "the engine has all rights of its database log-in; `invigil migrate --roles` gives it fewer"
            );
        }
        Self::connect_as(url, max_connections, role).await
    }

    async fn connect_as(
        url: &str,
        max_connections: u32,
        role: Option<&'static str>,
    ) -> Result<Self, Error> {
        let pool = pool(max_connections, role)
            .connect_with(options(url)?)
            .await
            .map_err(|error| failed("connect to PostgreSQL", error))?;
        let store = Self {
            pool,
            question_keys: Arc::default(),
        };
        let applied = store
            .call("read the schema's version", applied_version)
            .await?;
        if let Some(sentence) = schema_fault(applied) {
            return Err(Error::Schema(sentence));
        }
        store.call("make partitions", ensure_partitions).await?;
        Ok(store)
    }

    /// Makes the database roles where they are missing, and gives each the least
    /// that it needs; takes back everything else.
    ///
    /// # Errors
    /// Where the log-in may not make roles, or is not the owner of the tables.
    pub async fn grant_roles(url: &str) -> Result<(), Error> {
        let operation = "grant roles";
        let mut connection = connection(operation, &options(url)?).await?;
        let mut transaction = connection
            .begin()
            .await
            .map_err(|error| failed(operation, error))?;
        sqlx::raw_sql(ROLES)
            .execute(&mut *transaction)
            .await
            .map_err(|error| match error.as_database_error() {
                Some(refused) if refused.code().as_deref() == Some("42501") => {
                    Error::Schema(format!("the database roles cannot be made: {refused}"))
                }
                _ => failed(operation, error),
            })?;
        let mark = format!("COMMENT ON FUNCTION {ROLES_MARK} IS '{}'", roles_version());
        sqlx::query(AssertSqlSafe(mark))
            .execute(&mut *transaction)
            .await
            .map_err(|error| failed(operation, error))?;
        transaction
            .commit()
            .await
            .map_err(|error| failed(operation, error))
    }

    /// Brings a database to this version's schema; two at once do it once.
    ///
    /// # Errors
    /// [`Error::Schema`] where the database is of a newer version, or was
    /// migrated by another program.
    pub async fn migrate(url: &str) -> Result<(), Error> {
        let operation = "migrate PostgreSQL";
        // A migration may rewrite tables, which takes its time.
        let options = options(url)?.options([("statement_timeout", "0")]);
        let mut connection = connection(operation, &options).await?;
        let applied = applied_version(&mut connection)
            .await
            .map_err(|error| failed(operation, error))?;
        if applied > newest_version() {
            return schema_fault(applied).map_or(Ok(()), |sentence| Err(Error::Schema(sentence)));
        }
        MIGRATOR
            .run_direct(None, &mut connection, false)
            .await
            .map_err(|error| {
                if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) =
                    error
                {
                    failed(operation, error)
                } else {
                    Error::Schema(format!("the database cannot be migrated: {error}"))
                }
            })?;
        connection
            .close()
            .await
            .map_err(|error| failed(operation, error))
    }

    /// What is to be done every day: partitions for the months ahead, and an
    /// end to log-ins that are no longer valid.
    ///
    /// # Errors
    /// As every call.
    pub async fn maintain(&self, now: Timestamp) -> Result<(), Error> {
        self.call("make partitions", ensure_partitions).await?;
        self.call("forget old log-ins", async |connection| {
            people::forget_logins(connection, now).await
        })
        .await
    }

    /// The connections, for what is no call of the engine.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Runs one call on one connection, and gives both an end.
    async fn call<T, F>(&self, operation: &'static str, work: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    {
        let mut connection = self
            .pool
            .acquire()
            .await
            .map_err(|error| failed(operation, error))?;
        match timeout(CALL_TIMEOUT, work(&mut connection)).await {
            Ok(outcome) => outcome.map_err(|error| failed(operation, error)),
            Err(elapsed) => {
                connection.close_on_drop();
                Err(unavailable(operation, elapsed))
            }
        }
    }
}

/// A pool whose connections have the rights of `role`.
fn pool(max_connections: u32, role: Option<&'static str>) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(CONNECT_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                let trusted = meta.idle_for <= TRUSTED_IDLE;
                Ok(trusted
                    || matches!(
                        timeout(CONNECT_TIMEOUT, connection.ping()).await,
                        Ok(Ok(()))
                    ))
            })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                if let Some(role) = role {
                    let statement = format!("SET ROLE {role}");
                    sqlx::query(AssertSqlSafe(statement))
                        .execute(connection)
                        .await?;
                }
                Ok(())
            })
        })
}

/// One connection, for what is done once.
async fn connection(
    operation: &'static str,
    options: &PgConnectOptions,
) -> Result<PgConnection, Error> {
    timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options))
        .await
        .map_err(|elapsed| unavailable(operation, elapsed))?
        .map_err(|error| failed(operation, error))
}

/// A pool with the rights of the management side.
///
/// # Errors
/// [`Error::Schema`] where the database has no such role.
pub(crate) async fn app_pool(url: &str, max_connections: u32) -> Result<PgPool, Error> {
    let role = usable_role(url, APP_ROLE).await?.ok_or_else(|| {
        Error::Schema(format!(
            "the database has no role {APP_ROLE} that this log-in may use: \
             run `invigil migrate --roles`"
        ))
    })?;
    // Values, not the number of partitions, decide how these queries are best done.
    let options =
        options(url)?.options([("plan_cache_mode", "auto"), ("statement_timeout", "30s")]);
    pool(max_connections, Some(role))
        .connect_with(options)
        .await
        .map_err(|error| failed("connect to PostgreSQL", error))
}

/// The role, where it exists and the log-in may take it.
///
/// # Errors
/// [`Error::Schema`] where its rights are those of another version: the engine would find
/// out at the first save that it may not make, and wait for ever for a store that is there.
async fn usable_role(url: &str, role: &'static str) -> Result<Option<&'static str>, Error> {
    let operation = "look for a database role";
    let mut connection = connection(operation, &options(url)?).await?;
    // A role is the whole server's; the mark shows that it was granted in this database.
    let granted: Option<String> = sqlx::query_scalar(
        "SELECT obj_description(to_regprocedure($2), 'pg_proc')
         FROM pg_roles WHERE rolname = $1 AND pg_has_role(oid, 'MEMBER')",
    )
    .bind(role)
    .bind(ROLES_MARK)
    .fetch_optional(&mut connection)
    .await
    .map_err(|error| failed(operation, error))?
    .flatten();
    match granted {
        Some(version) if version == roles_version() => Ok(Some(role)),
        Some(_) => Err(Error::Schema(
            "the rights of the database roles are those of another version: \
             run `invigil migrate --roles`"
                .to_owned(),
        )),
        None => Ok(None),
    }
}

/// Names the rights that this program needs.
fn roles_version() -> String {
    format!("sha256:{:x}", Sha256::digest(ROLES))
}

fn options(url: &str) -> Result<PgConnectOptions, Error> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| Error::Schema(format!("the address of the database is wrong: {error}")))?;
    Ok(options.application_name("invigil").options([
        // What is called saved is on disk, whatever the server's default is.
        ("synchronous_commit", "on"),
        ("statement_timeout", STATEMENT_TIMEOUT),
        // Planning over all partitions costs more than any of the statements.
        ("plan_cache_mode", "force_generic_plan"),
        // A node that vanished within a transaction must not hold its locks.
        ("idle_in_transaction_session_timeout", "10s"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
        ("TimeZone", "UTC"),
    ]))
}

/// A node may run without the right to make tables: then the DEFAULT partition
/// takes new attempts until an owner calls `invigil migrate`.
async fn ensure_partitions(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let made = sqlx::query(
        "SELECT ensure_monthly_partitions(t, $1), ensure_activity_partitions()
         FROM unnest($2::text[]::regclass[]) AS t",
    )
    .bind(MONTHS_AHEAD)
    .bind(MONTHLY)
    .execute(connection)
    .await;
    match made {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {
            tracing::warn!("no right to make partitions for the months ahead");
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

/// Number of the newest migration that the database has seen.
async fn applied_version(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    let known: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !known {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
}

fn newest_version() -> Option<i64> {
    MIGRATOR.iter().map(|migration| migration.version).max()
}

/// What is wrong with a schema, as a sentence for the operator.
fn schema_fault(applied: Option<i64>) -> Option<String> {
    let needed = newest_version();
    let number = |version: Option<i64>| version.unwrap_or_default();
    match applied {
        None => Some("the database has no schema yet: run `invigil migrate`".to_owned()),
        _ if applied == needed => None,
        _ if applied < needed => Some(format!(
            "the database has schema {}, this program needs {}: run `invigil migrate`",
            number(applied),
            number(needed)
        )),
        _ => Some(format!(
            "the database has schema {}, newer than this program's {}: \
             run the `invigil` whose `invigil migrate` made it",
            number(applied),
            number(needed)
        )),
    }
}

fn unavailable(
    operation: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::Unavailable {
        operation,
        source: Box::new(source),
    }
}

/// Only what is the data's own fault is refused for good; of everything else
/// (network, locks, a full disk, a server that stops, a standby that takes
/// over) it is better to think that it passes than to drop an answer.
fn failed(operation: &'static str, error: sqlx::Error) -> Error {
    // Cardinality, data exception, integrity constraint, program limit.
    const DATA_CLASSES: [&str; 4] = ["21", "22", "23", "54"];
    let code = error.as_database_error().and_then(DatabaseError::code);
    let data_is_at_fault = is_data_fault(&error)
        || code.is_some_and(|code| DATA_CLASSES.iter().any(|class| code.starts_with(class)));
    if data_is_at_fault {
        Error::Rejected {
            operation,
            source: Box::new(error),
        }
    } else {
        unavailable(operation, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_schema_is_named_with_the_command_that_helps() {
        let needed = newest_version().unwrap();
        assert_eq!(schema_fault(Some(needed)), None);
        for other in [None, Some(needed - 1), Some(needed + 1)] {
            assert!(schema_fault(other).unwrap().contains("`invigil migrate`"));
        }
    }

    #[test]
    fn an_address_that_is_none_is_a_sentence() {
        assert!(matches!(options("here"), Err(Error::Schema(_))));
    }
}
