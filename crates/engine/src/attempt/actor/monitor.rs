//! Observation of candidate and client, and the attempt's row on the board.

use std::time::Duration;

use invigil_protocol::candidate::CandidateHeartbeat;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::AttemptActor;
use crate::{
    board::{RowState, incident_counts},
    commit::write_buffer::AttemptChanges,
    node::context::HEALTH_EVENTS_MIN,
};
use invigil_domain::{
    attempt::{AttemptCommand, DomainEvent},
    exam::Question,
    id::QuestionId,
    integrity::{ConnectionOrigin, Detection},
    time::{Timestamp, duration_ms},
};
use invigil_store::{
    records::{RecordClass, TimelineRecord},
    timeline::TimelineEvent,
};

/// Heartbeat intervals without a connection after which it counts as lost.
const LOST_AFTER: u32 = 3;

/// Interval at which an unchanged client state is recorded.
const SAMPLE_INTERVAL: Duration = Duration::from_mins(1);

/// Largest step of a client's clock that is no detection.
const CLOCK_STEP_MAX_MS: i64 = 60_000;

/// The same while events may have waited in the client, for as long as it was away.
const LATE_CLOCK_STEP_MAX_MS: i64 = 3_600_000;

/// Time after connecting in which events that waited may arrive.
const LATE_EVENTS_FOR: Duration = Duration::from_secs(10);

/// First answers in a row, each faster than its question can be read, that are no
/// accident.
const FAST_ANSWERS_MIN: u32 = 5;

/// Letters a second that a person reads at most; a Chinese character counts for two.
const LETTERS_PER_SECOND: u64 = 50;

/// Longest device name that is inspected.
const DEVICE_BYTES_MAX: usize = 100;

/// Page state of a client: visible, focused, full screen.
type ClientState = (Option<bool>, Option<bool>, Option<bool>);

/// Readings of a client's clock, milliseconds.
#[derive(Debug, Clone, Copy)]
struct ClientClock {
    newest_at: i64,
    /// Most that it was ahead of the engine's clock.
    ahead_max: i64,
    /// True if `ahead_max` comes from an event that did not wait.
    is_prompt: bool,
}

/// Observations of the candidate and the client, in memory only.
#[derive(Debug, Default)]
pub(super) struct Monitor {
    shown_question: Option<QuestionId>,
    rtt_ms: Option<i64>,
    last_seen_at: Option<Timestamp>,
    answered_count: u32,
    client_clock: Option<ClientClock>,
    /// Events until then may have waited in the client, and say little of its clock.
    late_until: Timestamp,
    /// Time of the last first answer to a question.
    last_answered_at: Option<Timestamp>,
    fast_answers: u32,
    /// Last recorded client state, and its time.
    last_sample: Option<(Timestamp, ClientState)>,
    /// True if the present absence was detected already.
    absence_noticed: bool,
    /// Detections to judge after the present command.
    detections: Vec<(Detection, Value)>,
}

impl AttemptActor {
    /// Updates the attempt's row on the board.
    pub(super) fn update_board_row(&self) {
        let now = self.shared.clock.now();
        let control = self.attempt.control();
        let integrity = &control.integrity;
        let shown = RowState {
            status: self.attempt.status(),
            online: self.connection.is_some(),
            deadline_at: self.attempt.deadline(now),
            answered: self.monitor.answered_count,
            q: self.monitor.shown_question.clone(),
            risk: integrity.risk(now),
            incidents: incident_counts(integrity.incidents()),
            last_seen_at: self.monitor.last_seen_at,
            rtt_ms: self.monitor.rtt_ms,
            flagged: control.flagged,
            node: Some(self.shared.node.clone()),
        };
        self.board_row.update_row(self.buffer.epoch(), shown);
    }

    /// Counts the answered questions.
    pub(super) fn count_answers(&mut self) {
        let answers = self.attempt.answers().iter();
        let answered = answers.filter(|(_, answer)| answer.value.is_some()).count();
        self.monitor.answered_count = u32::try_from(answered).unwrap_or(u32::MAX);
    }

    /// Marks the client as seen.
    pub(super) const fn mark_seen(&mut self, now: Timestamp) {
        self.monitor.last_seen_at = Some(now);
    }

    /// Records the state that a heartbeat reports.
    pub(super) fn inspect_heartbeat(&mut self, now: Timestamp, heartbeat: &CandidateHeartbeat) {
        self.monitor.rtt_ms = heartbeat.rtt_ms;
        if let Some(q) = &heartbeat.q {
            let known = self
                .attempt
                .indexed_exam()
                .question_number(&q.as_str().into());
            let question: Option<QuestionId> = known.map(|_| q.as_str().into());
            if question.is_some() && question != self.monitor.shown_question {
                let shown = TimelineEvent::QuestionShown { q: q.clone() };
                self.record_telemetry(now, RecordClass::Navigation, shown);
            }
            self.monitor.shown_question = question;
        }
        let state = (heartbeat.visible, heartbeat.focused, heartbeat.fullscreen);
        let (sampled_at, known) = self.monitor.last_sample.unwrap_or_default();
        let due = self.monitor.last_sample.is_none() || now.since(sampled_at) >= SAMPLE_INTERVAL;
        if due || state != known {
            self.monitor.last_sample = Some((now, state));
            let sample = TimelineEvent::Heartbeat {
                focused: heartbeat.focused,
                fullscreen: heartbeat.fullscreen,
                rtt_ms: heartbeat.rtt_ms,
                visible: heartbeat.visible,
            };
            self.record_telemetry(now, RecordClass::Heartbeat, sample);
        }
    }

    /// Records an observation that changes nothing.
    fn record_telemetry(&mut self, now: Timestamp, class: RecordClass, event: TimelineEvent) {
        if self.attempt.is_over() {
            return;
        }
        self.attempt.apply(&DomainEvent::Noted);
        let entry = event.into_row(self.attempt.version(), now);
        self.board_row.send_entry(&entry);
        let Some(recorder) = &self.shared.recorder else {
            let timeline = vec![entry];
            return self.buffer_changes(
                now,
                AttemptChanges {
                    timeline,
                    ..AttemptChanges::default()
                },
            );
        };
        let identity = self.attempt.identity();
        let history =
            entry.into_history_record(identity.id, identity.exam.clone(), self.events_kept());
        recorder.submit_records(vec![TimelineRecord { class, ..history }], Vec::new(), None);
    }

    /// Inspects the address and device of a candidate who connects.
    pub(super) fn inspect_origin(&mut self, now: Timestamp, address: String, device: Option<&str>) {
        self.monitor.absence_noticed = false;
        if !self.attempt.proctoring().enabled || self.attempt.is_over() {
            return;
        }
        let device = device.filter(|name| !name.is_empty() && name.len() <= DEVICE_BYTES_MAX);
        if let Some(device) = device {
            let identity = self.attempt.identity();
            let other = self.shared.devices.record_use(
                &identity.exam,
                device,
                &identity.candidate,
                identity.id,
                now,
            );
            if let Some(other) = other {
                let data = json!({ "attempt": other.to_string() });
                self.monitor
                    .detections
                    .push((Detection::DeviceShared, data));
            }
        }
        // A client that does not name its device is taken to be on the same one.
        let known = self.attempt.control().integrity.origin();
        let device = device
            .map(str::to_owned)
            .or_else(|| known.and_then(|origin| origin.device.clone()));
        let origin = ConnectionOrigin { address, device };
        self.perform_command(
            now,
            &AttemptCommand::Arrive { origin },
            AttemptChanges::default(),
        )
        .ok();
        self.judge_detections(now);
    }

    /// Inspects the client's clock by an event. Events may come late, so only a clock
    /// further ahead than ever was set forward, and only a clock that goes back from one
    /// event to the next was set back.
    pub(super) fn inspect_clock(&mut self, now: Timestamp, client_at: i64) {
        let ahead = client_at.saturating_sub(now.as_ms());
        if self.shared.health_level() < HEALTH_EVENTS_MIN {
            self.expect_late_events(now);
        }
        let late = now < self.monitor.late_until;
        let first = ClientClock {
            newest_at: client_at,
            ahead_max: ahead,
            is_prompt: !late,
        };
        let Some(known) = self.monitor.client_clock else {
            self.monitor.client_clock = Some(first);
            return;
        };
        let forward = ahead.saturating_sub(known.ahead_max);
        let back = known.newest_at.saturating_sub(client_at);
        let step = if late || !known.is_prompt {
            LATE_CLOCK_STEP_MAX_MS
        } else {
            CLOCK_STEP_MAX_MS
        };
        if forward > step || back > CLOCK_STEP_MAX_MS {
            let ms = if forward > step { forward } else { -back };
            let data = json!({ "ms": ms });
            self.monitor.detections.push((Detection::ClockSkewed, data));
            self.monitor.client_clock = Some(first);
            return;
        }
        let ahead_max = if known.is_prompt {
            ahead.max(known.ahead_max)
        } else {
            ahead
        };
        self.monitor.client_clock = Some(ClientClock {
            newest_at: client_at.max(known.newest_at),
            ahead_max,
            is_prompt: known.is_prompt || !late,
        });
    }

    /// Expects events that waited in the client.
    pub(super) fn expect_late_events(&mut self, now: Timestamp) {
        self.monitor.late_until = now + LATE_EVENTS_FOR;
    }

    /// Forgets the client's clock: another session may be another device.
    pub(super) const fn reset_client_clock(&mut self) {
        self.monitor.client_clock = None;
    }

    /// Inspects an accepted answer: could its question be read in the time?
    pub(super) fn inspect_answer(&mut self, event: &DomainEvent) {
        let DomainEvent::Answered {
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
        let before = self.monitor.last_answered_at.replace(*at);
        // An answer that waited for the network comes with the time it took.
        let took = before.map_or(*spent, |before| at.since(before).max(*spent));
        let needed = reading_min_ms(self.attempt.indexed_exam().question(*question));
        if duration_ms(took).unsigned_abs() >= needed {
            self.monitor.fast_answers = 0;
            return;
        }
        self.monitor.fast_answers += 1;
        if self.monitor.fast_answers >= FAST_ANSWERS_MIN {
            let data = json!({ "answers": self.monitor.fast_answers });
            self.monitor.fast_answers = 0;
            self.monitor
                .detections
                .push((Detection::AnswerTooFast, data));
        }
    }

    /// Judges the detections so far.
    pub(super) fn judge_detections(&mut self, now: Timestamp) {
        for (what, data) in std::mem::take(&mut self.monitor.detections) {
            self.perform_command(
                now,
                &AttemptCommand::Detect { what, data },
                AttemptChanges::default(),
            )
            .ok();
        }
    }

    /// Time at which the candidate's absence is detected.
    pub(super) fn absence_at(&self) -> Option<Instant> {
        let away = self.connection.is_none() && self.connection_count > 0;
        let proctoring = &self.attempt.indexed_exam().exam().proctoring;
        let notice = away && !self.monitor.absence_noticed && proctoring.enabled;
        (notice && !self.attempt.is_over())
            .then(|| self.idle_since + proctoring.heartbeat * LOST_AFTER)
    }

    /// Detects a long absence of the candidate.
    pub(super) fn inspect_absence(&mut self) {
        if self.absence_at().is_some_and(|at| at <= Instant::now()) {
            self.monitor.absence_noticed = true;
            let now = self.shared.clock.now();
            let away_ms = duration_ms(self.idle_since.elapsed());
            let data = json!({ "ms": away_ms });
            self.monitor
                .detections
                .push((Detection::HeartbeatLost, data));
            self.judge_detections(now);
        }
    }
}

/// Shortest time in which a question can be read, milliseconds.
fn reading_min_ms(question: &Question) -> u64 {
    let letters = question.content.chars().fold(0, |sum, letter| {
        // From the CJK radicals on, a character is about half a word.
        sum + if letter >= '\u{2e80}' { 2 } else { 1 }
    });
    letters * 1_000 / LETTERS_PER_SECOND
}
