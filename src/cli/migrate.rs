//! `invigil migrate`: brings PostgreSQL to this version's schema.

use std::process::ExitCode;

use anyhow::Context as _;
use invigil::config::Config;
use invigil_store_sql::postgres::PostgresStore;
use secrecy::ExposeSecret as _;

use super::stores::database_url;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Create the database roles too, each with the least rights it needs
    #[arg(long)]
    roles: bool,
}

pub(super) async fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let url = database_url(config)?;
    PostgresStore::migrate(url.expose_secret())
        .await
        .context("cannot migrate the database")?;
    super::print_text("the database has this version's schema\n")?;
    if args.roles {
        PostgresStore::grant_roles(url.expose_secret())
            .await
            .context("cannot create the database roles")?;
        super::print_text("the database roles have their rights\n")?;
    }
    Ok(ExitCode::SUCCESS)
}
