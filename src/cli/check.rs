//! `invigil check`: validates files without touching anything.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use super::files::{self, Faults};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Exam files (.yaml, .yml, .json) and rosters (.csv)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut report = String::new();
    let mut faults = Faults::default();
    for path in &args.files {
        let shown = path.display();
        if files::is_roster(path) {
            if let Some(entries) = faults.take(path, files::read_roster(path)) {
                writeln!(report, "{shown}: a roster of {} people", entries.len())?;
            }
        } else if let Some(parsed) = faults.take(path, files::read_exam(path)) {
            let exam = &parsed.exam;
            let questions: usize = exam.sections.iter().map(|part| part.questions.len()).sum();
            writeln!(
                report,
                "{shown}: exam {} of {questions} questions",
                exam.code
            )?;
            for note in &parsed.notes {
                writeln!(report, "{shown}: note: {note}")?;
            }
        }
    }
    super::print(&report)?;
    faults.into_result()?;
    Ok(ExitCode::SUCCESS)
}
