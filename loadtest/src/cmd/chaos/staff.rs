//! Staff who act on candidates under faults. A command is repeated under its id, through
//! the next node each time, until it has a definite result; it must then have had its
//! effect once. Every text and reason is the command's id, so that a timeline shows which
//! commands had an effect.
//!
//! Each member of staff has their own candidates and sends one command after the
//! other, so no command may be refused.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{candidate::CandidatePhase, database::DatabaseAttempt, dice::SeededRandom, exam::EXAM};

/// Candidates of one member of staff, and the largest number of members.
const CANDIDATES_EACH: usize = 20;
const STAFF_MAX: usize = 8;

/// Time between two commands.
const COMMAND_INTERVAL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// Length of a pause.
const PAUSE_LENGTH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// Timeout of a try: mostly shorter than a fault, so that the next try is sent while the
/// first is still under way.
const TRY_TIMEOUT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(8));

/// Time between two tries.
const RETRY_INTERVAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// Commands for each one that is repeated after its result.
const REPEATED: usize = 4;

/// Longest extension, in seconds.
const EXTENSION_SECONDS_MAX: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GivenAction {
    Warn,
    Extend,
    Pause,
    Resume,
}

impl GivenAction {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Warn => "message",
            Self::Extend => "extend",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    /// Kind of its effect in a timeline.
    const fn effect_kind(self) -> &'static str {
        match self {
            Self::Warn => "notice",
            Self::Extend => "extended",
            Self::Pause => "paused",
            Self::Resume => "resumed",
        }
    }
}

/// Result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CommandOutcome {
    Done,
    /// Refused with a code.
    Refused(String),
    /// No definite result by the end.
    Unknown,
}

/// A command that staff gave.
#[derive(Debug, Clone)]
pub(super) struct GivenCommand {
    pub(super) id: String,
    pub(super) attempt: String,
    pub(super) action: GivenAction,
    pub(super) ms: u64,
    pub(super) outcome: CommandOutcome,
    /// Number of requests made for it.
    pub(super) tries: u64,
    /// Result of a repeat, if it was repeated.
    pub(super) later: Option<CommandOutcome>,
}

/// A member of staff.
pub(super) struct StaffMember {
    http: reqwest::Client,
    url: String,
    token: String,
    number: usize,
    attempts: Vec<String>,
    dice: SeededRandom,
    phase: watch::Receiver<CandidatePhase>,
    given: Vec<GivenCommand>,
}

impl StaffMember {
    /// Shares the attempts out among as many members of staff as needed.
    pub(super) fn share_attempts(
        base: &str,
        token: &str,
        attempts: &[String],
        seed: u64,
        phase: &watch::Receiver<CandidatePhase>,
    ) -> anyhow::Result<Vec<Self>> {
        // Every request opens a connection, and so goes to the next node.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0);
        let http = http.build().context("make an HTTP client")?;
        let count = attempts.len().div_ceil(CANDIDATES_EACH).clamp(1, STAFF_MAX);
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
            dice: SeededRandom::new(seed.wrapping_mul(77).wrapping_add(index as u64)),
            phase: phase.clone(),
            given: Vec::new(),
        });
        Ok(staff.collect())
    }

    /// Acts until the faults are over and no attempt is paused.
    pub(super) async fn keep_acting(mut self) -> Vec<GivenCommand> {
        while self.settle_deadline().is_none() {
            self.wait_between(COMMAND_INTERVAL).await;
            let attempt = self.attempts[self.dice.pick_below(self.attempts.len())].clone();
            match self.dice.pick_below(5) {
                0 | 1 => self.give_command(&attempt, GivenAction::Warn).await,
                2 | 3 => self.give_command(&attempt, GivenAction::Extend).await,
                _ => {
                    self.give_command(&attempt, GivenAction::Pause).await;
                    self.wait_between(PAUSE_LENGTH).await;
                    self.give_command(&attempt, GivenAction::Resume).await;
                }
            }
        }
        self.given
    }

    /// Returns the time by which every command must have its result, once the faults are
    /// over.
    fn settle_deadline(&self) -> Option<Instant> {
        match *self.phase.borrow() {
            CandidatePhase::Answer => None,
            CandidatePhase::SettleBy(until) => Some(until),
        }
    }

    /// Gives a command, and repeats it until its result is definite.
    async fn give_command(&mut self, attempt: &str, action: GivenAction) {
        let id = format!("s{}-{}", self.number, self.given.len() + 1);
        let seconds = 1 + self.dice.pick_below(EXTENSION_SECONDS_MAX) as u64;
        let mut given = GivenCommand {
            id,
            attempt: attempt.to_owned(),
            action,
            ms: if action == GivenAction::Extend {
                seconds * 1_000
            } else {
                0
            },
            outcome: CommandOutcome::Unknown,
            tries: 0,
            later: None,
        };
        loop {
            given.tries += 1;
            if let Some(outcome) = self.try_command(&given).await {
                given.outcome = outcome;
                break;
            }
            if self
                .settle_deadline()
                .is_some_and(|until| Instant::now() > until)
            {
                break;
            }
            let wait = self
                .dice
                .duration_between(RETRY_INTERVAL.0, RETRY_INTERVAL.1);
            sleep(wait).await;
        }
        if given.outcome != CommandOutcome::Unknown && self.dice.pick_below(REPEATED) == 0 {
            given.tries += 1;
            given.later = self.try_command(&given).await;
        }
        self.given.push(given);
    }

    /// Tries a command once; none without a definite result.
    async fn try_command(&mut self, given: &GivenCommand) -> Option<CommandOutcome> {
        let args = match given.action {
            // A notice to be acknowledged is sent again until it is.
            GivenAction::Warn => json!({ "text": given.id, "level": "warning", "ack": true }),
            GivenAction::Extend => json!({ "ms": given.ms, "reason": given.id }),
            GivenAction::Pause | GivenAction::Resume => json!({ "reason": given.id }),
        };
        let body = json!({
            "id": given.id, "target": { "attempt": given.attempt },
            "action": given.action.name(), "args": args,
        });
        let request = self.http.post(&self.url).bearer_auth(&self.token);
        let request = request
            .json(&body)
            .timeout(self.dice.duration_between(TRY_TIMEOUT.0, TRY_TIMEOUT.1));
        let response = request.send().await.ok()?;
        let status = response.status();
        let answer: Value = response.json().await.ok()?;
        if status == reqwest::StatusCode::CONFLICT {
            return Some(CommandOutcome::Refused("conflict".to_owned()));
        }
        if !status.is_success() {
            return None;
        }
        if answer["done"] == 1 && answer["total"] == 1 {
            return Some(CommandOutcome::Done);
        }
        let code = answer["failed"][0]["code"].as_str()?;
        (code != "unavailable").then(|| CommandOutcome::Refused(code.to_owned()))
    }

    /// Waits, unless the faults are over.
    async fn wait_between(&mut self, (least, most): (Duration, Duration)) {
        if self.settle_deadline().is_some() {
            return;
        }
        let time = self.dice.duration_between(least, most);
        tokio::select! {
            () = sleep(time) => {}
            _changed = self.phase.changed() => {}
        }
    }
}

/// An effect of a command of staff, in a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StaffEffect {
    pub(super) kind: String,
    /// Id of the command.
    pub(super) id: String,
    pub(super) ms: u64,
}

impl StaffEffect {
    /// Reads an entry of a timeline; none if it is no effect of a command.
    pub(super) fn from_entry(kind: &str, data: &Value) -> Option<Self> {
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

/// Compares the commands on one attempt with its timeline, its stored times, and the
/// notices received.
pub(super) fn check_commands(
    given: &[&GivenCommand],
    effects: &[StaffEffect],
    notices: &BTreeMap<String, u64>,
    stored: &DatabaseAttempt,
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
        let had = count(command.action.effect_kind(), id);
        if count("command", id) != had {
            wrong.push(format!("{action} {id}: its effect and its record differ"));
        }
        match &command.outcome {
            CommandOutcome::Done if had == 1 => {}
            CommandOutcome::Unknown if had <= 1 => {}
            CommandOutcome::Done => {
                wrong.push(format!("{action} {id} is done, with {had} effects"));
            }
            CommandOutcome::Unknown => wrong.push(format!("{action} {id} has {had} effects")),
            CommandOutcome::Refused(code) => {
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
        if command.action == GivenAction::Warn
            && command.outcome == CommandOutcome::Done
            && !notices.contains_key(id)
        {
            wrong.push(format!("{action} {id} is done, but the notice never came"));
        }
    }
    for effect in effects {
        let mut given = given.iter();
        let command = given.find(|command| command.id == effect.id);
        if command.is_none_or(|command| effect.kind == "extended" && command.ms != effect.ms) {
            wrong.push(format!(
                "{} {:?}: no command asked for it",
                effect.kind, effect.id
            ));
        }
    }
    wrong.extend(check_time(effects, stored));
    wrong
}

/// Compares the times of an attempt in its timeline with the stored ones.
fn check_time(effects: &[StaffEffect], stored: &DatabaseAttempt) -> Vec<String> {
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

    fn given_command(id: &str, action: GivenAction, outcome: CommandOutcome) -> GivenCommand {
        GivenCommand {
            id: id.to_owned(),
            attempt: "1".to_owned(),
            action,
            ms: if action == GivenAction::Extend {
                5_000
            } else {
                0
            },
            outcome,
            tries: 1,
            later: None,
        }
    }

    fn staff_effects(list: &[(&str, &str)]) -> Vec<StaffEffect> {
        let list = list.iter().flat_map(|(kind, id)| {
            let ms = if *kind == "extended" { 5_000 } else { 0 };
            [(*kind, *id, ms), ("command", *id, 0)]
        });
        list.map(|(kind, id, ms)| StaffEffect {
            kind: kind.to_owned(),
            id: id.to_owned(),
            ms,
        })
        .collect()
    }

    fn stored_times(extended_ms: u64, pauses: u64) -> DatabaseAttempt {
        DatabaseAttempt {
            attempt: "1".to_owned(),
            epoch: 1,
            status: "graded".to_owned(),
            receipt: None,
            extended_ms,
            pauses,
            answers: BTreeMap::new(),
        }
    }

    fn check_found(
        given: &[GivenCommand],
        list: &[(&str, &str)],
        stored: &DatabaseAttempt,
    ) -> Vec<String> {
        let notices = [("warned".to_owned(), 1)].into();
        let given: Vec<&GivenCommand> = given.iter().collect();
        check_commands(&given, &staff_effects(list), &notices, stored)
    }

    #[test]
    fn what_is_done_must_be_there_once_and_what_is_unknown_may_be() {
        let all = [
            given_command("warned", GivenAction::Warn, CommandOutcome::Done),
            given_command("more", GivenAction::Extend, CommandOutcome::Done),
            given_command("maybe", GivenAction::Extend, CommandOutcome::Unknown),
            given_command("stop", GivenAction::Pause, CommandOutcome::Done),
            given_command("go", GivenAction::Resume, CommandOutcome::Done),
        ];
        let mut list = vec![
            ("notice", "warned"),
            ("extended", "more"),
            ("paused", "stop"),
            ("resumed", "go"),
        ];
        assert_eq!(
            check_found(&all, &list, &stored_times(5_000, 1)),
            Vec::<String>::new()
        );
        list.push(("extended", "maybe"));
        assert_eq!(
            check_found(&all, &list, &stored_times(10_000, 1)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_is_lost_doubled_refused_or_strange_is_found() {
        let more = given_command("more", GivenAction::Extend, CommandOutcome::Done);
        let one = [more];
        assert_eq!(
            check_found(&one, &[], &stored_times(0, 0)),
            ["extend more is done, with 0 effects"]
        );
        let twice = [("extended", "more"), ("extended", "more")];
        let wrong = check_found(&one, &twice, &stored_times(10_000, 0));
        assert_eq!(wrong, ["extend more is done, with 2 effects"]);
        let wrong = check_found(&one, &[("extended", "more")], &stored_times(0, 0));
        assert_eq!(
            wrong,
            ["its time was extended by 5000 ms, but stored are 0 ms"]
        );
        let refused = [given_command(
            "go",
            GivenAction::Resume,
            CommandOutcome::Refused("not_paused".to_owned()),
        )];
        let wrong = check_found(&refused, &[], &stored_times(0, 0));
        assert_eq!(
            wrong,
            ["resume go was refused with not_paused, with 0 effects"]
        );
        let wrong = check_found(&[], &[("notice", "what")], &stored_times(0, 0));
        assert_eq!(wrong[0], "notice \"what\": no command asked for it");
        let unheard = [given_command(
            "unheard",
            GivenAction::Warn,
            CommandOutcome::Done,
        )];
        let wrong = check_found(&unheard, &[("notice", "unheard")], &stored_times(0, 0));
        assert_eq!(
            wrong,
            ["message unheard is done, but the notice never came"]
        );
        let stop = [given_command(
            "stop",
            GivenAction::Pause,
            CommandOutcome::Done,
        )];
        let wrong = check_found(&stop, &[("paused", "stop")], &stored_times(0, 0));
        assert_eq!(
            wrong,
            ["it was paused 1 times and resumed 0 times, and stored are 0 pauses"]
        );
    }
}
