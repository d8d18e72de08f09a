//! Hand-over of an attempt between nodes, and the time lost with a dead node.

use tokio::sync::oneshot;

use super::{AttemptActor, client::connect_refusal};
use crate::attempt::mailbox::{ConnectRefusal, ReleaseOutcome};
use crate::{
    commit::{
        outbox::CloseReason,
        write_buffer::{AttemptChanges, BufferState},
    },
    peers::messages::JoinRequest,
};
use invigil_domain::{
    attempt::{AttemptCommand, AttemptPhase, IndexedExam},
    id::SessionId,
    time::{Timestamp, duration_ms},
};
use invigil_protocol::code::CloseCode;

/// Heartbeat intervals until a candidate whose node died is back: three until the client
/// notices, one to reach another node.
const RETURN_HEARTBEATS: u32 = 4;

/// Terms on which a candidate may join.
pub(super) struct JoinAdmission {
    /// Session to resume; `None` begins a new one.
    pub resume: Option<SessionId>,
    /// True if the attempt is over, and the candidate only learns that.
    pub over: bool,
}

impl AttemptActor {
    /// Decides if a candidate may join, and on which terms.
    pub(super) fn admit_join(
        &self,
        now: Timestamp,
        join: &JoinRequest,
    ) -> Result<JoinAdmission, ConnectRefusal> {
        self.check_access(now, join.address).map_err(|refusal| {
            connect_refusal(CloseCode::Forbidden, Some(refusal.code().to_owned()))
        })?;
        let owner = self.attempt.session().map(|session| &session.id);
        let resumes = join.resume.as_ref();
        let resumes = resumes.filter(|(session, _)| Some(session) == owner);
        if let Some((_, next_seq)) = resumes
            && *next_seq <= self.saved_seq()
        {
            let detail = "next_seq is saved already: start a new session".to_owned();
            return Err(connect_refusal(CloseCode::BadMessage, Some(detail)));
        }
        let over = self.attempt.is_over();
        let handed_in = matches!(self.attempt.control().phase, AttemptPhase::HandedIn { .. });
        if over && !(handed_in && resumes.is_some()) {
            return Err(connect_refusal(CloseCode::Closed, None));
        }
        Ok(JoinAdmission {
            resume: resumes.map(|(session, _)| session.clone()),
            over,
        })
    }

    /// Releases the attempt to the candidate's new node, once everything is written. A
    /// candidate who may not join there is refused here: a second device must not end the
    /// first one's connection.
    pub(super) fn begin_release(
        &mut self,
        join: &JoinRequest,
        reply: oneshot::Sender<ReleaseOutcome>,
    ) {
        let now = self.shared.clock.now();
        // The request may come late, after the candidate came back here: it gets no
        // answer, and a client that is still at the other node asks again.
        let connected = self.connection.as_ref().and_then(|own| own.asked_at);
        if connected.is_some_and(|own| join.asked_at.is_some_and(|asked| asked < own)) {
            return;
        }
        if let Err(ConnectRefusal(closing)) = self.check_join(now, join) {
            reply.send(ReleaseOutcome::Refused(closing)).ok();
            return;
        }
        self.close_connection(CloseReason::new(CloseCode::Superseded));
        self.release_waiters.push(reply);
        if !self.buffer.is_clean(self.attempt.version()) {
            let wakes_actor = true;
            self.buffer_changes(
                now,
                AttemptChanges {
                    wakes_actor,
                    ..AttemptChanges::default()
                },
            );
        }
    }

    fn check_join(&self, now: Timestamp, join: &JoinRequest) -> Result<(), ConnectRefusal> {
        let admitted = self.admit_join(now, join)?;
        if admitted.over {
            return Ok(());
        }
        let enter = AttemptCommand::Enter {
            resume: admitted.resume,
            // Only whether it is refused matters here.
            fresh: SessionId::from(""),
        };
        match self.attempt.decide(now, &enter) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(super::client::EnterRefusal::from(refusal).into_connect_refusal()),
        }
    }

    /// True if the attempt may be released to a waiting node.
    pub(super) fn may_release(&self) -> bool {
        !self.release_waiters.is_empty() && self.is_settled()
    }

    /// Another node has acquired the attempt by a lease of its own, without a release
    /// here. The candidate's admission there is still open, so the client is told to
    /// reconnect, and not that it was replaced.
    pub(super) fn lose_ownership(&mut self, epoch: u64) {
        if epoch <= self.buffer.epoch() {
            return;
        }
        self.close_connection(CloseReason::new(CloseCode::Moved));
        self.buffer.seal(BufferState::Fenced);
    }

    /// Gives back the time in which the attempt's previous node was dead: at most as long
    /// as a connected candidate needs to reach another node. A candidate who was not
    /// connected gets no more. If another caller comes first, the candidate gets the rest
    /// on return.
    pub(super) fn compensate_lost_node(&mut self) {
        let Some((from, owed_until)) = self.owed_outage.take() else {
            return;
        };
        let now = self.shared.clock.now();
        let until = now.min(owed_until);
        if duration_ms(until.since(from)) < duration_ms(self.shared.outage_min) {
            self.owed_outage = (until < owed_until).then_some((from, owed_until));
            return;
        }
        // An outage of the whole engine is given back already.
        self.perform_command(
            now,
            &AttemptCommand::Outage { from, until },
            AttemptChanges::default(),
        )
        .ok();
        self.owed_outage = (until < owed_until).then_some((until, owed_until));
    }

    /// End of the time to give back for a node that died at `lost_at`.
    pub(super) fn owed_until(plan: &IndexedExam, lost_at: Timestamp) -> Timestamp {
        lost_at + plan.exam().proctoring.heartbeat * RETURN_HEARTBEATS
    }
}
