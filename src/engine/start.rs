//! Starting an attempt: the one place where attempts are made.

use std::{net::IpAddr, sync::Arc};

use super::{Engine, Error, entropy};
use crate::{
    domain::{
        admission::{self, History, Refusal, Start},
        attempt::{Control, Identity, Status},
        exam::Exam,
        id::{AttemptId, ExamCode},
        person::Person,
        time::Timestamp,
    },
    store::{ControlRow, IntegritySums, NewAttempt, Started},
};

/// An attempt that a candidate may enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedAttempt {
    /// What it is.
    pub identity: Identity,
    /// Where it stands.
    pub status: Status,
    /// False where it was open already.
    pub created: bool,
}

/// Why no attempt was made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The exam's rules.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such exam.
    #[error("there is no such exam")]
    NoSuchExam,
    /// The engine.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// How often a start is decided again because the exam changed meanwhile.
const TRIES: usize = 3;

impl Engine {
    /// Makes an attempt, or finds the person's open one. However many ask at
    /// once, one is made.
    ///
    /// # Errors
    /// Why not.
    pub async fn start(
        &self,
        person: &Person,
        code: &ExamCode,
        password: Option<&str>,
        address: IpAddr,
    ) -> Result<StartedAttempt, StartError> {
        for _ in 0..TRIES {
            if let Some(started) = self.try_start(person, code, password, address).await? {
                return Ok(started);
            }
            self.inner.contents.forget_list();
        }
        // It did not change under our hands so often: it is gone, or the person is.
        Err(Refusal::Closed.into())
    }

    /// None where what was decided on is no longer so.
    async fn try_start(
        &self,
        person: &Person,
        code: &ExamCode,
        password: Option<&str>,
        address: IpAddr,
    ) -> Result<Option<StartedAttempt>, StartError> {
        let exam = self
            .inner
            .contents
            .exam(code)
            .await?
            .ok_or(StartError::NoSuchExam)?;
        let now = self.now();
        let history = self.history(person, code).await?;
        let start = Start {
            person,
            now,
            address,
            password,
            history,
        };
        admission::may_start(&exam, &start)?;
        let seed = entropy::number(&*self.inner.shared.entropy).map_err(Error::from)?;
        let new = new_attempt(seed, &exam, person, address, now);
        let (identity, created) = match self.inner.attempts.start(new).await.map_err(Error::from)? {
            Started::Created(identity) => (identity, true),
            Started::Open(identity) => (identity, false),
            Started::NoneLeft => return Err(Refusal::NoAttemptsLeft.into()),
            Started::Changed => return Ok(None),
        };
        let status = if created {
            let questions = exam.questions().count();
            self.place_started(&identity, person, questions);
            Status::Started
        } else {
            self.status(identity.id).await?
        };
        Ok(Some(StartedAttempt {
            identity,
            status,
            created,
        }))
    }

    async fn history(&self, person: &Person, code: &ExamCode) -> Result<History, Error> {
        let attempts = self.inner.attempts.attempts_of(&person.id).await?;
        let mut over = 0;
        for attempt in attempts
            .iter()
            .filter(|attempt| attempt.identity.exam == *code)
        {
            if attempt.control.closed_at.is_none() {
                return Ok(History::Open);
            }
            over += 1;
        }
        Ok(History::Over(over))
    }

    async fn status(&self, attempt: AttemptId) -> Result<Status, Error> {
        let summary = self.summary(attempt).await?;
        Ok(summary.map_or(Status::Started, |summary| summary.control.status))
    }
}

fn new_attempt(
    seed: u64,
    exam: &Arc<Exam>,
    person: &Person,
    address: IpAddr,
    now: Timestamp,
) -> NewAttempt {
    let state = serde_json::to_string(&Control::default()).expect("control is plain JSON");
    NewAttempt {
        identity: Identity {
            id: AttemptId(0),
            exam: exam.code.clone(),
            exam_version: exam.version.clone(),
            candidate: person.id.clone(),
            number: 0,
            seed,
            time_factor: person.time_factor,
            extra_time: person.extra_time,
            groups: person.groups.clone(),
            started_at: now,
        },
        max_attempts: exam.max_attempts,
        address,
        control: ControlRow {
            state: state.into(),
            status: Status::Started,
            entered_at: None,
            deadline_at: None,
            close_at: exam.available_until,
            closed_at: None,
            integrity: IntegritySums::default(),
        },
    }
}
