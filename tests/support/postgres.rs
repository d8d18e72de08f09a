//! A PostgreSQL database of its own for a test.
//!
//! `INVIGIL_TEST_POSTGRES` is the address of a server and a role that may make
//! databases; `make test` sets it. Without it the tests that need PostgreSQL
//! say that they are skipped.

use std::{
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

/// Databases that this process made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A fresh, empty database.
pub(crate) struct Database {
    /// Its address.
    pub(crate) url: String,
    name: String,
    server: PgConnectOptions,
}

impl Database {
    /// Makes one; none where there is no server.
    pub(crate) async fn create() -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "a test's only setting")]
        let Ok(server) = std::env::var("INVIGIL_TEST_POSTGRES") else {
            eprintln!("skipped: INVIGIL_TEST_POSTGRES is not set, PostgreSQL is not tested");
            return None;
        };
        let server =
            PgConnectOptions::from_str(&server).expect("INVIGIL_TEST_POSTGRES is an address");
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("invigil_test_{}_{number}", std::process::id());
        let mut connection = PgConnection::connect_with(&server)
            .await
            .expect("a server answers");
        for statement in [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name}"),
        ] {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut connection)
                .await
                .unwrap();
        }
        let url = server.clone().database(&name).to_url_lossy().to_string();
        Some(Self { url, name, server })
    }

    /// A connection beside the store's.
    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// Removes it. A test that fails leaves it, to be looked at.
    pub(crate) async fn remove(self) {
        let mut connection = PgConnection::connect_with(&self.server).await.unwrap();
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
    }
}
