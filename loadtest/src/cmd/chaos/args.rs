//! Arguments of a run.

use std::path::{Path, PathBuf};

/// Candidates take an exam on three nodes while everything fails
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seed of the order of the faults
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Length of the faults, without starting, settling and checking
    #[arg(long, value_name = "S", default_value_t = 120)]
    pub(super) seconds: u64,
    /// Number of candidates
    #[arg(long, value_name = "C", default_value_t = 100)]
    pub(super) candidates: usize,
    /// Answers a second of each candidate
    #[arg(long, value_name = "R", default_value_t = 1.0)]
    pub(super) rate: f64,
    /// Length of a node's hang; a stop of 20 s is a fault of its own
    #[arg(long, value_name = "S", default_value_t = 8)]
    pub(super) hang_seconds: u64,
    /// Program of the engine
    #[arg(
        long,
        value_name = "FILE",
        env = "INVIGIL_BIN",
        default_value = "target/debug/invigil"
    )]
    pub(super) bin: PathBuf,
    /// Program of MongoDB, or of the tests' stand-in [default: `mongod`, or the stand-in
    /// that the tests installed beside the engine; without either, no MongoDB]
    #[arg(long, value_name = "FILE")]
    mongodb: Option<PathBuf>,
    /// Run without MongoDB
    #[arg(long)]
    no_mongodb: bool,
    /// File for the report as Markdown
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// File for the report as JSON, with every fault
    #[arg(long, value_name = "FILE")]
    pub(super) report_json: Option<PathBuf>,
    /// Folder to keep, with all logs [default: a temporary one, removed]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

impl Args {
    /// Returns the program to use for MongoDB, if there is any.
    pub(super) fn mongodb_program(&self, bin: &Path) -> Option<PathBuf> {
        if self.no_mongodb {
            return None;
        }
        if let Some(named) = &self.mongodb {
            return std::path::absolute(named).ok();
        }
        let usual = ["/usr/bin/mongod", "/usr/local/bin/mongod"].map(PathBuf::from);
        if let Some(found) = usual.into_iter().find(|path| path.is_file()) {
            return Some(found);
        }
        // target/debug/invigil, and target/tools beside it.
        let tools = bin.parent()?.parent()?.join("tools");
        let mut installed = std::fs::read_dir(tools).ok()?.flatten();
        installed.find_map(|tool| {
            let server = tool.path().join("bin/secantusd-py");
            server.is_file().then_some(server)
        })
    }
}
