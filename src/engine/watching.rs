//! Watching an exam: the board, and one attempt in detail.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use invigil_protocol::proctor::{Detail, IncidentCounts, IncidentInfo, RiskPart};
use serde::Serialize;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{
    Engine, Error, Inner,
    board::{Board, Shown, Watching, incident_counts, incident_info, timeline_entry},
    load,
    nodes::{Answer, LOOKING, Question},
};
use crate::{
    cluster::Patience,
    domain::{
        attempt::{Control, Identity, Status},
        id::{AttemptId, ExamCode, NodeId, PersonId},
        person::{CandidateScope, Person},
    },
    store::{
        self, ResultLine, TimelineRow,
        records::{EventFilter, Record},
    },
    telemetry::chain,
};

/// Entries of the timeline that a detail begins with.
const DETAIL_ENTRIES: usize = 100;

/// How often it is looked after other nodes.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

/// Without other nodes, the store is read again after so many looks.
const REREAD_EVERY: u32 = 10;

/// How long another node may take to say what it has.
const GATHERING: Patience = Patience::short(Duration::from_millis(500));

/// Entries that are read at once on the way there.
const PAGE: u32 = 1_000;

/// An incident of an exam, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundIncident {
    /// In which attempt.
    pub attempt: AttemptId,
    /// Whose attempt.
    pub candidate: PersonId,
    /// The person's name.
    pub name: String,
    /// The incident.
    pub incident: IncidentInfo,
}

/// Bytes of JSON that the incidents of a detail have, and its entries of the timeline:
/// the whole stays under the 64 KiB of a frame.
const INCIDENT_BYTES: usize = 24 * 1024;
const EVENT_BYTES: usize = 32 * 1024;

impl Engine {
    /// Begins to watch an exam: the whole board, and what happens from here on.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn watch(&self, exam: &ExamCode, person: &Person) -> Result<Watching, Error> {
        let watching = self.inner.shared.boards.watch(exam, person);
        watching.board().tell_watched();
        // Whoever comes while another is at it does it, too: that harms nothing.
        if !watching.board().has_stored() {
            if let Err(error) = self.fill(watching.board()).await {
                self.unwatch(watching);
                return Err(error);
            }
            // The whole board shows what was published, which of other nodes' rows is
            // nothing yet, or what was so when somebody last watched.
            watching.board().publish();
        }
        let board = Arc::clone(watching.board());
        // Those who came first are told by the next of its ticks.
        let (shared, exam) = (Arc::clone(&self.inner.shared), exam.clone());
        self.inner.actors.spawn(async move {
            board.publish_changes().await;
            shared.boards.forget(&exam);
        });
        watching.board().tell_presence_here();
        Ok(watching)
    }

    /// Ends to watch an exam.
    pub fn unwatch(&self, watching: Watching) {
        self.inner.shared.boards.unwatch(watching);
    }

    /// How many attempts of each exam are in some node's memory, of these candidates.
    pub async fn live_attempts(
        &self,
        exams: Vec<ExamCode>,
        candidates: CandidateScope,
    ) -> Vec<u32> {
        let Inner { shared, .. } = &*self.inner;
        let live = |exam| Some(shared.boards.find(exam)?.live(&candidates));
        let own = exams.iter().map(|exam| live(exam).unwrap_or_default());
        let mut sums: Vec<u32> = own.collect();
        let question = Question::Live { exams, candidates };
        let others = shared.nodes.others();
        let asking = others.iter();
        let asking = asking.map(|node| shared.nodes.ask(node, &question, LOOKING));
        for answer in join_all(asking).await {
            if let Ok(Answer::Live(live)) = answer {
                for (sum, live) in sums.iter_mut().zip(live) {
                    *sum = sum.saturating_add(live);
                }
            }
        }
        sums
    }

    /// Puts everything on a board that is in the store, or in another node's memory.
    async fn fill(&self, board: &Arc<Board>) -> Result<(), Error> {
        self.place_stored(board).await?;
        let asking = board.unknown().into_iter();
        let asking = asking.map(|node| self.gather(Arc::clone(board), node));
        join_all(asking).await;
        Ok(())
    }

    /// Asks another node what it has of an exam.
    async fn gather(&self, board: Arc<Board>, node: NodeId) {
        let question = Question::Board {
            exam: board.exam().clone(),
        };
        let nodes = &self.inner.shared.nodes;
        match nodes.ask(&node, &question, GATHERING).await {
            Ok(Answer::Board(rows)) => board.take_rows(&node, rows, true),
            Ok(_) | Err(_) => board.note_silent(node),
        }
    }

    /// Keeps the boards that are watched here up with the other nodes, until `stop`.
    pub(super) async fn follow_nodes(self, stop: CancellationToken) {
        let mut interval = tokio::time::interval(FOLLOW_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Inner { shared, .. } = &*self.inner;
        for turn in 0_u32.. {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = interval.tick() => {}
            }
            shared.boards.announce();
            let alone = !shared.nodes.is_up() && turn.is_multiple_of(REREAD_EVERY);
            for board in shared.boards.watched() {
                let asking = board.unknown().into_iter();
                let asking = asking.map(|node| self.gather(Arc::clone(&board), node));
                join_all(asking).await;
                if (board.take_stale() || alone)
                    && let Err(error) = self.place_stored(&board).await
                {
                    board.note_stale();
                    tracing::debug!(error = chain(&error), "a board stays as it is");
                }
            }
        }
    }

    /// The attempts of the exam that are in the store only.
    async fn place_stored(&self, board: &Arc<Board>) -> Result<(), Error> {
        for line in self.inner.attempts.results(board.exam()).await? {
            let version = &line.summary.identity.exam_version;
            let content = self.inner.contents.version(version).await?;
            let questions = u32::try_from(content.plan.question_count()).unwrap_or(u32::MAX);
            let shown = stored(&line, self);
            let ResultLine {
                summary,
                candidate_name,
            } = &line;
            board.place_stored(&summary.identity, candidate_name, questions, shown);
        }
        board.note_stored();
        Ok(())
    }

    /// Shows an attempt that was started just now, and is in no memory yet.
    pub(super) fn place_started(&self, identity: &Identity, person: &Person, questions: usize) {
        let Some(board) = self.inner.shared.boards.find(&identity.exam) else {
            return;
        };
        if board.is_shown() {
            let questions = u32::try_from(questions).unwrap_or(u32::MAX);
            board.place_started(identity, &person.name, questions, Shown::started());
        }
    }

    /// Everything about one attempt of the exam that is watched; none where the
    /// console sees no such attempt.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn detail(
        &self,
        watching: &Watching,
        attempt: AttemptId,
    ) -> Result<Option<Detail>, Error> {
        let Some(row) = watching.row(attempt) else {
            return Ok(None);
        };
        let control = self.control_of(attempt).await?.unwrap_or_default();
        let integrity = &control.integrity;
        let parts = integrity.explain(self.now()).into_iter();
        let incidents = integrity.incidents().iter();
        let events = self.newest_entries(attempt).await?;
        let incidents = newest_within(INCIDENT_BYTES, incidents.map(incident_info).collect());
        Ok(Some(Detail {
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

    /// Every incident of these candidates in an exam, in no order.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn incidents(
        &self,
        exam: &ExamCode,
        candidates: &CandidateScope,
    ) -> Result<Vec<FoundIncident>, Error> {
        let mut found = Vec::new();
        for line in self.inner.attempts.results(exam).await? {
            let summary = line.summary;
            if !candidates.contains(&summary.identity.groups) {
                continue;
            }
            let control = load::control(&summary.control.state).unwrap_or_default();
            for incident in control.integrity.incidents() {
                found.push(FoundIncident {
                    attempt: summary.identity.id,
                    candidate: summary.identity.candidate.clone(),
                    name: line.candidate_name.clone(),
                    incident: incident_info(incident),
                });
            }
        }
        Ok(found)
    }

    /// What the clients of these candidates noticed in an exam; none where no store
    /// of records is there.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn events(
        &self,
        mut wanted: EventFilter,
        candidates: &CandidateScope,
    ) -> Result<Option<Vec<Record>>, Error> {
        let Some(recorder) = &self.inner.shared.recorder else {
            return Ok(None);
        };
        if *candidates != CandidateScope::All {
            let lines = self.inner.attempts.results(&wanted.exam).await?;
            let identities = lines.into_iter().map(|line| line.summary.identity);
            let own = identities.filter(|identity| candidates.contains(&identity.groups));
            wanted.attempts = Some(own.map(|identity| identity.id).collect());
        }
        Ok(Some(recorder.store().events(&wanted).await?))
    }

    async fn control_of(&self, attempt: AttemptId) -> Result<Option<Control>, Error> {
        if let Some(look) = self.look(attempt).await {
            return Ok(Some(look.control));
        }
        let summary = self.inner.attempts.summary(attempt).await?;
        Ok(summary.and_then(|summary| load::control(&summary.control.state)))
    }

    async fn newest_entries(&self, attempt: AttemptId) -> Result<Vec<TimelineRow>, Error> {
        let mut newest: Vec<TimelineRow> = Vec::new();
        loop {
            let after = newest.last().map_or(0, |entry| entry.number);
            let page = match self.timeline(attempt, after, PAGE).await {
                // Better the newest alone than nothing: a proctor acts now.
                Err(Error::Store(store::Error::Unavailable { .. })) => {
                    self.inner.attempts.timeline(attempt, after, PAGE).await?
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

/// The newest ones, which come last, as far as there is room.
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

/// How an attempt stands that is in the store only.
fn stored(line: &ResultLine, engine: &Engine) -> Shown {
    let summary = &line.summary;
    let control = load::control(&summary.control.state).unwrap_or_default();
    let incidents = control.integrity.incidents();
    Shown {
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

impl Shown {
    /// An attempt that nobody has entered.
    const fn started() -> Self {
        Self {
            status: Status::Started,
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
