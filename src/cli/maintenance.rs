//! `invigil maintenance`, `invigil audit`, `invigil keys`, `invigil admin`: an
//! operator's work on PostgreSQL besides running the engine.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Context as _;
use invigil::config::Config;
use invigil_engine::EngineClock;
use invigil_management::{
    audit,
    maintenance::{
        Maintenance,
        model::{JobResult, MaintenanceJob},
        operator,
    },
};
use invigil_secrets::sealed::SealingKeys;
use invigil_store_sql::postgres::PostgresStore;
use secrecy::ExposeSecret as _;

use super::stores::database_url;

#[derive(Debug, clap::Subcommand)]
pub(super) enum MaintenanceCommand {
    /// Run every job now
    Run,
    /// Print the last run of each job, and the newest partition of each table
    Status,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum AuditCommand {
    /// Verify that the audit trail is unchanged
    Verify,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum KeyCommand {
    /// Seal all personal data with a new key, and delete the old keys
    Rotate,
}

#[derive(Debug, clap::Args)]
pub(super) struct AdminArgs {
    /// Name with which the person signs in
    username: String,
}

async fn open_store(config: &Config) -> anyhow::Result<PostgresStore> {
    let url = database_url(config)?;
    PostgresStore::connect(url.expose_secret(), 2)
        .await
        .context("cannot open the store")
}

fn open_keys(config: &Config) -> anyhow::Result<SealingKeys> {
    SealingKeys::open(&config.database.key_file).context("cannot read the keys")
}

pub(super) async fn run(command: MaintenanceCommand, config: &Config) -> anyhow::Result<ExitCode> {
    let store = open_store(config).await?;
    let media = super::stores::open_media(config, &store).await?;
    let maintenance = Maintenance::new(&store, open_keys(config)?, config.retention.clone(), media);
    let mut text = String::new();
    match command {
        MaintenanceCommand::Run => {
            let now = EngineClock::system().now();
            let now = chrono::DateTime::from_timestamp_millis(now.as_ms()).unwrap_or_default();
            for job in MaintenanceJob::ALL {
                let done = maintenance.run_job(job, now).await;
                let done = done.with_context(|| format!("cannot run the job {}", job.name()))?;
                let said = match done {
                    JobResult::Completed(said) => said,
                    JobResult::RunningElsewhere | JobResult::NotDue => {
                        "running on another node".to_owned()
                    }
                };
                writeln!(text, "{}: {said}", job.name())?;
            }
        }
        MaintenanceCommand::Status => {
            let status = maintenance
                .read_status()
                .await
                .context("cannot read the status")?;
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
    super::print_text(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn verify_audit(
    command: AuditCommand,
    config: &Config,
) -> anyhow::Result<ExitCode> {
    let AuditCommand::Verify = command;
    let store = open_store(config).await?;
    let key = open_keys(config)?.audit_key();
    let verified = audit::verify_audit_trail(&store, &key)
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
    super::print_text(&text)?;
    Ok(if verified.breaks.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(super) async fn rotate_keys(command: KeyCommand, config: &Config) -> anyhow::Result<ExitCode> {
    let KeyCommand::Rotate = command;
    let store = open_store(config).await?;
    let mut keys = open_keys(config)?;
    let count = operator::rotate_keys(&store, &mut keys)
        .await
        .context("cannot seal everything again; the old keys are kept")?;
    let number = keys.current_number();
    super::print_text(&format!("{count} values sealed with key {number}\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn grant_admin(args: &AdminArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let store = open_store(config).await?;
    let known = operator::grant_super_admin(&store, &args.username)
        .await
        .context("cannot grant the rights")?;
    if !known {
        anyhow::bail!("there is no person {}", args.username);
    }
    super::print_text(&format!("{} administers the installation\n", args.username))?;
    Ok(ExitCode::SUCCESS)
}
