//! Which attempts are in memory, and the one place where they come and go.
//!
//! Getting an attempt's actor and starting it are one operation: two callers at
//! once wait for one load. An actor that stops closes its mailbox first; what
//! came too late goes to its successor, so that no message is lost to the race
//! between a visitor and an idle stop.
//!
//! An attempt that another living node has is not simply taken: a candidate who comes
//! here has that node let it go first, everybody else turns to that node.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
};

use dashmap::DashMap;
use futures_util::FutureExt;
use invigil_protocol::code::CloseCode;
use tokio::{
    sync::{Notify, OnceCell, Semaphore, oneshot},
    time::Instant,
};
use tokio_util::task::TaskTracker;

use super::{
    Error,
    actor::{
        Actor, Handle, Opening,
        message::{Look, Message},
    },
    board::Seat,
    content::Contents,
    load,
    nodes::{self, Answer, HAND_OVER_MAX, News, Owners, Question},
    outbox::Closing,
    shared::Shared,
};
use crate::{
    cluster::Patience,
    domain::id::{AttemptId, NodeId},
    store::{self, AttemptStore, Take, Taken},
};

/// Attempts that are loaded at once. More would only wait for the store's few
/// connections, and thousands of waiters end in connection storms.
const LOADS_AT_ONCE: usize = 32;

/// How often an attempt is asked for that others take meanwhile.
const TRIES: usize = 3;

/// An attempt that is live, or on its way.
type Entry = Arc<OnceCell<Handle>>;

/// The live attempts of this node.
pub(super) struct Registry {
    /// For the tasks, which outlive no registry.
    own: Weak<Self>,
    live: DashMap<AttemptId, Entry>,
    loads: Semaphore,
    /// See [`super::ownership`].
    doubts: Arc<Notify>,
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
        doubts: Arc<Notify>,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            own: Weak::clone(own),
            live: DashMap::new(),
            loads: Semaphore::new(LOADS_AT_ONCE),
            doubts,
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

    /// The same, after the end of whatever is about to bring it there.
    pub(super) async fn find_soon(&self, attempt: AttemptId) -> Option<Handle> {
        let entry = Arc::clone(&*self.live.get(&attempt)?);
        let Ok(handle) = entry.get_or_try_init(async || Err(())).await else {
            self.forget(attempt, &entry);
            return None;
        };
        Some(handle.clone()).filter(|handle| !handle.is_closed())
    }

    /// The attempt's actor, loading it where it is not in memory. None where
    /// there is no such attempt.
    ///
    /// # Errors
    /// Why it cannot be here.
    pub(super) async fn get(
        &self,
        attempt: AttemptId,
        why: &Why,
    ) -> Result<Option<Handle>, Missing> {
        loop {
            let entry = Arc::clone(&*self.live.entry(attempt).or_default());
            let started = entry.get_or_try_init(|| self.start(attempt, &entry, why));
            match started.await {
                Ok(handle) if handle.is_closed() => self.forget(attempt, &entry),
                Ok(handle) => return Ok(Some(handle.clone())),
                Err(missing) => {
                    self.forget(attempt, &entry);
                    return missing.map_or(Ok(None), Err);
                }
            }
        }
    }

    /// Delivers a message to the attempt's actor, loading it where needed.
    /// False where there is no such attempt.
    ///
    /// # Errors
    /// Why it cannot be here.
    pub(super) async fn deliver(
        &self,
        attempt: AttemptId,
        mut message: Message,
        why: &Why,
    ) -> Result<bool, Missing> {
        loop {
            let Some(handle) = self.get(attempt, why).await? else {
                return Ok(false);
            };
            match handle.deliver(message).await {
                Ok(()) => return Ok(true),
                Err(returned) => message = returned,
            }
        }
    }

    /// The attempt as it is in this node's memory; none where it is not.
    pub(super) async fn look(&self, attempt: AttemptId) -> Option<Look> {
        let (reply, look) = oneshot::channel();
        let handle = self.find(attempt)?;
        handle.deliver(Message::Look(reply)).await.ok()?;
        look.await.ok()
    }

    /// Every attempt in memory, in order.
    pub(super) fn live(&self) -> Vec<AttemptId> {
        let mut live: Vec<AttemptId> = self.live.iter().map(|entry| *entry.key()).collect();
        live.sort_unstable();
        live
    }

    /// This node may have missed that others took its attempts.
    pub(super) fn doubt(&self) {
        self.doubts.notify_one();
    }

    /// Which other node has an attempt, as far as it is known here.
    pub(super) fn owners(&self) -> &Owners {
        &self.shared.owners
    }

    /// This node is about to end: nothing is taken any more, and every actor is told.
    pub(super) async fn drain(&self) {
        self.shared.begin_drain();
        self.tell_all(|| Message::Drain).await;
    }

    /// Tells every actor something.
    pub(super) async fn tell_all(&self, message: impl Fn() -> Message) {
        let live = self.live.iter();
        let mut handles: Vec<(AttemptId, Handle)> = live
            .filter_map(|entry| Some((*entry.key(), entry.value().get()?.clone())))
            .collect();
        // In the same order every time, for simulations.
        handles.sort_unstable_by_key(|(attempt, _)| *attempt);
        for (_, handle) in handles {
            // One that has ended meanwhile needs to hear nothing.
            handle.deliver(message()).await.ok();
        }
    }

    /// Takes an attempt, as far as it may be taken.
    async fn take(&self, attempt: AttemptId, why: &Why) -> Result<Taken, Option<Missing>> {
        let shared = &*self.shared;
        let begun = Instant::now();
        let (mut from, mut outcome) = (None, None);
        if let Why::Owed { epoch } = why {
            from = Some(*epoch);
        }
        for _ in 0..TRIES {
            let living = shared.nodes.others();
            self.still_wanted(attempt, why, &living).await?;
            let taking = self.store.take(attempt, &shared.node, &living, from);
            let (node, epoch) = match self.loading(taking).await? {
                None => return Err(None),
                Some(Take::Taken(taken)) => {
                    if let Some(outcome) = outcome {
                        shared.metrics.taken_over(outcome, begun.elapsed());
                    }
                    return Ok(*taken);
                }
                Some(Take::Held { node, epoch }) => (node, epoch),
            };
            let Why::Entry { entry, .. } = why else {
                return Err(Some(Missing::Elsewhere { node, epoch }));
            };
            // A node that stood still must not ask for what its client has given up.
            self.still_wanted(attempt, why, &living).await?;
            let question = Question::Release {
                attempt,
                epoch: Some(epoch),
                entry: entry.clone(),
            };
            let patience = Patience::short(HAND_OVER_MAX);
            outcome = Some(match shared.nodes.ask(&node, &question, patience).await {
                Ok(Answer::Refused { code, detail }) => {
                    let retry_ms = None;
                    return Err(Some(Missing::Refused(Closing {
                        code,
                        detail,
                        retry_ms,
                    })));
                }
                Ok(_) => "handed_over",
                Err(_) => "taken",
            });
            from = Some(epoch);
        }
        // It goes from one to the other.
        Err(Some(Missing::Refused(Closing::new(CloseCode::Overloaded))))
    }

    /// Whether anything is to be taken still, for this reason.
    async fn still_wanted(
        &self,
        attempt: AttemptId,
        why: &Why,
        living: &[NodeId],
    ) -> Result<(), Option<Missing>> {
        let refused = |code| Err(Some(Missing::Refused(Closing::new(code))));
        if self.shared.is_draining() {
            // What another node can do is passed on to the end.
            if matches!(why, Why::Unowned)
                && let Some(owner) = self.loading(self.store.owners(&[attempt])).await?.pop()
                && let Some(node) = owner.node.filter(|node| living.contains(node))
            {
                let epoch = owner.epoch;
                return Err(Some(Missing::Elsewhere { node, epoch }));
            }
            return refused(CloseCode::Draining);
        }
        match why {
            Why::Entry { until, .. } if Instant::now() >= *until => refused(CloseCode::Overloaded),
            Why::Entry { .. } | Why::Unowned | Why::Owed { .. } => Ok(()),
        }
    }

    /// Waits for a call of the store that loads something, when it is its turn.
    async fn loading<T>(
        &self,
        call: impl Future<Output = Result<T, store::Error>>,
    ) -> Result<T, Option<Missing>> {
        let _permit = self
            .loads
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let loaded = call.await;
        loaded.map_err(|error| Some(Missing::Failed(error.into())))
    }

    async fn start(
        &self,
        attempt: AttemptId,
        entry: &Entry,
        why: &Why,
    ) -> Result<Handle, Option<Missing>> {
        let taken = self.take(attempt, why).await?;
        let failed = |error| Some(Missing::Failed(error));
        let content = self
            .contents
            .version(&taken.identity.exam_version)
            .await
            .map_err(failed)?;
        let (epoch, lost_at) = (taken.epoch, taken.lost_at);
        self.shared.owners.forget(attempt);
        self.shared.nodes.tell(&News::Taken { attempt, epoch });
        let name = taken.candidate_name.clone();
        let attempt =
            load::attempt(taken, &content, self.shared.limits.answer_bytes).map_err(failed)?;
        let shared = Arc::clone(&self.shared);
        let questions = content.plan.question_count();
        let questions = u32::try_from(questions).unwrap_or(u32::MAX);
        let seat = self
            .shared
            .boards
            .seat(attempt.identity(), &name, questions);
        let rules = self.contents.rules(&content);
        let own = Arc::clone(&seat);
        let (actor, handle) = Actor::new(shared, content, rules, attempt, own, (epoch, lost_at));
        self.spawn(actor, seat, Arc::downgrade(entry));
        Ok(handle)
    }

    fn spawn(&self, mut actor: Actor, seat: Arc<Seat>, entry: Weak<OnceCell<Handle>>) {
        let attempt = actor.attempt_id();
        let registry = Weak::clone(&self.own);
        self.shared.metrics.live_attempts.inc();
        let live = Live {
            shared: Arc::clone(&self.shared),
            seat,
            epoch: actor.epoch(),
        };
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

    /// Messages that came while the actor stopped are for the next one. Whoever opens a
    /// connection asks again by itself, as it must know which actor took it.
    async fn forward(&self, attempt: AttemptId, unread: Vec<Message>) {
        for message in unread {
            let why = match &message {
                Message::Exchange(_) | Message::Staff(_) => Why::Unowned,
                // What was for that actor alone ends with it.
                Message::Open(_)
                | Message::Gone(_)
                | Message::Client(_)
                | Message::Look(_)
                | Message::Health
                | Message::Drain
                | Message::Release(_)
                | Message::Lost { .. } => continue,
            };
            if let Err(missing) = self.deliver(attempt, message, &why).await {
                // Whoever waits for an answer learns it by the dropped reply.
                tracing::debug!(attempt.id = %attempt, ?missing,
                    "a message for a stopped attempt is lost");
            }
        }
    }

    fn forget(&self, attempt: AttemptId, entry: &Entry) {
        // Whoever else waits for the entry is about to fill it: then it stays, or the
        // attempt would live where nobody finds it. Entries are shared under the lock
        // that this holds, so nobody joins meanwhile.
        let is_unwanted = |current: &Entry| {
            let waiting = Arc::strong_count(current) > 2;
            Arc::ptr_eq(entry, current) && (!waiting || current.initialized())
        };
        self.live
            .remove_if(&attempt, |_, current| is_unwanted(current));
    }
}

/// Counts an attempt in memory for as long as it lives.
struct Live {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    epoch: u64,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.shared.metrics.live_attempts.dec();
        self.seat.show_gone(self.epoch);
        self.shared.boards.leave(&self.seat);
    }
}

/// Why an attempt is wanted here.
#[derive(Debug, Clone)]
pub(super) enum Why {
    /// A candidate's socket is here: whoever has it is to let it go.
    Entry {
        entry: nodes::Entry,
        /// See [`Opening::until`].
        until: Instant,
    },
    /// There is something to do, which another node does if it has the attempt.
    Unowned,
    /// There is something to do, and whoever has the attempt by this taking does not do
    /// it.
    Owed { epoch: u64 },
}

impl Why {
    /// Somebody opens a connection.
    pub(super) fn entry(opening: &Opening) -> Self {
        Self::Entry {
            entry: opening.entry.clone(),
            until: opening.until,
        }
    }
}

/// Why an attempt cannot be here.
#[derive(Debug)]
pub(super) enum Missing {
    /// Another node has it, by this taking.
    Elsewhere { node: NodeId, epoch: u64 },
    /// The node that has it does not let the candidate in.
    Refused(Closing),
    /// It could not be loaded.
    Failed(Error),
}
