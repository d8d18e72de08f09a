//! Entry of a candidate into an attempt: the terms of joining, and the reasons against it.

use std::net::IpAddr;

use super::mailbox::{ConnectRefusal, ExchangeRefusal};
use crate::{commit::outbox::CloseReason, peers::messages::JoinRequest};
use invigil_domain::{
    admission::{self, AdmissionError},
    attempt::{Attempt, AttemptCommand, AttemptPhase, DecideError},
    id::SessionId,
    time::Timestamp,
};
use invigil_protocol::code::CloseCode;

/// Terms on which a candidate may join.
#[derive(Debug)]
pub(super) struct JoinAdmission {
    /// Session to resume; `None` begins a new one.
    pub resume: Option<SessionId>,
    /// True if the attempt is over, and the candidate only learns that.
    pub over: bool,
}

/// Reason for not letting a candidate into the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EnterRefusal {
    /// The exam refuses a second device.
    AnotherDevice,
    /// The attempt is over.
    Closed,
}

impl From<DecideError> for EnterRefusal {
    fn from(refusal: DecideError) -> Self {
        match refusal {
            DecideError::AnotherDevice => Self::AnotherDevice,
            DecideError::Closed
            | DecideError::Gap { .. }
            | DecideError::AfterHandIn
            | DecideError::NotPaused
            | DecideError::AlreadyPaused
            | DecideError::NotStarted
            | DecideError::UnknownIncident => Self::Closed,
        }
    }
}

impl From<EnterRefusal> for ConnectRefusal {
    fn from(refusal: EnterRefusal) -> Self {
        match refusal {
            EnterRefusal::AnotherDevice => {
                connect_refusal(CloseCode::Forbidden, Some("another_device".to_owned()))
            }
            EnterRefusal::Closed => connect_refusal(CloseCode::Closed, None),
        }
    }
}

impl From<EnterRefusal> for ExchangeRefusal {
    fn from(refusal: EnterRefusal) -> Self {
        match refusal {
            EnterRefusal::AnotherDevice => Self::AnotherDevice,
            EnterRefusal::Closed => Self::Closed,
        }
    }
}

/// Checks the exam's access rules for an address.
pub(super) fn check_access(
    attempt: &Attempt,
    now: Timestamp,
    address: IpAddr,
) -> Result<(), AdmissionError> {
    if attempt.is_over() {
        // An attempt that is over refuses later, with its own reason.
        return Ok(());
    }
    let entered_at = attempt.control().ledger.entered_at;
    admission::may_enter(attempt.indexed_exam().exam(), address, now, entered_at)
}

/// Decides if a candidate may join, and on which terms. `saved_seq` is the present
/// session's.
pub(super) fn admit_join(
    attempt: &Attempt,
    now: Timestamp,
    join: &JoinRequest,
    saved_seq: u64,
) -> Result<JoinAdmission, ConnectRefusal> {
    check_access(attempt, now, join.address).map_err(|refusal| {
        connect_refusal(CloseCode::Forbidden, Some(refusal.code().to_owned()))
    })?;
    let owner = attempt.session().map(|session| &session.id);
    let resumes = join.resume.as_ref();
    let resumes = resumes.filter(|(session, _)| Some(session) == owner);
    if let Some((_, next_seq)) = resumes
        && *next_seq <= saved_seq
    {
        let detail = "next_seq is saved already: start a new session".to_owned();
        return Err(connect_refusal(CloseCode::BadMessage, Some(detail)));
    }
    let over = attempt.is_over();
    let handed_in = matches!(attempt.control().phase, AttemptPhase::HandedIn { .. });
    if over && !(handed_in && resumes.is_some()) {
        return Err(connect_refusal(CloseCode::Closed, None));
    }
    Ok(JoinAdmission {
        resume: resumes.map(|(session, _)| session.clone()),
        over,
    })
}

/// Checks that a candidate may join, without entering.
pub(super) fn check_join(
    attempt: &Attempt,
    now: Timestamp,
    join: &JoinRequest,
    saved_seq: u64,
) -> Result<(), ConnectRefusal> {
    let admitted = admit_join(attempt, now, join, saved_seq)?;
    if admitted.over {
        return Ok(());
    }
    let enter = AttemptCommand::Enter {
        resume: admitted.resume,
        // Only whether it is refused matters here.
        fresh: SessionId::from(""),
    };
    match attempt.decide(now, &enter) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(EnterRefusal::from(refusal).into()),
    }
}

/// A refusal by a close code.
pub(super) const fn connect_refusal(code: CloseCode, detail: Option<String>) -> ConnectRefusal {
    ConnectRefusal(CloseReason {
        code,
        detail,
        retry_ms: None,
    })
}

#[cfg(test)]
mod tests;
