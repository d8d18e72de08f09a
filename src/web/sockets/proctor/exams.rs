//! The boards that one console watches.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::{
    StreamExt,
    stream::{self, AbortHandle, BoxStream, SelectAll},
};
use invigil_protocol::proctor::Detail;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    domain::{
        id::{AttemptId, ExamCode, PersonId},
        person::{CandidateScope, Person},
    },
    engine::{Engine, Error, Frame, News, Topic, Watching},
};

/// What a board had to say.
pub(super) enum Heard {
    /// A message to pass on.
    Frame(Arc<Frame>),
    /// It is for other consoles.
    Nothing,
    /// Messages were missed: the whole board is needed again.
    Missed(ExamCode),
}

/// The boards of a console.
pub(super) struct Exams {
    engine: Engine,
    watched: HashMap<ExamCode, Watched>,
    news: SelectAll<BoxStream<'static, (ExamCode, Option<Arc<News>>)>>,
    inspected: HashSet<AttemptId>,
    person: PersonId,
    scope: CandidateScope,
}

struct Watched {
    watching: Watching,
    stop: AbortHandle,
}

impl Exams {
    pub(super) fn new(engine: Engine, person: &Person) -> Self {
        Self {
            engine,
            watched: HashMap::new(),
            news: SelectAll::new(),
            inspected: HashSet::new(),
            person: person.id.clone(),
            scope: person.candidates(),
        }
    }

    /// Begins to watch an exam; one that is watched already stays so.
    pub(super) async fn add(&mut self, exam: ExamCode, person: &Person) -> Result<(), Error> {
        if self.watched.contains_key(&exam) {
            return Ok(());
        }
        let mut watching = self.engine.watch(&exam, person).await?;
        let Some(news) = watching.news() else {
            return Ok(());
        };
        let (news, stop) = stream::abortable(listen(exam.clone(), news));
        self.news.push(news.boxed());
        self.watched.insert(exam, Watched { watching, stop });
        Ok(())
    }

    /// Ends to watch an exam.
    pub(super) fn remove(&mut self, exam: &ExamCode) {
        if let Some(Watched { watching, stop }) = self.watched.remove(exam) {
            stop.abort();
            self.engine.unwatch(watching);
        }
    }

    /// Ends to watch what is no longer within reach.
    pub(super) fn keep_only(&mut self, within_reach: impl Fn(&ExamCode) -> bool) {
        let watched: Vec<ExamCode> = self.watched.keys().cloned().collect();
        for exam in watched.iter().filter(|exam| !within_reach(exam)) {
            self.remove(exam);
        }
    }

    /// The person may see other candidates now; the exams whose boards were watched
    /// for those before.
    pub(super) fn set_scope(&mut self, scope: CandidateScope) -> Vec<ExamCode> {
        if self.scope == scope {
            return Vec::new();
        }
        self.scope = scope;
        for Watched { watching, .. } in self.watched.values_mut() {
            watching.set_scope(self.scope.clone());
        }
        let watched = &self.watched;
        self.inspected.retain(|attempt| {
            let mut boards = watched.values();
            boards.any(|Watched { watching, .. }| watching.shows(*attempt))
        });
        self.watched.keys().cloned().collect()
    }

    /// Ends to watch anything.
    pub(super) fn clear(&mut self) {
        self.keep_only(|_| false);
        // Drops the receivers now: boards go when nobody listens.
        self.news = SelectAll::new();
    }

    /// The next thing that a board has to say; none: nothing is watched.
    ///
    /// # Cancel safety
    /// Nothing is taken unless it is returned.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        let (exam, news) = self.news.next().await?;
        let Some(news) = news else {
            return Some(Heard::Missed(exam));
        };
        let for_us = match &news.topic {
            Topic::Scope(scope) => *scope == self.scope,
            Topic::Candidate(groups) => self.scope.contains(groups),
            Topic::Inspectors(attempt) => self.inspected.contains(attempt),
            Topic::Person(person) => *person == self.person,
        };
        Some(if for_us {
            Heard::Frame(Arc::clone(&news.frame))
        } else {
            Heard::Nothing
        })
    }

    /// The whole board of an exam.
    pub(super) fn snapshot(&self, exam: &ExamCode) -> Vec<Arc<Frame>> {
        let watched = self.watched.get(exam);
        watched.map_or_else(Vec::new, |watched| watched.watching.snapshot())
    }

    /// Begins or ends to look at one attempt; none: it is on no board here.
    pub(super) async fn inspect(
        &mut self,
        attempt: AttemptId,
        on: bool,
    ) -> Result<Option<Detail>, Error> {
        for Watched { watching, .. } in self.watched.values() {
            if watching.inspect(attempt, on).is_none() {
                continue;
            }
            if on {
                self.inspected.insert(attempt);
            } else {
                self.inspected.remove(&attempt);
            }
            return self.engine.detail(watching, attempt).await;
        }
        Ok(None)
    }
}

/// What happens on a board, as a stream; none where something was missed.
fn listen(
    exam: ExamCode,
    news: Receiver<Arc<News>>,
) -> impl futures_util::Stream<Item = (ExamCode, Option<Arc<News>>)> + Send {
    stream::unfold((exam, news), |(exam, mut news)| async move {
        let heard = match news.recv().await {
            Ok(heard) => Some(heard),
            Err(RecvError::Lagged(_)) => {
                // What is left is older than the board that follows.
                news = news.resubscribe();
                None
            }
            Err(RecvError::Closed) => return None,
        };
        Some(((exam.clone(), heard), (exam, news)))
    })
}
