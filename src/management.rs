//! The management side: people, courses, the question bank, exams as they are
//! written, marking, releases, logs. On PostgreSQL alone, and apart from the
//! live engine: with a small pool and a database role of its own.
//!
//! Whatever somebody does is one transaction, [`Work`], that begins by saying to
//! the database who it is. From then on the row policies decide what is seen and
//! what may change; the code here asks for things as if everything were its
//! own. What is another's is not there.

pub mod bank;
pub mod courses;
pub mod exams;
pub mod fault;
pub mod insight;
pub mod maintenance;
pub mod marking;
pub mod media;
pub mod people;
pub mod resource;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use tokio::time::timeout;

pub use self::fault::{Fault, FieldFault};
use crate::{
    media::Media,
    secrets::sealed::Keys,
    store::{self, postgres},
};

/// A transaction that takes longer is given up: it would keep rows from others.
const WORK_TIMEOUT: Duration = Duration::from_secs(30);

/// As long as an import may take: 50,000 people are 13 s on two slow cores.
pub const IMPORT_TIMEOUT: Duration = Duration::from_mins(5);

/// The database side of management.
#[derive(Debug, Clone)]
pub struct Management {
    pool: PgPool,
    key_file: PathBuf,
    media: Media,
}

/// Who asks, as a request shows it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Hash of the log-in token.
    pub token: [u8; 32],
    /// When.
    pub at: DateTime<Utc>,
    /// Where from.
    pub address: IpAddr,
    /// What the program calls itself.
    pub user_agent: Option<String>,
}

/// The person who acts.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Actor {
    /// The person's number.
    pub user_id: i64,
    /// The name to sign in with.
    pub username: String,
    /// Shown to people.
    pub name: String,
    /// `candidate`, `proctor`, `teacher`, `admin` or `super_admin`.
    pub role: String,
    /// Where the person belongs.
    pub organization_id: i64,
}

impl Actor {
    /// The program itself.
    pub(crate) fn nobody() -> Self {
        Self {
            user_id: 0,
            username: String::new(),
            name: String::new(),
            role: String::new(),
            organization_id: 0,
        }
    }

    /// Whether the person administers an organisation.
    pub fn is_admin(&self) -> bool {
        matches!(self.role.as_str(), "admin" | "super_admin")
    }

    /// Whether the person manages anything at all.
    pub fn is_staff(&self) -> bool {
        self.is_admin() || self.role == "teacher"
    }
}

/// One transaction of one person. Dropped, it changes nothing.
pub struct Work {
    /// The transaction.
    pub tx: Transaction<'static, Postgres>,
    /// Who acts.
    pub actor: Actor,
    /// Whether everything is undone at the end: it was only tried.
    pub undo: bool,
}

impl Management {
    /// Connects with the rights of the API's role.
    ///
    /// # Errors
    /// Where the database cannot be reached, or has not that role: then
    /// `invigil migrate --roles` was not run.
    pub async fn connect(
        url: &str,
        max_connections: u32,
        key_file: PathBuf,
        media: Media,
    ) -> Result<Self, store::Error> {
        let pool = postgres::app_pool(url, max_connections).await?;
        Ok(Self {
            pool,
            key_file,
            media,
        })
    }

    /// What personal data is sealed with, as of now: it may have been rotated.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn keys(&self) -> Result<Keys, Fault> {
        Keys::open(&self.key_file).map_err(Fault::internal)
    }

    /// Where files of questions are.
    pub const fn media(&self) -> &Media {
        &self.media
    }

    /// Begins what somebody does.
    ///
    /// # Errors
    /// [`Fault::NotSignedIn`] where the log-in is not valid.
    pub async fn begin(&self, caller: &Caller) -> Result<Work, Fault> {
        let mut tx = self.pool.begin().await?;
        let actor = sqlx::query_as("SELECT * FROM app_enter($1, $2, $3::text::inet, $4)")
            .bind(caller.token.as_slice())
            .bind(caller.at)
            .bind(caller.address.to_string())
            .bind(&caller.user_agent)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(actor) = actor else {
            // That a replaced token came back is kept.
            tx.commit().await?;
            return Err(Fault::NotSignedIn);
        };
        Ok(Work {
            tx,
            actor,
            undo: false,
        })
    }

    /// Does one piece of work for staff, whole or not at all.
    ///
    /// # Errors
    /// What the work says, and [`Fault::Forbidden`] for candidates and proctors.
    pub async fn work<T>(
        &self,
        caller: &Caller,
        work: impl AsyncFnOnce(&mut Work) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.within(Scope::Staff, caller, work).await
    }

    /// Does one import for staff, which may take its time.
    ///
    /// # Errors
    /// As [`Management::work`].
    pub async fn import_work<T>(
        &self,
        caller: &Caller,
        work: impl AsyncFnOnce(&mut Work) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.within(Scope::Import, caller, work).await
    }

    /// Does one piece of work on what is the person's own, whoever it is.
    ///
    /// # Errors
    /// What the work says.
    pub async fn own_work<T>(
        &self,
        caller: &Caller,
        work: impl AsyncFnOnce(&mut Work) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.within(Scope::Own, caller, work).await
    }

    async fn within<T>(
        &self,
        scope: Scope,
        caller: &Caller,
        work: impl AsyncFnOnce(&mut Work) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let whole = async {
            let mut open = self.begin(caller).await?;
            if scope != Scope::Own && !open.actor.is_staff() {
                return Err(Fault::Forbidden);
            }
            if scope == Scope::Import {
                let limit = format!(
                    "SET LOCAL statement_timeout = {}",
                    IMPORT_TIMEOUT.as_millis()
                );
                sqlx::query(AssertSqlSafe(limit))
                    .execute(&mut *open.tx)
                    .await?;
            }
            let done = work(&mut open).await?;
            if open.undo {
                open.tx.rollback().await?;
            } else {
                open.tx.commit().await?;
            }
            Ok(done)
        };
        let limit = match scope {
            Scope::Own | Scope::Staff => WORK_TIMEOUT,
            Scope::Import => IMPORT_TIMEOUT,
        };
        timeout(limit, whole)
            .await
            .unwrap_or(Err(Fault::Unavailable))
    }
}

/// What a piece of work is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The person's own, whoever it is.
    Own,
    /// What only staff do.
    Staff,
    /// The same, with patience.
    Import,
}

impl Work {
    /// Lets only administrators through.
    ///
    /// # Errors
    /// [`Fault::Forbidden`].
    pub fn require_admin(&self) -> Result<(), Fault> {
        if self.actor.is_admin() {
            Ok(())
        } else {
            Err(Fault::Forbidden)
        }
    }
}
