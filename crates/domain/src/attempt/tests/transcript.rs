//! Transcripts: commands to an attempt, each followed by its results.
//!
//! A line is a time in minutes (`7`, `7:30`, `7:30.250`) and a command; lines that
//! begin with `>` are its results. The expectation is also the script: its commands
//! are run, and the whole text is compared.

use std::{fmt::Write as _, time::Duration};

use expect_test::Expect;

use crate::{
    attempt::{
        AttemptCommand, DecideError, DomainEvent,
        command::{CandidateCommand, ClientEvent, NoticeUrgency, StaffAction},
        fixture::{AttemptDriver, answer_command, enter_command, span_of_minutes, staff_command},
    },
    exam::Exam,
    integrity::{ConnectionOrigin, DETECTIONS, Detection},
    time::Timestamp,
};

/// Runs the commands of a transcript and compares the results.
pub(super) fn check_transcript(exam: Exam, transcript: &Expect) {
    let mut driver = AttemptDriver::new(exam);
    let mut text = String::new();
    let lines = transcript.data().lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('>')) {
        writeln!(text, "{line}").unwrap();
        for outcome in run_line(&mut driver, line) {
            writeln!(text, "> {outcome}").unwrap();
        }
        driver.check_replay();
    }
    transcript.assert_eq(&text);
}

pub(super) fn run_line(driver: &mut AttemptDriver, line: &str) -> Vec<String> {
    let (time, words) = line.split_once(' ').unwrap();
    driver.now = Timestamp::default() + parse_time(time);
    match words {
        "look" => {
            let due = driver.catch_up();
            let mut outcomes: Vec<String> = due.iter().map(describe_event).collect();
            outcomes.push(describe_attempt(driver));
            return outcomes;
        }
        "crash" => {
            driver.reload_attempt();
            return Vec::new();
        }
        _ => {}
    }
    match driver.send_command(&parse_command(words)) {
        Ok(events) => events.iter().map(describe_event).collect(),
        Err(refusal) => vec![describe_error(refusal)],
    }
}

fn parse_command(words: &str) -> AttemptCommand {
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    let args: Vec<&str> = rest.split(' ').collect();
    let seq = || args[0].parse().unwrap();
    match verb {
        "enter" => enter_command(args[0], args.get(1).copied()),
        "leave" => AttemptCommand::Leave,
        "answer" => {
            let [seq, question, value] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                panic!("answer SEQ QUESTION[@REV] JSON: {words}");
            };
            let (question, base_rev) = match question.split_once('@') {
                Some((question, rev)) => (question, Some(rev.parse().unwrap())),
                None => (question, None),
            };
            let value = serde_json::from_str(value).unwrap();
            answer_command(seq.parse().unwrap(), question, base_rev, value)
        }
        "flag" => AttemptCommand::Numbered {
            seq: seq(),
            what: CandidateCommand::Flag {
                question: args[1].into(),
                on: args[2] == "on",
            },
        },
        "submit" => AttemptCommand::Numbered {
            seq: seq(),
            what: CandidateCommand::Submit,
        },
        "event" => AttemptCommand::Observe(ClientEvent {
            n: seq(),
            kind: args[1].to_owned(),
            client_at: Timestamp::default(),
            data: serde_json::Value::Null,
            dropped: args.get(2) == Some(&"dropped"),
        }),
        "detect" => AttemptCommand::Detect {
            what: parse_detection(args[0]),
            data: serde_json::Value::Null,
        },
        "arrive" => AttemptCommand::Arrive {
            origin: ConnectionOrigin {
                address: args[0].to_owned(),
                device: args.get(1).map(|&device| device.to_owned()),
            },
        },
        "seen" => AttemptCommand::AcknowledgeNotice {
            id: args[0].to_owned(),
        },
        "tick" => AttemptCommand::Tick,
        "outage" => AttemptCommand::Outage {
            from: Timestamp::default() + parse_time(args[0]),
            until: Timestamp::default() + parse_time(args[1]),
        },
        "staff" => staff_command(args[0], parse_action(&args[1..])),
        _ => panic!("no such command: {words}"),
    }
}

fn parse_action(args: &[&str]) -> StaffAction {
    let reason = None;
    match args[0] {
        "message" => StaffAction::Message {
            text: args[1].to_owned(),
            level: NoticeUrgency::Info,
            ack: args.get(2) == Some(&"ack"),
            from: "Proctor".to_owned(),
        },
        "pause" => StaffAction::Pause { reason },
        "resume" => StaffAction::Resume { reason },
        "extend" => StaffAction::Extend {
            by: parse_time(args[1]),
            reason,
        },
        "submit" => StaffAction::Submit { reason },
        "cancel" => StaffAction::Cancel { reason },
        "flag" => StaffAction::Flag { reason },
        "unflag" => StaffAction::Unflag { reason },
        "release" => StaffAction::Release { reason },
        "resolve" => StaffAction::Resolve {
            incident: args[1].to_owned(),
            verdict: args[2].to_owned(),
            note: None,
        },
        "assign" => StaffAction::Assign {
            incident: args[1].to_owned(),
            to: args.get(2).map(|&person| person.to_owned()),
        },
        _ => panic!("no such action: {args:?}"),
    }
}

fn parse_detection(name: &str) -> Detection {
    let mut known = DETECTIONS.iter();
    known.find(|(_, one, _)| *one == name).unwrap().0
}

fn parse_time(text: &str) -> Duration {
    let (whole, seconds) = text.split_once(':').unwrap_or((text, "0"));
    let seconds = Duration::from_secs_f64(seconds.parse().unwrap());
    let ms = u64::try_from(seconds.as_millis()).unwrap();
    span_of_minutes(whole.parse().unwrap()) + Duration::from_millis(ms)
}

fn format_time(at: Timestamp) -> String {
    format_span(at.since(Timestamp::default()))
}

fn format_span(duration: Duration) -> String {
    let (seconds, ms) = (duration.as_secs(), duration.subsec_millis());
    let fraction = if ms == 0 {
        String::new()
    } else {
        format!(".{ms:03}")
    };
    format!("{}:{:02}{fraction}", seconds / 60, seconds % 60)
}

fn describe_attempt(driver: &AttemptDriver) -> String {
    let attempt = &driver.attempt;
    let mut text = attempt.status().as_str().to_owned();
    if let Some(deadline) = attempt.deadline(driver.now) {
        let left = format_span(attempt.remaining_time(driver.now));
        write!(text, ", deadline {}, {left} left", format_time(deadline)).unwrap();
    }
    if let Some((section, left)) = attempt.running_section(driver.now) {
        write!(text, ", s{} has {}", section + 1, format_span(left)).unwrap();
    }
    if let Some(due) = attempt.next_tick_at() {
        write!(text, ", next {}", format_time(due)).unwrap();
    }
    let integrity = &attempt.control().integrity;
    let risk = integrity.risk(driver.now);
    if risk > 0 {
        write!(
            text,
            ", risk {risk} {:?}",
            integrity.risk_by_kind(driver.now)
        )
        .unwrap();
    }
    for incident in integrity.incidents() {
        let (id, kind, events) = (&incident.id, &incident.kind, incident.events);
        let (severity, then) = (incident.severity.as_str(), incident.then.as_str());
        write!(text, ", {id} {kind} x{events} {severity} {then}").unwrap();
        if let Some(person) = &incident.assigned_to {
            write!(text, " for {person}").unwrap();
        }
        if let Some(closed) = &incident.closed {
            write!(text, " {}", closed.verdict).unwrap();
        }
    }
    text
}

#[expect(
    clippy::too_many_lines,
    reason = "one short arm for each reads best in one place"
)]
fn describe_event(event: &DomainEvent) -> String {
    let late = |late: &bool| if *late { ", late" } else { "" };
    match event {
        DomainEvent::ClockStarted { at } => format!("clock starts {}", format_time(*at)),
        DomainEvent::SessionOpened { session } => format!("session {session} opens"),
        DomainEvent::SessionResumed => "session resumes".to_owned(),
        DomainEvent::Left { .. } => "away".to_owned(),
        DomainEvent::Answered {
            seq,
            question,
            value,
            late: is_late,
            ..
        } => {
            let value = value.as_deref().unwrap_or("nothing");
            format!("{seq}: q{} is {value}{}", question + 1, late(is_late))
        }
        DomainEvent::QuestionFlagged {
            seq, question, on, ..
        } => format!("{seq}: q{} flagged: {on}", question + 1),
        DomainEvent::Refused {
            seq,
            code,
            kept,
            stored,
            ..
        } => {
            let mut text = format!("{seq}: refused {}", code.as_str());
            if let Some((rev, value)) = stored {
                let value = value.as_deref().unwrap_or("nothing");
                write!(text, ", stored is {value} rev {rev}").unwrap();
            }
            if let Some(kept) = kept {
                write!(text, ", kept {kept}").unwrap();
            }
            text
        }
        DomainEvent::Observed { n, kind, .. } => format!("event {n} {kind}"),
        DomainEvent::Detected { what, .. } => format!("detected {}", what.as_str()),
        DomainEvent::Arrived { origin } => format!("from {}", origin.address),
        DomainEvent::IncidentRaised { raised } => format!("incident {}", raised.kind),
        DomainEvent::IncidentClosed { incident, closed } => {
            format!("{incident} {}", closed.verdict)
        }
        DomainEvent::IncidentAssigned { incident, to } => format!("{incident} is for {to:?}"),
        DomainEvent::Noted => "noted".to_owned(),
        DomainEvent::Noticed { text, .. } => format!("notice {text}"),
        DomainEvent::NoticesSent => "notices sent".to_owned(),
        DomainEvent::NoticeAcknowledged { id } => format!("notice {id} seen"),
        DomainEvent::Paused { .. } => "paused".to_owned(),
        DomainEvent::Resumed { .. } => "goes on".to_owned(),
        DomainEvent::Extended { by, .. } => format!("extended {}", format_span(*by)),
        DomainEvent::Compensated { from, by, cause } => {
            format!(
                "{cause:?} from {}: {} back",
                format_time(*from),
                format_span(*by)
            )
        }
        DomainEvent::SectionChanged { section } => match section {
            Some(section) => format!("section s{}", section + 1),
            None => "no section".to_owned(),
        },
        DomainEvent::Flagged { .. } => "flagged".to_owned(),
        DomainEvent::Unflagged { .. } => "unflagged".to_owned(),
        DomainEvent::Released { .. } => "released".to_owned(),
        DomainEvent::Cancelled { at, .. } => format!("cancelled {}", format_time(*at)),
        DomainEvent::HandedIn {
            at,
            by,
            status,
            late: is_late,
            ..
        } => format!(
            "handed in {} by {}: {}{}",
            format_time(*at),
            by.as_str(),
            status.as_str(),
            late(is_late)
        ),
        DomainEvent::CommandDone { key } => format!("{} done", key.command),
    }
}

fn describe_error(refusal: DecideError) -> String {
    match refusal {
        DecideError::Gap { expected } => format!("gap: {expected} is due"),
        DecideError::Closed => "closed".to_owned(),
        DecideError::AnotherDevice => "another device".to_owned(),
        DecideError::AfterHandIn => "after the hand-in".to_owned(),
        DecideError::NotPaused => "not paused".to_owned(),
        DecideError::AlreadyPaused => "already paused".to_owned(),
        DecideError::NotStarted => "not started".to_owned(),
        DecideError::UnknownIncident => "unknown incident".to_owned(),
    }
}
