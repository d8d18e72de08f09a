//! Writes a roster of made-up candidates for the other scenarios.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;

/// Write a roster of made-up candidates
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of candidates
    #[arg(long, value_name = "N")]
    candidates: u32,
    /// Code of the exam that they may take
    #[arg(long, value_name = "CODE")]
    exam: String,
    /// File to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.out {
        Some(path) => write_to(path, args.candidates, &args.exam)?,
        None => write_csv(args.candidates, &args.exam, io::stdout().lock())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a roster to a file.
pub(super) fn write_to(path: &Path, candidates: u32, exam: &str) -> anyhow::Result<()> {
    let file = File::create(path);
    let file = file.with_context(|| format!("create {}", path.display()))?;
    write_csv(candidates, exam, file)
}

fn write_csv(candidates: u32, exam: &str, out: impl io::Write) -> anyhow::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record([
        "id",
        "name",
        "email",
        "role",
        "code",
        "exams",
        "time_factor",
        "extra_minutes",
    ])?;
    for number in 1..=candidates {
        let id = format!("load-{number:05}");
        let name = format!("Load {number:05}");
        // Access codes for engines under test only.
        let code = format!("code-{number:05}");
        csv.write_record([&id, &name, "", "candidate", &code, exam, "", ""])?;
    }
    csv.flush()?;
    Ok(())
}
