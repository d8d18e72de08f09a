//! `invigil replay`: an attempt at any instant, from its timeline.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use invigil::config::Config;
use invigil_domain::{attempt::Attempt, exam::definition, id::AttemptId, time::Timestamp};
use invigil_engine::replay_timeline;
use invigil_store::{AttemptStore, TimelineRow};
use serde_json::{Map, Value, json};

use super::{BadUsage, serve, stores::OpenStore};

/// Entries per read.
const PAGE: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The attempt's id
    attempt: String,
    /// The instant, RFC 3339; without it the end, which is compared with the store
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Directory of the embedded store
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) async fn run(args: Args, mut config: Config) -> anyhow::Result<ExitCode> {
    config.database.data = args.data.unwrap_or(config.database.data);
    let id: AttemptId = args.attempt.parse().map_err(|_no_number| {
        BadUsage(format!("{:?} is not the id of an attempt", args.attempt))
    })?;
    let until = args.at.as_deref().map(parse_time).transpose()?;
    let stores = OpenStore::open(&config.database).await?;
    let attempts = stores.attempts();
    let summary = attempts
        .read_summary(id)
        .await
        .context("cannot read the attempt")?;
    let Some(summary) = summary else {
        bail!("there is no attempt {id}");
    };
    let version = &summary.identity.exam_version;
    let stored = stores.catalog().read_exam_version(version).await;
    let stored = stored.context("cannot read the exam")?;
    let stored = stored.with_context(|| format!("there is no exam version {version}"))?;
    let exam = definition::with_corrected_keys(&stored.definition, &stored.corrections)
        .map_err(|_faults| anyhow::anyhow!("exam version {version} cannot be read"))?;
    let entries = read_timeline(&*attempts, &config, id).await?;
    let replayed = replay_timeline(summary.identity, Arc::new(exam), &entries, until);
    let shown_at = until.or_else(|| entries.last().map(|entry| entry.at));
    let mut shown = describe_attempt(&replayed, shown_at.unwrap_or_default());
    let mut code = ExitCode::SUCCESS;
    if until.is_none() {
        let differs = differing_questions(&*attempts, id, &replayed).await?;
        if !differs.is_empty() {
            code = ExitCode::FAILURE;
        }
        shown["agrees_with_the_stored_answers"] = json!(differs.is_empty());
        shown["differs"] = json!(differs);
    }
    stores.close().await;
    super::print_text(&(serde_json::to_string_pretty(&shown)? + "\n"))?;
    Ok(code)
}

fn parse_time(text: &str) -> Result<Timestamp, BadUsage> {
    let parsed = chrono::DateTime::parse_from_rfc3339(text);
    parsed
        .map(|at| Timestamp::from_ms(at.timestamp_millis()))
        .map_err(|error| BadUsage(format!("{text:?} is not a time of RFC 3339: {error}")))
}

/// Reads the whole timeline, from the store and from the store of records.
async fn read_timeline(
    attempts: &dyn AttemptStore,
    config: &Config,
    id: AttemptId,
) -> anyhow::Result<Vec<TimelineRow>> {
    let records = serve::record_store(config).await?;
    let mut entries = std::collections::BTreeMap::new();
    let mut after = 0;
    loop {
        let page = attempts.read_timeline(id, after, PAGE).await;
        let page = page.context("cannot read the timeline")?;
        let Some(last) = page.last() else { break };
        after = last.number;
        entries.extend(page.into_iter().map(|entry| (entry.number, entry)));
    }
    if let Some((records, _)) = records {
        let mut after = 0;
        loop {
            let page = records.read_records(id, after, PAGE).await;
            let page = page.context("cannot read the timeline")?;
            let Some(last) = page.last() else { break };
            after = last.number;
            entries.extend(page.into_iter().map(|one| (one.number, one.into())));
        }
    }
    Ok(entries.into_values().collect())
}

/// Describes the attempt at an instant.
fn describe_attempt(attempt: &Attempt, at: Timestamp) -> Value {
    let control = attempt.control();
    let plan = attempt.indexed_exam();
    let answers: Map<String, Value> = attempt
        .answers()
        .iter()
        .map(|(number, answer)| {
            let value = answer.value.as_deref();
            let value: Value = value
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default();
            let shown = json!({ "value": value, "flagged": answer.flagged, "rev": answer.rev });
            (plan.question(number).id.to_string(), shown)
        })
        .collect();
    let incidents: Vec<Value> = control
        .integrity
        .incidents()
        .iter()
        .map(|incident| json!(incident))
        .collect();
    json!({
        "attempt": attempt.identity().id.to_string(),
        "at": at.as_ms(),
        "status": attempt.status().as_str(),
        "deadline_at": attempt.deadline(at).map(Timestamp::as_ms),
        "flagged": control.flagged,
        "risk": control.integrity.risk(at),
        "incidents": incidents,
        "answers": answers,
    })
}

/// Returns the questions whose stored answer differs.
async fn differing_questions(
    attempts: &dyn AttemptStore,
    id: AttemptId,
    replayed: &Attempt,
) -> anyhow::Result<Vec<String>> {
    let stored = attempts.read_graded_answers(id).await;
    let stored = stored.context("cannot read the answers")?;
    let mut differs = Vec::new();
    let mut known = 0;
    for (row, _) in &stored {
        let number = replayed.indexed_exam().question_number(&row.question);
        let answer = number.and_then(|number| replayed.answers().get(number));
        let same = answer.is_some_and(|answer| {
            known += 1;
            (&answer.value, answer.flagged, answer.rev) == (&row.value, row.flagged, row.rev)
        });
        if !same {
            differs.push(row.question.to_string());
        }
    }
    let extra = replayed.answers().iter().count() > known;
    if extra {
        differs.push("answers that are not stored".to_owned());
    }
    Ok(differs)
}
