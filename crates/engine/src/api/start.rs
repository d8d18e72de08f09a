//! Start of an attempt: the only place where attempts are created.

use std::{net::IpAddr, sync::Arc};

use crate::{Engine, Error, node::entropy};
use invigil_domain::{
    admission::{self, AdmissionError, AdmissionRequest, PriorAttempts},
    attempt::{AttemptControl, AttemptIdentity, LifecycleStatus},
    exam::Exam,
    id::{AttemptId, ExamCode},
    person::RosterPerson,
    time::Timestamp,
};
use invigil_store::{ControlRow, IntegritySums, NewAttempt, StartOutcome};

/// An attempt that a candidate may enter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedAttempt {
    /// Identity of the attempt.
    pub identity: AttemptIdentity,
    /// Status of the attempt.
    pub status: LifecycleStatus,
    /// False if it was open already.
    pub created: bool,
}

/// Reason why no attempt was created.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The exam's rules refuse it.
    #[error(transparent)]
    Refused(#[from] AdmissionError),
    /// There is no such exam.
    #[error("there is no such exam")]
    NoSuchExam,
    /// The engine failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Tries to start, each after the exam changed under the last one.
const START_TRIES: usize = 3;

impl Engine {
    /// Creates an attempt, or finds the person's open one. Concurrent calls create one.
    ///
    /// # Errors
    /// The reason why no attempt was created.
    pub async fn start_attempt(
        &self,
        person: &RosterPerson,
        code: &ExamCode,
        password: Option<&str>,
        address: IpAddr,
    ) -> Result<StartedAttempt, StartError> {
        for _ in 0..START_TRIES {
            if let Some(started) = self.try_start(person, code, password, address).await? {
                return Ok(started);
            }
            self.inner.contents.forget_list();
        }
        // A change each time is unlikely: the exam is gone, or the person is.
        Err(AdmissionError::Closed.into())
    }

    /// Tries to start once. Returns `None` if the exam changed after the decision.
    async fn try_start(
        &self,
        person: &RosterPerson,
        code: &ExamCode,
        password: Option<&str>,
        address: IpAddr,
    ) -> Result<Option<StartedAttempt>, StartError> {
        let exam = self
            .inner
            .contents
            .newest_exam(code)
            .await?
            .ok_or(StartError::NoSuchExam)?;
        let now = self.now();
        let history = self.attempt_history(person, code).await?;
        let start = AdmissionRequest {
            person,
            now,
            address,
            password,
            history,
        };
        admission::may_start(&exam, &start)?;
        let seed = entropy::random_number(&*self.inner.shared.entropy).map_err(Error::from)?;
        let new = new_attempt(seed, &exam, person, address, now);
        let (identity, created) = match self
            .inner
            .attempts
            .start_attempt(new)
            .await
            .map_err(Error::from)?
        {
            StartOutcome::Created(identity) => (identity, true),
            StartOutcome::Open(identity) => (identity, false),
            StartOutcome::NoneLeft => return Err(AdmissionError::NoAttemptsLeft.into()),
            StartOutcome::Changed => return Ok(None),
        };
        let status = if created {
            let questions = exam.questions().count();
            self.add_started_row(&identity, person, questions);
            LifecycleStatus::Started
        } else {
            self.current_status(identity.id).await?
        };
        Ok(Some(StartedAttempt {
            identity,
            status,
            created,
        }))
    }

    async fn attempt_history(
        &self,
        person: &RosterPerson,
        code: &ExamCode,
    ) -> Result<PriorAttempts, Error> {
        let attempts = self.inner.attempts.list_attempts_of(&person.id).await?;
        let mut over = 0;
        for attempt in attempts
            .iter()
            .filter(|attempt| attempt.identity.exam == *code)
        {
            if attempt.control.closed_at.is_none() {
                return Ok(PriorAttempts::Open);
            }
            over += 1;
        }
        Ok(PriorAttempts::Over(over))
    }

    async fn current_status(&self, attempt: AttemptId) -> Result<LifecycleStatus, Error> {
        let summary = self.summary(attempt).await?;
        Ok(summary.map_or(LifecycleStatus::Started, |summary| summary.control.status))
    }
}

fn new_attempt(
    seed: u64,
    exam: &Arc<Exam>,
    person: &RosterPerson,
    address: IpAddr,
    now: Timestamp,
) -> NewAttempt {
    let state = serde_json::to_string(&AttemptControl::default()).expect("control is plain JSON");
    NewAttempt {
        identity: AttemptIdentity {
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
            status: LifecycleStatus::Started,
            entered_at: None,
            deadline_at: None,
            close_at: exam.available_until,
            closed_at: None,
            integrity: IntegritySums::default(),
        },
    }
}
