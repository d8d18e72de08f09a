//! What a proctor types.

use invigil_client::protocol::{
    candidate::NoticeLevel,
    proctor::{ActionName, Args, Command, Inspect, ProctorMessage, Target},
};

use super::board::Board;

/// What can be typed.
pub(super) const HELP: &str = "\
WHO is a row (#3), a candidate's id, an attempt, or * for the whole exam
message WHO text | warn WHO text | pause WHO [reason] | resume WHO [reason]
extend WHO minutes [reason] | submit WHO [reason] | cancel WHO [reason]
flag WHO [reason] | unflag WHO [reason] | release WHO [reason]
resolve WHO verdict [note] (confirmed, dismissed, inconclusive) | inspect WHO | leave WHO
quit";

/// What is to be done about a line.
#[derive(Debug)]
pub(super) enum Order {
    /// It was empty.
    Nothing,
    Quit,
    Help,
    /// To be done once it is confirmed.
    Confirm(Wanted),
    /// What waits is confirmed.
    Yes,
    Do(Wanted),
}

/// Something to be sent.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) message: ProctorMessage,
    what: String,
}

impl Wanted {
    /// In words, for the log.
    pub(super) fn summary(&self) -> String {
        self.what.clone()
    }
}

/// Reads a line. An error says what is wrong with it.
pub(super) fn parse(line: &str, board: &Board) -> Result<Order, String> {
    let line = line.trim();
    if line.starts_with('{') {
        let message = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let what = line.to_owned();
        return Ok(Order::Do(Wanted { message, what }));
    }
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "" => return Ok(Order::Nothing),
        "quit" | "exit" | "q" => return Ok(Order::Quit),
        "help" | "?" => return Ok(Order::Help),
        "yes" => return Ok(Order::Yes),
        _ => {}
    }
    let rest = rest.trim();
    let (who, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let text = text.trim();
    if let "inspect" | "leave" = verb {
        let attempt = board.attempt(who).ok_or_else(|| nobody(who))?;
        let on = verb == "inspect";
        let message = ProctorMessage::Inspect(Inspect { attempt, on });
        let what = format!("{verb} {who}");
        return Ok(Order::Do(Wanted { message, what }));
    }
    let target = match who {
        "*" => Target::Exam(board.exam().to_owned()),
        one => Target::Attempt(board.attempt(one).ok_or_else(|| nobody(one))?),
    };
    let (action, args) = action(verb, text, &target, board)?;
    let id = fresh_id()?;
    let everybody = matches!(target, Target::Exam(_));
    let message = ProctorMessage::Command(Command {
        id,
        target,
        action,
        args,
    });
    let what = format!("{verb} {who} {text}").trim().to_owned();
    let wanted = Wanted { message, what };
    let grave = everybody || matches!(action, ActionName::Submit | ActionName::Cancel);
    // A script has nobody to ask: it sends JSON.
    Ok(if grave {
        Order::Confirm(wanted)
    } else {
        Order::Do(wanted)
    })
}

fn nobody(who: &str) -> String {
    format!("{who:?} is nobody on this board; `help` says how to name somebody")
}

fn action(
    verb: &str,
    text: &str,
    target: &Target,
    board: &Board,
) -> Result<(ActionName, Args), String> {
    let given = (!text.is_empty()).then(|| text.to_owned());
    let reason = Args {
        reason: given.clone(),
        ..Args::default()
    };
    Ok(match verb {
        "message" | "warn" => {
            let warns = verb == "warn";
            let args = Args {
                text: Some(given.ok_or("say what")?),
                level: Some(if warns {
                    NoticeLevel::Warning
                } else {
                    NoticeLevel::Info
                }),
                ack: Some(warns),
                ..Args::default()
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
                .map_err(|_not_a_number: std::num::ParseIntError| "say how many minutes")?;
            let args = Args {
                ms: Some(i64::from(minutes) * 60_000),
                reason: (!why.is_empty()).then(|| why.to_owned()),
                ..Args::default()
            };
            (ActionName::Extend, args)
        }
        "resolve" => {
            let Target::Attempt(attempt) = target else {
                return Err("an incident is one attempt's".to_owned());
            };
            let incident = board
                .open_incident(attempt)
                .ok_or("there is no open incident")?;
            let (verdict, note) = text.split_once(' ').unwrap_or((text, ""));
            if verdict.is_empty() {
                return Err("say the verdict".to_owned());
            }
            let args = Args {
                incident: Some(incident.id.clone()),
                verdict: Some(verdict.to_owned()),
                note: (!note.is_empty()).then(|| note.to_owned()),
                ..Args::default()
            };
            (ActionName::Resolve, args)
        }
        other => return Err(format!("{other:?} is nothing to do; `help` says what is")),
    })
}

/// An id that no other command of this person has.
fn fresh_id() -> Result<String, String> {
    let random = getrandom::u64().map_err(|error| error.to_string())?;
    Ok(format!("watch-{random:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        let mut board = Board::new("E1".to_owned());
        let text = r#"{"t":"delta","exam":"E1","now_at":1,"rows":[{"attempt":"7",
            "candidate":{"id":"ann","name":"Ann"}}],"totals":{"attempts":1,"online":0,
            "in_progress":0,"paused":0,"submitted":0,"flagged":0}}"#;
        board.apply(serde_json::from_str(text).unwrap());
        board
    }

    fn command(line: &str) -> (Command, bool) {
        let (wanted, confirmed) = match parse(line, &board()).unwrap() {
            Order::Do(wanted) => (wanted, false),
            Order::Confirm(wanted) => (wanted, true),
            other @ (Order::Nothing | Order::Quit | Order::Help | Order::Yes) => {
                panic!("{other:?}")
            }
        };
        let ProctorMessage::Command(command) = wanted.message else {
            panic!("{:?}", wanted.message);
        };
        (command, confirmed)
    }

    #[test]
    fn lines_become_commands_and_grave_ones_are_confirmed() {
        let (one, asked) = command("extend ann 10 a late start");
        assert_eq!(one.action, ActionName::Extend);
        assert_eq!(
            (one.args.ms, one.args.reason.as_deref()),
            (Some(600_000), Some("a late start"))
        );
        assert_eq!(
            (one.target, asked),
            (Target::Attempt("7".to_owned()), false)
        );
        let (all, asked) = command("pause * fire alarm");
        assert_eq!((all.target, asked), (Target::Exam("E1".to_owned()), true));
        assert!(command("cancel #1").1);
        let (warning, _) = command("warn 7 eyes on your own screen");
        assert_eq!(warning.args.level, Some(NoticeLevel::Warning));
        assert_ne!(command("flag 7").0.id, command("flag 7").0.id);
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
            assert!(parse(line, &board()).is_err(), "{line}");
        }
        assert!(matches!(parse("  ", &board()), Ok(Order::Nothing)));
        assert!(matches!(parse("quit", &board()), Ok(Order::Quit)));
    }
}
