//! How an attempt goes from one node to another.

use tokio::sync::oneshot;

use super::{
    Actor,
    client::refuse,
    message::{OpeningRefusal, Release},
};
use crate::{
    domain::{
        attempt::{Command, Phase, Plan},
        id::SessionId,
        time::{Timestamp, duration_ms},
    },
    engine::{
        nodes::Entry,
        outbox::Closing,
        slot::{Change, Fate},
    },
};
use invigil_protocol::code::CloseCode;

/// Heartbeats after which a candidate whose node died is back: three until the client
/// knows, one to reach another node.
const BACK_AFTER: u32 = 4;

/// How somebody may come in.
pub(super) struct Admitted {
    /// The session that goes on; none: a new one begins.
    pub resume: Option<SessionId>,
    /// Only to be told that the attempt is over.
    pub over: bool,
}

impl Actor {
    /// Whether somebody may come in, and how.
    pub(super) fn admission(
        &self,
        now: Timestamp,
        entry: &Entry,
    ) -> Result<Admitted, OpeningRefusal> {
        self.admit(now, entry.address)
            .map_err(|refusal| refuse(CloseCode::Forbidden, Some(refusal.code().to_owned())))?;
        let owner = self.attempt.session().map(|session| &session.id);
        let resumes = entry.resume.as_ref();
        let resumes = resumes.filter(|(session, _)| Some(session) == owner);
        if let Some((_, next_seq)) = resumes
            && *next_seq <= self.saved_seq()
        {
            let detail = "next_seq is saved already: start a new session".to_owned();
            return Err(refuse(CloseCode::BadMessage, Some(detail)));
        }
        let over = self.attempt.is_over();
        let handed_in = matches!(self.attempt.control().phase, Phase::HandedIn { .. });
        if over && !(handed_in && resumes.is_some()) {
            return Err(refuse(CloseCode::Closed, None));
        }
        Ok(Admitted {
            resume: resumes.map(|(session, _)| session.clone()),
            over,
        })
    }

    /// The candidate is at another node: lets the attempt go once everything is
    /// written. Whoever may not come in there is refused by whoever has the attempt:
    /// a second device must not end the first one's connection.
    pub(super) fn release(&mut self, entry: &Entry, reply: oneshot::Sender<Release>) {
        let now = self.shared.clock.now();
        // A request may come late, and the candidate be back here meanwhile: whoever asks
        // is not answered, and a client that is still there would come again.
        let connected = self.connection.as_ref().and_then(|own| own.asked_at);
        if connected.is_some_and(|own| entry.asked_at.is_some_and(|asked| asked < own)) {
            return;
        }
        if let Err(OpeningRefusal(closing)) = self.may_come_in(now, entry) {
            reply.send(Release::Refused(closing)).ok();
            return;
        }
        self.close_connection(Closing::new(CloseCode::Superseded));
        self.leaving.push(reply);
        if !self.slot.is_clean(self.attempt.version()) {
            let wakes_actor = true;
            self.put(
                now,
                Change {
                    wakes_actor,
                    ..Change::default()
                },
            );
        }
    }

    fn may_come_in(&self, now: Timestamp, entry: &Entry) -> Result<(), OpeningRefusal> {
        let admitted = self.admission(now, entry)?;
        if admitted.over {
            return Ok(());
        }
        let enter = Command::Enter {
            resume: admitted.resume,
            // Only whether it is refused matters here.
            fresh: SessionId::from(""),
        };
        match self.attempt.decide(now, &enter) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(super::client::EnterRefusal::from(refusal).into_opening()),
        }
    }

    /// Whether the attempt may go where it is wanted.
    pub(super) fn may_go(&self) -> bool {
        !self.leaving.is_empty() && self.is_settled()
    }

    /// Another node has taken the attempt under a number of its own, without a word of
    /// this one. Whether somebody may come in there is not decided yet, so the client
    /// here is told to come again, and not that it was replaced.
    pub(super) fn lose(&mut self, epoch: u64) {
        if epoch <= self.slot.epoch() {
            return;
        }
        self.close_connection(Closing::new(CloseCode::Moved));
        self.slot.seal(Fate::Fenced);
    }

    /// Gives back the time in which the attempt's node was dead, if it was: as long as
    /// a connected candidate needs to come to another one. Whoever was not connected
    /// gets no more. Where somebody else is first, the candidate gets the rest on coming
    /// back.
    pub(super) fn give_back_lost_node(&mut self) {
        let Some((from, back_by)) = self.lost.take() else {
            return;
        };
        let now = self.shared.clock.now();
        let until = now.min(back_by);
        if duration_ms(until.since(from)) < duration_ms(self.shared.outage_min) {
            self.lost = (until < back_by).then_some((from, back_by));
            return;
        }
        // Where the whole engine was away, that is given back already.
        self.perform(now, &Command::Outage { from, until }, Change::default())
            .ok();
        self.lost = (until < back_by).then_some((until, back_by));
    }

    /// When the time ends that a node owes which died at an instant.
    pub(super) fn back_by(plan: &Plan, lost_at: Timestamp) -> Timestamp {
        lost_at + plan.exam().proctoring.heartbeat * BACK_AFTER
    }
}
