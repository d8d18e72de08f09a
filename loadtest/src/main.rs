//! Load generator for a running engine, over real sockets.
//!
//! Every scenario is an open loop: each message has its due time, whether the engine
//! keeps up or not, and latency counts from that time. Messages that the generator
//! itself sends too late count as missed, so that no figure hides a slow generator. A
//! scenario is a file in `cmd`.

mod cmd;
mod util;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Puts load on an Invigil engine and checks the stored answers
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct LoadtestArgs {
    #[command(subcommand)]
    scenario: LoadScenario,
}

#[derive(Debug, Subcommand)]
enum LoadScenario {
    Steady(cmd::steady::Args),
    Chaos(cmd::chaos::Args),
    Nodes(cmd::nodes::Args),
    Roster(cmd::roster::Args),
    Echo(cmd::echo::Args),
    EchoLoad(cmd::echo_load::Args),
}

/// Ends with 1 if a check fails, with 2 if the run itself fails.
#[tokio::main]
async fn main() -> ExitCode {
    run(LoadtestArgs::parse().scenario)
        .await
        .unwrap_or_else(|error| {
            util::output::print_progress(&format!("loadtest: {error:#}"));
            ExitCode::from(2)
        })
}

async fn run(scenario: LoadScenario) -> anyhow::Result<ExitCode> {
    match scenario {
        LoadScenario::Steady(args) => cmd::steady::run(args).await,
        LoadScenario::Chaos(args) => cmd::chaos::run(args).await,
        LoadScenario::Nodes(args) => cmd::nodes::run(args).await,
        LoadScenario::Roster(args) => cmd::roster::run(&args),
        LoadScenario::Echo(args) => cmd::echo::run(args).await,
        LoadScenario::EchoLoad(args) => cmd::echo_load::run(args).await,
    }
}
