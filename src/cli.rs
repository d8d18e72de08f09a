//! The command line: reads it, runs one subcommand, and turns its failure into
//! one sentence and an exit code: 2 for bad usage, 1 for everything else.

mod check;
mod demo;
mod files;
mod import;
mod maintenance;
mod migrate;
mod replay;
mod results;
mod serve;
mod settings;
mod stores;
mod verify;
mod watch;

use std::{
    fmt,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use invigil::config::{Config, LogFormat};

/// A real-time exam engine.
#[derive(Debug, Parser)]
#[command(name = "invigil", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// What every subcommand takes.
#[derive(Debug, clap::Args)]
struct Common {
    /// Settings, over the defaults; see `invigil config`
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log for people or for machines, to standard error
    #[arg(long, global = true, value_name = "FORMAT")]
    log: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the embedded engine with sample exams and people
    Demo(demo::Args),
    /// Run the engine
    Serve(serve::Args),
    /// Bring PostgreSQL to this version's schema
    Migrate(migrate::Args),
    /// Put exams or people into PostgreSQL
    #[command(subcommand)]
    Import(import::Command),
    /// Print the scores of an exam
    Results(results::Args),
    /// Show an attempt as it was at any moment, out of its timeline
    Replay(replay::Args),
    /// Validate exam files and rosters without touching anything
    Check(check::Args),
    /// Say whether a hand-in receipt is genuine
    Verify(verify::Args),
    /// Watch an exam in a terminal, and act as its proctor
    Watch(watch::Args),
    /// Look after PostgreSQL: partitions, statistics, seals
    #[command(subcommand)]
    Maintenance(maintenance::Command),
    /// Look at the audit trail
    #[command(subcommand)]
    Audit(maintenance::Audit),
    /// Look after the keys of personal data
    #[command(subcommand)]
    Keys(maintenance::KeyCommand),
    /// Let somebody administer the whole installation
    Admin(maintenance::Admin),
    /// Print the effective configuration, secrets masked
    Config,
}

/// A command line that cannot be meant; ends the program with 2.
#[derive(Debug)]
struct BadUsage(String);

impl fmt::Display for BadUsage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BadUsage {}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("start the runtime")),
    };
    let outcome = runtime.block_on(run(cli));
    // What is still running is not waited for: whoever had to end has ended.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| report(&error))
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(cli.common.config.as_deref())?;
    if let Some(format) = cli.common.log {
        config.log.format = format;
    }
    invigil::telemetry::init(&config.log).map_err(anyhow::Error::from_boxed)?;
    match cli.command {
        Command::Demo(args) => Box::pin(demo::run(args, config)).await,
        Command::Serve(args) => Box::pin(serve::run(args, config)).await,
        Command::Migrate(args) => migrate::run(&args, &config).await,
        Command::Import(command) => import::run(command, &config).await,
        Command::Results(args) => results::run(args, config).await,
        Command::Replay(args) => replay::run(args, config).await,
        Command::Check(args) => check::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Watch(args) => Box::pin(watch::run(args)).await,
        Command::Maintenance(command) => maintenance::run(command, &config).await,
        Command::Audit(command) => maintenance::audit(command, &config).await,
        Command::Keys(command) => maintenance::rotate(command, &config).await,
        Command::Admin(args) => maintenance::admin(&args, &config).await,
        Command::Config => settings::run(&config),
    }
}

/// The error and its causes as one sentence on standard error.
fn report(error: &anyhow::Error) -> ExitCode {
    // Without standard error there is nobody to tell.
    writeln!(io::stderr(), "invigil: {error:#}").ok();
    if error.is::<BadUsage>() {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

/// Prints to standard output. A reader that went away is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("write to standard output")
        }
        _ => Ok(()),
    }
}
