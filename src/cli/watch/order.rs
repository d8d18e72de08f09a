//! Parser of the lines that a proctor types.

use invigil_client::protocol::{
    candidate::NoticePriority,
    proctor::{
        ActionName, CommandArgs, CommandTarget, InspectRequest, ProctorClientMessage,
        ProctorCommand,
    },
};

use super::board::TerminalBoard;

/// Help for the lines that a proctor may type.
pub(super) const HELP: &str = "\
WHO is a row (#3), a candidate's id, an attempt, or * for the whole exam
message WHO text | warn WHO text | pause WHO [reason] | resume WHO [reason]
extend WHO minutes [reason] | submit WHO [reason] | cancel WHO [reason]
flag WHO [reason] | unflag WHO [reason] | release WHO [reason]
resolve WHO verdict [note] (confirmed, dismissed, inconclusive) | inspect WHO | leave WHO
quit";

/// Action of a typed line.
#[derive(Debug)]
pub(super) enum InputAction {
    /// The line is empty.
    Empty,
    Quit,
    Help,
    /// Send the message after a `yes`.
    Confirm(TypedMessage),
    /// Confirms the message that waits.
    Yes,
    Send(TypedMessage),
}

/// A message to send, with its text for the log.
#[derive(Debug)]
pub(super) struct TypedMessage {
    pub(super) message: ProctorClientMessage,
    summary_text: String,
}

impl TypedMessage {
    /// Returns the message in words.
    pub(super) fn summary(&self) -> String {
        self.summary_text.clone()
    }
}

/// Parses a line. The error is for the proctor.
pub(super) fn parse_line(line: &str, board: &TerminalBoard) -> Result<InputAction, String> {
    let line = line.trim();
    if line.starts_with('{') {
        let message = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let what = line.to_owned();
        return Ok(InputAction::Send(TypedMessage {
            message,
            summary_text: what,
        }));
    }
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "" => return Ok(InputAction::Empty),
        "quit" | "exit" | "q" => return Ok(InputAction::Quit),
        "help" | "?" => return Ok(InputAction::Help),
        "yes" => return Ok(InputAction::Yes),
        _ => {}
    }
    let rest = rest.trim();
    let (who, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let text = text.trim();
    if let "inspect" | "leave" = verb {
        let attempt = board.find_attempt(who).ok_or_else(|| unknown_target(who))?;
        let on = verb == "inspect";
        let message = ProctorClientMessage::Inspect(InspectRequest { attempt, on });
        let what = format!("{verb} {who}");
        return Ok(InputAction::Send(TypedMessage {
            message,
            summary_text: what,
        }));
    }
    let target = match who {
        "*" => CommandTarget::Exam(board.exam().to_owned()),
        one => CommandTarget::Attempt(board.find_attempt(one).ok_or_else(|| unknown_target(one))?),
    };
    let (action, args) = parse_action(verb, text, &target, board)?;
    let id = random_command_id()?;
    let everybody = matches!(target, CommandTarget::Exam(_));
    let message = ProctorClientMessage::Command(ProctorCommand {
        id,
        target,
        action,
        args,
    });
    let what = format!("{verb} {who} {text}").trim().to_owned();
    let wanted = TypedMessage {
        message,
        summary_text: what,
    };
    let grave = everybody || matches!(action, ActionName::Submit | ActionName::Cancel);
    // Scripts send JSON, which needs no confirmation.
    Ok(if grave {
        InputAction::Confirm(wanted)
    } else {
        InputAction::Send(wanted)
    })
}

fn unknown_target(who: &str) -> String {
    format!("{who:?} is not on this board; `help` says how to name a candidate")
}

fn parse_action(
    verb: &str,
    text: &str,
    target: &CommandTarget,
    board: &TerminalBoard,
) -> Result<(ActionName, CommandArgs), String> {
    let given = (!text.is_empty()).then(|| text.to_owned());
    let reason = CommandArgs {
        reason: given.clone(),
        ..CommandArgs::default()
    };
    Ok(match verb {
        "message" | "warn" => {
            let warns = verb == "warn";
            let args = CommandArgs {
                text: Some(given.ok_or("add the text of the message")?),
                level: Some(if warns {
                    NoticePriority::Warning
                } else {
                    NoticePriority::Info
                }),
                ack: Some(warns),
                ..CommandArgs::default()
            };
            (ActionName::Message, args)
        }
        "pause" => (ActionName::Pause, reason),
        "resume" => (ActionName::Resume, reason),
        "submit" => (ActionName::Submit, reason),
        "cancel" => (ActionName::Cancel, reason),
        "flag" => (ActionName::Flag, reason),
        "unflag" => (ActionName::Unflag, reason),
        "release" => (ActionName::Release, reason),
        "extend" => {
            let (minutes, why) = text.split_once(' ').unwrap_or((text, ""));
            let minutes: u16 = minutes
                .parse()
                .map_err(|_not_a_number: std::num::ParseIntError| "add the number of minutes")?;
            let args = CommandArgs {
                ms: Some(i64::from(minutes) * 60_000),
                reason: (!why.is_empty()).then(|| why.to_owned()),
                ..CommandArgs::default()
            };
            (ActionName::Extend, args)
        }
        "resolve" => {
            let CommandTarget::Attempt(attempt) = target else {
                return Err("name one candidate: an incident belongs to one attempt".to_owned());
            };
            let incident = board
                .open_incident(attempt)
                .ok_or("there is no open incident")?;
            let (verdict, note) = text.split_once(' ').unwrap_or((text, ""));
            if verdict.is_empty() {
                return Err("add the verdict: confirmed, dismissed or inconclusive".to_owned());
            }
            let args = CommandArgs {
                incident: Some(incident.id.clone()),
                verdict: Some(verdict.to_owned()),
                note: (!note.is_empty()).then(|| note.to_owned()),
                ..CommandArgs::default()
            };
            (ActionName::Resolve, args)
        }
        other => {
            return Err(format!(
                "unknown command {other:?}; `help` lists the commands"
            ));
        }
    })
}

/// Returns a random id, unique among the person's commands.
fn random_command_id() -> Result<String, String> {
    let random = getrandom::u64().map_err(|error| error.to_string())?;
    Ok(format!("watch-{random:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample_board() -> TerminalBoard {
        let mut board = TerminalBoard::new("E1".to_owned());
        let text = r#"{"t":"delta","exam":"E1","now_at":1,"rows":[{"attempt":"7",
            "candidate":{"id":"ann","name":"Ann"}}],"totals":{"attempts":1,"online":0,
            "in_progress":0,"paused":0,"submitted":0,"flagged":0}}"#;
        board.apply_message(serde_json::from_str(text).unwrap());
        board
    }

    fn parse_command(line: &str) -> (ProctorCommand, bool) {
        let (wanted, confirmed) = match parse_line(line, &sample_board()).unwrap() {
            InputAction::Send(wanted) => (wanted, false),
            InputAction::Confirm(wanted) => (wanted, true),
            other @ (InputAction::Empty
            | InputAction::Quit
            | InputAction::Help
            | InputAction::Yes) => {
                panic!("{other:?}")
            }
        };
        let ProctorClientMessage::Command(command) = wanted.message else {
            panic!("{:?}", wanted.message);
        };
        (command, confirmed)
    }

    #[test]
    fn lines_become_commands_and_grave_ones_are_confirmed() {
        let (one, asked) = parse_command("extend ann 10 a late start");
        assert_eq!(one.action, ActionName::Extend);
        assert_eq!(
            (one.args.ms, one.args.reason.as_deref()),
            (Some(600_000), Some("a late start"))
        );
        assert_eq!(
            (one.target, asked),
            (CommandTarget::Attempt("7".to_owned()), false)
        );
        let (all, asked) = parse_command("pause * fire alarm");
        assert_eq!(
            (all.target, asked),
            (CommandTarget::Exam("E1".to_owned()), true)
        );
        assert!(parse_command("cancel #1").1);
        let (warning, _) = parse_command("warn 7 eyes on your own screen");
        assert_eq!(warning.args.level, Some(NoticePriority::Warning));
        assert_ne!(parse_command("flag 7").0.id, parse_command("flag 7").0.id);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for line in [
            "dance 7",
            "pause bob",
            "extend 7 soon",
            "message 7",
            "resolve 7 x",
            "{",
        ] {
            assert!(parse_line(line, &sample_board()).is_err(), "{line}");
        }
        assert!(matches!(
            parse_line("  ", &sample_board()),
            Ok(InputAction::Empty)
        ));
        assert!(matches!(
            parse_line("quit", &sample_board()),
            Ok(InputAction::Quit)
        ));
    }
}
