//! `invigil migrate`: brings PostgreSQL to this version's schema.

use std::process::ExitCode;

use anyhow::Context as _;
use invigil::{config::Config, store::postgres::Postgres};
use secrecy::ExposeSecret as _;

use super::stores::database_url;

pub(super) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let url = database_url(config)?;
    Postgres::migrate(url.expose_secret())
        .await
        .context("cannot migrate the database")?;
    super::print("the database has this version's schema\n")?;
    Ok(ExitCode::SUCCESS)
}
