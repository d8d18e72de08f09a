//! `invigil check`: validates files, and changes nothing.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use super::files::{self, FileFaults};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Exam files (.yaml, .yml, .json) and rosters (.csv)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut report = String::new();
    let mut faults = FileFaults::default();
    for path in &args.files {
        let shown = path.display();
        if files::is_roster(path) {
            if let Some(entries) = faults.collect_faults(path, files::read_roster(path)) {
                writeln!(report, "{shown}: a roster of {} people", entries.len())?;
            }
        } else if let Some(parsed) = faults.collect_faults(path, files::read_exam(path)) {
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
    super::print_text(&report)?;
    faults.into_result()?;
    Ok(ExitCode::SUCCESS)
}
