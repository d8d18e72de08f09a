//! Staff commands: resolved, applied once, and answered when they are durable.
//!
//! A command's id belongs to the person who gave it. The store knows which ids were used,
//! and for which command; each attempt knows which commands it has applied. A repeated
//! command, even after a crash half-way, reaches every attempt exactly once.

use std::{collections::BTreeSet, num::ParseIntError, time::Duration};

use futures_util::{StreamExt, stream};
use invigil_protocol::{
    candidate::NoticePriority as WireLevel,
    proctor::{
        self, ActionName, CommandArgs, CommandFailure, CommandResult, CommandTarget, ProctorCommand,
    },
};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::{
    Engine, Error, StaffRefusal,
    attempt::mailbox::ActorMessage,
    peers::{
        messages::{PeerRequest, PeerResponse},
        routing::Dispatched,
    },
};
use invigil_domain::{
    attempt::{
        AttemptIdentity,
        command::{CommandKey, NoticeUrgency, StaffAction},
    },
    id::{AttemptId, ExamCode},
    person::RosterPerson,
};
use invigil_store::CommandState;
use invigil_telemetry::error_chain;

/// Attempts that one command handles at once.
const ATTEMPTS_AT_ONCE: usize = 256;

/// Interval between progress reports of a command on many attempts.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// The most attempts that a command may name one by one.
const TARGETS_MAX: usize = 20_000;

/// The longest text of a message or a reason, characters.
const TEXT_CHARS_MAX: usize = 2_000;

/// The longest command id, bytes.
const COMMAND_ID_BYTES_MAX: usize = 128;

/// The furthest that one command moves a deadline: a day.
const EXTEND_MS_MAX: i64 = 24 * 60 * 60 * 1_000;

/// Reason why a command was not begun.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The id was used for another command.
    #[error("this command id was used for another command")]
    Conflict,
    /// The command is not valid. The text is for the client.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The target is not in this exam.
    #[error("the target is not within reach")]
    Forbidden,
    /// The engine failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Engine {
    /// Applies a staff command to attempts of exams within `reach`, of the candidates
    /// that the person sees, and reports its progress.
    ///
    /// # Errors
    /// If the command was not begun; later failures are in the result.
    pub async fn run_command(
        &self,
        person: &RosterPerson,
        reach: &(dyn Fn(&ExamCode) -> bool + Sync),
        command: ProctorCommand,
        progress: &(dyn Fn(CommandResult) + Sync),
    ) -> Result<CommandResult, CommandError> {
        if command.id.is_empty() || command.id.len() > COMMAND_ID_BYTES_MAX {
            return Err(CommandError::BadRequest("`id` must have 1 to 128 bytes"));
        }
        let action = parse_action(command.action, &command.args, person)?;
        let body = serde_json::to_vec(&command).expect("a command is plain JSON");
        let body: [u8; 32] = Sha256::digest(body).into();
        let (exam, named) = match &command.target {
            CommandTarget::Exam(code) => (Some(ExamCode::from(code.as_str())), Vec::new()),
            CommandTarget::Attempts(attempts) => (None, attempts.clone()),
            CommandTarget::Attempt(attempt) => (None, vec![attempt.clone()]),
        };
        if named.len() > TARGETS_MAX {
            return Err(CommandError::BadRequest(
                "`target` must name at most 20000 attempts",
            ));
        }
        if exam.as_ref().is_some_and(|exam| !reach(exam)) {
            return Err(CommandError::Forbidden);
        }
        let store = &self.inner.attempts;
        let candidates = person.candidate_scope();
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
            .count_staff_command(action_name(command.action));
        let targets = if let Some(exam) = exam {
            exam_targets(open, &exam)
        } else {
            let reach = |identity: &AttemptIdentity| {
                reach(&identity.exam) && candidates.contains(&identity.groups)
            };
            self.resolve_named(&reach, named).await
        };
        let key = CommandKey {
            person: person.id.to_string(),
            command: command.id.clone(),
        };
        self.announce_command(person, &command, &key, &targets);
        let result = self
            .apply_to_targets(targets, &action, &key, progress)
            .await;
        // A repeat of the command may reach attempts that are unavailable now.
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

    /// Resolves attempts that are named one by one.
    async fn resolve_named(
        &self,
        reach: &(dyn Fn(&AttemptIdentity) -> bool + Sync),
        names: Vec<String>,
    ) -> Vec<ResolvedTarget> {
        stream::iter(names)
            .map(|text| async move {
                let found = self.resolve_in_reach(reach, &text).await;
                ResolvedTarget { text, found }
            })
            .buffered(ATTEMPTS_AT_ONCE)
            .collect()
            .await
    }

    /// Resolves the name of an attempt within reach.
    async fn resolve_in_reach(
        &self,
        reach: &(dyn Fn(&AttemptIdentity) -> bool + Sync),
        text: &str,
    ) -> Result<(AttemptId, ExamCode), &'static str> {
        let attempt = text
            .parse()
            .map_err(|_not_a_number: ParseIntError| FORBIDDEN)?;
        let summary = self.summary(attempt).await.map_err(|error| {
            let error = error_chain(&error);
            tracing::warn!(attempt.id = %attempt, error, "cannot read a target");
            UNAVAILABLE
        })?;
        let identity = summary.map(|summary| summary.identity);
        identity
            .filter(reach)
            .map(|identity| (attempt, identity.exam))
            .ok_or(FORBIDDEN)
    }

    /// Announces the command on the boards of all exams that it touches.
    fn announce_command(
        &self,
        person: &RosterPerson,
        command: &ProctorCommand,
        key: &CommandKey,
        targets: &[ResolvedTarget],
    ) {
        let exams: BTreeSet<&ExamCode> = targets
            .iter()
            .filter_map(|target| Some(&target.found.as_ref().ok()?.1))
            .collect();
        for exam in exams {
            let Some(board) = self.inner.shared.boards.find_board(exam) else {
                continue;
            };
            let total = u32::try_from(targets.len()).unwrap_or(u32::MAX);
            board.track_command(key, total);
            let action = proctor::ProctorAction {
                exam: exam.to_string(),
                by: person.id.to_string(),
                name: person.name.clone(),
                action: command.action,
                target: command.target.clone(),
                at: self.now().as_ms(),
                reason: command.args.reason.clone(),
            };
            board.send_action(&action, &person.candidate_scope());
        }
    }

    async fn apply_to_targets(
        &self,
        targets: Vec<ResolvedTarget>,
        action: &StaffAction,
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
                    Ok((attempt, _)) => self.apply_to_attempt(attempt, action, key).await,
                    Err(code) => Err(code),
                };
                (target.text, done)
            })
            .buffered(ATTEMPTS_AT_ONCE);
        while let Some((attempt, outcome)) = outcomes.next().await {
            match outcome {
                Ok(()) => result.done += 1,
                Err(code) => result.failed.push(CommandFailure {
                    attempt,
                    code: code.to_owned(),
                    detail: None,
                }),
            }
            if told.elapsed() >= PROGRESS_INTERVAL {
                told = Instant::now();
                // Failures are in the last report only: there may be too many for every
                // frame.
                progress(CommandResult {
                    id: result.id.clone(),
                    failed: Vec::new(),
                    ..result
                });
            }
        }
        result
    }

    async fn apply_to_attempt(
        &self,
        attempt: AttemptId,
        action: &StaffAction,
        key: &CommandKey,
    ) -> Result<(), &'static str> {
        // The key identifies a repeat.
        let request = |_again| PeerRequest::Staff {
            attempt,
            key: key.clone(),
            action: action.clone(),
        };
        let message =
            |reply, _again| ActorMessage::Staff(Box::new((key.clone(), action.clone(), reply)));
        let done = match self.dispatch_to_owner(attempt, request, message).await {
            Dispatched::Here(done) | Dispatched::There(PeerResponse::Staffed(done)) => done,
            Dispatched::NoSuchAttempt => return Err(FORBIDDEN),
            Dispatched::There(_) | Dispatched::Unknown => Err(StaffRefusal::Unavailable),
        };
        done.map_err(StaffRefusal::as_str)
    }
}

/// A resolved target of a command.
struct ResolvedTarget {
    /// The attempt as the command names it.
    text: String,
    /// The attempt and its exam, or the code of the failure.
    found: Result<(AttemptId, ExamCode), &'static str>,
}

fn exam_targets(attempts: Vec<AttemptId>, exam: &ExamCode) -> Vec<ResolvedTarget> {
    attempts
        .into_iter()
        .map(|attempt| ResolvedTarget {
            text: attempt.to_string(),
            found: Ok((attempt, exam.clone())),
        })
        .collect()
}

/// Code for attempts outside the exam, and for unknown ones: the two must look alike.
const FORBIDDEN: &str = "forbidden";

const UNAVAILABLE: &str = StaffRefusal::Unavailable.as_str();

const fn action_name(action: ActionName) -> &'static str {
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

/// Converts a command's action to the domain's.
fn parse_action(
    name: ActionName,
    args: &CommandArgs,
    person: &RosterPerson,
) -> Result<StaffAction, CommandError> {
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
                "a text in `args` has over 2000 characters or a NUL",
            ));
        }
    }
    let reason = args.reason.clone();
    Ok(match name {
        ActionName::Message => StaffAction::Message {
            text: require_text(args.text.as_ref(), "`args.text` is missing")?,
            level: match args.level {
                Some(WireLevel::Info) | None => NoticeUrgency::Info,
                Some(WireLevel::Warning) => NoticeUrgency::Warning,
                Some(WireLevel::Urgent) => NoticeUrgency::Urgent,
            },
            ack: args.ack.unwrap_or(false),
            from: person.name.clone(),
        },
        ActionName::Pause => StaffAction::Pause { reason },
        ActionName::Resume => StaffAction::Resume { reason },
        ActionName::Extend => StaffAction::Extend {
            by: parse_extension(args.ms)?,
            reason,
        },
        ActionName::Submit => StaffAction::Submit { reason },
        ActionName::Cancel => StaffAction::Cancel { reason },
        ActionName::Flag => StaffAction::Flag { reason },
        ActionName::Unflag => StaffAction::Unflag { reason },
        ActionName::Release => StaffAction::Release { reason },
        ActionName::Resolve => StaffAction::Resolve {
            incident: require_text(args.incident.as_ref(), "`args.incident` is missing")?,
            verdict: require_text(args.verdict.as_ref(), "`args.verdict` is missing")?,
            note: args.note.clone(),
        },
        ActionName::Assign => StaffAction::Assign {
            incident: require_text(args.incident.as_ref(), "`args.incident` is missing")?,
            to: args.to.clone(),
        },
    })
}

fn require_text(text: Option<&String>, missing: &'static str) -> Result<String, CommandError> {
    text.filter(|text| !text.trim().is_empty())
        .cloned()
        .ok_or(CommandError::BadRequest(missing))
}

fn parse_extension(ms: Option<i64>) -> Result<Duration, CommandError> {
    ms.filter(|ms| (1..=EXTEND_MS_MAX).contains(ms))
        .and_then(|ms| u64::try_from(ms).ok())
        .map(Duration::from_millis)
        .ok_or(CommandError::BadRequest("`args.ms` must be 1 to 86400000"))
}
