//! Arguments of a run.

use std::path::PathBuf;

/// Measures what several nodes of one exam cost, and how fast candidates change between them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this figure; may be given several times
    #[arg(long, value_enum, value_name = "FIGURE")]
    pub(super) only: Vec<NodesFigure>,
    /// Hand-overs between two live nodes
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(super) hand_overs: u32,
    /// Hand-overs a second
    #[arg(long, value_name = "R", default_value_t = 50.0)]
    pub(super) hand_over_rate: f64,
    /// Candidates who go from node to node, in turn
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(super) movers: u32,
    /// Candidates beside them who stay on their node
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub(super) stayers: u32,
    /// Candidates on the node that is killed
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    pub(super) candidates: u32,
    /// Nodes that survive the kill
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) survivors: usize,
    /// Answers a second of those who stay, and of those on the killed node
    #[arg(long, value_name = "R", default_value_t = 200.0)]
    pub(super) light_rate: f64,
    /// Candidates of the comparison of one node with two
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(super) load_candidates: u32,
    /// Their answers a second
    #[arg(long, value_name = "R", default_value_t = 1_000.0)]
    pub(super) load_rate: f64,
    /// Length of each run of the comparison
    #[arg(long, value_name = "S", default_value_t = 30)]
    pub(super) load_seconds: u64,
    /// Number of pairs of runs, on one node and then on two
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(super) load_pairs: u32,
    /// Program of the engine
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

/// A figure to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum NodesFigure {
    /// Time until a candidate is in at another node
    HandOver,
    /// Time that candidates are away when their node is killed
    Kill,
    /// Cost of a command on one node and on two
    Cpu,
}

impl Args {
    /// True if a figure is selected.
    pub(super) fn wants(&self, figure: NodesFigure) -> bool {
        self.only.is_empty() || self.only.contains(&figure)
    }
}
