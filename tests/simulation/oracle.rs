//! The promises of the engine. They are checked at every commit and every message to a
//! client, and once more at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use invigil_domain::{
    id::{AttemptId, NodeId, QuestionId},
    time::{Timestamp, duration_ms},
};
use invigil_store::{AnswerRow, AttemptWrite, TimelineRow};
use serde_json::Value;

use crate::{
    variant::{DURATION, Variant},
    world::{Row, Tables},
};

/// The greatest distance between two clocks of this simulation, twice.
pub(crate) const SKEW_MAX: Duration = Duration::from_millis(400);

/// Counts answers of a candidate: every value is higher than the ones before.
pub(crate) type Count = u64;

/// Names a request between nodes: the sender, the receiver and its number.
pub(crate) type Way = (NodeId, NodeId, u64);

/// Facts beside the tables.
#[derive(Debug)]
pub(crate) struct Oracle {
    variant: Variant,
    /// Answers that candidates were told are saved.
    told: BTreeMap<(AttemptId, QuestionId), Count>,
    /// The highest epoch that was ever committed.
    epochs: BTreeMap<AttemptId, u64>,
    /// The receipt of each hand-in.
    receipts: BTreeMap<AttemptId, String>,
    /// Staff commands of which a result said that they are done, by attempt.
    done: BTreeSet<(AttemptId, String)>,
    /// Attempts whose release was requested from a node.
    asked: BTreeMap<Way, AttemptId>,
    /// Attempts that a node reported as released, and its epoch.
    let_go: BTreeSet<(AttemptId, u64)>,
    /// Broken promises.
    pub(crate) violations: Vec<String>,
    /// Number of commits, messages to clients, and the like.
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Oracle {
    pub(crate) const fn new(variant: Variant) -> Self {
        Self {
            variant,
            told: BTreeMap::new(),
            epochs: BTreeMap::new(),
            receipts: BTreeMap::new(),
            done: BTreeSet::new(),
            asked: BTreeMap::new(),
            let_go: BTreeSet::new(),
            violations: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(what());
        }
    }

    /// Checks an answer that a candidate was told is saved: it is stored, or a newer one
    /// is.
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

    /// Checks an answer that a candidate found to be refused: the timeline has it so.
    pub(crate) fn unheard(
        &mut self,
        attempt: AttemptId,
        question: &str,
        count: Count,
        tables: &Tables,
    ) {
        self.count("refusals that nobody heard");
        let refused = |data: Value| {
            data["q"] == question && data["value"].as_str() == Some(count.to_string().as_str())
        };
        let refused = kind(&tables.attempts[&attempt], "refused").any(refused);
        self.check(refused, || {
            format!("attempt {attempt}: {question}={count} is called refused, and was not")
        });
    }

    /// Notes a node's request to release an attempt.
    pub(crate) fn asked_to_let_go(&mut self, way: Way, attempt: AttemptId) {
        self.asked.insert(way, attempt);
    }

    /// Notes a node's report that it has released the requested attempt.
    pub(crate) fn let_go(&mut self, way: &Way, tables: &Tables) {
        let Some(attempt) = self.asked.remove(way) else {
            return;
        };
        let row = &tables.attempts[&attempt];
        // Another node may have acquired the attempt without a request.
        if row.owner.as_ref() == Some(&way.1) {
            self.count("attempts let go");
            self.let_go.insert((attempt, row.epoch));
        }
    }

    /// Checks a write that gets to the database, which may refuse it.
    pub(crate) fn comes(&mut self, write: &AttemptWrite, tables: &Tables) {
        let (attempt, epoch) = (write.attempt, write.epoch);
        // A write that only waits for its turn has nothing new.
        let stored = tables.attempts[&attempt].progress.version;
        let late = write.progress.version > stored && self.let_go.contains(&(attempt, epoch));
        self.check(!late, || {
            format!("attempt {attempt}: epoch {epoch} wrote after it had let the attempt go")
        });
    }

    /// Checks a write that is committed.
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
        let end = row.control.deadline_at.map(|at| at + self.variant.grace());
        self.check(end.is_none_or(|at| answer.answered_at <= at), || {
            format!("attempt {attempt}: {question} was answered after {end:?}")
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
        hand_in: &invigil_store::HandInRow,
        row: &Row,
        now: Timestamp,
    ) {
        self.count("hand-ins");
        let deadline = row.control.deadline_at.unwrap_or_default();
        let (end, by_time) = (
            deadline + self.variant.grace(),
            hand_in.handed_in_by == "time",
        );
        let early = duration_ms(end.since(now)) > duration_ms(SKEW_MAX);
        self.check(!by_time || !early, || {
            format!("attempt {attempt}: handed in by time at {now:?}, its time ends at {end:?}")
        });
        self.check(!by_time || hand_in.submitted_at == end, || {
            format!(
                "attempt {attempt}: {:?} by time, which ended at {end:?}",
                hand_in.submitted_at
            )
        });
        let mut given = row.answers.values().filter(|answer| answer.rev > 0);
        let late = given.any(|answer| answer.answered_at > deadline)
            || (hand_in.handed_in_by == "candidate" && hand_in.submitted_at > deadline);
        self.check(hand_in.late == late, || {
            format!(
                "attempt {attempt}: called late: {}, it was: {late}",
                hand_in.late
            )
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
            self.counted_once(*attempt, row);
            self.in_order(*attempt, row);
            self.time_was_given(*attempt, row);
            let kinds = ["extended", "notice", "paused", "resumed", "released"];
            let effects: usize = kinds.iter().map(|name| kind(row, name).count()).sum();
            let done = commands(row).len();
            self.check(effects == done, || {
                format!("attempt {attempt}: {done} commands had {effects} effects")
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

impl Oracle {
    /// Checks that every numbered command had one effect in its session.
    fn counted_once(&mut self, attempt: AttemptId, row: &Row) {
        let mut numbers = BTreeSet::new();
        for entry in row.timeline.values() {
            match &*entry.kind {
                "session_opened" => numbers.clear(),
                "answer" | "question_flagged" | "refused" => {
                    let seq = data(entry)["seq"].as_u64().unwrap();
                    self.check(numbers.insert(seq), || {
                        format!("attempt {attempt}: number {seq} of a session counted twice")
                    });
                }
                _ => {}
            }
        }
    }
}

impl Oracle {
    /// Checks that nothing was accepted, and no time ran out, while the clock stood still,
    /// and that no second device came in where the exam refuses it and staff did not
    /// release the attempt.
    fn in_order(&mut self, attempt: AttemptId, row: &Row) {
        let (mut paused, mut open) = (false, true);
        for entry in row.timeline.values() {
            match &*entry.kind {
                "paused" | "resumed" => paused = &*entry.kind == "paused",
                "answer" | "question_flagged" => self.check(!paused, || {
                    format!("attempt {attempt}: changed while paused: {}", entry.data)
                }),
                "handed_in" => self.check(!paused || data(entry)["handed_in"] != "time", || {
                    format!("attempt {attempt}: handed in by time while paused")
                }),
                "released" => open = true,
                "session_opened" => {
                    let refuses = self.variant == Variant::OneDevice;
                    self.check(open || !refuses, || {
                        format!("attempt {attempt}: a second device came in: {}", entry.data)
                    });
                    open = false;
                }
                _ => {}
            }
        }
    }

    /// Checks that the deadline follows from the exam and from the additions in the
    /// timeline.
    fn time_was_given(&mut self, attempt: AttemptId, row: &Row) {
        let Some(entered) = row.control.entered_at else {
            return;
        };
        let mut owed = DURATION;
        let mut paused_at = None;
        let mut outages = BTreeSet::new();
        for entry in row.timeline.values() {
            match &*entry.kind {
                "paused" => paused_at = Some(entry.at),
                "resumed" => {
                    owed += paused_at
                        .take()
                        .map_or(Duration::ZERO, |at| entry.at.since(at));
                }
                "extended" => owed += ms(&data(entry)),
                "compensated" => {
                    let data = data(entry);
                    owed += ms(&data);
                    self.check(outages.insert(data["from"].to_string()), || {
                        format!("attempt {attempt}: given back twice: {data}")
                    });
                }
                _ => {}
            }
        }
        let (deadline, stored) = (entered + owed, row.control.deadline_at);
        let differ = stored.is_some_and(|stored| stored != deadline);
        self.check(!differ, || {
            format!(
                "attempt {attempt}: the deadline is {stored:?}, its timeline gives {deadline:?}"
            )
        });
    }

    /// Checks the refusal of a candidate whose attempt another device has.
    pub(crate) fn another_device(
        &mut self,
        attempt: AttemptId,
        mine: Option<&str>,
        tables: &Tables,
    ) {
        let row = &tables.attempts[&attempt];
        let owner = row.progress.session.as_ref().map(ToString::to_string);
        let released = is_released(tables, attempt);
        let wrong = mine.is_some() && mine == owner.as_deref() && !released;
        self.check(!wrong && self.variant == Variant::OneDevice, || {
            format!("attempt {attempt}: the device of {mine:?} is refused for itself")
        });
    }
}

fn ms(data: &Value) -> Duration {
    Duration::from_millis(data["ms"].as_u64().unwrap())
}

fn data(entry: &TimelineRow) -> Value {
    serde_json::from_str(&entry.data).unwrap()
}

/// Returns true if staff ever let another device in.
pub(crate) fn is_released(tables: &Tables, attempt: AttemptId) -> bool {
    kind(&tables.attempts[&attempt], "released").count() > 0
}

/// Returns the stored answer; 0 for none.
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
    entries.map(data)
}

/// Returns the staff commands that had an effect, each as often as it had one.
fn commands(row: &Row) -> Vec<String> {
    let entries = kind(row, "command");
    entries
        .filter_map(|data| Some(data["id"].as_str()?.to_owned()))
        .collect()
}
