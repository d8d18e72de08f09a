//! Staff commands: found, done once, and answered when they are durable.
//!
//! A command's id belongs to the person who gave it. The store knows which ids
//! were used and for what; each attempt knows which commands it has done. So a
//! command that is repeated, also after a crash half-way, reaches every attempt
//! exactly once.

use std::{num::ParseIntError, time::Duration};

use futures_util::{StreamExt, stream};
use invigil_protocol::{
    candidate::NoticeLevel as WireLevel,
    proctor::{ActionName, Args, Command, CommandResult, Failed, Target},
};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::{COMMIT_PATIENCE, Engine, Error, StaffRefusal, actor::message::Message};
use crate::{
    domain::{
        attempt::command::{Action, CommandKey, NoticeLevel},
        id::{AttemptId, ExamCode},
        person::Person,
    },
    store::CommandState,
    telemetry::chain,
};

/// Attempts that one command works on at once.
const ATTEMPTS_AT_ONCE: usize = 256;

/// The most attempts that a command may name one by one.
const TARGETS_MAX: usize = 20_000;

/// The longest text of a message or a reason, characters.
const TEXT_CHARS_MAX: usize = 2_000;

/// The longest command id, bytes.
const COMMAND_ID_BYTES_MAX: usize = 128;

/// The furthest that one command moves a deadline: a day.
const EXTEND_MS_MAX: i64 = 24 * 60 * 60 * 1_000;

/// Why a command was not even begun.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The id was used for another command.
    #[error("this command id was used for another command")]
    Conflict,
    /// Something about it makes no sense. The text is for the client.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The target is not in this exam.
    #[error("the target is not within reach")]
    Forbidden,
    /// The engine.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Engine {
    /// Does a staff command on attempts of one exam.
    ///
    /// # Errors
    /// Where it was not begun; what failed later is in the result.
    pub async fn command(
        &self,
        person: &Person,
        exam: &ExamCode,
        command: Command,
    ) -> Result<CommandResult, CommandError> {
        if command.id.is_empty() || command.id.len() > COMMAND_ID_BYTES_MAX {
            return Err(CommandError::BadRequest("`id` must have 1 to 128 bytes"));
        }
        let action = action(command.action, &command.args, person)?;
        let body = serde_json::to_vec(&(exam, &command)).expect("a command is plain JSON");
        let body: [u8; 32] = Sha256::digest(body).into();
        let store = &self.inner.attempts;
        let begun = store.begin_command(&person.id, &command.id, &body).await;
        match begun.map_err(Error::from)? {
            CommandState::Conflict => return Err(CommandError::Conflict),
            CommandState::Done(result) => {
                let known = serde_json::from_str(&result);
                return known.map_err(|_damaged| Error::Command(command.id).into());
            }
            CommandState::Begun => {}
        }
        self.inner
            .shared
            .metrics
            .staff_command(name(command.action));
        let attempts = self.targets(exam, &command.target).await?;
        let key = CommandKey {
            person: person.id.to_string(),
            command: command.id.clone(),
        };
        let result = self.carry_out(attempts, action.as_ref(), &key, exam).await;
        // What could not be reached may be reached by the same command again.
        if result
            .failed
            .iter()
            .all(|failed| failed.code != UNAVAILABLE)
        {
            let json = serde_json::to_string(&result).expect("a result is plain JSON");
            let ended = store.end_command(&person.id, &command.id, &json).await;
            ended.map_err(Error::from)?;
        }
        Ok(result)
    }

    async fn targets(
        &self,
        exam: &ExamCode,
        target: &Target,
    ) -> Result<Vec<Result<AttemptId, String>>, CommandError> {
        match target {
            Target::Attempt(attempt) => Ok(vec![parse(attempt)]),
            Target::Attempts(attempts) if attempts.len() > TARGETS_MAX => {
                Err(CommandError::BadRequest("too many attempts in `target`"))
            }
            Target::Attempts(attempts) => Ok(attempts.iter().map(|text| parse(text)).collect()),
            Target::Exam(code) if code == exam.as_str() => {
                let open = self.inner.attempts.open_attempts(exam).await;
                Ok(open.map_err(Error::from)?.into_iter().map(Ok).collect())
            }
            Target::Exam(_) => Err(CommandError::Forbidden),
        }
    }

    async fn carry_out(
        &self,
        attempts: Vec<Result<AttemptId, String>>,
        action: Option<&Action>,
        key: &CommandKey,
        exam: &ExamCode,
    ) -> CommandResult {
        let total = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
        let outcomes: Vec<Option<Failed>> = stream::iter(attempts)
            .map(|attempt| self.carry_out_one(attempt, action, key, exam))
            .buffered(ATTEMPTS_AT_ONCE)
            .collect()
            .await;
        let failed: Vec<Failed> = outcomes.into_iter().flatten().collect();
        let done = total - u32::try_from(failed.len()).unwrap_or(total);
        CommandResult {
            id: key.command.clone(),
            done,
            failed,
            total,
        }
    }

    async fn carry_out_one(
        &self,
        attempt: Result<AttemptId, String>,
        action: Option<&Action>,
        key: &CommandKey,
        exam: &ExamCode,
    ) -> Option<Failed> {
        let failed = |attempt: String, code: &str| {
            Some(Failed {
                attempt,
                code: code.to_owned(),
                detail: None,
            })
        };
        let attempt = match attempt {
            Ok(attempt) => attempt,
            Err(text) => return failed(text, FORBIDDEN),
        };
        match self.reach(attempt, action, key, exam).await {
            Ok(()) => None,
            Err(code) => failed(attempt.to_string(), code),
        }
    }

    async fn reach(
        &self,
        attempt: AttemptId,
        action: Option<&Action>,
        key: &CommandKey,
        exam: &ExamCode,
    ) -> Result<(), &'static str> {
        let unavailable = |error: Error| {
            tracing::warn!(attempt.id = %attempt, error = chain(&error), "a command cannot reach");
            UNAVAILABLE
        };
        let summary = self.summary(attempt).await.map_err(unavailable)?;
        if summary.is_none_or(|summary| summary.identity.exam != *exam) {
            return Err(FORBIDDEN);
        }
        let Some(action) = action else {
            return Err("unknown_incident");
        };
        let (reply, done) = oneshot::channel();
        let message = Message::Staff(Box::new((key.clone(), action.clone(), reply)));
        if !self
            .inner
            .registry
            .deliver(attempt, message)
            .await
            .map_err(unavailable)?
        {
            return Err(FORBIDDEN);
        }
        tokio::time::timeout(COMMIT_PATIENCE, done)
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or(Err(StaffRefusal::Unavailable))
            .map_err(StaffRefusal::as_str)
    }
}

/// What is not in the exam, or does not exist: the one is not told from the other.
const FORBIDDEN: &str = "forbidden";

const UNAVAILABLE: &str = StaffRefusal::Unavailable.as_str();

fn parse(text: &str) -> Result<AttemptId, String> {
    text.parse()
        .map_err(|_not_a_number: ParseIntError| text.to_owned())
}

const fn name(action: ActionName) -> &'static str {
    match action {
        ActionName::Message => "message",
        ActionName::Pause => "pause",
        ActionName::Resume => "resume",
        ActionName::Extend => "extend",
        ActionName::Submit => "submit",
        ActionName::Cancel => "cancel",
        ActionName::Flag => "flag",
        ActionName::Unflag => "unflag",
        ActionName::Release => "release",
        ActionName::Resolve => "resolve",
    }
}

/// The action in the domain's terms; none where it is about an incident.
fn action(name: ActionName, args: &Args, person: &Person) -> Result<Option<Action>, CommandError> {
    for text in [&args.text, &args.reason, &args.note].into_iter().flatten() {
        if text.chars().count() > TEXT_CHARS_MAX || text.contains('\0') {
            return Err(CommandError::BadRequest(
                "a text is too long or has a NUL in it",
            ));
        }
    }
    let reason = args.reason.clone();
    Ok(Some(match name {
        ActionName::Message => Action::Message {
            text: match &args.text {
                Some(text) if !text.trim().is_empty() => text.clone(),
                Some(_) | None => return Err(CommandError::BadRequest("`args.text` is missing")),
            },
            level: match args.level {
                Some(WireLevel::Info) | None => NoticeLevel::Info,
                Some(WireLevel::Warning) => NoticeLevel::Warning,
                Some(WireLevel::Urgent) => NoticeLevel::Urgent,
            },
            ack: args.ack.unwrap_or(false),
            from: person.name.clone(),
        },
        ActionName::Pause => Action::Pause { reason },
        ActionName::Resume => Action::Resume { reason },
        ActionName::Extend => Action::Extend {
            by: extension(args.ms)?,
            reason,
        },
        ActionName::Submit => Action::Submit { reason },
        ActionName::Cancel => Action::Cancel { reason },
        ActionName::Flag => Action::Flag { reason },
        ActionName::Unflag => Action::Unflag { reason },
        ActionName::Release => Action::Release { reason },
        ActionName::Resolve => return Ok(None),
    }))
}

fn extension(ms: Option<i64>) -> Result<Duration, CommandError> {
    ms.filter(|ms| (1..=EXTEND_MS_MAX).contains(ms))
        .and_then(|ms| u64::try_from(ms).ok())
        .map(Duration::from_millis)
        .ok_or(CommandError::BadRequest("`args.ms` must be 1 to 86400000"))
}
