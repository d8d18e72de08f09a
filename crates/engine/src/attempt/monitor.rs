//! Observations of candidate and client: what the board shows of them, and what the engine
//! detects by itself. In memory only.
//!
//! Detections wait here until the actor has done with the present command, and then are
//! judged by the exam's rules. The thresholds are [`detection`]'s.

use std::{mem, time::Duration};

use invigil_protocol::candidate::CandidateHeartbeat;
use serde_json::{Value, json};
use tokio::time::Instant;

use invigil_domain::{
    attempt::{Attempt, DomainEvent},
    id::{AttemptId, QuestionId},
    integrity::{
        ConnectionOrigin, Detection,
        detection::{self, AnswerPace, ClientClock},
    },
    time::{Timestamp, duration_ms},
};
use invigil_store::records::RecordClass;

/// Interval at which an unchanged client state is recorded.
const SAMPLE_INTERVAL: Duration = Duration::from_mins(1);

/// Longest device name that is inspected.
const DEVICE_BYTES_MAX: usize = 100;

/// Page state of a client: visible, focused, full screen.
type PageState = (Option<bool>, Option<bool>, Option<bool>);

/// Observations of the candidate and the client.
#[derive(Debug, Default)]
pub(super) struct Monitor {
    readings: MonitorReadings,
    clock: ClientClock,
    pace: AnswerPace,
    /// Last recorded state of the page, and its time.
    last_sample: Option<(Timestamp, PageState)>,
    /// True if the present absence was detected already.
    absence_noticed: bool,
    /// Detections to judge after the present command.
    detections: Vec<(Detection, Value)>,
}

/// Newest readings, for the board.
#[derive(Debug, Default)]
pub(super) struct MonitorReadings {
    /// The question that the client shows.
    pub shown_question: Option<QuestionId>,
    /// Round-trip time that the client measured.
    pub rtt_ms: Option<i64>,
    /// Time of the client's last message.
    pub last_seen_at: Option<Timestamp>,
    /// Number of answered questions.
    pub answered_count: u32,
}

/// A change of the client's state, to be recorded.
#[derive(Debug, PartialEq)]
pub(super) struct ClientObservation {
    /// Class of the record.
    pub class: RecordClass,
    /// Kind of the timeline entry.
    pub kind: &'static str,
    /// Its data.
    pub data: Value,
}

impl Monitor {
    /// The newest readings.
    pub(super) const fn readings(&self) -> &MonitorReadings {
        &self.readings
    }

    /// Returns the detections so far, which are to be judged.
    pub(super) fn take_detections(&mut self) -> Vec<(Detection, Value)> {
        mem::take(&mut self.detections)
    }

    /// Counts the answered questions.
    pub(super) fn count_answers(&mut self, attempt: &Attempt) {
        let answers = attempt.answers().iter();
        let answered = answers.filter(|(_, answer)| answer.value.is_some()).count();
        self.readings.answered_count = u32::try_from(answered).unwrap_or(u32::MAX);
    }

    /// Marks the client as seen.
    pub(super) const fn mark_seen(&mut self, now: Timestamp) {
        self.readings.last_seen_at = Some(now);
    }

    /// Reads a heartbeat. Returns what changed in the client, and a sample now and then.
    pub(super) fn inspect_heartbeat(
        &mut self,
        attempt: &Attempt,
        now: Timestamp,
        heartbeat: &CandidateHeartbeat,
    ) -> Vec<ClientObservation> {
        let mut observations = Vec::new();
        self.readings.rtt_ms = heartbeat.rtt_ms;
        if let Some(q) = &heartbeat.q {
            let known = attempt.indexed_exam().question_number(&q.as_str().into());
            let question: Option<QuestionId> = known.map(|_| q.as_str().into());
            if question.is_some() && question != self.readings.shown_question {
                observations.push(ClientObservation {
                    class: RecordClass::Navigation,
                    kind: "question_shown",
                    data: json!({ "q": q }),
                });
            }
            self.readings.shown_question = question;
        }
        let state = (heartbeat.visible, heartbeat.focused, heartbeat.fullscreen);
        let due = self.last_sample.is_none_or(|(sampled_at, known)| {
            state != known || now.since(sampled_at) >= SAMPLE_INTERVAL
        });
        if due {
            self.last_sample = Some((now, state));
            observations.push(ClientObservation {
                class: RecordClass::Heartbeat,
                kind: "heartbeat",
                data: json!({
                    "visible": heartbeat.visible, "focused": heartbeat.focused,
                    "fullscreen": heartbeat.fullscreen, "rtt_ms": heartbeat.rtt_ms,
                }),
            });
        }
        observations
    }

    /// Notes that the candidate is back: the next absence is another one.
    pub(super) const fn note_return(&mut self) {
        self.absence_noticed = false;
    }

    /// Detects that another candidate's attempt has just used the same device.
    pub(super) fn note_shared_device(&mut self, other: AttemptId) {
        let data = json!({ "attempt": other.to_string() });
        self.detections.push((Detection::DeviceShared, data));
    }

    /// Expects events that waited in the client.
    pub(super) fn expect_late_events(&mut self, now: Timestamp) {
        self.clock.expect_late_events(now);
    }

    /// Forgets the client's clock: another session may be another device.
    pub(super) const fn reset_client_clock(&mut self) {
        self.clock.reset();
    }

    /// Inspects the client's clock by an event.
    pub(super) fn inspect_clock(&mut self, now: Timestamp, client_at: i64) {
        if let Some(step) = self.clock.read_event(now, client_at) {
            let data = json!({ "ms": step });
            self.detections.push((Detection::ClockSkewed, data));
        }
    }

    /// Inspects an answer that was just applied: could its question be read in the time?
    pub(super) fn inspect_answer(&mut self, attempt: &Attempt, event: &DomainEvent) {
        let DomainEvent::Answered {
            question,
            at,
            spent,
            ..
        } = event
        else {
            return;
        };
        self.count_answers(attempt);
        let answer = attempt.answers().get(*question);
        let first = answer.is_some_and(|answer| answer.rev == 1);
        if !first || !attempt.proctoring().enabled {
            return;
        }
        let question = attempt.indexed_exam().question(*question);
        if let Some(answers) = self.pace.note_first_answer(question, *at, *spent) {
            let data = json!({ "answers": answers });
            self.detections.push((Detection::AnswerTooFast, data));
        }
    }

    /// Time at which the absence of a candidate who is away is detected.
    pub(super) fn absence_at(
        &self,
        attempt: &Attempt,
        away_since: Option<Instant>,
    ) -> Option<Instant> {
        let proctoring = &attempt.indexed_exam().exam().proctoring;
        let expected = !self.absence_noticed && proctoring.enabled && !attempt.is_over();
        away_since
            .filter(|_| expected)
            .map(|since| since + detection::absence_limit(proctoring.heartbeat))
    }

    /// Inspects the absence of a candidate who is away. Returns true if it was detected now.
    pub(super) fn inspect_absence(
        &mut self,
        attempt: &Attempt,
        away_since: Option<Instant>,
        now: Instant,
    ) -> bool {
        let detected_at = self.absence_at(attempt, away_since);
        let Some(since) = away_since.filter(|_| detected_at.is_some_and(|at| at <= now)) else {
            return false;
        };
        self.absence_noticed = true;
        let data = json!({ "ms": duration_ms(now.duration_since(since)) });
        self.detections.push((Detection::HeartbeatLost, data));
        true
    }
}

/// The name of a device, if it can be inspected.
pub(super) fn inspectable_device(name: Option<&str>) -> Option<&str> {
    name.filter(|name| !name.is_empty() && name.len() <= DEVICE_BYTES_MAX)
}

/// Origin of a connection. A client that does not name its device is taken to be on the
/// same one.
pub(super) fn connection_origin(
    attempt: &Attempt,
    address: String,
    device: Option<&str>,
) -> ConnectionOrigin {
    let known = attempt.control().integrity.origin();
    let device = device
        .map(str::to_owned)
        .or_else(|| known.and_then(|origin| origin.device.clone()));
    ConnectionOrigin { address, device }
}

#[cfg(test)]
mod tests;
