//! What every actor of a node shares.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use invigil_protocol::{
    candidate::{self, AttemptStatus, HandedIn, Health},
    code::RefusalCode,
};

use tokio::sync::watch;

use super::{
    board::Boards,
    clock::Clock,
    devices::Devices,
    entropy::Entropy,
    hand_in::Keys,
    nodes::{Owners, Talk},
    recorder::Recorder,
    strain::{Level, Strain},
    writer::Writer,
};
use crate::{
    cluster::Link,
    domain::{
        attempt::{HandedInBy, Notice, Status, Void, command::NoticeLevel},
        id::NodeId,
        time::{Timestamp, duration_ms},
    },
    telemetry::metrics::Metrics,
};

/// The health that clients are told while the store takes what it is given.
const HEALTH_FULL: u8 = 10;

/// The health while it does not: low enough that clients hold back events.
const HEALTH_STORE_AWAY: u8 = 3;

/// The health while something is behind: events cannot be recorded or wait for
/// long, the writer has too much to do, the machine is short of time or memory.
const HEALTH_BEHIND: u8 = 4;

/// The health while all is taken, and not as usual: records wait on local disk,
/// or the machine has it hard.
const HEALTH_STRAINED: u8 = 7;

/// Attempts with something to save, of which a healthy store makes some tenths of
/// a second.
const WRITER_DEPTH_MAX: usize = 5_000;

/// Records that wait in memory for so long say that disk and store are slow.
const LAG_MAX: Duration = Duration::from_secs(5);

/// A spool so full is about to drop what it is given.
const SPOOL_NEARLY_FULL: f64 = 0.8;

/// Clients hold back events under this level.
pub(super) const HEALTH_EVENTS: u8 = 5;

/// How much heartbeats are stretched while something is short.
const HEARTBEAT_STRETCH: u32 = 3;

/// What a connection may ask of the engine.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest frame from a client, bytes.
    pub frame_bytes: usize,
    /// The largest answer, bytes of JSON.
    pub answer_bytes: usize,
    /// Commands a second on one connection, in the long run.
    pub commands_per_second: u32,
    /// Commands that may come at once.
    pub burst: u32,
    /// Commands that may wait unsaved.
    pub unsaved: u32,
}

impl Limits {
    /// As `welcome` tells them.
    pub fn on_the_wire(&self, heartbeat: Duration) -> candidate::Limits {
        candidate::Limits {
            heartbeat_ms: duration_ms(heartbeat),
            frame_bytes: self.frame_bytes as u64,
            answer_bytes: self.answer_bytes as u64,
            commands_per_s: self.commands_per_second,
            burst: self.burst,
            unsaved: self.unsaved,
        }
    }
}

/// What every actor of a node shares.
pub(super) struct Shared {
    /// This node.
    pub node: NodeId,
    /// Its link to the others.
    pub nodes: Arc<Link<Talk>>,
    /// Which of them has an attempt.
    pub owners: Owners,
    /// Random numbers.
    pub entropy: Arc<dyn Entropy>,
    /// The only clock that decides anything.
    pub clock: Clock,
    /// Makes changes durable.
    pub writer: Writer,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What a connection may ask.
    pub limits: Limits,
    /// How long an attempt without a connection stays in memory.
    pub idle_stop: Duration,
    /// An interruption of the engine shorter than this is bridged by clients.
    pub outage_min: Duration,
    /// Signs receipts, seals papers.
    pub keys: Arc<Keys>,
    /// Takes records; none: they are part of every commit.
    pub recorder: Option<Arc<Recorder>>,
    /// Counts changes of people, their rights and exams.
    pub changes: watch::Sender<u64>,
    /// What proctors see.
    pub boards: Boards,
    /// Which attempt is taken on which device.
    pub devices: Devices,
    /// How hard the machine has it.
    pub strain: Arc<Strain>,
    /// Intervals in which no node was alive, before this one started.
    pub outages: Arc<[(Timestamp, Timestamp)]>,
    /// This node is about to end.
    pub draining: AtomicBool,
}

impl Shared {
    /// How well the engine is, and how often it wants to hear from clients.
    pub(super) fn health(&self, heartbeat: Duration) -> Health {
        let level = self.health_level();
        let heartbeat = if level < HEALTH_EVENTS {
            heartbeat * HEARTBEAT_STRETCH
        } else {
            heartbeat
        };
        Health {
            level,
            heartbeat_ms: duration_ms(heartbeat),
        }
    }
}

impl Shared {
    /// This node is about to end: no attempt is taken, and nobody let in any more.
    pub(super) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether this node is about to end.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// People, their rights or exams were changed.
    pub(super) fn note_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// 10: as it should be; under 5 clients hold back what is not an answer.
    pub(super) fn health_level(&self) -> u8 {
        if !*self.writer.available().borrow() {
            return HEALTH_STORE_AWAY;
        }
        let machine = match self.strain.level() {
            Level::None => HEALTH_FULL,
            Level::Hard => HEALTH_STRAINED,
            Level::TooHard => HEALTH_BEHIND,
        };
        let writer = if self.writer.depth() >= WRITER_DEPTH_MAX {
            HEALTH_BEHIND
        } else {
            HEALTH_FULL
        };
        let recorder = self.recorder.as_ref().map_or(HEALTH_FULL, |recorder| {
            let fullness = recorder.fullness();
            if fullness >= SPOOL_NEARLY_FULL || recorder.lag() >= LAG_MAX {
                HEALTH_BEHIND
            } else if fullness > 0.0 {
                HEALTH_STRAINED
            } else {
                HEALTH_FULL
            }
        });
        machine.min(writer).min(recorder)
    }
}

/// A refusal as the protocol has it.
pub(super) const fn wire_refusal(void: Void) -> RefusalCode {
    match void {
        Void::NotOpen => RefusalCode::NotOpen,
        Void::Conflict => RefusalCode::Conflict,
        Void::UnknownQuestion => RefusalCode::UnknownQuestion,
        Void::BadValue => RefusalCode::BadValue,
        Void::TooLarge => RefusalCode::TooLarge,
        Void::Paused => RefusalCode::Paused,
        Void::TimeOver => RefusalCode::TimeOver,
        Void::Closed => RefusalCode::Closed,
        Void::Locked => RefusalCode::Locked,
    }
}

/// A notice as the protocol has it.
pub(super) fn wire_notice(notice: &Notice) -> candidate::Notice {
    candidate::Notice {
        id: notice.id.clone(),
        level: match notice.level {
            NoticeLevel::Info => candidate::NoticeLevel::Info,
            NoticeLevel::Warning => candidate::NoticeLevel::Warning,
            NoticeLevel::Urgent => candidate::NoticeLevel::Urgent,
        },
        text: notice.text.clone(),
        from: Some(notice.from.clone()),
        ack: notice.ack,
    }
}

/// A status as the protocol has it.
pub(super) const fn wire_status(status: Status) -> AttemptStatus {
    match status {
        Status::Started => AttemptStatus::Started,
        Status::InProgress => AttemptStatus::InProgress,
        Status::Paused => AttemptStatus::Paused,
        Status::Submitted => AttemptStatus::Submitted,
        Status::AutoSubmitted => AttemptStatus::AutoSubmitted,
        Status::Graded => AttemptStatus::Graded,
        Status::Reviewed => AttemptStatus::Reviewed,
        Status::Cancelled => AttemptStatus::Cancelled,
        Status::Flagged => AttemptStatus::Flagged,
    }
}

/// Who handed in, as the protocol has it.
pub(super) const fn wire_handed_in(by: HandedInBy) -> HandedIn {
    match by {
        HandedInBy::Candidate => HandedIn::Candidate,
        HandedInBy::Time => HandedIn::Time,
        HandedInBy::Staff => HandedIn::Staff,
    }
}
