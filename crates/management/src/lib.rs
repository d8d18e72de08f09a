//! The management side: people, courses, the question bank, exam drafts, marking,
//! result releases and logs. It needs PostgreSQL, and is kept apart from the live
//! engine by a small connection pool and a database role of its own.
//!
//! Each request is one transaction, [`UnitOfWork`], that begins by setting the
//! acting person in the database. From then on row policies decide which rows are
//! visible and which may change, so queries here carry no permission checks: rows
//! of another organisation do not exist for them.

pub mod audit;
pub mod bank;
pub mod courses;
pub mod exams;
pub mod fault;
pub mod ids;
pub mod maintenance;
pub mod marking;
pub mod media;
mod names;
pub mod organizations;
pub mod people;
pub mod principal;
pub mod resource;
pub mod security;
pub mod statistics;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use tokio::time::timeout;

use crate::ids::{OrganizationId, UserId};
pub use crate::{
    fault::{FieldFault, ManagementError},
    principal::{Principal, PrincipalScope, UserRole},
};
use invigil_objects::media::MediaStore;
use invigil_secrets::sealed::SealingKeys;
use invigil_store::{self};
use invigil_store_sql::postgres;

/// Limit of one transaction: a longer one would hold row locks that others wait for.
const WORK_TIMEOUT: Duration = Duration::from_secs(30);

/// Limit of an import: 50,000 people take 13 s on two slow cores.
pub const IMPORT_TIMEOUT: Duration = Duration::from_mins(5);

/// Entry point of the management side: its connection pool, keys and media files.
#[derive(Debug, Clone)]
pub struct Management {
    pool: PgPool,
    key_file: PathBuf,
    media: MediaStore,
}

/// Origin of a request: the log-in token, time, address and program.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Hash of the log-in token.
    pub token_hash: [u8; 32],
    /// Time of the request.
    pub at: DateTime<Utc>,
    /// Client address.
    pub address: IpAddr,
    /// `User-Agent` of the client.
    pub user_agent: Option<String>,
}

/// A transaction of one person; dropping it rolls it back.
pub struct UnitOfWork {
    /// The open database transaction.
    pub tx: Transaction<'static, Postgres>,
    /// The acting person.
    pub principal: Principal,
    /// Number of the acting person; 0 for the engine itself.
    pub user_id: UserId,
    /// Number of the acting person's organisation; 0 for the engine itself.
    pub organization_id: OrganizationId,
    /// True if the transaction is a preview and is rolled back at the end.
    pub dry_run: bool,
}

impl Management {
    /// Connects as the database role of the API.
    ///
    /// # Errors
    /// If the database cannot be reached, or lacks the role that
    /// `invigil migrate --roles` creates.
    pub async fn connect(
        url: &str,
        max_connections: u32,
        key_file: PathBuf,
        media: MediaStore,
    ) -> Result<Self, invigil_store::Error> {
        let pool = postgres::app_pool(url, max_connections).await?;
        Ok(Self {
            pool,
            key_file,
            media,
        })
    }

    /// Reads the keys that seal personal data, afresh because they may have been rotated.
    ///
    /// # Errors
    /// If the key file cannot be read.
    pub fn read_keys(&self) -> Result<SealingKeys, ManagementError> {
        SealingKeys::open(&self.key_file).map_err(ManagementError::internal)
    }

    /// Store of the files that questions show.
    pub const fn media(&self) -> &MediaStore {
        &self.media
    }

    /// Opens a transaction for the owner of a log-in token.
    ///
    /// # Errors
    /// [`ManagementError::NotSignedIn`] if the log-in is not valid.
    pub async fn begin_work(&self, caller: &RequestContext) -> Result<UnitOfWork, ManagementError> {
        let mut tx = self.pool.begin().await?;
        let entered: Option<EnteredPerson> =
            sqlx::query_as("SELECT * FROM app_enter($1, $2, $3::text::inet, $4)")
                .bind(caller.token_hash.as_slice())
                .bind(caller.at)
                .bind(caller.address.to_string())
                .bind(&caller.user_agent)
                .fetch_optional(&mut *tx)
                .await?;
        let Some(entered) = entered else {
            // `app_enter` recorded the use of a replaced token: keep that.
            tx.commit().await?;
            return Err(ManagementError::NotSignedIn);
        };
        Ok(UnitOfWork {
            tx,
            principal: Principal {
                person: entered.username.into(),
                role: entered.role,
                scope: PrincipalScope::Organization(entered.organization_id),
            },
            user_id: entered.user_id,
            organization_id: entered.organization_id,
            dry_run: false,
        })
    }

    /// Runs one unit of work for staff, all or nothing.
    ///
    /// # Errors
    /// Errors of `work`, and [`ManagementError::Forbidden`] for candidates and proctors.
    pub async fn run_as_staff<T>(
        &self,
        caller: &RequestContext,
        work: impl AsyncFnOnce(&mut UnitOfWork) -> Result<T, ManagementError>,
    ) -> Result<T, ManagementError> {
        self.run_scoped(WorkScope::Staff, caller, work).await
    }

    /// Runs one import for staff, within [`IMPORT_TIMEOUT`].
    ///
    /// # Errors
    /// As [`Management::run_as_staff`].
    pub async fn run_import<T>(
        &self,
        caller: &RequestContext,
        work: impl AsyncFnOnce(&mut UnitOfWork) -> Result<T, ManagementError>,
    ) -> Result<T, ManagementError> {
        self.run_scoped(WorkScope::Import, caller, work).await
    }

    /// Runs one unit of work on the caller's own data, whatever the caller's role.
    ///
    /// # Errors
    /// Errors of `work`.
    pub async fn run_as_self<T>(
        &self,
        caller: &RequestContext,
        work: impl AsyncFnOnce(&mut UnitOfWork) -> Result<T, ManagementError>,
    ) -> Result<T, ManagementError> {
        self.run_scoped(WorkScope::Own, caller, work).await
    }

    async fn run_scoped<T>(
        &self,
        scope: WorkScope,
        caller: &RequestContext,
        work: impl AsyncFnOnce(&mut UnitOfWork) -> Result<T, ManagementError>,
    ) -> Result<T, ManagementError> {
        let whole = async {
            let mut open = self.begin_work(caller).await?;
            if scope != WorkScope::Own && !open.principal.role.manages() {
                return Err(ManagementError::Forbidden);
            }
            if scope == WorkScope::Import {
                let limit = format!(
                    "SET LOCAL statement_timeout = {}",
                    IMPORT_TIMEOUT.as_millis()
                );
                sqlx::query(AssertSqlSafe(limit))
                    .execute(&mut *open.tx)
                    .await?;
            }
            let done = work(&mut open).await?;
            if open.dry_run {
                open.tx.rollback().await?;
            } else {
                open.tx.commit().await?;
            }
            Ok(done)
        };
        let limit = match scope {
            WorkScope::Own | WorkScope::Staff => WORK_TIMEOUT,
            WorkScope::Import => IMPORT_TIMEOUT,
        };
        timeout(limit, whole)
            .await
            .unwrap_or(Err(ManagementError::Unavailable))
    }
}

/// The person whom `app_enter` set for a transaction.
#[derive(sqlx_macros::FromRow)]
struct EnteredPerson {
    user_id: UserId,
    username: String,
    role: UserRole,
    organization_id: OrganizationId,
}

/// Permission and time limit of a unit of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WorkScope {
    /// The caller's own data, for every role.
    Own,
    /// Staff only.
    Staff,
    /// Staff only, with the time limit of imports.
    Import,
}

impl UnitOfWork {
    /// Returns the engine's own work in a transaction, as when maintenance regrades attempts.
    pub(crate) fn of_engine(tx: Transaction<'static, Postgres>) -> Self {
        Self {
            tx,
            principal: Principal::engine(),
            user_id: UserId(0),
            organization_id: OrganizationId(0),
            dry_run: false,
        }
    }

    /// Rejects everybody but administrators.
    ///
    /// # Errors
    /// [`ManagementError::Forbidden`].
    pub fn require_admin(&self) -> Result<(), ManagementError> {
        if self.principal.role.is_admin() {
            Ok(())
        } else {
            Err(ManagementError::Forbidden)
        }
    }
}
