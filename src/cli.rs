//! The command line: parses it, runs one subcommand, and reports a failure as
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
use invigil::config::Config;
use invigil_telemetry::LogFormat;

/// A real-time exam engine.
#[derive(Debug, Parser)]
#[command(name = "invigil", version, about)]
struct CommandLine {
    #[command(subcommand)]
    command: CliCommand,
    #[command(flatten)]
    common: GlobalArgs,
}

/// Options of every subcommand.
#[derive(Debug, clap::Args)]
struct GlobalArgs {
    /// Settings file, over the defaults; see `invigil config`
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Format of the log on standard error
    #[arg(long, global = true, value_name = "FORMAT")]
    log: Option<LogFormatArg>,
}

/// Reader of the log.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormatArg {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Text => Self::Text,
            LogFormatArg::Json => Self::Json,
        }
    }
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the embedded engine with sample exams and people
    Demo(demo::Args),
    /// Run the engine
    Serve(serve::Args),
    /// Bring PostgreSQL to this version's schema
    Migrate(migrate::Args),
    /// Import exams or people into PostgreSQL
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Print the scores of an exam
    Results(results::Args),
    /// Show an attempt at any instant, from its timeline
    Replay(replay::Args),
    /// Validate exam files and rosters, and change nothing
    Check(check::Args),
    /// Verify a hand-in receipt
    Verify(verify::Args),
    /// Watch an exam as a proctor, in a terminal
    Watch(watch::Args),
    /// Maintain PostgreSQL: partitions, statistics, seals
    #[command(subcommand)]
    Maintenance(maintenance::MaintenanceCommand),
    /// Verify the audit trail
    #[command(subcommand)]
    Audit(maintenance::AuditCommand),
    /// Manage the keys of personal data
    #[command(subcommand)]
    Keys(maintenance::KeyCommand),
    /// Make a person an administrator of the whole installation
    Admin(maintenance::AdminArgs),
    /// Print the effective settings, with secrets masked
    Config,
}

/// A command line without a meaning; the exit code is 2.
#[derive(Debug)]
struct BadUsage(String);

impl fmt::Display for BadUsage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BadUsage {}

/// Runs the subcommand of the command line.
pub(crate) fn main() -> ExitCode {
    let cli = CommandLine::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report_error(&anyhow::Error::new(error).context("start the runtime")),
    };
    let outcome = runtime.block_on(run(cli));
    // Every task that must end has ended; the others are not waited for.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| report_error(&error))
}

async fn run(cli: CommandLine) -> anyhow::Result<ExitCode> {
    let mut config = Config::load(cli.common.config.as_deref())?;
    if let Some(format) = cli.common.log {
        config.log.format = format.into();
    }
    invigil_telemetry::init_logging(&config.log).map_err(anyhow::Error::from_boxed)?;
    match cli.command {
        CliCommand::Demo(args) => Box::pin(demo::run(args, config)).await,
        CliCommand::Serve(args) => Box::pin(serve::run(args, config)).await,
        CliCommand::Migrate(args) => migrate::run(&args, &config).await,
        CliCommand::Import(command) => import::run(command, &config).await,
        CliCommand::Results(args) => results::run(args, config).await,
        CliCommand::Replay(args) => replay::run(args, config).await,
        CliCommand::Check(args) => check::run(&args),
        CliCommand::Verify(args) => verify::run(&args),
        CliCommand::Watch(args) => Box::pin(watch::run(args)).await,
        CliCommand::Maintenance(command) => maintenance::run(command, &config).await,
        CliCommand::Audit(command) => maintenance::verify_audit(command, &config).await,
        CliCommand::Keys(command) => maintenance::rotate_keys(command, &config).await,
        CliCommand::Admin(args) => maintenance::grant_admin(&args, &config).await,
        CliCommand::Config => settings::run(&config),
    }
}

/// Writes the error and its causes as one sentence to standard error.
fn report_error(error: &anyhow::Error) -> ExitCode {
    // Without standard error the report has no reader.
    writeln!(io::stderr(), "invigil: {error:#}").ok();
    if error.is::<BadUsage>() {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

/// Writes to standard output. A closed pipe is no failure.
fn print_text(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("write to standard output")
        }
        _ => Ok(()),
    }
}
