//! `invigil results`: the scores of an exam, as in `GET /exams/{code}/results`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use invigil::{
    config::Config,
    web::results::{ResultRow, results_csv},
};
use invigil_domain::id::ExamCode;

use super::stores::OpenStore;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The exam's code
    #[arg(long, value_name = "CODE")]
    exam: String,
    /// Format of the rows
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    format: PrintFormat,
    /// Directory of the embedded store
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PrintFormat {
    Csv,
    Json,
}

pub(super) async fn run(args: Args, mut config: Config) -> anyhow::Result<ExitCode> {
    config.database.data = args.data.unwrap_or(config.database.data);
    let exam = ExamCode::from(args.exam);
    let stores = OpenStore::open(&config.database).await?;
    let exams = stores
        .catalog()
        .list_exams()
        .await
        .context("cannot read the exams")?;
    if !exams.iter().any(|known| known.code == exam) {
        bail!("there is no exam {exam}");
    }
    let lines = stores
        .attempts()
        .list_results(&exam)
        .await
        .context("cannot read the results")?;
    stores.close().await;
    let rows: Vec<_> = lines.iter().map(ResultRow::new).collect();
    let text = match args.format {
        PrintFormat::Csv => results_csv(rows)?,
        PrintFormat::Json => serde_json::to_string_pretty(&rows)? + "\n",
    };
    super::print_text(&text)?;
    Ok(ExitCode::SUCCESS)
}
