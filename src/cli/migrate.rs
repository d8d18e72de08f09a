//! `invigil migrate`: brings PostgreSQL to this version's schema.

use std::process::ExitCode;

use anyhow::Context as _;
use invigil::{config::Config, store::postgres::Postgres};
use secrecy::ExposeSecret as _;

use super::stores::database_url;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Make the database roles too, and give each the least that it needs
    #[arg(long)]
    roles: bool,
}

pub(super) async fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let url = database_url(config)?;
    Postgres::migrate(url.expose_secret())
        .await
        .context("cannot migrate the database")?;
    super::print("the database has this version's schema\n")?;
    if args.roles {
        Postgres::grant_roles(url.expose_secret())
            .await
            .context("cannot make the database roles")?;
        super::print("the database roles have their rights\n")?;
    }
    Ok(ExitCode::SUCCESS)
}
