//! This node among the others: what they ask each other, and which has an attempt.
//!
//! The store decides who has an attempt; what is known here only saves the way to it.
//! A node that is wrong about an owner gets no answer, and asks the store.

use std::{net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use dashmap::DashMap;
use invigil_protocol::{code::CloseCode, codec, exchange};
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::task::TaskTracker;

use super::{
    COMMIT_PATIENCE, ExchangeRefusal, StaffRefusal,
    actor::message::{Exchange, Look, Message, Release},
    board::{Rows, Told, Watched},
    entropy::fresh_session,
    registry::Registry,
    shared::Shared,
};
use crate::{
    cluster::{Change, Language, Patience, Service},
    domain::{
        attempt::command::{Action, CommandKey},
        id::{AttemptId, ExamCode, NodeId, SessionId},
        person::CandidateScope,
        time::Timestamp,
    },
};

/// How long the node that has an attempt may take to write what waits and let it go.
/// Then the attempt is taken all the same, which epochs make safe.
pub(super) const HAND_OVER_MAX: Duration = Duration::from_millis(250);

/// How long is waited for what an attempt's owner does, or shows.
pub(super) const DOING: Patience = Patience {
    first: HAND_OVER_MAX,
    // Longer than the owner waits for its commit: what it says then is heard.
    whole: COMMIT_PATIENCE.saturating_add(Duration::from_secs(2)),
};
pub(super) const LOOKING: Patience = Patience::short(HAND_OVER_MAX);

/// Owners that are remembered. What is beyond is asked of the store.
const OWNERS_MAX: usize = 200_000;

/// What the nodes of the engine say to each other.
pub(super) struct Talk;

impl Language for Talk {
    type Question = Question;
    type Answer = Answer;
    type News = News;
}

/// Who comes in, as far as whoever has the attempt must know to let it go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The session to go on with, and the number of its next command.
    pub resume: Option<(SessionId, u64)>,
    /// Where the client is.
    pub address: IpAddr,
    /// When it asked, by the clock of the node that it asked.
    // Optional, as nodes of an earlier release do not say it.
    #[serde(default)]
    pub asked_at: Option<Timestamp>,
}

/// What one node asks of another that has an attempt.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question {
    /// Write what waits, and let the attempt, taken under this number, go to where its
    /// candidate is now.
    Release {
        attempt: AttemptId,
        // Optional, as nodes of an earlier release do not name it.
        #[serde(default)]
        epoch: Option<u64>,
        entry: Entry,
    },
    /// Do what a candidate sends without a socket: the request's JSON, and the session
    /// that it begins where it has none.
    Exchange {
        attempt: AttemptId,
        request: String,
        // Likewise.
        #[serde(default)]
        fresh: Option<SessionId>,
        address: IpAddr,
        /// Whether a node may have done it before, whose answer was lost.
        #[serde(default)]
        again: bool,
    },
    /// Do what staff want.
    Staff {
        attempt: AttemptId,
        key: CommandKey,
        action: Action,
    },
    /// Show the attempt.
    Look { attempt: AttemptId },
    /// Show every attempt of an exam that is in memory.
    Board { exam: ExamCode },
    /// How many attempts of exams are in memory, of these candidates.
    Live {
        exams: Vec<ExamCode>,
        candidates: CandidateScope,
    },
}

/// Answers to these.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Everything is written, and nothing more will be.
    Released,
    /// Whoever wants to come in may not.
    Refused {
        code: CloseCode,
        detail: Option<String>,
    },
    /// What became of an exchange.
    Exchanged(Result<Box<exchange::Reply>, ExchangeRefusal>),
    /// What became of a staff command.
    Staffed(Result<(), StaffRefusal>),
    /// The attempt as it is in memory.
    Look(Box<Look>),
    /// What a node has of an exam.
    Board(Rows),
    /// In the order of the exams.
    Live(Vec<u32>),
}

/// What nodes tell each other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum News {
    /// The sender has taken an attempt.
    Taken { attempt: AttemptId, epoch: u64 },
    /// What is watched at the sender: all of it, or what changed.
    Watching { watched: Vec<Watched>, all: bool },
    /// What changed on the sender's board of an exam.
    Rows(ExamCode, Rows),
    /// People, their rights or exams were changed.
    Changed,
    /// Something for the consoles of an exam.
    Told(ExamCode, Box<Told>),
}

/// Which other node has an attempt, as far as this one has heard.
#[derive(Debug, Default)]
pub(super) struct Owners(DashMap<AttemptId, (NodeId, u64)>);

impl Owners {
    /// A node has taken an attempt.
    pub(super) fn note(&self, attempt: AttemptId, node: NodeId, epoch: u64) {
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

    /// The node that has an attempt.
    pub(super) fn find(&self, attempt: AttemptId) -> Option<NodeId> {
        self.0.get(&attempt).map(|known| known.0.clone())
    }

    /// What was known of an attempt is wrong.
    pub(super) fn forget(&self, attempt: AttemptId) {
        self.0.remove(&attempt);
    }

    /// Takings may have been missed.
    fn forget_all(&self) {
        self.0.clear();
    }

    /// A node has no attempts any more.
    fn forget_node(&self, node: &NodeId) {
        self.0.retain(|_, (owner, _)| owner != node);
    }
}

/// What this node does for the others.
pub(super) struct Desk {
    pub(super) registry: Arc<Registry>,
    pub(super) shared: Arc<Shared>,
    pub(super) tasks: TaskTracker,
}

#[async_trait]
impl Service<Talk> for Desk {
    async fn answer(&self, _from: NodeId, question: Question) -> Option<Answer> {
        match question {
            Question::Release {
                attempt,
                epoch,
                entry,
            } => self.release(attempt, epoch, entry).await,
            Question::Exchange {
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
                let exchange = Exchange {
                    request: codec::decode_exchange(request.as_bytes()).ok()?,
                    fresh,
                    address,
                    again,
                };
                self.exchange(attempt, exchange).await
            }
            Question::Staff {
                attempt,
                key,
                action,
            } => self.staff(attempt, key, action).await,
            Question::Look { attempt } => {
                let look = self.registry.look(attempt).await?;
                Some(Answer::Look(Box::new(look)))
            }
            Question::Board { exam } => {
                let board = self.shared.boards.find(&exam);
                Some(Answer::Board(
                    board.map(|board| board.rows()).unwrap_or_default(),
                ))
            }
            Question::Live { exams, candidates } => {
                let boards = &self.shared.boards;
                let live = |exam| Some(boards.find(exam)?.live(&candidates));
                let live = exams.iter().map(|exam| live(exam).unwrap_or_default());
                Some(Answer::Live(live.collect()))
            }
        }
    }

    fn hear(&self, from: NodeId, news: News) {
        match news {
            News::Taken { attempt, epoch } => {
                self.registry.owners().note(attempt, from, epoch);
                if let Some(handle) = self.registry.find(attempt) {
                    self.tasks.spawn(async move {
                        // One that has ended needs to hear nothing.
                        handle.deliver(Message::Lost { epoch }).await.ok();
                    });
                }
            }
            News::Watching { watched, all } => {
                let boards = &self.shared.boards;
                for board in boards.note_watched(&from, watched, all) {
                    let (shared, exam) = (Arc::clone(&self.shared), board.exam().clone());
                    self.tasks.spawn(async move {
                        board.publish_changes().await;
                        shared.boards.forget(&exam);
                    });
                }
            }
            News::Changed => self.shared.note_changed(),
            News::Rows(exam, rows) => {
                if let Some(board) = self.shared.boards.find(&exam) {
                    board.take_rows(&from, rows, false);
                }
            }
            News::Told(exam, told) => {
                if let Some(board) = self.shared.boards.find(&exam) {
                    board.pass_on(*told);
                }
            }
        }
    }

    fn change(&self, change: Change) {
        match change {
            Change::Joined(node) => tracing::info!(%node, "another node is there"),
            Change::Gone(node) => {
                tracing::warn!(%node, "another node is gone");
                self.registry.owners().forget_node(&node);
                self.shared.boards.lose(Some(&node));
            }
            Change::Cut => {
                tracing::warn!("other nodes are not heard any more");
                self.registry.owners().forget_all();
                self.shared.boards.lose(None);
            }
            Change::Gap => {
                self.registry.owners().forget_all();
                self.registry.doubt();
                self.shared.boards.doubt();
            }
        }
    }
}

impl Desk {
    async fn release(
        &self,
        attempt: AttemptId,
        epoch: Option<u64>,
        entry: Entry,
    ) -> Option<Answer> {
        let handle = self.registry.find_soon(attempt).await?;
        let (reply, released) = oneshot::channel();
        let message = Message::Release(Box::new((epoch, entry, reply)));
        handle.deliver(message).await.ok()?;
        Some(match released.await.ok()? {
            Release::Done => Answer::Released,
            Release::Refused(closing) => Answer::Refused {
                code: closing.code,
                detail: closing.detail,
            },
        })
    }

    async fn exchange(&self, attempt: AttemptId, exchange: Exchange) -> Option<Answer> {
        let handle = self.registry.find_soon(attempt).await?;
        let (reply, answer) = oneshot::channel();
        let message = Message::Exchange(Box::new((exchange, reply)));
        handle.deliver(message).await.ok()?;
        let answer = timeout(COMMIT_PATIENCE, answer).await;
        match answer {
            Ok(Ok(answer)) => Some(Answer::Exchanged(answer)),
            // It was let go meanwhile.
            Ok(Err(_)) => None,
            Err(_) => Some(Answer::Exchanged(Err(ExchangeRefusal::Unavailable))),
        }
    }

    async fn staff(&self, attempt: AttemptId, key: CommandKey, action: Action) -> Option<Answer> {
        let handle = self.registry.find_soon(attempt).await?;
        let (reply, done) = oneshot::channel();
        let message = Message::Staff(Box::new((key, action, reply)));
        handle.deliver(message).await.ok()?;
        match timeout(COMMIT_PATIENCE, done).await {
            Ok(Ok(done)) => Some(Answer::Staffed(done)),
            Ok(Err(_)) => None,
            Err(_) => Some(Answer::Staffed(Err(StaffRefusal::Unavailable))),
        }
    }
}
