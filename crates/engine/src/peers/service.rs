//! The service of this node to its peers: responses to their requests, and the effects of
//! their events.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{sync::oneshot, time::timeout};
use tokio_util::task::TaskTracker;

use super::messages::{
    COMMIT_TIMEOUT, ExchangeRefusal, JoinRequest, PeerEvent, PeerProtocol, PeerRequest,
    PeerResponse, StaffRefusal,
};
use crate::{
    attempt::{
        mailbox::{ActorMessage, ExchangeInput, ReleaseOutcome},
        registry::ActorRegistry,
    },
    node::{context::NodeContext, entropy::fresh_session},
};
use invigil_cluster::{PeerChange, PeerHandler};
use invigil_domain::{
    attempt::command::{CommandKey, StaffAction},
    id::{AttemptId, NodeId},
};
use invigil_protocol::codec;

/// The service of this node to its peers.
pub(crate) struct PeerService {
    pub(crate) registry: Arc<ActorRegistry>,
    pub(crate) shared: Arc<NodeContext>,
    pub(crate) tasks: TaskTracker,
}

#[async_trait]
impl PeerHandler<PeerProtocol> for PeerService {
    async fn handle_request(&self, _from: NodeId, request: PeerRequest) -> Option<PeerResponse> {
        match request {
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

    fn handle_event(&self, from: NodeId, event: PeerEvent) {
        match event {
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
