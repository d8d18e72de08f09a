//! A PostgreSQL database for one test.

use std::{
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

use crate::servers::server_address;

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
    /// Creates a database; none if the run skips PostgreSQL.
    pub(crate) async fn create() -> Option<Self> {
        let server = server_address("postgres")?;
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

    /// Removes it. A test that fails leaves it for inspection.
    pub(crate) async fn remove(self) {
        let mut connection = PgConnection::connect_with(&self.server).await.unwrap();
        let statement = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
    }
}
