//! The boards that a console watches.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::{
    StreamExt,
    stream::{self, AbortHandle, BoxStream, SelectAll},
};
use invigil_protocol::proctor::AttemptDetail;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use invigil_domain::{
    id::{AttemptId, ExamCode, PersonId},
    person::{CandidateScope, RosterPerson},
};
use invigil_engine::{
    BoardMessage, BoardSubscription, ConsoleAudience, ConsoleFrame, Engine, Error,
};

/// An update of a board, for a console.
pub(super) enum BoardDelivery {
    /// A message to forward.
    Frame(Arc<ConsoleFrame>),
    /// A message for other consoles.
    Nothing,
    /// Messages were missed: send the whole board again.
    Missed(ExamCode),
}

/// The boards of a console, with the person's scope.
pub(super) struct WatchedBoards {
    engine: Engine,
    watched: HashMap<ExamCode, WatchedBoard>,
    news: SelectAll<BoxStream<'static, (ExamCode, Option<Arc<BoardMessage>>)>>,
    inspected: HashSet<AttemptId>,
    person: PersonId,
    scope: CandidateScope,
}

struct WatchedBoard {
    watching: BoardSubscription,
    stop: AbortHandle,
}

impl WatchedBoards {
    pub(super) fn new(engine: Engine, person: &RosterPerson) -> Self {
        Self {
            engine,
            watched: HashMap::new(),
            news: SelectAll::new(),
            inspected: HashSet::new(),
            person: person.id.clone(),
            scope: person.candidate_scope(),
        }
    }

    /// Watches an exam; a repeat changes nothing.
    pub(super) async fn watch_exam(
        &mut self,
        exam: ExamCode,
        person: &RosterPerson,
    ) -> Result<(), Error> {
        if self.watched.contains_key(&exam) {
            return Ok(());
        }
        let mut watching = self.engine.watch_exam(&exam, person).await?;
        let Some(news) = watching.take_messages() else {
            return Ok(());
        };
        let (news, stop) = stream::abortable(board_stream(exam.clone(), news));
        self.news.push(news.boxed());
        self.watched.insert(exam, WatchedBoard { watching, stop });
        Ok(())
    }

    /// Stops watching an exam.
    pub(super) fn unwatch_exam(&mut self, exam: &ExamCode) {
        if let Some(WatchedBoard { watching, stop }) = self.watched.remove(exam) {
            stop.abort();
            self.engine.end_watch(watching);
        }
    }

    /// Stops watching the exams that are no longer within reach.
    pub(super) fn keep_only(&mut self, within_reach: impl Fn(&ExamCode) -> bool) {
        let watched: Vec<ExamCode> = self.watched.keys().cloned().collect();
        for exam in watched.iter().filter(|exam| !within_reach(exam)) {
            self.unwatch_exam(exam);
        }
    }

    /// Sets the candidates that the person may see. Returns the watched exams if the
    /// scope has changed.
    pub(super) fn set_scope(&mut self, scope: CandidateScope) -> Vec<ExamCode> {
        if self.scope == scope {
            return Vec::new();
        }
        self.scope = scope;
        for WatchedBoard { watching, .. } in self.watched.values_mut() {
            watching.set_scope(self.scope.clone());
        }
        let watched = &self.watched;
        self.inspected.retain(|attempt| {
            let mut boards = watched.values();
            boards.any(|WatchedBoard { watching, .. }| watching.sees_attempt(*attempt))
        });
        self.watched.keys().cloned().collect()
    }

    /// Stops watching all exams.
    pub(super) fn unwatch_all(&mut self) {
        self.keep_only(|_| false);
        // Drops the receivers now: a board without receivers is removed.
        self.news = SelectAll::new();
    }

    /// Returns the next update of a board; none if no board is watched.
    ///
    /// # Cancel safety
    /// An update is removed only when it is returned.
    pub(super) async fn next_delivery(&mut self) -> Option<BoardDelivery> {
        let (exam, news) = self.news.next().await?;
        let Some(news) = news else {
            return Some(BoardDelivery::Missed(exam));
        };
        let for_us = match &news.audience {
            ConsoleAudience::Scope(scope) => *scope == self.scope,
            ConsoleAudience::Candidate(groups) => self.scope.contains(groups),
            ConsoleAudience::Inspectors(attempt) => self.inspected.contains(attempt),
            ConsoleAudience::Person(person) => *person == self.person,
        };
        Some(if for_us {
            BoardDelivery::Frame(Arc::clone(&news.frame))
        } else {
            BoardDelivery::Nothing
        })
    }

    /// Returns the whole board of an exam.
    pub(super) fn board_frames(&self, exam: &ExamCode) -> Vec<Arc<ConsoleFrame>> {
        let watched = self.watched.get(exam);
        watched.map_or_else(Vec::new, |watched| watched.watching.snapshot_frames())
    }

    /// Starts or stops inspecting an attempt; returns none if no watched board has it.
    pub(super) async fn set_inspected(
        &mut self,
        attempt: AttemptId,
        on: bool,
    ) -> Result<Option<AttemptDetail>, Error> {
        for WatchedBoard { watching, .. } in self.watched.values() {
            if watching.set_inspecting(attempt, on).is_none() {
                continue;
            }
            if on {
                self.inspected.insert(attempt);
            } else {
                self.inspected.remove(&attempt);
            }
            return self.engine.attempt_detail(watching, attempt).await;
        }
        Ok(None)
    }
}

/// Returns the updates of a board as a stream; none stands for missed ones.
fn board_stream(
    exam: ExamCode,
    news: Receiver<Arc<BoardMessage>>,
) -> impl futures_util::Stream<Item = (ExamCode, Option<Arc<BoardMessage>>)> + Send {
    stream::unfold((exam, news), |(exam, mut news)| async move {
        let heard = match news.recv().await {
            Ok(heard) => Some(heard),
            Err(RecvError::Lagged(_)) => {
                // The rest of the channel is older than the board to be sent.
                news = news.resubscribe();
                None
            }
            Err(RecvError::Closed) => return None,
        };
        Some(((exam.clone(), heard), (exam, news)))
    })
}
