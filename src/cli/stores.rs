//! Opens the store that the settings ask for.

use std::sync::Arc;

use anyhow::Context as _;
use invigil::{
    config::{self, Config},
    domain::time::Timestamp,
    media::Media,
    store::{self, AttemptStore, Catalog, EvidenceStore, postgres::Postgres, sqlite::Sqlite},
    web::{self, media_key},
};
use secrecy::{ExposeSecret, SecretString};

use super::BadUsage;

/// An open store.
pub(super) enum Stores {
    Embedded(Sqlite),
    Servers(Postgres),
}

impl Stores {
    pub(super) async fn open(settings: &config::Database) -> anyhow::Result<Self> {
        let opened = match &settings.url {
            Some(url) => Postgres::connect(url.expose_secret(), settings.connections)
                .await
                .map(Self::Servers),
            None => Sqlite::open(&settings.data).await.map(Self::Embedded),
        };
        opened.context("cannot open the store")
    }

    /// With the rights of the engine alone; [`Stores::open`] has all of the
    /// operator's.
    pub(super) async fn open_for_engine(settings: &config::Database) -> anyhow::Result<Self> {
        let Some(url) = &settings.url else {
            return Self::open(settings).await;
        };
        Postgres::connect_as_engine(url.expose_secret(), settings.connections)
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

    pub(super) fn catalog(&self) -> Arc<dyn Catalog> {
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

    /// As the web layer needs it.
    pub(super) fn for_web(&self) -> web::Stores {
        web::Stores {
            attempts: self.attempts(),
            catalog: self.catalog(),
            evidence: self.evidence(),
        }
    }

    /// PostgreSQL, where that is the store.
    pub(super) fn servers(&self) -> Option<&Postgres> {
        match self {
            Self::Embedded(_) => None,
            Self::Servers(store) => Some(store),
        }
    }

    /// What is to be done every day.
    pub(super) async fn maintain(&self, now: Timestamp) -> Result<(), store::Error> {
        match self {
            Self::Embedded(store) => store.maintain(now).await,
            Self::Servers(store) => store.maintain(now).await,
        }
    }

    pub(super) async fn close(self) {
        match self {
            Self::Embedded(store) => store.close().await,
            Self::Servers(store) => drop(store),
        }
    }
}

/// The address of PostgreSQL, for the commands that are about it alone.
pub(super) fn database_url(config: &Config) -> Result<&SecretString, BadUsage> {
    config.database.url.as_ref().ok_or_else(|| {
        BadUsage(
            "this command is about PostgreSQL: set database.url, in a file for --config or as \
             INVIGIL__DATABASE__URL"
                .to_owned(),
        )
    })
}

/// The files that questions show.
pub(super) async fn media(config: &Config, catalog: &dyn Catalog) -> anyhow::Result<Media> {
    let folder = &config.media.folder;
    Media::open(folder, media_key(catalog).await?)
        .with_context(|| format!("{}: cannot keep media files here", folder.display()))
}
