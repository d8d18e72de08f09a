//! What a run is told.

use std::path::PathBuf;

/// Measures what several nodes of one exam cost, and how fast candidates change between them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this figure; may be given several times
    #[arg(long, value_enum, value_name = "FIGURE")]
    pub(super) only: Vec<Figure>,
    /// Hand-overs between two nodes that live
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(super) hand_overs: u32,
    /// Hand-overs a second
    #[arg(long, value_name = "R", default_value_t = 50.0)]
    pub(super) hand_over_rate: f64,
    /// Candidates who go from node to node, in turn
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(super) movers: u32,
    /// Candidates beside them who stay where they are
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(super) stayers: u32,
    /// Candidates on the node that is killed
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    pub(super) candidates: u32,
    /// Nodes that remain when it is killed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) survivors: usize,
    /// Answers a second meanwhile, of those who stay, and of those on the killed node
    #[arg(long, value_name = "R", default_value_t = 200.0)]
    pub(super) light_rate: f64,
    /// Candidates whose answers are to cost the same on one node and on two
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(super) load_candidates: u32,
    /// Their answers a second
    #[arg(long, value_name = "R", default_value_t = 1_000.0)]
    pub(super) load_rate: f64,
    /// Length of each of these runs
    #[arg(long, value_name = "S", default_value_t = 30)]
    pub(super) load_seconds: u64,
    /// How often on one node and then on two
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(super) load_pairs: u32,
    /// The engine
    #[arg(
        long,
        value_name = "FILE",
        env = "INVIGIL_BIN",
        default_value = "target/release/invigil"
    )]
    pub(super) bin: PathBuf,
    /// Folder to keep, with all logs [default: a temporary one, removed]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// File for the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Figure {
    /// How long a candidate who comes to another node waits
    HandOver,
    /// How long candidates are away when their node is killed
    Kill,
    /// What a command costs on one node and on two
    Cpu,
}

impl Args {
    /// Whether a figure is wanted.
    pub(super) fn wants(&self, figure: Figure) -> bool {
        self.only.is_empty() || self.only.contains(&figure)
    }
}
