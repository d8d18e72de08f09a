//! `invigil import`: imports exams or people into PostgreSQL, all or none.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use invigil::{config::Config, web::access_code_key};

use super::{
    files::{self, FileFaults},
    stores::{OpenStore, database_url},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum ImportCommand {
    /// Import exams; each replaces the exam with its code
    Exam {
        /// YAML or JSON
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Import people; each replaces the person with their id
    Roster {
        /// CSV with a header
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) async fn run(command: ImportCommand, config: &Config) -> anyhow::Result<ExitCode> {
    database_url(config)?;
    match command {
        ImportCommand::Exam { files } => {
            let mut faults = FileFaults::default();
            let exams = files::read_exams(&files, &mut faults);
            faults.into_result()?;
            let stored: Vec<_> = exams.iter().map(files::to_stored_exam).collect();
            let stores = OpenStore::open(&config.database).await?;
            stores
                .catalog()
                .upsert_exams(&stored)
                .await
                .context("cannot import the exams")?;
            super::print_text(&format!("{} exams imported\n", stored.len()))?;
        }
        ImportCommand::Roster { file } => {
            let mut faults = FileFaults::default();
            let entries = faults
                .collect_faults(&file, files::read_roster(&file))
                .unwrap_or_default();
            faults.into_result()?;
            let stores = OpenStore::open(&config.database).await?;
            let catalog = stores.catalog();
            let people = files::to_stored_people(entries, &access_code_key(&*catalog).await?);
            catalog
                .upsert_people(&people)
                .await
                .context("cannot import the roster")?;
            super::print_text(&format!("{} people imported\n", people.len()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
