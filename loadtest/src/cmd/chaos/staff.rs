//! Staff who act on candidates while everything fails. A command is repeated under its
//! id, through whichever node is next, until it has a definite result; it must then
//! have had its effect once. Every text and reason is the command's id, so that a
//! timeline tells which commands had an effect.
//!
//! Each member of staff has candidates of their own and does one thing after the
//! other, so nothing that they do may be refused.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{candidate::Phase, database::StoredAttempt, dice::Dice, exam::EXAM};

/// Candidates of one member of staff, and the most members that there are.
const CANDIDATES: usize = 20;
const STAFF_MAX: usize = 8;

/// Between two commands.
const THINKING: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// How long a pause lasts.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// How long one try waits: mostly less than what goes wrong takes, so that the next
/// one comes while the first is still on its way.
const TRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(8));

/// Between two tries.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// One of so many commands is given once more after it had its result.
const REPEATED: usize = 4;

/// The longest extension, in seconds.
const EXTENSION: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Warn,
    Extend,
    Pause,
    Resume,
}

impl Action {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Warn => "message",
            Self::Extend => "extend",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    /// What its effect is called in a timeline.
    const fn effect(self) -> &'static str {
        match self {
            Self::Warn => "notice",
            Self::Extend => "extended",
            Self::Pause => "paused",
            Self::Resume => "resumed",
        }
    }
}

/// What the engine said of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// With a code.
    Refused(String),
    /// Nothing definite, to the end.
    Unknown,
}

/// A command that was given.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) id: String,
    pub(super) attempt: String,
    pub(super) action: Action,
    pub(super) ms: u64,
    pub(super) outcome: Outcome,
    /// Requests that were made for it.
    pub(super) tries: u64,
    /// Another result that it had later.
    pub(super) later: Option<Outcome>,
}

/// A member of staff.
pub(super) struct Staff {
    http: reqwest::Client,
    url: String,
    token: String,
    number: usize,
    attempts: Vec<String>,
    dice: Dice,
    phase: watch::Receiver<Phase>,
    given: Vec<Given>,
}

impl Staff {
    /// Shares the attempts out among as many as they need.
    pub(super) fn all(
        base: &str,
        token: &str,
        attempts: &[String],
        seed: u64,
        phase: &watch::Receiver<Phase>,
    ) -> anyhow::Result<Vec<Self>> {
        // Every request has a connection of its own, and so goes to the next node.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0);
        let http = http.build().context("make an HTTP client")?;
        let count = attempts.len().div_ceil(CANDIDATES).clamp(1, STAFF_MAX);
        let staff = (0..count).map(|index| Self {
            http: http.clone(),
            url: format!("{base}/api/v1/exams/{EXAM}/commands"),
            token: token.to_owned(),
            number: index + 1,
            attempts: attempts
                .iter()
                .skip(index)
                .step_by(count)
                .cloned()
                .collect(),
            dice: Dice::new(seed.wrapping_mul(77).wrapping_add(index as u64)),
            phase: phase.clone(),
            given: Vec::new(),
        });
        Ok(staff.collect())
    }

    /// Acts until the faults are over, and until nobody is paused.
    pub(super) async fn act(mut self) -> Vec<Given> {
        while self.until().is_none() {
            self.rest(THINKING).await;
            let attempt = self.attempts[self.dice.below(self.attempts.len())].clone();
            match self.dice.below(5) {
                0 | 1 => self.give(&attempt, Action::Warn).await,
                2 | 3 => self.give(&attempt, Action::Extend).await,
                _ => {
                    self.give(&attempt, Action::Pause).await;
                    self.rest(PAUSE).await;
                    self.give(&attempt, Action::Resume).await;
                }
            }
        }
        self.given
    }

    /// Until when everything must have its result, once the faults are over.
    fn until(&self) -> Option<Instant> {
        match *self.phase.borrow() {
            Phase::Answer => None,
            Phase::SettleBy(until) => Some(until),
        }
    }

    /// Gives a command until its result is definite.
    async fn give(&mut self, attempt: &str, action: Action) {
        let id = format!("s{}-{}", self.number, self.given.len() + 1);
        let seconds = 1 + self.dice.below(EXTENSION) as u64;
        let mut given = Given {
            id,
            attempt: attempt.to_owned(),
            action,
            ms: if action == Action::Extend {
                seconds * 1_000
            } else {
                0
            },
            outcome: Outcome::Unknown,
            tries: 0,
            later: None,
        };
        loop {
            given.tries += 1;
            if let Some(outcome) = self.request(&given).await {
                given.outcome = outcome;
                break;
            }
            if self.until().is_some_and(|until| Instant::now() > until) {
                break;
            }
            let wait = self.dice.between(AGAIN.0, AGAIN.1);
            sleep(wait).await;
        }
        if given.outcome != Outcome::Unknown && self.dice.below(REPEATED) == 0 {
            given.tries += 1;
            given.later = self.request(&given).await;
        }
        self.given.push(given);
    }

    /// One try. None: nothing definite.
    async fn request(&mut self, given: &Given) -> Option<Outcome> {
        let args = match given.action {
            // Whoever must acknowledge a notice gets it again until they have.
            Action::Warn => json!({ "text": given.id, "level": "warning", "ack": true }),
            Action::Extend => json!({ "ms": given.ms, "reason": given.id }),
            Action::Pause | Action::Resume => json!({ "reason": given.id }),
        };
        let body = json!({
            "id": given.id, "target": { "attempt": given.attempt },
            "action": given.action.name(), "args": args,
        });
        let request = self.http.post(&self.url).bearer_auth(&self.token);
        let request = request.json(&body).timeout(self.dice.between(TRY.0, TRY.1));
        let response = request.send().await.ok()?;
        let status = response.status();
        let answer: Value = response.json().await.ok()?;
        if status == reqwest::StatusCode::CONFLICT {
            return Some(Outcome::Refused("conflict".to_owned()));
        }
        if !status.is_success() {
            return None;
        }
        if answer["done"] == 1 && answer["total"] == 1 {
            return Some(Outcome::Done);
        }
        let code = answer["failed"][0]["code"].as_str()?;
        (code != "unavailable").then(|| Outcome::Refused(code.to_owned()))
    }

    /// Waits, unless the faults are over.
    async fn rest(&mut self, (least, most): (Duration, Duration)) {
        if self.until().is_some() {
            return;
        }
        let time = self.dice.between(least, most);
        tokio::select! {
            () = sleep(time) => {}
            _changed = self.phase.changed() => {}
        }
    }
}

/// Something in a timeline that staff did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) kind: String,
    /// The command's.
    pub(super) id: String,
    pub(super) ms: u64,
}

impl Effect {
    /// What an entry of a timeline is, if staff did it.
    pub(super) fn read(kind: &str, data: &Value) -> Option<Self> {
        let id = match kind {
            "notice" => &data["text"],
            "extended" | "paused" | "resumed" => &data["reason"],
            "command" => &data["id"],
            _ => return None,
        };
        Some(Self {
            kind: kind.to_owned(),
            id: id.as_str().unwrap_or_default().to_owned(),
            ms: data["ms"].as_u64().unwrap_or(0),
        })
    }
}

/// Compares the commands to one attempt with its timeline, with what is stored of its
/// time, and with the notices that came.
pub(super) fn check(
    given: &[&Given],
    effects: &[Effect],
    notices: &BTreeMap<String, u64>,
    stored: &StoredAttempt,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let count = |kind: &str, id: &str| {
        let effects = effects.iter();
        effects
            .filter(|effect| effect.kind == kind && effect.id == id)
            .count()
    };
    for command in given {
        let (id, action) = (&command.id, command.action.name());
        let had = count(command.action.effect(), id);
        if count("command", id) != had {
            wrong.push(format!(
                "{action} {id}: what it did and that it is done are not one"
            ));
        }
        match &command.outcome {
            Outcome::Done if had == 1 => {}
            Outcome::Unknown if had <= 1 => {}
            Outcome::Done => wrong.push(format!("{action} {id} is done, with {had} effects")),
            Outcome::Unknown => wrong.push(format!("{action} {id} has {had} effects")),
            Outcome::Refused(code) => {
                wrong.push(format!(
                    "{action} {id} was refused with {code}, with {had} effects"
                ));
            }
        }
        if let Some(later) = &command.later
            && *later != command.outcome
        {
            wrong.push(format!("{action} {id}: its result is {later:?} later"));
        }
        if command.action == Action::Warn
            && command.outcome == Outcome::Done
            && !notices.contains_key(id)
        {
            wrong.push(format!("{action} {id} is done, and never came"));
        }
    }
    for effect in effects {
        let mut given = given.iter();
        let command = given.find(|command| command.id == effect.id);
        if command.is_none_or(|command| effect.kind == "extended" && command.ms != effect.ms) {
            wrong.push(format!(
                "{} {:?}: nobody wanted that",
                effect.kind, effect.id
            ));
        }
    }
    wrong.extend(time(effects, stored));
    wrong
}

/// Compares what a timeline says of an attempt's time with what is stored of it.
fn time(effects: &[Effect], stored: &StoredAttempt) -> Vec<String> {
    let mut wrong = Vec::new();
    let of = |kind: &'static str| effects.iter().filter(move |effect| effect.kind == kind);
    let extended: u64 = of("extended").map(|effect| effect.ms).sum();
    if extended != stored.extended_ms {
        wrong.push(format!(
            "its time was extended by {extended} ms, but stored are {} ms",
            stored.extended_ms
        ));
    }
    let pauses = of("paused").count();
    if of("resumed").count() != pauses || stored.pauses != pauses as u64 {
        wrong.push(format!(
            "it was paused {pauses} times and resumed {} times, and stored are {} pauses",
            of("resumed").count(),
            stored.pauses
        ));
    }
    let changes = effects.iter().map(|effect| effect.kind.as_str());
    let changes: Vec<&str> = changes
        .filter(|kind| ["paused", "resumed"].contains(kind))
        .collect();
    if changes.windows(2).any(|two| two[0] == two[1]) {
        wrong.push("pauses and their ends do not take turns".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &str, action: Action, outcome: Outcome) -> Given {
        Given {
            id: id.to_owned(),
            attempt: "1".to_owned(),
            action,
            ms: if action == Action::Extend { 5_000 } else { 0 },
            outcome,
            tries: 1,
            later: None,
        }
    }

    fn effects(list: &[(&str, &str)]) -> Vec<Effect> {
        let list = list.iter().flat_map(|(kind, id)| {
            let ms = if *kind == "extended" { 5_000 } else { 0 };
            [(*kind, *id, ms), ("command", *id, 0)]
        });
        list.map(|(kind, id, ms)| Effect {
            kind: kind.to_owned(),
            id: id.to_owned(),
            ms,
        })
        .collect()
    }

    fn stored(extended_ms: u64, pauses: u64) -> StoredAttempt {
        StoredAttempt {
            attempt: "1".to_owned(),
            epoch: 1,
            status: "graded".to_owned(),
            receipt: None,
            extended_ms,
            pauses,
            answers: BTreeMap::new(),
        }
    }

    fn found(given: &[Given], list: &[(&str, &str)], stored: &StoredAttempt) -> Vec<String> {
        let notices = [("warned".to_owned(), 1)].into();
        let given: Vec<&Given> = given.iter().collect();
        check(&given, &effects(list), &notices, stored)
    }

    #[test]
    fn what_is_done_must_be_there_once_and_what_is_unknown_may_be() {
        let all = [
            given("warned", Action::Warn, Outcome::Done),
            given("more", Action::Extend, Outcome::Done),
            given("maybe", Action::Extend, Outcome::Unknown),
            given("stop", Action::Pause, Outcome::Done),
            given("go", Action::Resume, Outcome::Done),
        ];
        let mut list = vec![
            ("notice", "warned"),
            ("extended", "more"),
            ("paused", "stop"),
            ("resumed", "go"),
        ];
        assert_eq!(found(&all, &list, &stored(5_000, 1)), Vec::<String>::new());
        list.push(("extended", "maybe"));
        assert_eq!(found(&all, &list, &stored(10_000, 1)), Vec::<String>::new());
    }

    #[test]
    fn what_is_lost_doubled_refused_or_strange_is_found() {
        let more = given("more", Action::Extend, Outcome::Done);
        let one = [more];
        assert_eq!(
            found(&one, &[], &stored(0, 0)),
            ["extend more is done, with 0 effects"]
        );
        let twice = [("extended", "more"), ("extended", "more")];
        let wrong = found(&one, &twice, &stored(10_000, 0));
        assert_eq!(wrong, ["extend more is done, with 2 effects"]);
        let wrong = found(&one, &[("extended", "more")], &stored(0, 0));
        assert_eq!(
            wrong,
            ["its time was extended by 5000 ms, but stored are 0 ms"]
        );
        let refused = [given(
            "go",
            Action::Resume,
            Outcome::Refused("not_paused".to_owned()),
        )];
        let wrong = found(&refused, &[], &stored(0, 0));
        assert_eq!(
            wrong,
            ["resume go was refused with not_paused, with 0 effects"]
        );
        let wrong = found(&[], &[("notice", "what")], &stored(0, 0));
        assert_eq!(wrong[0], "notice \"what\": nobody wanted that");
        let unheard = [given("unheard", Action::Warn, Outcome::Done)];
        let wrong = found(&unheard, &[("notice", "unheard")], &stored(0, 0));
        assert_eq!(wrong, ["message unheard is done, and never came"]);
        let stop = [given("stop", Action::Pause, Outcome::Done)];
        let wrong = found(&stop, &[("paused", "stop")], &stored(0, 0));
        assert_eq!(
            wrong,
            ["it was paused 1 times and resumed 0 times, and stored are 0 pauses"]
        );
    }
}
