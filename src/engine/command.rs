//! Staff commands: found, done once, and answered when they are durable.
//!
//! A command's id belongs to the person who gave it. The store knows which ids
//! were used and for what; each attempt knows which commands it has done. So a
//! command that is repeated, also after a crash half-way, reaches every attempt
//! exactly once.

use std::{collections::BTreeSet, num::ParseIntError, time::Duration};

use futures_util::{StreamExt, stream};
use invigil_protocol::{
    candidate::NoticeLevel as WireLevel,
    proctor::{self, ActionName, Args, Command, CommandResult, Failed, Target},
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{
    Engine, Error, StaffRefusal,
    actor::message::Message,
    nodes::{Answer, Question},
    routing::Done,
};
use crate::{
    domain::{
        attempt::{
            Identity,
            command::{Action, CommandKey, NoticeLevel},
        },
        id::{AttemptId, ExamCode},
        person::Person,
    },
    store::CommandState,
    telemetry::chain,
};

/// Attempts that one command works on at once.
const ATTEMPTS_AT_ONCE: usize = 256;

/// How often a command on many attempts says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

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
    /// Does a staff command on attempts of exams that are within `reach`, of the
    /// candidates that the person sees, and says now and then how far it is.
    ///
    /// # Errors
    /// Where it was not begun; what failed later is in the result.
    pub async fn command(
        &self,
        person: &Person,
        reach: &(dyn Fn(&ExamCode) -> bool + Sync),
        command: Command,
        progress: &(dyn Fn(CommandResult) + Sync),
    ) -> Result<CommandResult, CommandError> {
        if command.id.is_empty() || command.id.len() > COMMAND_ID_BYTES_MAX {
            return Err(CommandError::BadRequest("`id` must have 1 to 128 bytes"));
        }
        let action = action(command.action, &command.args, person)?;
        let body = serde_json::to_vec(&command).expect("a command is plain JSON");
        let body: [u8; 32] = Sha256::digest(body).into();
        let (exam, named) = match &command.target {
            Target::Exam(code) => (Some(ExamCode::from(code.as_str())), Vec::new()),
            Target::Attempts(attempts) => (None, attempts.clone()),
            Target::Attempt(attempt) => (None, vec![attempt.clone()]),
        };
        if named.len() > TARGETS_MAX {
            return Err(CommandError::BadRequest("too many attempts in `target`"));
        }
        if exam.as_ref().is_some_and(|exam| !reach(exam)) {
            return Err(CommandError::Forbidden);
        }
        let store = &self.inner.attempts;
        let candidates = person.candidates();
        let whole = exam.as_ref().map(|exam| (exam, &candidates));
        let begun = store.begin_command(&person.id, &command.id, &body, whole);
        let open = match begun.await.map_err(Error::from)? {
            CommandState::Conflict => return Err(CommandError::Conflict),
            CommandState::Done(result) => {
                let known = serde_json::from_str(&result);
                return known.map_err(|_damaged| Error::Command(command.id).into());
            }
            CommandState::Begun(open) => open,
        };
        self.inner
            .shared
            .metrics
            .staff_command(name(command.action));
        let targets = if let Some(exam) = exam {
            of_exam(open, &exam)
        } else {
            let reach = |identity: &Identity| {
                reach(&identity.exam) && candidates.contains(&identity.groups)
            };
            self.named(&reach, named).await
        };
        let key = CommandKey {
            person: person.id.to_string(),
            command: command.id.clone(),
        };
        self.announce(person, &command, &key, &targets);
        let result = self.carry_out(targets, &action, &key, progress).await;
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

    /// The attempts that are named one by one.
    async fn named(
        &self,
        reach: &(dyn Fn(&Identity) -> bool + Sync),
        names: Vec<String>,
    ) -> Vec<Targeted> {
        stream::iter(names)
            .map(|text| async move {
                let found = self.within(reach, &text).await;
                Targeted { text, found }
            })
            .buffered(ATTEMPTS_AT_ONCE)
            .collect()
            .await
    }

    /// The attempt that is named so, where it is within reach.
    async fn within(
        &self,
        reach: &(dyn Fn(&Identity) -> bool + Sync),
        text: &str,
    ) -> Result<(AttemptId, ExamCode), &'static str> {
        let attempt = text
            .parse()
            .map_err(|_not_a_number: ParseIntError| FORBIDDEN)?;
        let summary = self.summary(attempt).await.map_err(|error| {
            tracing::warn!(attempt.id = %attempt, error = chain(&error), "a command cannot reach");
            UNAVAILABLE
        })?;
        let identity = summary.map(|summary| summary.identity);
        identity
            .filter(reach)
            .map(|identity| (attempt, identity.exam))
            .ok_or(FORBIDDEN)
    }

    /// Tells the consoles of every exam that is touched what is done there.
    fn announce(&self, person: &Person, command: &Command, key: &CommandKey, targets: &[Targeted]) {
        let exams: BTreeSet<&ExamCode> = targets
            .iter()
            .filter_map(|target| Some(&target.found.as_ref().ok()?.1))
            .collect();
        for exam in exams {
            let Some(board) = self.inner.shared.boards.find(exam) else {
                continue;
            };
            let total = u32::try_from(targets.len()).unwrap_or(u32::MAX);
            board.expect_receipts(key, total);
            let action = proctor::Action {
                exam: exam.to_string(),
                by: person.id.to_string(),
                name: person.name.clone(),
                action: command.action,
                target: command.target.clone(),
                at: self.now().as_ms(),
                reason: command.args.reason.clone(),
            };
            board.tell_action(&action, &person.candidates());
        }
    }

    async fn carry_out(
        &self,
        targets: Vec<Targeted>,
        action: &Action,
        key: &CommandKey,
        progress: &(dyn Fn(CommandResult) + Sync),
    ) -> CommandResult {
        let mut result = CommandResult {
            id: key.command.clone(),
            done: 0,
            failed: Vec::new(),
            total: u32::try_from(targets.len()).unwrap_or(u32::MAX),
        };
        let mut told = Instant::now();
        let mut outcomes = stream::iter(targets)
            .map(|target| async move {
                let done = match target.found {
                    Ok((attempt, _)) => self.act(attempt, action, key).await,
                    Err(code) => Err(code),
                };
                (target.text, done)
            })
            .buffered(ATTEMPTS_AT_ONCE);
        while let Some((attempt, outcome)) = outcomes.next().await {
            match outcome {
                Ok(()) => result.done += 1,
                Err(code) => result.failed.push(Failed {
                    attempt,
                    code: code.to_owned(),
                    detail: None,
                }),
            }
            if told.elapsed() >= PROGRESS_INTERVAL {
                told = Instant::now();
                // Who failed is in the last one: there may be too many for every frame.
                progress(CommandResult {
                    id: result.id.clone(),
                    failed: Vec::new(),
                    ..result
                });
            }
        }
        result
    }

    async fn act(
        &self,
        attempt: AttemptId,
        action: &Action,
        key: &CommandKey,
    ) -> Result<(), &'static str> {
        // A repeat is told by its key.
        let question = |_again| Question::Staff {
            attempt,
            key: key.clone(),
            action: action.clone(),
        };
        let message =
            |reply, _again| Message::Staff(Box::new((key.clone(), action.clone(), reply)));
        let done = match self.have_done(attempt, question, message).await {
            Done::Here(done) | Done::There(Answer::Staffed(done)) => done,
            Done::NoSuchAttempt => return Err(FORBIDDEN),
            Done::There(_) | Done::Not => Err(StaffRefusal::Unavailable),
        };
        done.map_err(StaffRefusal::as_str)
    }
}

/// An attempt that a command is for.
struct Targeted {
    /// As it was named.
    text: String,
    /// The attempt and its exam, or why it is not for this person.
    found: Result<(AttemptId, ExamCode), &'static str>,
}

fn of_exam(attempts: Vec<AttemptId>, exam: &ExamCode) -> Vec<Targeted> {
    attempts
        .into_iter()
        .map(|attempt| Targeted {
            text: attempt.to_string(),
            found: Ok((attempt, exam.clone())),
        })
        .collect()
}

/// What is not in the exam, or does not exist: the one is not told from the other.
const FORBIDDEN: &str = "forbidden";

const UNAVAILABLE: &str = StaffRefusal::Unavailable.as_str();

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
        ActionName::Assign => "assign",
    }
}

/// The action in the domain's terms.
fn action(name: ActionName, args: &Args, person: &Person) -> Result<Action, CommandError> {
    let texts = [
        &args.text,
        &args.reason,
        &args.note,
        &args.verdict,
        &args.to,
    ];
    for text in texts.into_iter().flatten() {
        if text.chars().count() > TEXT_CHARS_MAX || text.contains('\0') {
            return Err(CommandError::BadRequest(
                "a text is too long or has a NUL in it",
            ));
        }
    }
    let reason = args.reason.clone();
    Ok(match name {
        ActionName::Message => Action::Message {
            text: required(args.text.as_ref(), "`args.text` is missing")?,
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
        ActionName::Resolve => Action::Resolve {
            incident: required(args.incident.as_ref(), "`args.incident` is missing")?,
            verdict: required(args.verdict.as_ref(), "`args.verdict` is missing")?,
            note: args.note.clone(),
        },
        ActionName::Assign => Action::Assign {
            incident: required(args.incident.as_ref(), "`args.incident` is missing")?,
            to: args.to.clone(),
        },
    })
}

fn required(text: Option<&String>, missing: &'static str) -> Result<String, CommandError> {
    text.filter(|text| !text.trim().is_empty())
        .cloned()
        .ok_or(CommandError::BadRequest(missing))
}

fn extension(ms: Option<i64>) -> Result<Duration, CommandError> {
    ms.filter(|ms| (1..=EXTEND_MS_MAX).contains(ms))
        .and_then(|ms| u64::try_from(ms).ok())
        .map(Duration::from_millis)
        .ok_or(CommandError::BadRequest("`args.ms` must be 1 to 86400000"))
}
