//! This node among its peers: their requests to each other, and the owners of attempts.
//!
//! The store decides which node owns an attempt; the owners cached here only shorten the way
//! to it. A request to a node that is not the owner gets no response, and the store is asked.

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use dashmap::DashMap;
use invigil_protocol::{code::CloseCode, codec, exchange};
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{
    COMMIT_TIMEOUT, ExchangeRefusal, StaffRefusal,
    attempt::{
        mailbox::{ActorMessage, AttemptSnapshot, ExchangeInput, ReleaseOutcome},
        registry::ActorRegistry,
    },
    board::{BoardUpdate, ConsoleNotice, WatchedExam},
    node::{context::NodeContext, entropy::fresh_session},
};
use invigil_cluster::{LinkProtocol, PeerChange, PeerHandler, PeerTimeouts};
use invigil_domain::{
    attempt::command::{CommandKey, StaffAction},
    id::{AttemptId, ExamCode, NodeId, SessionId},
    person::CandidateScope,
    time::Timestamp,
};

/// Limit for an attempt's owner to save pending changes and release it. After that the
/// attempt is acquired anyway, which epochs make safe.
pub(crate) const HAND_OVER_MAX: Duration = Duration::from_millis(250);

/// Timeouts of a request that changes an attempt, and of one that only reads.
pub(crate) const ACTION_TIMEOUTS: PeerTimeouts = PeerTimeouts {
    first_reply: HAND_OVER_MAX,
    // Longer than the owner waits for its commit, so that its response still arrives.
    total: COMMIT_TIMEOUT.saturating_add(Duration::from_secs(2)),
};
pub(crate) const QUERY_TIMEOUTS: PeerTimeouts = PeerTimeouts::uniform(HAND_OVER_MAX);

/// Owners that are cached. Above that the cache starts anew, and the store is asked.
const OWNERS_MAX: usize = 200_000;

/// The messages between nodes of the engine.
pub(crate) struct PeerProtocol;

impl LinkProtocol for PeerProtocol {
    type Request = PeerRequest;
    type Response = PeerResponse;
    type Event = PeerEvent;
}

/// A candidate's request to connect, as far as the attempt's
/// owner must know it to release the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The session to resume, and the number of its next command.
    pub resume: Option<(SessionId, u64)>,
    /// The client's address.
    pub address: IpAddr,
    /// Time of the request, by the clock of the node that received it.
    // Optional, as nodes of an earlier release do not send it.
    #[serde(default)]
    pub asked_at: Option<Timestamp>,
}

/// A request to another node.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeerRequest {
    /// Save pending changes and release the attempt, held under this epoch, to the node
    /// that its candidate is connected to.
    Release {
        attempt: AttemptId,
        // Optional, as nodes of an earlier release do not send it.
        #[serde(default)]
        epoch: Option<u64>,
        entry: JoinRequest,
    },
    /// Run an exchange that a candidate sent without a socket: the request as JSON, and
    /// the session that begins if it names none.
    Exchange {
        attempt: AttemptId,
        request: String,
        // Likewise.
        #[serde(default)]
        fresh: Option<SessionId>,
        address: IpAddr,
        /// True if another node may have run it already, and its response was lost.
        #[serde(default)]
        again: bool,
    },
    /// Run a staff command.
    Staff {
        attempt: AttemptId,
        key: CommandKey,
        action: StaffAction,
    },
    /// Return a snapshot of the attempt.
    Look { attempt: AttemptId },
    /// Return the rows of an exam's attempts in memory.
    Board { exam: ExamCode },
    /// Count the attempts of exams in memory that are within a scope.
    Live {
        exams: Vec<ExamCode>,
        candidates: CandidateScope,
    },
}

/// The response to a [`PeerRequest`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeerResponse {
    /// Everything is saved, and this node writes no more.
    Released,
    /// The candidate may not connect.
    Refused {
        code: CloseCode,
        detail: Option<String>,
    },
    /// The result of an exchange.
    Exchanged(Result<Box<exchange::ExchangeResponse>, ExchangeRefusal>),
    /// The result of a staff command.
    Staffed(Result<(), StaffRefusal>),
    /// A snapshot of the attempt in memory.
    Look(Box<AttemptSnapshot>),
    /// The node's rows of an exam.
    Board(BoardUpdate),
    /// Counts, in the order of the exams.
    Live(Vec<u32>),
}

/// An event that a node announces to others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeerEvent {
    /// The sender has acquired an attempt.
    Taken { attempt: AttemptId, epoch: u64 },
    /// Exams watched at the sender: all of them, or those that changed.
    Watching {
        watched: Vec<WatchedExam>,
        all: bool,
    },
    /// Changed rows of the sender's board of an exam.
    Rows(ExamCode, BoardUpdate),
    /// People, their rights or exams were changed.
    Changed,
    /// A notice for the consoles of an exam.
    Told(ExamCode, Box<ConsoleNotice>),
}

/// The owners of attempts among the other nodes, as far as this one has heard.
#[derive(Debug, Default)]
pub(crate) struct AttemptOwners(DashMap<AttemptId, (NodeId, u64)>);

impl AttemptOwners {
    /// Notes that a node has acquired an attempt.
    pub(crate) fn note_owner(&self, attempt: AttemptId, node: NodeId, epoch: u64) {
        if self.0.len() >= OWNERS_MAX {
            self.0.clear();
        }
        let mut known = self
            .0
            .entry(attempt)
            .or_insert_with(|| (node.clone(), epoch));
        if known.1 < epoch {
            *known = (node, epoch);
        }
    }

    /// Returns the node that owns an attempt, if it is known.
    pub(crate) fn find_owner(&self, attempt: AttemptId) -> Option<NodeId> {
        self.0.get(&attempt).map(|known| known.0.clone())
    }

    /// Forgets an owner that proved wrong.
    pub(crate) fn forget_attempt(&self, attempt: AttemptId) {
        self.0.remove(&attempt);
    }

    /// Forgets all owners, as events may have been missed.
    fn forget_all(&self) {
        self.0.clear();
    }

    /// Forgets the attempts of a node that is gone.
    fn forget_node(&self, node: &NodeId) {
        self.0.retain(|_, (owner, _)| owner != node);
    }
}

/// The service of this node to its peers.
pub(crate) struct PeerService {
    pub(crate) registry: Arc<ActorRegistry>,
    pub(crate) shared: Arc<NodeContext>,
    pub(crate) tasks: TaskTracker,
}

#[async_trait]
impl PeerHandler<PeerProtocol> for PeerService {
    async fn handle_request(&self, _from: NodeId, question: PeerRequest) -> Option<PeerResponse> {
        match question {
            PeerRequest::Release {
                attempt,
                epoch,
                entry,
            } => self.release_attempt(attempt, epoch, entry).await,
            PeerRequest::Exchange {
                attempt,
                request,
                fresh,
                address,
                again,
            } => {
                let fresh = match fresh {
                    Some(fresh) => fresh,
                    None => fresh_session(&*self.shared.entropy).ok()?,
                };
                let exchange = ExchangeInput {
                    request: codec::decode_exchange(request.as_bytes()).ok()?,
                    fresh,
                    address,
                    again,
                };
                self.run_exchange(attempt, exchange).await
            }
            PeerRequest::Staff {
                attempt,
                key,
                action,
            } => self.run_staff_action(attempt, key, action).await,
            PeerRequest::Look { attempt } => {
                let look = self.registry.local_snapshot(attempt).await?;
                Some(PeerResponse::Look(Box::new(look)))
            }
            PeerRequest::Board { exam } => {
                let board = self.shared.boards.find_board(&exam);
                Some(PeerResponse::Board(
                    board.map(|board| board.full_update()).unwrap_or_default(),
                ))
            }
            PeerRequest::Live { exams, candidates } => {
                let boards = &self.shared.boards;
                let live = |exam| Some(boards.find_board(exam)?.live_count(&candidates));
                let live = exams.iter().map(|exam| live(exam).unwrap_or_default());
                Some(PeerResponse::Live(live.collect()))
            }
        }
    }

    fn handle_event(&self, from: NodeId, news: PeerEvent) {
        match news {
            PeerEvent::Taken { attempt, epoch } => {
                self.registry.owners().note_owner(attempt, from, epoch);
                if let Some(handle) = self.registry.find_actor(attempt) {
                    self.tasks.spawn(async move {
                        // An actor that has ended needs no message.
                        handle
                            .deliver_message(ActorMessage::Lost { epoch })
                            .await
                            .ok();
                    });
                }
            }
            PeerEvent::Watching { watched, all } => {
                let boards = &self.shared.boards;
                for board in boards.apply_watched(&from, watched, all) {
                    let (shared, exam) = (Arc::clone(&self.shared), board.exam().clone());
                    self.tasks.spawn(async move {
                        board.publish_changes().await;
                        shared.boards.forget_unused(&exam);
                    });
                }
            }
            PeerEvent::Changed => self.shared.note_changed(),
            PeerEvent::Rows(exam, rows) => {
                if let Some(board) = self.shared.boards.find_board(&exam) {
                    board.apply_update(&from, rows, false);
                }
            }
            PeerEvent::Told(exam, told) => {
                if let Some(board) = self.shared.boards.find_board(&exam) {
                    board.forward_notice(*told);
                }
            }
        }
    }

    fn handle_change(&self, change: PeerChange) {
        match change {
            PeerChange::Joined(node) => tracing::info!(%node, "a node has joined"),
            PeerChange::Gone(node) => {
                tracing::warn!(%node, "a node is gone");
                self.registry.owners().forget_node(&node);
                self.shared.boards.lose_node(Some(&node));
            }
            PeerChange::Isolated => {
                tracing::warn!("this node no longer hears the others");
                self.registry.owners().forget_all();
                self.shared.boards.lose_node(None);
            }
            PeerChange::Gap => {
                self.registry.owners().forget_all();
                self.registry.request_ownership_check();
                self.shared.boards.mark_unsynced();
            }
        }
    }
}

impl PeerService {
    async fn release_attempt(
        &self,
        attempt: AttemptId,
        epoch: Option<u64>,
        entry: JoinRequest,
    ) -> Option<PeerResponse> {
        let handle = self.registry.find_actor_soon(attempt).await?;
        let (reply, released) = oneshot::channel();
        let message = ActorMessage::Release(Box::new((epoch, entry, reply)));
        handle.deliver_message(message).await.ok()?;
        Some(match released.await.ok()? {
            ReleaseOutcome::Released => PeerResponse::Released,
            ReleaseOutcome::Refused(closing) => PeerResponse::Refused {
                code: closing.code,
                detail: closing.detail,
            },
        })
    }

    async fn run_exchange(
        &self,
        attempt: AttemptId,
        exchange: ExchangeInput,
    ) -> Option<PeerResponse> {
        let handle = self.registry.find_actor_soon(attempt).await?;
        let (reply, answer) = oneshot::channel();
        let message = ActorMessage::Exchange(Box::new((exchange, reply)));
        handle.deliver_message(message).await.ok()?;
        let answer = timeout(COMMIT_TIMEOUT, answer).await;
        match answer {
            Ok(Ok(answer)) => Some(PeerResponse::Exchanged(answer)),
            // The attempt was released meanwhile.
            Ok(Err(_)) => None,
            Err(_) => Some(PeerResponse::Exchanged(Err(ExchangeRefusal::Unavailable))),
        }
    }

    async fn run_staff_action(
        &self,
        attempt: AttemptId,
        key: CommandKey,
        action: StaffAction,
    ) -> Option<PeerResponse> {
        let handle = self.registry.find_actor_soon(attempt).await?;
        let (reply, done) = oneshot::channel();
        let message = ActorMessage::Staff(Box::new((key, action, reply)));
        handle.deliver_message(message).await.ok()?;
        match timeout(COMMIT_TIMEOUT, done).await {
            Ok(Ok(done)) => Some(PeerResponse::Staffed(done)),
            Ok(Err(_)) => None,
            Err(_) => Some(PeerResponse::Staffed(Err(StaffRefusal::Unavailable))),
        }
    }
}
