//! What must hold, whatever happens. Checked at every commit and every word to a
//! client, and once more at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use invigil::{
    domain::{
        id::{AttemptId, QuestionId},
        time::{Timestamp, duration_ms},
    },
    store::{AnswerRow, AttemptWrite},
};
use serde_json::Value;

use crate::world::{Row, Tables};

/// How far two clocks of this simulation are apart at most, twice.
pub(crate) const SKEW_MAX: Duration = Duration::from_millis(400);

/// Counts answers of a candidate: every value is higher than the ones before.
pub(crate) type Count = u64;

/// What is known besides the tables.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// What candidates were told is saved.
    told: BTreeMap<(AttemptId, QuestionId), Count>,
    /// The highest epoch that was ever committed.
    epochs: BTreeMap<AttemptId, u64>,
    /// The receipt of each hand-in.
    receipts: BTreeMap<AttemptId, String>,
    /// Staff commands of which a result said that they are done, by attempt.
    done: BTreeSet<(AttemptId, String)>,
    /// What did not hold.
    pub(crate) violations: Vec<String>,
    /// Commits, words to clients, and the like.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Oracle {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(what());
        }
    }

    /// A candidate was told that an answer is saved: it is there, or a newer one.
    pub(crate) fn told(
        &mut self,
        attempt: AttemptId,
        question: &str,
        told: Count,
        tables: &Tables,
    ) {
        self.count("answers called saved");
        let stored = stored(tables, attempt, &question.into());
        self.check(stored >= told, || {
            format!("attempt {attempt}: {question}={told} was called saved, stored is {stored}")
        });
        let known = self.told.entry((attempt, question.into())).or_default();
        *known = told.max(*known);
    }

    /// A write is committed.
    pub(crate) fn committed(&mut self, write: &AttemptWrite, tables: &Tables, now: Timestamp) {
        self.count("commits");
        let attempt = write.attempt;
        let row = &tables.attempts[&attempt];
        let newest = self.epochs.entry(attempt).or_default();
        *newest = write.epoch.max(*newest);
        let newest = (*newest).max(row.epoch);
        self.check(write.epoch == newest, || {
            format!(
                "attempt {attempt}: epoch {} wrote after epoch {newest}",
                write.epoch
            )
        });
        for answer in &write.answers {
            self.answered(attempt, answer, row, tables);
        }
        if let Some(hand_in) = &write.hand_in {
            self.handed_in(attempt, hand_in, row, now);
        }
        let commands = commands(row);
        let once: BTreeSet<&String> = commands.iter().collect();
        self.check(once.len() == commands.len(), || {
            format!("attempt {attempt}: a command was done twice: {commands:?}")
        });
    }

    fn answered(&mut self, attempt: AttemptId, answer: &AnswerRow, row: &Row, tables: &Tables) {
        let question = &answer.question;
        let told = self.told.get(&(attempt, question.clone())).copied();
        let (told, stored) = (told.unwrap_or_default(), stored(tables, attempt, question));
        self.check(stored >= told, || {
            format!("attempt {attempt}: {question}={told} was called saved, {stored} replaced it")
        });
        let deadline = row.control.deadline_at;
        self.check(deadline.is_none_or(|at| answer.answered_at <= at), || {
            format!("attempt {attempt}: {question} was answered after {deadline:?}")
        });
        let handed_in = row.hand_in.as_ref().map(|hand_in| hand_in.submitted_at);
        let in_time = handed_in.is_none_or(|at| answer.answered_at <= at + SKEW_MAX);
        self.check(in_time, || {
            format!("attempt {attempt}: {question} was answered after the hand-in")
        });
    }

    fn handed_in(
        &mut self,
        attempt: AttemptId,
        hand_in: &invigil::store::HandInRow,
        row: &Row,
        now: Timestamp,
    ) {
        self.count("hand-ins");
        let deadline = row.control.deadline_at.unwrap_or_default();
        let early = duration_ms(deadline.since(now)) > duration_ms(SKEW_MAX);
        self.check(hand_in.handed_in_by != "time" || !early, || {
            format!("attempt {attempt}: handed in by time at {now:?}, its deadline is {deadline:?}")
        });
        let receipt = hand_in.receipt.to_string();
        let first = self
            .receipts
            .entry(attempt)
            .or_insert_with(|| receipt.clone());
        let same = *first == receipt;
        self.check(same, || {
            format!("attempt {attempt}: two hand-ins with two receipts")
        });
        let marked = hand_in.grades.len();
        let stored = row.answers.values().filter(|answer| answer.rev > 0).count();
        self.check(marked == stored, || {
            format!("attempt {attempt}: {stored} answers are stored, {marked} were marked")
        });
    }

    /// A candidate got a receipt.
    pub(crate) fn submitted(&mut self, attempt: AttemptId, receipt: &Value, tables: &Tables) {
        self.count("receipts");
        let row = &tables.attempts[&attempt];
        let stored = row.hand_in.as_ref().map(|hand_in| &*hand_in.receipt);
        let stored = stored.and_then(|text| serde_json::from_str::<Value>(text).ok());
        self.check(stored.as_ref() == Some(receipt), || {
            format!("attempt {attempt}: the receipt that the candidate has is not the stored one")
        });
    }

    /// Staff were told that a command is done to an attempt.
    pub(crate) fn done(&mut self, attempt: AttemptId, command: &str) {
        self.done.insert((attempt, command.to_owned()));
    }

    /// Everything has come to rest.
    pub(crate) fn at_the_end(&mut self, tables: &Tables) {
        for (attempt, command) in std::mem::take(&mut self.done) {
            let times = commands(&tables.attempts[&attempt]);
            let times = times.iter().filter(|id| **id == command).count();
            self.check(times == 1, || {
                format!("attempt {attempt}: command {command} was done {times} times")
            });
        }
        for ((attempt, question), told) in std::mem::take(&mut self.told) {
            let stored = stored(tables, attempt, &question);
            self.check(stored >= told, || {
                format!("attempt {attempt}: {question}={told} was called saved, {stored} is left")
            });
        }
        for (attempt, row) in &tables.attempts {
            let extended = kind(row, "extended").count() + kind(row, "notice").count();
            let done = commands(row).len();
            self.check(extended == done, || {
                format!("attempt {attempt}: {done} commands had {extended} effects")
            });
            self.check(row.is_over(), || {
                format!(
                    "attempt {attempt}: never handed in: {:?}",
                    row.control.status
                )
            });
        }
    }
}

/// The answer that is stored; 0: none.
pub(crate) fn stored(tables: &Tables, attempt: AttemptId, question: &QuestionId) -> Count {
    let row = tables.attempts.get(&attempt);
    let answer = row.and_then(|row| row.answers.get(question));
    let value = answer.and_then(|answer| answer.value.as_deref());
    value.map_or(0, |value| value.trim_matches('"').parse().unwrap())
}

fn kind<'a>(row: &'a Row, kind: &'a str) -> impl Iterator<Item = Value> + 'a {
    let entries = row
        .timeline
        .values()
        .filter(move |entry| entry.kind == kind);
    entries.map(|entry| serde_json::from_str(&entry.data).unwrap())
}

/// The commands of staff that had an effect, each as often as it had one.
fn commands(row: &Row) -> Vec<String> {
    let entries = kind(row, "command");
    entries
        .filter_map(|data| Some(data["id"].as_str()?.to_owned()))
        .collect()
}
