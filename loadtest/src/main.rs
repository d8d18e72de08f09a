//! Load on a running engine, over real sockets.
//!
//! Every scenario is an open loop: what is to be sent has its time, whether the
//! engine keeps up or not, and latency counts from that time. What the generator
//! itself could not send in time is counted as missed, so that no figure hides a
//! generator that was too slow. A scenario is a file in `cmd`.

mod cmd;
mod util;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Puts load on an Invigil engine and checks what it stored
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    Steady(cmd::steady::Args),
    Chaos(cmd::chaos::Args),
    Nodes(cmd::nodes::Args),
    Roster(cmd::roster::Args),
    Echo(cmd::echo::Args),
    EchoLoad(cmd::echo_load::Args),
}

/// Ends with 1 where something is not as the engine said, with 2 where the run
/// itself did not come about.
#[tokio::main]
async fn main() -> ExitCode {
    run(Arguments::parse().scenario)
        .await
        .unwrap_or_else(|error| {
            util::output::progress(&format!("loadtest: {error:#}"));
            ExitCode::from(2)
        })
}

async fn run(scenario: Scenario) -> anyhow::Result<ExitCode> {
    match scenario {
        Scenario::Steady(args) => cmd::steady::run(args).await,
        Scenario::Chaos(args) => cmd::chaos::run(args).await,
        Scenario::Nodes(args) => cmd::nodes::run(args).await,
        Scenario::Roster(args) => cmd::roster::run(&args),
        Scenario::Echo(args) => cmd::echo::run(args).await,
        Scenario::EchoLoad(args) => cmd::echo_load::run(args).await,
    }
}
