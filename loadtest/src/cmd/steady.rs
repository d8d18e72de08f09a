//! Candidates answer at a constant rate; at the end every answer that the engine
//! reported as saved is compared with the stored ones.

pub(super) mod candidate;
mod report;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use invigil_client::{ClientOptions, protocol::Encoding};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::task::TaskTracker;

use self::{
    candidate::SteadyCandidate,
    report::{EngineUsage, SteadyReport},
};
use crate::util::{metrics::WriterMetrics, output, pace::SendPace, process::ProcessUsage};

/// Candidates that sign in, or are checked, at once.
const AT_ONCE: usize = 64;

/// Time between the last sign-in and the first answer.
const WARM_UP: Duration = Duration::from_secs(1);

/// Candidates take an exam, answering at a constant rate
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of the engine
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Code of the exam
    #[arg(long, value_name = "CODE")]
    exam: String,
    /// Roster with the candidates and their access codes
    #[arg(long, value_name = "FILE")]
    roster: PathBuf,
    /// Number of candidates
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    candidates: u32,
    /// Answers a second, all candidates together
    #[arg(long, value_name = "R", default_value_t = 500.0)]
    rate: f64,
    /// Length of the run
    #[arg(long, value_name = "S", default_value_t = 20)]
    seconds: u64,
    /// Encoding of the messages
    #[arg(long, value_enum, default_value_t = EncodingArg::Json)]
    encoding: EncodingArg,
    /// Hand every attempt in at the end
    #[arg(long)]
    submit: bool,
    /// Process id of the engine, to measure its usage
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum EncodingArg {
    Json,
    Msgpack,
}

impl EncodingArg {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
        }
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    ensure!(
        args.rate > 0.0 && args.candidates > 0,
        "`--rate` and `--candidates` must be above 0"
    );
    let people = roster_people(&args.roster, &args.exam)?;
    let wanted = args.candidates as usize;
    ensure!(
        people.len() >= wanted,
        "{} has {} candidates for {}, not {wanted}",
        args.roster.display(),
        people.len(),
        args.exam
    );
    let base = args.url.trim_end_matches('/');
    let http = reqwest::Client::builder()
        .timeout(Duration::from_mins(1))
        .build()?;
    let usage = || args.pid.map(ProcessUsage::of_process).transpose();
    let idle = usage()?;

    let tasks = TaskTracker::new();
    let candidates = enter_candidates(&args, base, &http, &people[..wanted], &tasks).await?;
    output::print_progress(&format!("{wanted} candidates are in"));

    let pace = SendPace {
        start: Instant::now() + WARM_UP,
        per_second: args.rate,
        length: Duration::from_secs(args.seconds),
        connections: args.candidates,
    };
    let (before, writer_before) = (usage()?, WriterMetrics::fetch_from(&http, base).await);
    let candidates = answer_all(candidates, pace).await?;
    let (after, writer_after) = (usage()?, WriterMetrics::fetch_from(&http, base).await);
    output::print_progress("all answers are sent; checking the stored ones");

    let mut report = SteadyReport::new(&args, &candidates);
    report.engine = EngineUsage::new(args.candidates, report.saved, idle, before, after);
    let writer = writer_before.zip(writer_after);
    if let Some((rows, ms)) = writer.and_then(|(then, now)| now.means_since(then)) {
        report.batch_rows_mean = Some(rows);
        report.commit_ms_mean = Some(ms);
    }
    check_all(candidates, args.submit, &mut report).await?;
    tasks.close();
    report.print_report(args.json)?;
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns id and access code of every candidate in a roster who may take the exam.
fn roster_people(roster: &Path, exam: &str) -> anyhow::Result<Vec<(String, String)>> {
    #[derive(serde::Deserialize)]
    struct Line {
        id: String,
        role: String,
        code: String,
        exams: String,
    }
    let csv = csv::Reader::from_path(roster);
    let mut csv = csv.with_context(|| format!("open {}", roster.display()))?;
    let mut people = Vec::new();
    for line in csv.deserialize() {
        let line: Line = line.with_context(|| format!("read {}", roster.display()))?;
        let may = line
            .exams
            .split(';')
            .any(|code| code.trim() == exam || code.trim() == "*");
        if line.role == "candidate" && may {
            people.push((line.id, line.code));
        }
    }
    Ok(people)
}

/// Signs all candidates in and waits for their `welcome`.
async fn enter_candidates(
    args: &Args,
    base: &str,
    http: &reqwest::Client,
    people: &[(String, String)],
    tasks: &TaskTracker,
) -> anyhow::Result<Vec<SteadyCandidate>> {
    let encoding = match args.encoding {
        EncodingArg::Json => Encoding::Json,
        EncodingArg::Msgpack => Encoding::MessagePack,
    };
    let options = ClientOptions {
        encoding,
        ..ClientOptions::default()
    };
    let Some(((id, code), rest)) = people.split_first() else {
        bail!("the roster has no candidates")
    };
    // The first one fetches the paper for all.
    let enter = |id, code, questions| {
        SteadyCandidate::enter_exam(
            http.clone(),
            base,
            &args.exam,
            id,
            code,
            options.clone(),
            questions,
            tasks,
        )
    };
    let first = enter(id, code, None)
        .await
        .with_context(|| format!("{id} enters"))?;
    let questions = first.questions();
    let rest = stream::iter(rest)
        .map(|(id, code)| {
            let entering = enter(id, code, Some(std::sync::Arc::clone(&questions)));
            async move { entering.await.with_context(|| format!("{id} enters")) }
        })
        .buffered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    Ok([first].into_iter().chain(rest).collect())
}

async fn answer_all(
    candidates: Vec<SteadyCandidate>,
    pace: SendPace,
) -> anyhow::Result<Vec<SteadyCandidate>> {
    let mut running = JoinSet::new();
    for (number, candidate) in (0..).zip(candidates) {
        running.spawn(candidate.answer_at_pace(pace, number));
    }
    let mut candidates = Vec::new();
    while let Some(candidate) = running.join_next().await {
        candidates.push(candidate.context("a candidate answers")?);
    }
    Ok(candidates)
}

/// Compares all candidates with the store, and hands in if requested.
async fn check_all(
    candidates: Vec<SteadyCandidate>,
    submit: bool,
    report: &mut SteadyReport,
) -> anyhow::Result<()> {
    let mut checks = stream::iter(candidates)
        .map(|mut candidate| async move {
            let checked = candidate.check_stored().await?;
            if submit {
                candidate.submit().await?;
            }
            anyhow::Ok(checked)
        })
        .buffer_unordered(AT_ONCE);
    while let Some(checked) = checks
        .try_next()
        .await
        .context("compare the stored answers")?
    {
        report.checked += checked.compared;
        report.differences += checked.differences.len() as u64;
        for difference in checked.differences.into_iter().take(10) {
            output::print_progress(&difference);
        }
    }
    Ok(())
}
