//! What the actor notices about its candidate, and what it shows to proctors.

use std::time::Duration;

use invigil_protocol::candidate::Heartbeat;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Actor;
use crate::{
    domain::{
        attempt::{Command, Event},
        exam::Question,
        id::QuestionId,
        integrity::{Detection, Origin},
        time::{Timestamp, duration_ms},
    },
    engine::{
        board::{Shown, incident_counts},
        shared::HEALTH_EVENTS,
        slot::Change,
    },
    store::{
        TimelineRow,
        records::{Class, Record},
    },
};

/// Heartbeat intervals without a connection after which it counts as lost.
const LOST_AFTER: u32 = 3;

/// A client whose state does not change is recorded this often.
const SAMPLE_INTERVAL: Duration = Duration::from_mins(1);

/// How far a client's clock may be off what it was before.
const CLOCK_STEP_MS: i64 = 60_000;

/// The same where events may have waited in the client, for as long as it was away.
const LATE_STEP_MS: i64 = 3_600_000;

/// How long what waited may take to come once the client is connected again.
const LATE: Duration = Duration::from_secs(10);

/// So many first answers in a row, each faster than its question can be read,
/// are no accident.
const FAST_ANSWERS: u32 = 5;

/// Nobody reads faster than this many letters a second; a Chinese character
/// counts for two.
const LETTERS_PER_SECOND: u64 = 50;

/// How long a name of a device is looked at.
const DEVICE_BYTES_MAX: usize = 100;

/// Whether the page can be seen, has the focus, and fills the screen.
type ClientState = (Option<bool>, Option<bool>, Option<bool>);

/// What a client's clock showed.
#[derive(Debug, Clone, Copy)]
struct ClientClock {
    newest: i64,
    /// The most that it was ahead of the engine's.
    most: i64,
    /// Whether that is of an event that did not wait.
    prompt: bool,
}

/// What is known of the candidate and the client, in memory only.
#[derive(Debug, Default)]
pub(super) struct Sight {
    question: Option<QuestionId>,
    rtt_ms: Option<i64>,
    last_seen_at: Option<Timestamp>,
    answered: u32,
    client_clock: Option<ClientClock>,
    /// Until then events may have waited in the client: they say little of its clock.
    late_until: Timestamp,
    /// When a question was last answered for the first time.
    answered_at: Option<Timestamp>,
    fast: u32,
    /// When the client's state was last recorded, and what it was.
    sample: Option<(Timestamp, ClientState)>,
    /// Whether the present absence was noticed already.
    absence_noticed: bool,
    /// What is to be looked at once the present command is dealt with.
    suspicions: Vec<(Detection, Value)>,
}

impl Actor {
    /// Shows how things stand to whoever watches.
    pub(super) fn show(&self) {
        let now = self.shared.clock.now();
        let control = self.attempt.control();
        let integrity = &control.integrity;
        let shown = Shown {
            status: self.attempt.status(),
            online: self.connection.is_some(),
            deadline_at: self.attempt.deadline(now),
            answered: self.sight.answered,
            q: self.sight.question.clone(),
            risk: integrity.risk(now),
            incidents: incident_counts(integrity.incidents()),
            last_seen_at: self.sight.last_seen_at,
            rtt_ms: self.sight.rtt_ms,
            flagged: control.flagged,
            node: Some(self.shared.node.clone()),
        };
        self.seat.show(self.slot.epoch(), shown);
    }

    /// Counts the answers that there are.
    pub(super) fn count_answers(&mut self) {
        let answers = self.attempt.answers().iter();
        let answered = answers.filter(|(_, answer)| answer.value.is_some()).count();
        self.sight.answered = u32::try_from(answered).unwrap_or(u32::MAX);
    }

    /// The client said something.
    pub(super) const fn heard(&mut self, now: Timestamp) {
        self.sight.last_seen_at = Some(now);
    }

    /// The client says how things are.
    pub(super) fn look_at_heartbeat(&mut self, now: Timestamp, heartbeat: &Heartbeat) {
        self.sight.rtt_ms = heartbeat.rtt_ms;
        if let Some(q) = &heartbeat.q {
            let known = self.attempt.plan().number(&q.as_str().into());
            let question: Option<QuestionId> = known.map(|_| q.as_str().into());
            if question.is_some() && question != self.sight.question {
                let data = json!({ "q": q });
                self.keep(now, Class::Navigation, "question_shown", &data);
            }
            self.sight.question = question;
        }
        let state = (heartbeat.visible, heartbeat.focused, heartbeat.fullscreen);
        let (sampled_at, known) = self.sight.sample.unwrap_or_default();
        let due = self.sight.sample.is_none() || now.since(sampled_at) >= SAMPLE_INTERVAL;
        if due || state != known {
            self.sight.sample = Some((now, state));
            let data = json!({
                "visible": heartbeat.visible, "focused": heartbeat.focused,
                "fullscreen": heartbeat.fullscreen, "rtt_ms": heartbeat.rtt_ms,
            });
            self.keep(now, Class::Heartbeat, "heartbeat", &data);
        }
    }

    /// Records what changes nothing.
    fn keep(&mut self, now: Timestamp, class: Class, kind: &str, data: &Value) {
        if self.attempt.is_over() {
            return;
        }
        self.attempt.apply(&Event::Noted);
        let entry = TimelineRow {
            number: self.attempt.version(),
            at: now,
            kind: kind.to_owned(),
            data: data.to_string().into(),
        };
        self.seat.tell_entry(&entry);
        let Some(recorder) = &self.shared.recorder else {
            let timeline = vec![entry];
            return self.put(
                now,
                Change {
                    timeline,
                    ..Change::default()
                },
            );
        };
        let identity = self.attempt.identity();
        let history = entry.into_history(identity.id, identity.exam.clone(), self.events_kept());
        recorder.submit(vec![Record { class, ..history }], Vec::new(), None);
    }

    /// The candidate is connected: from where, and on what?
    pub(super) fn look_at_origin(&mut self, now: Timestamp, address: String, device: Option<&str>) {
        self.sight.absence_noticed = false;
        if !self.attempt.proctoring().enabled || self.attempt.is_over() {
            return;
        }
        let device = device.filter(|name| !name.is_empty() && name.len() <= DEVICE_BYTES_MAX);
        if let Some(device) = device {
            let identity = self.attempt.identity();
            let other = self.shared.devices.note(
                &identity.exam,
                device,
                &identity.candidate,
                identity.id,
                now,
            );
            if let Some(other) = other {
                let data = json!({ "attempt": other.to_string() });
                self.sight.suspicions.push((Detection::DeviceShared, data));
            }
        }
        // A client that does not name its device is taken to be on the same one.
        let known = self.attempt.control().integrity.origin();
        let device = device
            .map(str::to_owned)
            .or_else(|| known.and_then(|origin| origin.device.clone()));
        let origin = Origin { address, device };
        self.perform(now, &Command::Arrive { origin }, Change::default())
            .ok();
        self.look_into_suspicions(now);
    }

    /// An event of the client says what its clock shows. Events may come late,
    /// so only a clock that is further ahead than ever was set forward, and only
    /// one that goes back from one event to the next was set back.
    pub(super) fn look_at_clock(&mut self, now: Timestamp, client_at: i64) {
        let ahead = client_at.saturating_sub(now.as_ms());
        if self.shared.health_level() < HEALTH_EVENTS {
            self.events_may_be_late(now);
        }
        let late = now < self.sight.late_until;
        let first = ClientClock {
            newest: client_at,
            most: ahead,
            prompt: !late,
        };
        let Some(known) = self.sight.client_clock else {
            self.sight.client_clock = Some(first);
            return;
        };
        let forward = ahead.saturating_sub(known.most);
        let back = known.newest.saturating_sub(client_at);
        let step = if late || !known.prompt {
            LATE_STEP_MS
        } else {
            CLOCK_STEP_MS
        };
        if forward > step || back > CLOCK_STEP_MS {
            let ms = if forward > step { forward } else { -back };
            let data = json!({ "ms": ms });
            self.sight.suspicions.push((Detection::ClockSkewed, data));
            self.sight.client_clock = Some(first);
            return;
        }
        let most = if known.prompt {
            ahead.max(known.most)
        } else {
            ahead
        };
        self.sight.client_clock = Some(ClientClock {
            newest: client_at.max(known.newest),
            most,
            prompt: known.prompt || !late,
        });
    }

    /// What comes soon may have waited in the client.
    pub(super) fn events_may_be_late(&mut self, now: Timestamp) {
        self.sight.late_until = now + LATE;
    }

    /// Another session may be another device, with another clock.
    pub(super) const fn forget_clock(&mut self) {
        self.sight.client_clock = None;
    }

    /// An answer was accepted: could its question be read in the time?
    pub(super) fn look_at_answer(&mut self, event: &Event) {
        let Event::Answered {
            question,
            at,
            spent,
            ..
        } = event
        else {
            return;
        };
        self.count_answers();
        let first = self
            .attempt
            .answers()
            .get(*question)
            .is_some_and(|answer| answer.rev == 1);
        if !first || !self.attempt.proctoring().enabled {
            return;
        }
        let before = self.sight.answered_at.replace(*at);
        // An answer that waited for the network comes with the time it took.
        let took = before.map_or(*spent, |before| at.since(before).max(*spent));
        let needed = reading_ms(self.attempt.plan().question(*question));
        if duration_ms(took).unsigned_abs() >= needed {
            self.sight.fast = 0;
            return;
        }
        self.sight.fast += 1;
        if self.sight.fast >= FAST_ANSWERS {
            let data = json!({ "answers": self.sight.fast });
            self.sight.fast = 0;
            self.sight.suspicions.push((Detection::AnswerTooFast, data));
        }
    }

    /// Judges what was noticed meanwhile.
    pub(super) fn look_into_suspicions(&mut self, now: Timestamp) {
        for (what, data) in std::mem::take(&mut self.sight.suspicions) {
            self.perform(now, &Command::Detect { what, data }, Change::default())
                .ok();
        }
    }

    /// When the candidate's absence is to be noticed.
    pub(super) fn absence_at(&self) -> Option<Instant> {
        let away = self.connection.is_none() && self.connections > 0;
        let proctoring = &self.attempt.plan().exam().proctoring;
        let notice = away && !self.sight.absence_noticed && proctoring.enabled;
        (notice && !self.attempt.is_over())
            .then(|| self.idle_since + proctoring.heartbeat * LOST_AFTER)
    }

    /// Notices that the candidate has been away for long.
    pub(super) fn look_for_absence(&mut self) {
        if self.absence_at().is_some_and(|at| at <= Instant::now()) {
            self.sight.absence_noticed = true;
            let now = self.shared.clock.now();
            let away_ms = duration_ms(self.idle_since.elapsed());
            let data = json!({ "ms": away_ms });
            self.sight.suspicions.push((Detection::HeartbeatLost, data));
            self.look_into_suspicions(now);
        }
    }
}

/// The least time in which a question can be read, milliseconds.
fn reading_ms(question: &Question) -> u64 {
    let letters = question.content.chars().fold(0, |sum, letter| {
        // From the CJK radicals on a character is about a word's half.
        sum + if letter >= '\u{2e80}' { 2 } else { 1 }
    });
    letters * 1_000 / LETTERS_PER_SECOND
}
