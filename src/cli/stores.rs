//! Opens the configured store.

use std::sync::Arc;

use anyhow::Context as _;
use invigil::{
    config::{self, Config},
    web::{self, media_key},
};
use invigil_domain::time::Timestamp;
use invigil_objects::media::MediaStore;
use invigil_store::{self, AttemptStore, CatalogStore, EvidenceStore};
use invigil_store_sql::{postgres::PostgresStore, sqlite::SqliteStore};
use secrecy::{ExposeSecret, SecretString};

use super::BadUsage;

/// An open store.
pub(super) enum OpenStore {
    Embedded(SqliteStore),
    Servers(PostgresStore),
}

impl OpenStore {
    pub(super) async fn open(settings: &config::DatabaseSettings) -> anyhow::Result<Self> {
        let opened = match &settings.url {
            Some(url) => PostgresStore::connect(url.expose_secret(), settings.connections)
                .await
                .map(Self::Servers),
            None => SqliteStore::open(&settings.data).await.map(Self::Embedded),
        };
        opened.context("cannot open the store")
    }

    /// Opens the store with the engine's rights; [`OpenStore::open`] has the
    /// operator's.
    pub(super) async fn open_for_engine(
        settings: &config::DatabaseSettings,
    ) -> anyhow::Result<Self> {
        let Some(url) = &settings.url else {
            return Self::open(settings).await;
        };
        PostgresStore::connect_as_engine(url.expose_secret(), settings.connections)
            .await
            .map(Self::Servers)
            .context("cannot open the store")
    }

    pub(super) fn attempts(&self) -> Arc<dyn AttemptStore> {
        match self {
            Self::Embedded(store) => Arc::new(store.clone()),
            Self::Servers(store) => Arc::new(store.clone()),
        }
    }

    pub(super) fn catalog(&self) -> Arc<dyn CatalogStore> {
        match self {
            Self::Embedded(store) => Arc::new(store.clone()),
            Self::Servers(store) => Arc::new(store.clone()),
        }
    }

    fn evidence(&self) -> Arc<dyn EvidenceStore> {
        match self {
            Self::Embedded(store) => Arc::new(store.clone()),
            Self::Servers(store) => Arc::new(store.clone()),
        }
    }

    /// Returns the store behind the web layer's traits.
    pub(super) fn for_web(&self) -> web::WebStores {
        web::WebStores {
            attempts: self.attempts(),
            catalog: self.catalog(),
            evidence: self.evidence(),
        }
    }

    /// Returns PostgreSQL, or none for the embedded store.
    pub(super) fn as_postgres(&self) -> Option<&PostgresStore> {
        match self {
            Self::Embedded(_) => None,
            Self::Servers(store) => Some(store),
        }
    }

    /// Runs the daily maintenance.
    pub(super) async fn maintain_daily(&self, now: Timestamp) -> Result<(), invigil_store::Error> {
        match self {
            Self::Embedded(store) => store.run_maintenance(now).await,
            Self::Servers(store) => store.run_maintenance(now).await,
        }
    }

    pub(super) async fn close(self) {
        match self {
            Self::Embedded(store) => store.close().await,
            Self::Servers(store) => drop(store),
        }
    }
}

/// Returns the address of PostgreSQL, for subcommands that work on it alone.
pub(super) fn database_url(config: &Config) -> Result<&SecretString, BadUsage> {
    config.database.url.as_ref().ok_or_else(|| {
        BadUsage(
            "this command needs PostgreSQL: set `database.url`, in a file for --config or as \
             INVIGIL__DATABASE__URL"
                .to_owned(),
        )
    })
}

/// Opens the folder of media files.
pub(super) async fn open_media(
    config: &Config,
    catalog: &dyn CatalogStore,
) -> anyhow::Result<MediaStore> {
    let folder = &config.media.folder;
    MediaStore::open(folder, media_key(catalog).await?)
        .with_context(|| format!("{}: cannot keep media files here", folder.display()))
}
