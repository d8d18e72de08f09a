//! `invigil import`: puts exams or people into PostgreSQL, all or nothing.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use invigil::{config::Config, web::access_code_key};

use super::{
    files::{self, Faults},
    stores::{Stores, database_url},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Put exams in, over those of the same code
    Exam {
        /// YAML or JSON
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Put people in, over those of the same id
    Roster {
        /// CSV with a header
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> anyhow::Result<ExitCode> {
    database_url(config)?;
    match command {
        Command::Exam { files } => {
            let mut faults = Faults::default();
            let exams = files::read_exams(&files, &mut faults);
            faults.into_result()?;
            let stored: Vec<_> = exams.iter().map(files::to_store).collect();
            let stores = Stores::open(&config.database).await?;
            stores
                .catalog()
                .put_exams(&stored)
                .await
                .context("cannot import the exams")?;
            super::print(&format!("{} exams imported\n", stored.len()))?;
        }
        Command::Roster { file } => {
            let mut faults = Faults::default();
            let entries = faults
                .take(&file, files::read_roster(&file))
                .unwrap_or_default();
            faults.into_result()?;
            let stores = Stores::open(&config.database).await?;
            let catalog = stores.catalog();
            let people = files::people(entries, &access_code_key(&*catalog).await?);
            catalog
                .put_people(&people)
                .await
                .context("cannot import the roster")?;
            super::print(&format!("{} people imported\n", people.len()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
