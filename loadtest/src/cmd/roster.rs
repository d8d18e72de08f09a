//! Writes a roster of made-up candidates for the other scenarios.

use std::{fs::File, io, path::PathBuf, process::ExitCode};

use anyhow::Context as _;

/// Write a roster of made-up candidates
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many
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
        Some(path) => {
            let file = File::create(path);
            write(
                args,
                file.with_context(|| format!("create {}", path.display()))?,
            )?;
        }
        None => write(args, io::stdout().lock())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write(args: &Args, out: impl io::Write) -> anyhow::Result<()> {
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
    for number in 1..=args.candidates {
        let id = format!("load-{number:05}");
        let name = format!("Load {number:05}");
        // Nobody else is to get in with these: they are for engines under test.
        let code = format!("code-{number:05}");
        csv.write_record([&id, &name, "", "candidate", &code, &args.exam, "", ""])?;
    }
    csv.flush()?;
    Ok(())
}
