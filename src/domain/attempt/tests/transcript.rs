//! Transcripts: what is sent to an attempt, and below each what comes of it.
//!
//! A line is a time in minutes (`7`, `7:30`, `7:30.250`) and a command; lines
//! that begin with `>` are what came of it. The expectation is the script at
//! the same time: its commands are run, and the whole is compared.

use std::{fmt::Write as _, time::Duration};

use expect_test::Expect;

use crate::domain::{
    attempt::{
        Command, Event, Refusal,
        command::{Action, NoticeLevel, Numbered, Observation},
        fixture::{Driver, answer, enter, minutes, staff},
    },
    exam::Exam,
    integrity::{DETECTIONS, Detection, Origin},
    time::Timestamp,
};

/// Runs the commands of a transcript and compares what comes of them.
pub(super) fn check(exam: Exam, transcript: &Expect) {
    let mut driver = Driver::new(exam);
    let mut text = String::new();
    let lines = transcript.data().lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('>')) {
        writeln!(text, "{line}").unwrap();
        for outcome in run(&mut driver, line) {
            writeln!(text, "> {outcome}").unwrap();
        }
        driver.check_replay();
    }
    transcript.assert_eq(&text);
}

pub(super) fn run(driver: &mut Driver, line: &str) -> Vec<String> {
    let (time, words) = line.split_once(' ').unwrap();
    driver.now = Timestamp::default() + parse_time(time);
    match words {
        "look" => {
            let due = driver.catch_up();
            let mut outcomes: Vec<String> = due.iter().map(event).collect();
            outcomes.push(look(driver));
            return outcomes;
        }
        "crash" => {
            driver.reload();
            return Vec::new();
        }
        _ => {}
    }
    match driver.send(&command(words)) {
        Ok(events) => events.iter().map(event).collect(),
        Err(refusal) => vec![refused(refusal)],
    }
}

fn command(words: &str) -> Command {
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    let args: Vec<&str> = rest.split(' ').collect();
    let seq = || args[0].parse().unwrap();
    match verb {
        "enter" => enter(args[0], args.get(1).copied()),
        "leave" => Command::Leave,
        "answer" => {
            let [seq, question, value] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                panic!("answer SEQ QUESTION[@REV] JSON: {words}");
            };
            let (question, base_rev) = match question.split_once('@') {
                Some((question, rev)) => (question, Some(rev.parse().unwrap())),
                None => (question, None),
            };
            let value = serde_json::from_str(value).unwrap();
            answer(seq.parse().unwrap(), question, base_rev, value)
        }
        "flag" => Command::Numbered {
            seq: seq(),
            what: Numbered::Flag {
                question: args[1].into(),
                on: args[2] == "on",
            },
        },
        "submit" => Command::Numbered {
            seq: seq(),
            what: Numbered::Submit,
        },
        "event" => Command::Observe(Observation {
            n: seq(),
            kind: args[1].to_owned(),
            client_at: Timestamp::default(),
            data: serde_json::Value::Null,
            dropped: args.get(2) == Some(&"dropped"),
        }),
        "detect" => Command::Detect {
            what: detection(args[0]),
            data: serde_json::Value::Null,
        },
        "arrive" => Command::Arrive {
            origin: Origin {
                address: args[0].to_owned(),
                device: args.get(1).map(|&device| device.to_owned()),
            },
        },
        "seen" => Command::AcknowledgeNotice {
            id: args[0].to_owned(),
        },
        "tick" => Command::Tick,
        "outage" => Command::Outage {
            from: Timestamp::default() + parse_time(args[0]),
            until: Timestamp::default() + parse_time(args[1]),
        },
        "staff" => staff(args[0], action(&args[1..])),
        _ => panic!("no such command: {words}"),
    }
}

fn action(args: &[&str]) -> Action {
    let reason = None;
    match args[0] {
        "message" => Action::Message {
            text: args[1].to_owned(),
            level: NoticeLevel::Info,
            ack: args.get(2) == Some(&"ack"),
            from: "Proctor".to_owned(),
        },
        "pause" => Action::Pause { reason },
        "resume" => Action::Resume { reason },
        "extend" => Action::Extend {
            by: parse_time(args[1]),
            reason,
        },
        "submit" => Action::Submit { reason },
        "cancel" => Action::Cancel { reason },
        "flag" => Action::Flag { reason },
        "unflag" => Action::Unflag { reason },
        "release" => Action::Release { reason },
        "resolve" => Action::Resolve {
            incident: args[1].to_owned(),
            verdict: args[2].to_owned(),
            note: None,
        },
        "assign" => Action::Assign {
            incident: args[1].to_owned(),
            to: args.get(2).map(|&person| person.to_owned()),
        },
        _ => panic!("no such action: {args:?}"),
    }
}

fn detection(name: &str) -> Detection {
    let mut known = DETECTIONS.iter();
    known.find(|(_, one, _)| *one == name).unwrap().0
}

fn parse_time(text: &str) -> Duration {
    let (whole, seconds) = text.split_once(':').unwrap_or((text, "0"));
    let seconds = Duration::from_secs_f64(seconds.parse().unwrap());
    let ms = u64::try_from(seconds.as_millis()).unwrap();
    minutes(whole.parse().unwrap()) + Duration::from_millis(ms)
}

fn time(at: Timestamp) -> String {
    span(at.since(Timestamp::default()))
}

fn span(duration: Duration) -> String {
    let (seconds, ms) = (duration.as_secs(), duration.subsec_millis());
    let fraction = if ms == 0 {
        String::new()
    } else {
        format!(".{ms:03}")
    };
    format!("{}:{:02}{fraction}", seconds / 60, seconds % 60)
}

fn look(driver: &Driver) -> String {
    let attempt = &driver.attempt;
    let mut text = attempt.status().as_str().to_owned();
    if let Some(deadline) = attempt.deadline(driver.now) {
        let left = span(attempt.remaining(driver.now));
        write!(text, ", deadline {}, {left} left", time(deadline)).unwrap();
    }
    if let Some((section, left)) = attempt.section(driver.now) {
        write!(text, ", s{} has {}", section + 1, span(left)).unwrap();
    }
    if let Some(due) = attempt.next_deadline() {
        write!(text, ", next {}", time(due)).unwrap();
    }
    let integrity = &attempt.control().integrity;
    let risk = integrity.risk(driver.now);
    if risk > 0 {
        write!(text, ", risk {risk} {:?}", integrity.explain(driver.now)).unwrap();
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
fn event(event: &Event) -> String {
    let late = |late: &bool| if *late { ", late" } else { "" };
    match event {
        Event::ClockStarted { at } => format!("clock starts {}", time(*at)),
        Event::SessionOpened { session } => format!("session {session} opens"),
        Event::SessionResumed => "session resumes".to_owned(),
        Event::Left { .. } => "away".to_owned(),
        Event::Answered {
            seq,
            question,
            value,
            late: is_late,
            ..
        } => {
            let value = value.as_deref().unwrap_or("nothing");
            format!("{seq}: q{} is {value}{}", question + 1, late(is_late))
        }
        Event::QuestionFlagged {
            seq, question, on, ..
        } => format!("{seq}: q{} flagged: {on}", question + 1),
        Event::Refused {
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
        Event::Observed { n, kind, .. } => format!("event {n} {kind}"),
        Event::Detected { what, .. } => format!("detected {}", what.as_str()),
        Event::Arrived { origin } => format!("from {}", origin.address),
        Event::IncidentRaised { raised } => format!("incident {}", raised.kind),
        Event::IncidentClosed { incident, closed } => format!("{incident} {}", closed.verdict),
        Event::IncidentAssigned { incident, to } => format!("{incident} is for {to:?}"),
        Event::Noted => "noted".to_owned(),
        Event::Noticed { text, .. } => format!("notice {text}"),
        Event::NoticesSent => "notices sent".to_owned(),
        Event::NoticeAcknowledged { id } => format!("notice {id} seen"),
        Event::Paused { .. } => "paused".to_owned(),
        Event::Resumed { .. } => "goes on".to_owned(),
        Event::Extended { by, .. } => format!("extended {}", span(*by)),
        Event::Compensated { from, by, cause } => {
            format!("{cause:?} from {}: {} back", time(*from), span(*by))
        }
        Event::SectionChanged { section } => match section {
            Some(section) => format!("section s{}", section + 1),
            None => "no section".to_owned(),
        },
        Event::Flagged { .. } => "flagged".to_owned(),
        Event::Unflagged { .. } => "unflagged".to_owned(),
        Event::Released { .. } => "released".to_owned(),
        Event::Cancelled { at, .. } => format!("cancelled {}", time(*at)),
        Event::HandedIn {
            at,
            by,
            status,
            late: is_late,
            ..
        } => format!(
            "handed in {} by {}: {}{}",
            time(*at),
            by.as_str(),
            status.as_str(),
            late(is_late)
        ),
        Event::CommandDone { key } => format!("{} done", key.command),
    }
}

fn refused(refusal: Refusal) -> String {
    match refusal {
        Refusal::Gap { expected } => format!("gap: {expected} is due"),
        Refusal::Closed => "closed".to_owned(),
        Refusal::AnotherDevice => "another device".to_owned(),
        Refusal::AfterHandIn => "after the hand-in".to_owned(),
        Refusal::NotPaused => "not paused".to_owned(),
        Refusal::AlreadyPaused => "already paused".to_owned(),
        Refusal::NotStarted => "not started".to_owned(),
        Refusal::UnknownIncident => "unknown incident".to_owned(),
    }
}
