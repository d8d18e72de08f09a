//! The way to an attempt, whichever node has it.

use tokio::sync::oneshot;

use super::{
    COMMIT_PATIENCE, Engine, Inner,
    actor::message::{Look, Message, Reply},
    nodes::{Answer, DOING, LOOKING, Question},
    registry::{Missing, Why},
};
use crate::{cluster::Unanswered, domain::id::AttemptId};

/// How often a way to an attempt is looked for, which may be on its way itself.
const TRIES: usize = 4;

/// What became of something that was to be done to an attempt.
pub(super) enum Done<T, E> {
    /// By this node.
    Here(Result<T, E>),
    /// By another.
    There(Answer),
    /// There is no such attempt.
    NoSuchAttempt,
    /// It is not known to be done.
    Not,
}

impl Engine {
    /// Has something done by whichever node has the attempt, or else does it here.
    /// It may be done twice: whoever asks has numbered it, and the second time is told
    /// that it is one.
    pub(super) async fn have_done<T, E>(
        &self,
        attempt: AttemptId,
        question: impl Fn(bool) -> Question,
        message: impl Fn(Reply<T, E>, bool) -> Message,
    ) -> Done<T, E> {
        let Inner {
            shared, registry, ..
        } = &*self.inner;
        let (mut why, mut again) = (Why::Unowned, false);
        for _ in 0..TRIES {
            let heard = shared.owners.find(attempt);
            let heard = heard.filter(|_| registry.find(attempt).is_none());
            let (reply, done) = oneshot::channel();
            let (holder, taking) = match (heard, &why) {
                (Some(holder), Why::Unowned) => (holder, None),
                (_, reason) => match registry
                    .deliver(attempt, message(reply, again), reason)
                    .await
                {
                    Ok(true) => match tokio::time::timeout(COMMIT_PATIENCE, done).await {
                        Ok(Ok(done)) => return Done::Here(done),
                        Ok(Err(_)) => {
                            // It was let go meanwhile, to whoever has it now.
                            (why, again) = (Why::Unowned, true);
                            continue;
                        }
                        Err(_) => return Done::Not,
                    },
                    Ok(false) => return Done::NoSuchAttempt,
                    Err(Missing::Elsewhere { node, epoch }) => (node, Some(epoch)),
                    Err(missing) => {
                        tracing::warn!(attempt.id = %attempt, ?missing, "cannot load");
                        return Done::Not;
                    }
                },
            };
            match shared.nodes.ask(&holder, &question(again), DOING).await {
                Ok(answer) => return Done::There(answer),
                // Whoever asks may do so again, and finds it done.
                Err(Unanswered::Working) => return Done::Not,
                Err(Unanswered::Nothing | Unanswered::Silent) => again = true,
            }
            // It was only heard to have it, and the store knows; or it does not have it in
            // memory, or is dead, or hangs.
            shared.owners.forget(attempt);
            why = taking.map_or(Why::Unowned, |epoch| Why::Owed { epoch });
        }
        Done::Not
    }

    /// The attempt as it is in the memory of whichever node has it; none where it is
    /// in none's.
    pub(super) async fn look(&self, attempt: AttemptId) -> Option<Look> {
        let Inner {
            shared,
            registry,
            attempts,
            ..
        } = &*self.inner;
        if let Some(look) = registry.look(attempt).await {
            return Some(look);
        }
        let others = shared.nodes.others();
        if others.is_empty() {
            return None;
        }
        let holder = match shared.owners.find(attempt) {
            Some(holder) => holder,
            None => attempts.owners(&[attempt]).await.ok()?.pop()?.node?,
        };
        let question = Question::Look { attempt };
        match shared.nodes.ask(&holder, &question, LOOKING).await.ok()? {
            Answer::Look(look) => Some(*look),
            Answer::Released
            | Answer::Refused { .. }
            | Answer::Exchanged(_)
            | Answer::Staffed(_)
            | Answer::Board(_)
            | Answer::Live(_) => None,
        }
    }
}
