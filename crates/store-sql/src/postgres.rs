//! PostgreSQL, for servers.
//!
//! The engine connects directly (no pooler in between) with few connections:
//! beyond two writers, more of them only add latency. Every call has a time
//! limit: a server that vanished is [`Error::Unavailable`] after
//! [`CALL_TIMEOUT`], and its connection is closed.

mod attempts;
mod bank;
pub mod catalog;
mod evidence;
mod keys;
mod people;
mod read;
mod roles;
mod save;
mod settle;
mod start;

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    error::DatabaseError,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use self::{
    keys::QuestionNumberCache,
    roles::{APP_ROLE, ENGINE_ROLE, usable_role},
};
use crate::{convert::is_data_fault, shared};
use invigil_domain::time::Timestamp;
use invigil_store::Error;

/// The statement of the hot path, public so that a benchmark can run it without the adapter.
pub use self::save::SAVE_BATCH;

/// The schema of this version of the program.
pub static MIGRATOR: Migrator = sqlx_macros::migrate!("../../migrations/postgres");

/// The server's limit for a statement: far over the duration of any, short
/// enough that a blocked batch is retried while candidates still wait.
const STATEMENT_TIMEOUT: &str = "8s";

/// The client's limit for a call: a little more than the server's.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The limit for connecting, for getting a pooled connection and for testing an idle one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is tested before use: the server may
/// have gone meanwhile. A busy connection fails by itself, and a round trip
/// before each batch would cost more than it is worth.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// Number of months ahead for which partitions are created.
pub const MONTHS_AHEAD: i32 = 12;

/// The tables that are partitioned by month.
pub const MONTHLY_TABLES: [&str; 5] = [
    "exam_attempts",
    "login_attempts",
    "proctor_logs",
    "security_events",
    "audit_logs",
];

/// The store on PostgreSQL.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: PgPool,
    question_numbers: Arc<QuestionNumberCache>,
}

impl PostgresStore {
    /// Connects to a database that has this version's schema.
    ///
    /// # Errors
    /// [`Error::Schema`] if it has another schema or `url` is invalid;
    /// [`Error::Unavailable`] if it cannot be reached.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self, Error> {
        Self::connect_as(url, max_connections, None).await
    }

    /// Connects with only the rights of the engine, if
    /// [`PostgresStore::grant_roles`] created its role and the log-in may use it.
    ///
    /// # Errors
    /// As for [`PostgresStore::connect`].
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
        let pool = pool_options(max_connections, role)
            .connect_with(connect_options(url)?)
            .await
            .map_err(|error| classify_error("connect to PostgreSQL", error))?;
        let store = Self {
            pool,
            question_numbers: Arc::default(),
        };
        let applied = store
            .run_call("read the schema's version", applied_version)
            .await?;
        if let Some(sentence) = schema_fault(applied) {
            return Err(Error::Schema(sentence));
        }
        store
            .run_call("create partitions", ensure_partitions)
            .await?;
        Ok(store)
    }

    /// Migrates a database to this version's schema; concurrent calls are safe.
    ///
    /// # Errors
    /// [`Error::Schema`] if the database has a newer schema or was migrated by
    /// another program.
    pub async fn migrate(url: &str) -> Result<(), Error> {
        let operation = "migrate PostgreSQL";
        // A migration may rewrite tables, which can take long.
        let options = connect_options(url)?.options([("statement_timeout", "0")]);
        let mut connection = connect_once(operation, &options).await?;
        let applied = applied_version(&mut connection)
            .await
            .map_err(|error| classify_error(operation, error))?;
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
                    classify_error(operation, error)
                } else {
                    Error::Schema(format!("the database cannot be migrated: {error}"))
                }
            })?;
        connection
            .close()
            .await
            .map_err(|error| classify_error(operation, error))
    }

    /// Runs the daily maintenance: creates partitions for the months ahead and
    /// deletes expired log-ins.
    ///
    /// # Errors
    /// As for every call.
    pub async fn run_maintenance(&self, now: Timestamp) -> Result<(), Error> {
        self.run_call("create partitions", ensure_partitions)
            .await?;
        self.run_call("delete expired log-ins", async |connection| {
            shared::people::delete_expired_logins(connection, now).await
        })
        .await
    }

    /// Returns the pool, for uses outside the engine's calls.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Runs a call on a pooled connection; on a timeout it closes the connection.
    async fn run_call<T, F>(&self, operation: &'static str, work: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    {
        let mut connection = self
            .pool
            .acquire()
            .await
            .map_err(|error| classify_error(operation, error))?;
        match timeout(CALL_TIMEOUT, work(&mut connection)).await {
            Ok(outcome) => outcome.map_err(|error| classify_error(operation, error)),
            Err(elapsed) => {
                connection.close_on_drop();
                Err(unavailable_error(operation, elapsed))
            }
        }
    }
}

/// Returns the options of a pool whose connections have the rights of `role`.
fn pool_options(max_connections: u32, role: Option<&'static str>) -> PgPoolOptions {
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

/// Opens a connection outside any pool, for a single task.
async fn connect_once(
    operation: &'static str,
    options: &PgConnectOptions,
) -> Result<PgConnection, Error> {
    timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options))
        .await
        .map_err(|elapsed| unavailable_error(operation, elapsed))?
        .map_err(|error| classify_error(operation, error))
}

/// Opens a pool with the rights of the management side.
///
/// # Errors
/// [`Error::Schema`] if the database has no such role.
pub async fn app_pool(url: &str, max_connections: u32) -> Result<PgPool, Error> {
    let role = usable_role(url, APP_ROLE).await?.ok_or_else(|| {
        Error::Schema(format!(
            "the database has no role {APP_ROLE} that its log-in may use: \
             run `invigil migrate --roles`"
        ))
    })?;
    // The best plan of these queries depends on the values, not on the partitions.
    let options =
        connect_options(url)?.options([("plan_cache_mode", "auto"), ("statement_timeout", "30s")]);
    pool_options(max_connections, Some(role))
        .connect_with(options)
        .await
        .map_err(|error| classify_error("connect to PostgreSQL", error))
}

fn connect_options(url: &str) -> Result<PgConnectOptions, Error> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| Error::Schema(format!("invalid address of the database: {error}")))?;
    Ok(options.application_name("invigil").options([
        // A saved answer must be on disk, whatever the server's default is.
        ("synchronous_commit", "on"),
        ("statement_timeout", STATEMENT_TIMEOUT),
        // Planning over all partitions costs more than any of the statements.
        ("plan_cache_mode", "force_generic_plan"),
        // A node that vanishes within a transaction must not hold its locks.
        ("idle_in_transaction_session_timeout", "10s"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
        ("TimeZone", "UTC"),
    ]))
}

/// Creates partitions for the months ahead. A node may lack the right to create
/// tables: then the DEFAULT partition takes new attempts until an owner runs
/// `invigil migrate`.
async fn ensure_partitions(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let made = sqlx::query(
        "SELECT ensure_monthly_partitions(t, $1), ensure_activity_partitions()
         FROM unnest($2::text[]::regclass[]) AS t",
    )
    .bind(MONTHS_AHEAD)
    .bind(MONTHLY_TABLES)
    .execute(connection)
    .await;
    match made {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {
            tracing::warn!(
                "the database log-in may not create partitions for the months ahead; \
                 run `invigil migrate` as the owner of the tables"
            );
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

/// Returns the number of the newest migration applied to the database.
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

/// Describes a schema that does not fit, for the operator.
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

fn unavailable_error(
    operation: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::Unavailable {
        operation,
        source: Box::new(source),
    }
}

/// Rejects only errors that the data itself causes. All others (network, locks,
/// a full disk, a server that stops, a standby that takes over) count as
/// temporary: a retry is better than a lost answer.
fn classify_error(operation: &'static str, error: sqlx::Error) -> Error {
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
        unavailable_error(operation, error)
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
        assert!(matches!(connect_options("here"), Err(Error::Schema(_))));
    }
}
