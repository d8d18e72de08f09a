//! Which attempts are in memory, and the one place where they come and go.
//!
//! Getting an attempt's actor and starting it are one operation: two callers at
//! once wait for one load. An actor that stops closes its mailbox first; what
//! came too late goes to its successor, so that no message is lost to the race
//! between a visitor and an idle stop.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
};

use dashmap::DashMap;
use futures_util::FutureExt;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::task::TaskTracker;

use super::{
    Error,
    actor::{Actor, Handle, message::Message},
    board::Seat,
    content::Contents,
    load,
    shared::Shared,
};
use crate::{domain::id::AttemptId, store::AttemptStore};

/// Attempts that are loaded at once. More would only wait for the store's few
/// connections, and thousands of waiters end in connection storms.
const LOADS_AT_ONCE: usize = 32;

/// An attempt that is live, or on its way.
type Entry = Arc<OnceCell<Handle>>;

/// The live attempts of this node.
pub(super) struct Registry {
    /// For the tasks, which outlive no registry.
    own: Weak<Self>,
    live: DashMap<AttemptId, Entry>,
    loads: Semaphore,
    tasks: TaskTracker,
    shared: Arc<Shared>,
    contents: Arc<Contents>,
    store: Arc<dyn AttemptStore>,
}

impl Registry {
    /// A registry without attempts.
    pub(super) fn new(
        shared: Arc<Shared>,
        contents: Arc<Contents>,
        store: Arc<dyn AttemptStore>,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            own: Weak::clone(own),
            live: DashMap::new(),
            loads: Semaphore::new(LOADS_AT_ONCE),
            tasks,
            shared,
            contents,
            store,
        })
    }

    /// The attempt's actor, where it is in memory.
    pub(super) fn find(&self, attempt: AttemptId) -> Option<Handle> {
        let entry = Arc::clone(&*self.live.get(&attempt)?);
        entry.get().filter(|handle| !handle.is_closed()).cloned()
    }

    /// The attempt's actor, loading it where it is not in memory. None where
    /// there is no such attempt.
    ///
    /// # Errors
    /// Where the store fails.
    pub(super) async fn get(&self, attempt: AttemptId) -> Result<Option<Handle>, Error> {
        loop {
            let entry = Arc::clone(&*self.live.entry(attempt).or_default());
            let started = entry.get_or_try_init(|| self.start(attempt, &entry)).await;
            match started {
                Ok(handle) if handle.is_closed() => self.forget(attempt, &entry),
                Ok(handle) => return Ok(Some(handle.clone())),
                Err(Missing::NoSuchAttempt) => {
                    self.forget(attempt, &entry);
                    return Ok(None);
                }
                Err(Missing::Failed(error)) => {
                    self.forget(attempt, &entry);
                    return Err(error);
                }
            }
        }
    }

    /// Delivers a message to the attempt's actor, loading it where needed.
    /// False where there is no such attempt.
    ///
    /// # Errors
    /// Where the store fails.
    pub(super) async fn deliver(
        &self,
        attempt: AttemptId,
        mut message: Message,
    ) -> Result<bool, Error> {
        loop {
            let Some(handle) = self.get(attempt).await? else {
                return Ok(false);
            };
            match handle.deliver(message).await {
                Ok(()) => return Ok(true),
                Err(returned) => message = returned,
            }
        }
    }

    /// Tells every actor something.
    pub(super) async fn tell_all(&self, message: impl Fn() -> Message) {
        let handles: Vec<Handle> = self
            .live
            .iter()
            .filter_map(|entry| entry.value().get().cloned())
            .collect();
        for handle in handles {
            // One that has ended meanwhile needs to hear nothing.
            handle.deliver(message()).await.ok();
        }
    }

    async fn start(&self, attempt: AttemptId, entry: &Entry) -> Result<Handle, Missing> {
        let _permit = self
            .loads
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let taken = self
            .store
            .take(attempt, &self.shared.node)
            .await
            .map_err(|error| Missing::Failed(error.into()))?
            .ok_or(Missing::NoSuchAttempt)?;
        let content = self
            .contents
            .version(&taken.identity.exam_version)
            .await
            .map_err(Missing::Failed)?;
        let epoch = taken.epoch;
        let name = taken.candidate_name.clone();
        let attempt = load::attempt(taken, &content, self.shared.limits.answer_bytes)
            .map_err(Missing::Failed)?;
        let shared = Arc::clone(&self.shared);
        let questions = content.plan.question_count();
        let questions = u32::try_from(questions).unwrap_or(u32::MAX);
        let seat = self
            .shared
            .boards
            .seat(attempt.identity(), &name, questions);
        let rules = self.contents.rules(&content);
        let own = Arc::clone(&seat);
        let (actor, handle) = Actor::new(shared, content, rules, attempt, own, epoch);
        self.spawn(actor, seat, Arc::downgrade(entry));
        Ok(handle)
    }

    fn spawn(&self, mut actor: Actor, seat: Arc<Seat>, entry: Weak<OnceCell<Handle>>) {
        let attempt = actor.attempt_id();
        let registry = Weak::clone(&self.own);
        self.shared.metrics.live_attempts.inc();
        let live = Live(Arc::clone(&self.shared), seat);
        self.tasks.spawn(async move {
            let ended = AssertUnwindSafe(actor.run()).catch_unwind().await;
            // It closes its connection; what follows may take long.
            drop(actor);
            drop(live);
            let Some(registry) = registry.upgrade() else {
                return;
            };
            registry.live.remove_if(&attempt, |_, current| {
                entry
                    .upgrade()
                    .is_some_and(|entry| Arc::ptr_eq(&entry, current))
            });
            if let Ok(unread) = ended {
                Box::pin(registry.forward(attempt, unread)).await;
            } else {
                registry.shared.metrics.actor_panics.inc();
                tracing::error!(attempt.id = %attempt,
                        "the attempt's task panicked; it is loaded again on demand");
            }
        });
    }

    /// Messages that came while the actor stopped are for the next one.
    async fn forward(&self, attempt: AttemptId, unread: Vec<Message>) {
        for message in unread {
            if let Err(error) = self.deliver(attempt, message).await {
                // Whoever waits for an answer learns it by the dropped reply.
                tracing::warn!(attempt.id = %attempt, %error,
                    "a message for a stopped attempt is lost");
            }
        }
    }

    fn forget(&self, attempt: AttemptId, entry: &Entry) {
        self.live
            .remove_if(&attempt, |_, current| Arc::ptr_eq(entry, current));
    }
}

/// Counts an attempt in memory for as long as it lives.
struct Live(Arc<Shared>, Arc<Seat>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.metrics.live_attempts.dec();
        self.1.show_gone();
        self.0.boards.leave(&self.1);
    }
}

/// Why there is no actor.
enum Missing {
    NoSuchAttempt,
    Failed(Error),
}
