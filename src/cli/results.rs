//! `invigil results`: the scores of an exam, as `GET /exams/{code}/results` has them.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use invigil::{
    config::Config,
    domain::id::ExamCode,
    web::results::{ResultRow, csv},
};

use super::stores::Stores;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The exam's code
    #[arg(long, value_name = "CODE")]
    exam: String,
    /// How to print them
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    format: Format,
    /// Directory of the embedded store
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Csv,
    Json,
}

pub(super) async fn run(args: Args, mut config: Config) -> anyhow::Result<ExitCode> {
    config.database.data = args.data.unwrap_or(config.database.data);
    let exam = ExamCode::from(args.exam);
    let stores = Stores::open(&config.database).await?;
    let exams = stores
        .catalog()
        .exams()
        .await
        .context("cannot read the exams")?;
    if !exams.iter().any(|known| known.code == exam) {
        bail!("there is no exam {exam}");
    }
    let lines = stores
        .attempts()
        .results(&exam)
        .await
        .context("cannot read the results")?;
    stores.close().await;
    let rows: Vec<_> = lines.iter().map(ResultRow::new).collect();
    let text = match args.format {
        Format::Csv => csv(rows)?,
        Format::Json => serde_json::to_string_pretty(&rows)? + "\n",
    };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
