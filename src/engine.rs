//! The live part, as the web layer sees it.

use std::{net::IpAddr, sync::Arc};

use axum::body::Bytes;
use serde_json::Value;

use crate::{
    domain::{
        admission::Refusal,
        attempt::Status,
        exam::Exam,
        id::{AttemptId, ExamCode, ExamVersion, PersonId},
        time::Timestamp,
    },
    store::{self, Identity, Person, ResultLine, Summary, TimelineRow},
};

/// Why the engine did not do it.
pub type Error = store::Error;

/// A handle on the engine.
#[derive(Clone)]
pub struct Engine;

pub struct StartedAttempt {
    pub identity: Identity,
    pub status: Status,
    pub created: bool,
}

pub enum StartError {
    Refused(Refusal),
    NoSuchExam,
    Store(store::Error),
    Overloaded,
}

pub enum ExchangeError {
    Superseded,
    Closed,
    Forbidden,
    BadRequest(String),
    Overloaded,
    Store(store::Error),
}

pub enum CommandError {
    Conflict,
    Forbidden,
    Store(store::Error),
}

pub struct PaperBody {
    pub bytes: Bytes,
    pub sealed: bool,
}

fn away<T>() -> Result<T, Error> {
    Err(Error::Schema("this is a stand-in".to_owned()))
}

impl Engine {
    pub async fn start_up(
        _store: Arc<dyn store::AttemptStore>,
        _catalog: Arc<dyn store::Catalog>,
        _metrics: Arc<crate::telemetry::metrics::Metrics>,
        _config: &crate::config::Config,
    ) -> Result<Self, Error> {
        Ok(Self)
    }
    pub fn now(&self) -> Timestamp {
        Timestamp::from_ms(0)
    }
    pub async fn exams(&self) -> Result<Vec<Arc<Exam>>, Error> {
        away()
    }
    pub async fn exam(&self, _code: &ExamCode) -> Result<Option<Arc<Exam>>, Error> {
        away()
    }
    pub async fn exam_version(&self, _version: &ExamVersion) -> Result<Option<Arc<Exam>>, Error> {
        away()
    }
    pub async fn start(
        &self,
        _person: &Person,
        _exam: &ExamCode,
        _password: Option<&str>,
        _address: IpAddr,
    ) -> Result<StartedAttempt, StartError> {
        Err(StartError::Overloaded)
    }
    pub async fn summary(&self, _attempt: AttemptId) -> Result<Option<Summary>, Error> {
        away()
    }
    pub async fn attempts_of(&self, _person: &PersonId) -> Result<Vec<Summary>, Error> {
        away()
    }
    pub async fn view(&self, _attempt: AttemptId) -> Result<Value, Error> {
        away()
    }
    pub async fn answers(&self, _attempt: AttemptId) -> Result<Value, Error> {
        away()
    }
    pub async fn paper(
        &self,
        _version: &str,
        _attempt: AttemptId,
    ) -> Result<Option<PaperBody>, Error> {
        away()
    }
    pub async fn own_paper(&self, _attempt: AttemptId) -> Result<Option<PaperBody>, Error> {
        away()
    }
    pub async fn exchange(
        &self,
        _attempt: AttemptId,
        _request: Value,
        _address: IpAddr,
    ) -> Result<Value, ExchangeError> {
        Err(ExchangeError::Superseded)
    }
    pub async fn result(
        &self,
        _attempt: AttemptId,
        _show_answers: bool,
    ) -> Result<Option<Value>, Error> {
        away()
    }
    pub async fn receipt(&self, _attempt: AttemptId) -> Result<Option<Arc<str>>, Error> {
        away()
    }
    pub async fn timeline(
        &self,
        _attempt: AttemptId,
        _after: u64,
        _limit: u32,
    ) -> Result<Vec<TimelineRow>, Error> {
        away()
    }
    pub async fn results(&self, _exam: &ExamCode) -> Result<Vec<ResultLine>, Error> {
        away()
    }
    pub async fn command(
        &self,
        _person: &Person,
        _exam: &ExamCode,
        _command: Value,
    ) -> Result<Value, CommandError> {
        Err(CommandError::Forbidden)
    }
    pub async fn drain(&self) {}
}
