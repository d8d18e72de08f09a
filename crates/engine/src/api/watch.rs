//! Watching an exam: the board, and one attempt in detail.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use invigil_protocol::proctor::{AttemptDetail, IncidentCounts, IncidentView, RiskPart};
use serde::Serialize;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    Engine, EngineInner, Error,
    attempt::load,
    board::{
        BoardSubscription, ExamBoard, RowState, incident_counts, incident_info, timeline_entry,
    },
    peers::messages::{PeerRequest, PeerResponse, QUERY_TIMEOUTS},
};
use invigil_cluster::PeerTimeouts;
use invigil_domain::{
    attempt::{AttemptControl, AttemptIdentity, LifecycleStatus},
    id::{AttemptId, ExamCode, NodeId, PersonId},
    person::{CandidateScope, RosterPerson},
};
use invigil_store::{
    self, ResultLine, TimelineRow,
    records::{EventFilter, TimelineRecord},
};
use invigil_telemetry::error_chain;

/// Timeline entries in a detail: the newest.
const DETAIL_ENTRIES: usize = 100;

/// Interval at which watched boards are synced with other nodes.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);

/// Rounds after which the store is read again while no other node is heard.
const REREAD_EVERY: u32 = 10;

/// Timeouts of a request for another node's rows.
const BOARD_TIMEOUTS: PeerTimeouts = PeerTimeouts::uniform(Duration::from_millis(500));

/// Timeline entries read at once on the way to the newest.
const PAGE: u32 = 1_000;

/// An incident of an exam, with its attempt and candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidateIncident {
    /// The attempt.
    pub attempt: AttemptId,
    /// The candidate.
    pub candidate: PersonId,
    /// The candidate's name.
    pub name: String,
    /// The incident.
    pub incident: IncidentView,
}

/// Bytes of JSON for the incidents and for the timeline entries of a detail: the whole
/// stays under the 64 KiB of a frame.
const INCIDENT_BYTES: usize = 24 * 1024;
const EVENT_BYTES: usize = 32 * 1024;

impl Engine {
    /// Subscribes to an exam: the whole board, and its messages from here on.
    ///
    /// # Errors
    /// Returns an error of the store.
    pub async fn watch_exam(
        &self,
        exam: &ExamCode,
        person: &RosterPerson,
    ) -> Result<BoardSubscription, Error> {
        let watching = self.inner.shared.boards.watch_exam(exam, person);
        watching.board().announce_watched();
        // Two watchers who come at once both fill the board, which harms nothing.
        if !watching.board().has_stored_rows() {
            if let Err(error) = self.fill_board(watching.board()).await {
                self.end_watch(watching);
                return Err(error);
            }
            // The whole board shows published rows. Those of other nodes are not
            // published yet, or are as old as the last watcher.
            watching.board().publish_pending();
        }
        let board = Arc::clone(watching.board());
        // Earlier watchers get the new rows at the next tick.
        let (shared, exam) = (Arc::clone(&self.inner.shared), exam.clone());
        self.inner.actors.spawn(async move {
            board.publish_changes().await;
            shared.boards.forget_unused(&exam);
        });
        watching.board().send_presence_locally();
        Ok(watching)
    }

    /// Ends the subscription to an exam.
    pub fn end_watch(&self, watching: BoardSubscription) {
        self.inner.shared.boards.end_watch(watching);
    }

    /// Counts the attempts of each exam, within a scope, that are in any node's memory.
    pub async fn live_attempts(
        &self,
        exams: Vec<ExamCode>,
        candidates: CandidateScope,
    ) -> Vec<u32> {
        let EngineInner { shared, .. } = &*self.inner;
        let live = |exam| Some(shared.boards.find_board(exam)?.live_count(&candidates));
        let own = exams.iter().map(|exam| live(exam).unwrap_or_default());
        let mut sums: Vec<u32> = own.collect();
        let question = PeerRequest::Live { exams, candidates };
        let others = shared.peers.peers();
        let asking = others.iter();
        let asking = asking.map(|node| shared.peers.send_request(node, &question, QUERY_TIMEOUTS));
        for answer in join_all(asking).await {
            if let Ok(PeerResponse::Live(live)) = answer {
                for (sum, live) in sums.iter_mut().zip(live) {
                    *sum = sum.saturating_add(live);
                }
            }
        }
        sums
    }

    /// Adds all attempts in the store or in another node's memory to a board.
    async fn fill_board(&self, board: &Arc<ExamBoard>) -> Result<(), Error> {
        self.add_stored_rows(board).await?;
        let asking = board.unsynced_peers().into_iter();
        let asking = asking.map(|node| self.request_board(Arc::clone(board), node));
        join_all(asking).await;
        Ok(())
    }

    /// Requests the rows of an exam from another node.
    async fn request_board(&self, board: Arc<ExamBoard>, node: NodeId) {
        let question = PeerRequest::Board {
            exam: board.exam().clone(),
        };
        let nodes = &self.inner.shared.peers;
        match nodes.send_request(&node, &question, BOARD_TIMEOUTS).await {
            Ok(PeerResponse::Board(rows)) => board.apply_update(&node, rows, true),
            Ok(_) | Err(_) => board.mark_silent(node),
        }
    }

    /// Keeps the boards watched here in step with the other nodes, until `stop`.
    pub(crate) async fn sync_boards(self, stop: CancellationToken) {
        let mut interval = tokio::time::interval(SYNC_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let EngineInner { shared, .. } = &*self.inner;
        for turn in 0_u32.. {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = interval.tick() => {}
            }
            shared.boards.announce_watched();
            let alone = !shared.peers.is_up() && turn.is_multiple_of(REREAD_EVERY);
            for board in shared.boards.watched_boards() {
                let asking = board.unsynced_peers().into_iter();
                let asking = asking.map(|node| self.request_board(Arc::clone(&board), node));
                join_all(asking).await;
                if (board.take_stale() || alone)
                    && let Err(error) = self.add_stored_rows(&board).await
                {
                    board.mark_stale();
                    tracing::debug!(
                        error = error_chain(&error),
                        "a board cannot be read from the store"
                    );
                }
            }
        }
    }

    /// Adds the attempts of an exam that are only in the store.
    async fn add_stored_rows(&self, board: &Arc<ExamBoard>) -> Result<(), Error> {
        for line in self.inner.attempts.list_results(board.exam()).await? {
            let version = &line.summary.identity.exam_version;
            let content = self.inner.contents.load_version(version).await?;
            let questions = u32::try_from(content.plan.question_count()).unwrap_or(u32::MAX);
            let shown = stored_state(&line, self);
            let ResultLine {
                summary,
                candidate_name,
            } = &line;
            board.add_stored_row(&summary.identity, candidate_name, questions, shown);
        }
        board.mark_stored_rows();
        Ok(())
    }

    /// Adds an attempt that was started just now and is in no node's memory yet.
    pub(crate) fn add_started_row(
        &self,
        identity: &AttemptIdentity,
        person: &RosterPerson,
        questions: usize,
    ) {
        let Some(board) = self.inner.shared.boards.find_board(&identity.exam) else {
            return;
        };
        if board.is_watched_anywhere() {
            let questions = u32::try_from(questions).unwrap_or(u32::MAX);
            board.add_started_row(identity, &person.name, questions, RowState::just_started());
        }
    }

    /// Returns everything about one attempt of the watched
    /// exam; none if the console does not see it.
    ///
    /// # Errors
    /// Returns an error of the store.
    pub async fn attempt_detail(
        &self,
        watching: &BoardSubscription,
        attempt: AttemptId,
    ) -> Result<Option<AttemptDetail>, Error> {
        let Some(row) = watching.wire_row(attempt) else {
            return Ok(None);
        };
        let control = self.control_of(attempt).await?.unwrap_or_default();
        let integrity = &control.integrity;
        let parts = integrity.risk_by_kind(self.now()).into_iter();
        let incidents = integrity.incidents().iter();
        let events = self.newest_entries(attempt).await?;
        let incidents = newest_within(INCIDENT_BYTES, incidents.map(incident_info).collect());
        Ok(Some(AttemptDetail {
            attempt: attempt.to_string(),
            row,
            risk: parts
                .map(|(kind, points)| RiskPart {
                    kind: kind.to_owned(),
                    points,
                })
                .collect(),
            incidents,
            events: newest_within(EVENT_BYTES, events.iter().map(timeline_entry).collect()),
        }))
    }

    /// Returns every incident of these candidates in an exam, in no order.
    ///
    /// # Errors
    /// Returns an error of the store.
    pub async fn exam_incidents(
        &self,
        exam: &ExamCode,
        candidates: &CandidateScope,
    ) -> Result<Vec<CandidateIncident>, Error> {
        let mut found = Vec::new();
        for line in self.inner.attempts.list_results(exam).await? {
            let summary = line.summary;
            if !candidates.contains(&summary.identity.groups) {
                continue;
            }
            let control = load::parse_control(&summary.control.state).unwrap_or_default();
            for incident in control.integrity.incidents() {
                found.push(CandidateIncident {
                    attempt: summary.identity.id,
                    candidate: summary.identity.candidate.clone(),
                    name: line.candidate_name.clone(),
                    incident: incident_info(incident),
                });
            }
        }
        Ok(found)
    }

    /// Returns the events that clients of these candidates noticed in an exam; none
    /// without a store of records.
    ///
    /// # Errors
    /// Returns an error of the store.
    pub async fn exam_events(
        &self,
        mut wanted: EventFilter,
        candidates: &CandidateScope,
    ) -> Result<Option<Vec<TimelineRecord>>, Error> {
        let Some(recorder) = &self.inner.shared.recorder else {
            return Ok(None);
        };
        if *candidates != CandidateScope::All {
            let lines = self.inner.attempts.list_results(&wanted.exam).await?;
            let identities = lines.into_iter().map(|line| line.summary.identity);
            let own = identities.filter(|identity| candidates.contains(&identity.groups));
            wanted.attempts = Some(own.map(|identity| identity.id).collect());
        }
        Ok(Some(recorder.store().list_events(&wanted).await?))
    }

    async fn control_of(&self, attempt: AttemptId) -> Result<Option<AttemptControl>, Error> {
        if let Some(look) = self.attempt_snapshot(attempt).await {
            return Ok(Some(look.control));
        }
        let summary = self.inner.attempts.read_summary(attempt).await?;
        Ok(summary.and_then(|summary| load::parse_control(&summary.control.state)))
    }

    async fn newest_entries(&self, attempt: AttemptId) -> Result<Vec<TimelineRow>, Error> {
        let mut newest: Vec<TimelineRow> = Vec::new();
        loop {
            let after = newest.last().map_or(0, |entry| entry.number);
            let page = match self.timeline(attempt, after, PAGE).await {
                // Without older entries, a proctor can still act on the newest.
                Err(Error::Store(invigil_store::Error::Unavailable { .. })) => {
                    self.inner
                        .attempts
                        .read_timeline(attempt, after, PAGE)
                        .await?
                }
                page => page?,
            };
            let last = page.len() < PAGE as usize;
            newest.extend(page);
            let spare = newest.len().saturating_sub(DETAIL_ENTRIES);
            newest.drain(..spare);
            if last {
                return Ok(newest);
            }
        }
    }
}

/// Keeps the newest elements, at the end, that fit into `bytes` of JSON.
fn newest_within<T: Serialize>(bytes: usize, mut all: Vec<T>) -> Vec<T> {
    let mut room = bytes;
    let kept = all.iter().rev().take_while(|one| {
        let size = serde_json::to_vec(one).map_or(usize::MAX, |json| json.len() + 1);
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    });
    let spare = all.len() - kept.count();
    all.drain(..spare);
    all
}

/// Returns the state of an attempt that is only in the store.
fn stored_state(line: &ResultLine, engine: &Engine) -> RowState {
    let summary = &line.summary;
    let control = load::parse_control(&summary.control.state).unwrap_or_default();
    let incidents = control.integrity.incidents();
    RowState {
        status: summary.control.status,
        online: false,
        deadline_at: summary.control.deadline_at,
        answered: summary.answered,
        q: None,
        risk: control.integrity.risk(engine.now()),
        incidents: incident_counts(incidents),
        last_seen_at: Some(summary.progress.last_activity_at),
        rtt_ms: None,
        flagged: control.flagged,
        node: None,
    }
}

impl RowState {
    /// The state of an attempt that was never entered.
    const fn just_started() -> Self {
        Self {
            status: LifecycleStatus::Started,
            online: false,
            deadline_at: None,
            answered: 0,
            q: None,
            risk: 0,
            incidents: IncidentCounts {
                low: 0,
                medium: 0,
                high: 0,
                critical: 0,
            },
            last_seen_at: None,
            rtt_ms: None,
            flagged: false,
            node: None,
        }
    }
}
