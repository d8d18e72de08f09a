//! Attempts in memory, and the only place where they come and go.
//!
//! Finding an attempt's actor and starting it are one operation: concurrent callers wait
//! for one load. An actor that stops closes its mailbox first; messages that came too
//! late go to its successor, so that none is lost to the race between a caller and an
//! idle stop.
//!
//! An attempt that another living node has is not simply acquired: for a candidate who
//! joins here, that node releases it first; every other caller turns to that node.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
};

use futures_util::FutureExt;
use invigil_protocol::code::CloseCode;
use tokio::{
    sync::{Notify, Semaphore, oneshot},
    time::Instant,
};
use tokio_util::task::TaskTracker;

use super::{
    actor::AttemptActor,
    cells::{ActorCell, ActorCells, CellCaller},
    load,
    mailbox::{ActorHandle, ActorMessage, AttemptSnapshot, ConnectRequest},
};
use crate::{
    Error,
    board::BoardRow,
    commit::outbox::CloseReason,
    content::ContentCache,
    node::context::NodeContext,
    peers::{
        messages::{self, HAND_OVER_MAX, PeerEvent, PeerRequest, PeerResponse},
        owners::AttemptOwners,
    },
};
use invigil_cluster::PeerTimeouts;
use invigil_domain::id::{AttemptId, NodeId};
use invigil_store::{self, AcquireOutcome, Acquired, AttemptStore};

/// Attempts loaded at once. More would only wait for the store's few connections, and
/// thousands of waiters end in connection storms.
const LOADS_MAX: usize = 32;

/// Tries to acquire an attempt that other nodes acquire meanwhile.
const ACQUIRE_TRIES: usize = 3;

/// The live attempts of this node.
pub(crate) struct ActorRegistry {
    /// For the tasks, which must not keep the registry alive.
    weak_self: Weak<Self>,
    live: ActorCells,
    loads: Semaphore,
    /// See [`crate::peers::reconcile`].
    ownership_checks: Arc<Notify>,
    tasks: TaskTracker,
    shared: Arc<NodeContext>,
    contents: Arc<ContentCache>,
    store: Arc<dyn AttemptStore>,
}

impl ActorRegistry {
    /// A registry without attempts.
    pub(crate) fn new(
        shared: Arc<NodeContext>,
        contents: Arc<ContentCache>,
        store: Arc<dyn AttemptStore>,
        ownership_checks: Arc<Notify>,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            weak_self: Weak::clone(own),
            live: ActorCells::default(),
            loads: Semaphore::new(LOADS_MAX),
            ownership_checks,
            tasks,
            shared,
            contents,
            store,
        })
    }

    /// The attempt's actor, if it is in memory.
    pub(crate) fn find_actor(&self, attempt: AttemptId) -> Option<ActorHandle> {
        self.live.find(attempt)
    }

    /// The same, after waiting for a load that is under way.
    pub(crate) async fn find_actor_soon(&self, attempt: AttemptId) -> Option<ActorHandle> {
        let cell = self.live.join_existing(attempt)?;
        let loaded = cell.handle().get_or_try_init(async || Err(())).await;
        loaded.ok().filter(|handle| !handle.is_closed()).cloned()
    }

    /// The attempt's actor, loaded if it is not in memory. Returns `None` if there is no
    /// such attempt.
    ///
    /// # Errors
    /// The reason why it cannot be here.
    pub(crate) async fn get_or_load(
        &self,
        attempt: AttemptId,
        reason: &LoadReason,
    ) -> Result<Option<ActorHandle>, LoadError> {
        loop {
            let cell = self.live.join(attempt);
            let started = cell
                .handle()
                .get_or_try_init(|| self.start_actor(attempt, &cell, reason));
            match started.await {
                // Its cell goes now; the next round starts another.
                Ok(handle) if handle.is_closed() => {}
                Ok(handle) => return Ok(Some(handle.clone())),
                Err(missing) => return missing.map_or(Ok(None), Err),
            }
        }
    }

    /// Delivers a message to the attempt's actor, loading it if needed. Returns false if
    /// there is no such attempt.
    ///
    /// # Errors
    /// The reason why it cannot be here.
    pub(crate) async fn deliver_message(
        &self,
        attempt: AttemptId,
        mut message: ActorMessage,
        reason: &LoadReason,
    ) -> Result<bool, LoadError> {
        loop {
            let Some(handle) = self.get_or_load(attempt, reason).await? else {
                return Ok(false);
            };
            match handle.deliver_message(message).await {
                Ok(()) => return Ok(true),
                Err(returned) => message = returned,
            }
        }
    }

    /// Snapshot of the attempt, if it is in this node's memory.
    pub(crate) async fn local_snapshot(&self, attempt: AttemptId) -> Option<AttemptSnapshot> {
        let (reply, look) = oneshot::channel();
        let handle = self.find_actor(attempt)?;
        handle
            .deliver_message(ActorMessage::Snapshot(reply))
            .await
            .ok()?;
        look.await.ok()
    }

    /// All attempts in memory, sorted.
    pub(crate) fn live_attempts(&self) -> Vec<AttemptId> {
        self.live.attempts()
    }

    /// Requests a check of ownership: others may have acquired attempts unnoticed.
    pub(crate) fn request_ownership_check(&self) {
        self.ownership_checks.notify_one();
    }

    /// Owners of attempts at other nodes, as far as known here.
    pub(crate) fn owners(&self) -> &AttemptOwners {
        &self.shared.owners
    }

    /// Begins the shutdown: acquires no attempt any more, and tells every actor.
    pub(crate) async fn drain(&self) {
        self.shared.begin_drain();
        self.broadcast_message(|| ActorMessage::Drain).await;
    }

    /// Delivers a message to every actor.
    pub(crate) async fn broadcast_message(&self, message: impl Fn() -> ActorMessage) {
        for handle in self.live.handles() {
            // An actor that has ended meanwhile needs no message.
            handle.deliver_message(message()).await.ok();
        }
    }

    /// Acquires an attempt, or tells why not.
    async fn acquire_attempt(
        &self,
        attempt: AttemptId,
        reason: &LoadReason,
    ) -> Result<Acquired, Option<LoadError>> {
        let shared = &*self.shared;
        let begun = Instant::now();
        let (mut from, mut outcome) = (None, None);
        if let LoadReason::Reclaim { epoch } = reason {
            from = Some(*epoch);
        }
        for _ in 0..ACQUIRE_TRIES {
            let living = shared.peers.peers();
            self.still_wanted(attempt, reason, &living).await?;
            let acquiring = self
                .store
                .acquire_attempt(attempt, &shared.node, &living, from);
            let (node, epoch) = match self.with_load_permit(acquiring).await? {
                None => return Err(None),
                Some(AcquireOutcome::Acquired(taken)) => {
                    if let Some(outcome) = outcome {
                        shared.metrics.record_takeover(outcome, begun.elapsed());
                    }
                    return Ok(*taken);
                }
                Some(AcquireOutcome::Held { node, epoch }) => (node, epoch),
            };
            let LoadReason::Join { join, .. } = reason else {
                return Err(Some(LoadError::Elsewhere { node, epoch }));
            };
            // A node that stood still must not ask for a release that its client has
            // given up.
            self.still_wanted(attempt, reason, &living).await?;
            let question = PeerRequest::Release {
                attempt,
                epoch: Some(epoch),
                entry: join.clone(),
            };
            let patience = PeerTimeouts::uniform(HAND_OVER_MAX);
            outcome = Some(
                match shared.peers.send_request(&node, &question, patience).await {
                    Ok(PeerResponse::Refused { code, detail }) => {
                        let retry_ms = None;
                        return Err(Some(LoadError::Refused(CloseReason {
                            code,
                            detail,
                            retry_ms,
                        })));
                    }
                    Ok(_) => "handed_over",
                    Err(_) => "taken",
                },
            );
            from = Some(epoch);
        }
        // The attempt moves from one node to the next.
        Err(Some(LoadError::Refused(CloseReason::new(
            CloseCode::Overloaded,
        ))))
    }

    /// Checks that the attempt is still wanted for this reason.
    async fn still_wanted(
        &self,
        attempt: AttemptId,
        reason: &LoadReason,
        living: &[NodeId],
    ) -> Result<(), Option<LoadError>> {
        let refused = |code| Err(Some(LoadError::Refused(CloseReason::new(code))));
        if self.shared.is_draining() {
            // Work for another node is passed on to the end.
            if matches!(reason, LoadReason::Unowned)
                && let Some(owner) = self
                    .with_load_permit(self.store.read_owners(&[attempt]))
                    .await?
                    .pop()
                && let Some(node) = owner.node.filter(|node| living.contains(node))
            {
                let epoch = owner.epoch;
                return Err(Some(LoadError::Elsewhere { node, epoch }));
            }
            return refused(CloseCode::Draining);
        }
        match reason {
            LoadReason::Join { until, .. } if Instant::now() >= *until => {
                refused(CloseCode::Overloaded)
            }
            LoadReason::Join { .. } | LoadReason::Unowned | LoadReason::Reclaim { .. } => Ok(()),
        }
    }

    /// Waits for a permit, then for a loading call of the store.
    async fn with_load_permit<T>(
        &self,
        call: impl Future<Output = Result<T, invigil_store::Error>>,
    ) -> Result<T, Option<LoadError>> {
        let _permit = self
            .loads
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let loaded = call.await;
        loaded.map_err(|error| Some(LoadError::Failed(error.into())))
    }

    async fn start_actor(
        &self,
        attempt: AttemptId,
        cell: &CellCaller<'_>,
        reason: &LoadReason,
    ) -> Result<ActorHandle, Option<LoadError>> {
        let acquired = self.acquire_attempt(attempt, reason).await?;
        let failed = |error| Some(LoadError::Failed(error));
        let content = self
            .contents
            .load_version(&acquired.identity.exam_version)
            .await
            .map_err(failed)?;
        let (epoch, lost_at) = (acquired.epoch, acquired.lost_at);
        self.shared.owners.forget_attempt(attempt);
        self.shared
            .peers
            .broadcast_event(&PeerEvent::Taken { attempt, epoch });
        let name = acquired.candidate_name.clone();
        let attempt = load::restore_attempt(acquired, &content, self.shared.limits.answer_bytes)
            .map_err(failed)?;
        let shared = Arc::clone(&self.shared);
        let questions = content.plan.question_count();
        let questions = u32::try_from(questions).unwrap_or(u32::MAX);
        let board_row = self
            .shared
            .boards
            .open_row(attempt.identity(), &name, questions);
        let rules = self.contents.rules_for(&content);
        let own = Arc::clone(&board_row);
        let (actor, handle) =
            AttemptActor::new(shared, content, rules, attempt, own, (epoch, lost_at));
        self.spawn_actor(actor, board_row, cell.downgrade());
        Ok(handle)
    }

    fn spawn_actor(
        &self,
        mut actor: AttemptActor,
        board_row: Arc<BoardRow>,
        cell: Weak<ActorCell>,
    ) {
        let attempt = actor.attempt_id();
        let registry = Weak::clone(&self.weak_self);
        self.shared.metrics.live_attempts.inc();
        let live = LiveGuard {
            shared: Arc::clone(&self.shared),
            board_row,
            epoch: actor.epoch(),
        };
        self.tasks.spawn(async move {
            let ended = AssertUnwindSafe(actor.run()).catch_unwind().await;
            // Dropping it closes its connection; the rest may take long.
            drop(actor);
            drop(live);
            let Some(registry) = registry.upgrade() else {
                return;
            };
            registry.live.remove(attempt, &cell);
            if let Ok(unread) = ended {
                Box::pin(registry.forward_unread(attempt, unread)).await;
            } else {
                registry.shared.metrics.actor_panics.inc();
                tracing::error!(attempt.id = %attempt,
                        "the attempt's task panicked; it is loaded again on demand");
            }
        });
    }

    /// Forwards messages that came while the actor stopped to the next one. Connecting
    /// callers ask again by themselves, as they must know which actor accepted them.
    async fn forward_unread(&self, attempt: AttemptId, unread: Vec<ActorMessage>) {
        for message in unread {
            let reason = match &message {
                ActorMessage::Exchange(_) | ActorMessage::Staff(_) => LoadReason::Unowned,
                // Messages for that actor alone end with it.
                ActorMessage::Connect(_)
                | ActorMessage::Disconnected(_)
                | ActorMessage::Client(_)
                | ActorMessage::Snapshot(_)
                | ActorMessage::HealthChanged
                | ActorMessage::Drain
                | ActorMessage::Release(_)
                | ActorMessage::Lost { .. } => continue,
            };
            if let Err(missing) = self.deliver_message(attempt, message, &reason).await {
                // The caller learns it by the dropped reply.
                tracing::debug!(attempt.id = %attempt, ?missing,
                    "a message for a stopped attempt is lost");
            }
        }
    }
}

/// Counts an attempt in memory for as long as it lives.
struct LiveGuard {
    shared: Arc<NodeContext>,
    board_row: Arc<BoardRow>,
    epoch: u64,
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        self.shared.metrics.live_attempts.dec();
        self.board_row.mark_unloaded(self.epoch);
        self.shared.boards.close_row(&self.board_row);
    }
}

/// Reason for loading an attempt.
#[derive(Debug, Clone)]
pub(crate) enum LoadReason {
    /// A candidate's socket is here: the present owner is to release the attempt.
    Join {
        join: messages::JoinRequest,
        /// See [`ConnectRequest::until`].
        until: Instant,
    },
    /// Work that another node does if it has the attempt.
    Unowned,
    /// Work that the owner by this lease does not do.
    Reclaim { epoch: u64 },
}

impl LoadReason {
    /// The reason of a connect request.
    pub(crate) fn from_connect(request: &ConnectRequest) -> Self {
        Self::Join {
            join: request.join.clone(),
            until: request.until,
        }
    }
}

/// Reason why an attempt cannot be here.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// Another node has it, by this lease.
    Elsewhere { node: NodeId, epoch: u64 },
    /// The owner does not let the candidate join.
    Refused(CloseReason),
    /// The attempt could not be loaded.
    Failed(Error),
}
