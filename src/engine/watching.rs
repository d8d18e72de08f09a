//! Watching an exam: the board, and one attempt in detail.

use std::sync::Arc;

use invigil_protocol::proctor::{Detail, IncidentCounts, IncidentInfo, RiskPart};
use serde::Serialize;
use tokio::sync::oneshot;

use super::{
    Engine, Error,
    actor::message::Message,
    board::{Shown, Watching, incident_counts, incident_info, timeline_entry},
    load,
};
use crate::{
    domain::{
        attempt::{Control, Identity, Status},
        id::{AttemptId, ExamCode, PersonId},
        person::{CandidateScope, Person},
    },
    store::{
        self, ResultLine, TimelineRow,
        records::{EventFilter, Record},
    },
};

/// Entries of the timeline that a detail begins with.
const DETAIL_ENTRIES: usize = 100;

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
        // Whoever comes while another is at it does it, too: that harms nothing.
        if !watching.board().has_stored()
            && let Err(error) = self.place_stored(&watching).await
        {
            self.unwatch(watching);
            return Err(error);
        }
        let board = Arc::clone(watching.board());
        let (shared, exam) = (Arc::clone(&self.inner.shared), exam.clone());
        self.inner.actors.spawn(async move {
            board.publish_changes().await;
            shared.boards.forget(&exam);
        });
        watching.board().tell_presence();
        Ok(watching)
    }

    /// Ends to watch an exam.
    pub fn unwatch(&self, watching: Watching) {
        self.inner.shared.boards.unwatch(watching);
    }

    /// How many attempts of an exam are in memory, of these candidates.
    pub fn live_attempts(&self, exam: &ExamCode, candidates: &CandidateScope) -> u32 {
        let board = self.inner.shared.boards.find(exam);
        board.map_or(0, |board| board.live(candidates))
    }

    /// The attempts of the exam that are in the store only.
    async fn place_stored(&self, watching: &Watching) -> Result<(), Error> {
        let board = watching.board();
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
        if board.is_watched() {
            let questions = u32::try_from(questions).unwrap_or(u32::MAX);
            board.place_stored(identity, &person.name, questions, Shown::started());
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
        if let Some(handle) = self.inner.registry.find(attempt) {
            let (reply, look) = oneshot::channel();
            if handle.deliver(Message::Look(reply)).await.is_ok()
                && let Ok(look) = look.await
            {
                return Ok(Some(look.control));
            }
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
        here: false,
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
            here: false,
        }
    }
}
