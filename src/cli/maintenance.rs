//! `invigil maintenance`, `invigil audit`, `invigil keys`, `invigil admin`: what an
//! operator does on PostgreSQL besides running the engine.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Context as _;
use invigil::{
    config::Config,
    engine::Clock,
    management::maintenance::{self as jobs, Done, Job, Maintenance},
    secrets::sealed::Keys,
    store::postgres::Postgres,
};
use secrecy::ExposeSecret as _;

use super::stores::database_url;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Do every job now
    Run,
    /// Say when each was last done, and how far the months reach
    Status,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Audit {
    /// Say whether the audit trail is as it was written
    Verify,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum KeyCommand {
    /// Seal all personal data with a new key, and forget the old ones
    Rotate,
}

#[derive(Debug, clap::Args)]
pub(super) struct Admin {
    /// Who is to administer the whole installation
    username: String,
}

async fn store(config: &Config) -> anyhow::Result<Postgres> {
    let url = database_url(config)?;
    Postgres::connect(url.expose_secret(), 2)
        .await
        .context("cannot open the store")
}

fn keys(config: &Config) -> anyhow::Result<Keys> {
    Keys::open(&config.database.key_file).context("cannot read the keys")
}

pub(super) async fn run(command: Command, config: &Config) -> anyhow::Result<ExitCode> {
    let store = store(config).await?;
    let media = super::stores::media(config, &store).await?;
    let maintenance = Maintenance::new(&store, keys(config)?, config.retention.clone(), media);
    let mut text = String::new();
    match command {
        Command::Run => {
            let now = Clock::system().now();
            let now = chrono::DateTime::from_timestamp_millis(now.as_ms()).unwrap_or_default();
            for job in Job::ALL {
                let done = maintenance.run(job, now).await;
                let done = done.with_context(|| format!("cannot do {}", job.name()))?;
                let said = match done {
                    Done::Yes(said) => said,
                    Done::Elsewhere | Done::NotYet => "another node is doing it".to_owned(),
                };
                writeln!(text, "{}: {said}", job.name())?;
            }
        }
        Command::Status => {
            let status = maintenance.status().await.context("cannot read it")?;
            for run in status.runs {
                let at = run.ended_at.format("%Y-%m-%d %H:%M:%S");
                writeln!(text, "{}: {at} UTC, {}", run.job, run.said)?;
            }
            for (table, month) in status.runway {
                let month = month.map_or_else(|| "none".to_owned(), |month| month.to_string());
                writeln!(text, "{table}: months until {month}")?;
            }
            writeln!(text, "audit entries without a seal: {}", status.unsealed)?;
        }
    }
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn audit(command: Audit, config: &Config) -> anyhow::Result<ExitCode> {
    let Audit::Verify = command;
    let store = store(config).await?;
    let key = keys(config)?.audit_key();
    let verified = jobs::verify(&store, &key)
        .await
        .context("cannot read the audit trail")?;
    let mut text = String::new();
    for place in &verified.breaks {
        writeln!(text, "broken: {place}")?;
    }
    let end = if verified.breaks.is_empty() {
        "no break"
    } else {
        "BROKEN"
    };
    writeln!(
        text,
        "{} entries in {} chains, {} chains archived: {end}",
        verified.entries, verified.chains, verified.archived
    )?;
    super::print(&text)?;
    Ok(if verified.breaks.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(super) async fn rotate(command: KeyCommand, config: &Config) -> anyhow::Result<ExitCode> {
    let KeyCommand::Rotate = command;
    let store = store(config).await?;
    let mut keys = keys(config)?;
    let count = jobs::rotate(&store, &mut keys)
        .await
        .context("cannot seal everything again; the old keys are kept")?;
    let number = keys.current_number();
    super::print(&format!("{count} values sealed with key {number}\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn admin(args: &Admin, config: &Config) -> anyhow::Result<ExitCode> {
    let store = store(config).await?;
    let known = jobs::grant_super_admin(&store, &args.username)
        .await
        .context("cannot grant it")?;
    if !known {
        anyhow::bail!("nobody is called {}", args.username);
    }
    super::print(&format!("{} administers the installation\n", args.username))?;
    Ok(ExitCode::SUCCESS)
}
