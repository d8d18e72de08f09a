//! The core as tables: what goes in, what comes out.

mod network;

use invigil_protocol::{
    candidate::{EventAck, Health, Pulse, Saved, Timing, TimingReason},
    code::RefusalCode,
    paper::StoredAnswer,
};
use serde_json::json;

use super::*;

fn answer(question: &str, value: Value) -> Command {
    Command::Answer {
        question: question.to_owned(),
        value,
    }
}

fn saved(seq: u64) -> ServerMessage {
    ServerMessage::Saved(Saved { seq })
}

fn conflict(seq: u64, rev: u32, value: Value) -> ServerMessage {
    ServerMessage::Refused(Refused::conflict(seq, "q1".to_owned(), rev, value))
}

fn welcome(session: &str, resumed: bool, saved_seq: u64, unsaved: u32) -> ServerMessage {
    let text = json!({
        "t": "welcome", "session": session, "resumed": resumed, "now_at": 0,
        "attempt": {
            "id": "1", "status": "in_progress",
            "exam": {"code": "X", "title": "X", "instructions": ""},
            "started_at": 0, "deadline_at": 1000, "remaining_ms": 1000, "timing_rev": 2,
            "grace_ms": 0,
        },
        "health": 10, "saved_seq": saved_seq, "applied_seq": saved_seq,
        "paper": {"version": "sha256:0", "url": "/p", "sealed": false},
        "record": {"version": 1, "url": "/r"}, "notices": [],
        "limits": {
            "heartbeat_ms": 10000, "frame_bytes": 16384, "answer_bytes": 1_048_576,
            "commands_per_s": 20, "burst": 40, "unsaved": unsaved,
        },
    });
    serde_json::from_value(text).unwrap()
}

fn exchanged(resumed: bool, saved_seq: u64) -> exchange::Reply {
    let reply = json!({
        "session": "s", "resumed": resumed, "saved_seq": saved_seq, "applied_seq": saved_seq,
        "refused": [], "status": "in_progress", "deadline_at": 1000, "remaining_ms": 900,
        "timing_rev": 2, "notices": [],
    });
    serde_json::from_value(reply).unwrap()
}

fn submitted() -> ServerMessage {
    let text = json!({
        "t": "submitted", "at": 900, "status": "graded", "handed_in": "candidate", "receipt": {},
    });
    serde_json::from_value(text).unwrap()
}

fn numbers(messages: &[ClientMessage]) -> Vec<u64> {
    messages.iter().filter_map(ClientMessage::seq).collect()
}

#[test]
fn a_command_goes_out_once_a_connection_and_is_saved_once() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    let ticket = core.push(answer("q1", json!("a")));
    assert_eq!(numbers(&core.due()), [1]);
    assert_eq!(core.due(), []);
    assert_eq!(core.receive(saved(1)), [Update::Saved(vec![ticket])]);
    assert_eq!(core.receive(saved(1)), []);
    assert!(core.is_clean());
}

#[test]
fn after_a_break_the_rest_goes_out_again_under_the_same_numbers() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    for value in ["a", "b", "c"] {
        core.push(answer("q1", json!(value)));
    }
    core.due();
    core.receive(saved(1));
    core.disconnected();
    let resume = core.hello("t").resume.unwrap();
    assert_eq!((resume.session.as_str(), resume.next_seq), ("s", 4));
    core.receive(welcome("s", true, 2, 256));
    assert_eq!(numbers(&core.due()), [3]);
}

/// Stored answers up to a number: the value of `q1`.
fn record(saved_seq: u64, value: Value) -> StoredAnswers {
    let answer = StoredAnswer {
        value,
        flagged: false,
        rev: 1,
    };
    StoredAnswers {
        session: Some("s".to_owned()),
        saved_seq,
        answers: [("q1".to_owned(), answer)].into(),
    }
}

/// A client whose connection broke after it had sent these answers to `q1`, and that is
/// back, to hear that all of them are settled.
fn in_doubt(values: &[&str]) -> Core {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    for value in values {
        core.push(answer("q1", json!(value)));
    }
    core.due();
    core.disconnected();
    let updates = core.receive(welcome("s", true, values.len() as u64, 256));
    assert!(matches!(updates[..], [Update::Entered(_)]), "{updates:?}");
    assert!(core.is_in_doubt() && !core.is_clean() && !core.has_commands());
    core
}

#[test]
fn what_is_settled_unheard_is_saved_where_the_record_has_it() {
    let mut core = in_doubt(&["a", "b"]);
    let updates = core.recorded(&record(2, json!("a")));
    assert_eq!(
        updates,
        [Update::Saved(vec![1]), Update::Unheard { ticket: 2 }]
    );
    assert!(core.is_clean());
    // The second made no revision.
    core.push(answer("q1", json!("c")));
    let due = core.due();
    let [ClientMessage::Answer(next)] = &due[..] else {
        panic!("{due:?}");
    };
    assert_eq!((next.seq, next.base_rev), (3, Some(1)));
}

#[test]
fn a_record_that_is_behind_or_ahead_of_the_commit_settles_nothing() {
    let mut core = in_doubt(&["a"]);
    assert_eq!(core.recorded(&record(0, json!("z"))), []);
    let other = StoredAnswers {
        session: Some("s0".to_owned()),
        ..record(1, json!("z"))
    };
    assert_eq!(core.recorded(&other), []);
    // Stored is what is applied and not yet durable.
    core.push(answer("q1", json!("b")));
    core.due();
    assert_eq!(core.recorded(&record(1, json!("b"))), []);
    assert!(core.is_in_doubt());
    // Once it is, it has taken the other one's place.
    assert_eq!(core.receive(saved(2)), [Update::Saved(vec![1, 2])]);
    assert!(core.is_clean());
}

#[test]
fn a_hand_in_that_is_in_doubt_is_settled_by_how_the_attempt_stands() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    let ticket = core.push(Command::Submit);
    core.due();
    core.disconnected();
    // It had not arrived, goes out again, and is covered.
    core.receive(welcome("s", true, 0, 256));
    core.due();
    assert_eq!(core.receive(saved(1)), []);
    assert_eq!(core.recorded(&record(1, json!("a"))), []);
    let updates = core.receive(submitted());
    assert_eq!(updates[0], Update::Saved(vec![ticket]));
    // An attempt that is open has refused it.
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    let ticket = core.push(Command::Submit);
    core.due();
    core.disconnected();
    let updates = core.receive(welcome("s", true, 1, 256));
    assert_eq!(updates[1..], [Update::Unheard { ticket }]);
}

#[test]
fn at_the_end_everything_is_settled_by_what_is_stored() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    for value in ["a", "b"] {
        core.push(answer("q1", json!(value)));
    }
    core.push(Command::Submit);
    core.due();
    core.disconnected();
    core.push(answer("q1", json!("too late")));
    core.receive(submitted());
    assert!(!core.is_clean());
    let mut updates = core.recorded(&record(3, json!("a")));
    updates.sort_by_key(|update| format!("{update:?}"));
    assert_eq!(
        updates,
        [
            Update::Saved(vec![1]),
            Update::Saved(vec![3]),
            Update::Unheard { ticket: 2 },
            Update::Unheard { ticket: 4 },
        ]
    );
    assert!(core.is_clean());
}

#[test]
fn a_record_is_behind_where_more_is_known_to_be_settled() {
    let mut core = in_doubt(&["a"]);
    core.push(answer("q1", json!("b")));
    core.due();
    let refused = Refused::new(2, RefusalCode::Paused, Some("q1".to_owned()));
    core.receive(ServerMessage::Refused(refused));
    core.receive(saved(2));
    // A node that has lost the attempt shows what it never made durable.
    assert_eq!(core.recorded(&record(1, json!("b"))), []);
    assert_eq!(
        core.recorded(&record(2, json!("a"))),
        [Update::Saved(vec![1])]
    );
}

#[test]
fn the_record_says_how_often_an_answer_was_changed() {
    let mut core = in_doubt(&["refused", "taken"]);
    let updates = core.recorded(&record(2, json!("taken")));
    assert_eq!(updates, [1, 2].map(|ticket| Update::Saved(vec![ticket])));
    core.push(answer("q1", json!("next")));
    let due = core.due();
    let [ClientMessage::Answer(next)] = &due[..] else {
        panic!("{due:?}");
    };
    assert_eq!(next.base_rev, Some(1));
}

#[test]
fn a_word_that_comes_by_one_way_does_not_settle_what_is_on_the_other() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    let ticket = core.push(answer("q1", json!("a")));
    assert_eq!(core.exchange().commands.len(), 1);
    assert_eq!(core.receive(saved(1)), []);
    let refused = Refused::new(1, RefusalCode::Paused, Some("q1".to_owned()));
    let updates = core.receive(ServerMessage::Refused(refused.clone()));
    assert_eq!(updates, [Update::Refused { ticket, refused }]);
    assert!(core.is_clean());
}

#[test]
fn what_an_exchange_refused_that_began_a_session_may_not_have_been_said() {
    let mut core = Core::new();
    core.push(answer("q1", json!("a")));
    core.exchange();
    let updates = core.exchanged(exchanged(false, 1));
    assert!(
        matches!(updates[..], [Update::Timing { .. }]),
        "{updates:?}"
    );
    assert_eq!(
        core.recorded(&record(1, json!("b"))),
        [Update::Unheard { ticket: 1 }]
    );
    // In a session that stands it says all of it.
    core.push(answer("q1", json!("c")));
    core.exchange();
    let updates = core.exchanged(exchanged(true, 2));
    assert_eq!(updates[0], Update::Saved(vec![2]));
    assert!(core.is_clean());
}

#[test]
fn what_is_in_doubt_takes_room_like_what_is_unsaved() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 8_192));
    for _ in 0..4_096 {
        core.push(answer("q1", json!("a")));
    }
    assert!(!core.has_room());
    core.due();
    core.disconnected();
    core.receive(welcome("s", true, 4_096, 8_192));
    assert!(core.is_in_doubt() && !core.has_commands() && !core.has_room());
    core.recorded(&record(4_096, json!("a")));
    assert!(core.is_clean() && core.has_room());
}

#[test]
fn in_a_new_session_what_is_unsaved_is_numbered_anew_with_its_base() {
    let mut core = Core::new();
    core.know("q1", 4);
    core.receive(welcome("s", false, 0, 256));
    core.push(Command::Flag {
        question: "q9".to_owned(),
        on: true,
    });
    let first = core.push(answer("q1", json!("a")));
    core.push(answer("q1", json!("b")));
    core.due();
    core.receive(saved(1));
    core.disconnected();
    core.receive(welcome("s2", false, 0, 256));
    let bases: Vec<_> = core
        .due()
        .into_iter()
        .map(|message| {
            let ClientMessage::Answer(answer) = message else {
                panic!("{message:?}")
            };
            (answer.seq, answer.base_rev)
        })
        .collect();
    assert_eq!(bases, [(1, Some(4)), (2, Some(5))]);
    // The first had arrived before the break: its own value is no conflict.
    let updates = core.receive(conflict(1, 5, json!("a")));
    assert_eq!(updates, [Update::Saved(vec![first])]);
}

#[test]
fn a_conflict_shows_both() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    let ticket = core.push(answer("q1", json!("mine")));
    core.due();
    let updates = core.receive(conflict(1, 7, json!("other")));
    let [
        Update::Conflict {
            ticket: named,
            mine,
            stored,
            rev: 7,
            ..
        },
    ] = updates.as_slice()
    else {
        panic!("{updates:?}");
    };
    assert_eq!(
        (*named, mine, stored),
        (ticket, &json!("mine"), &json!("other"))
    );
    assert_eq!(core.receive(saved(1)), [], "refused is not saved");
    core.push(answer("q1", json!("again")));
    let [ClientMessage::Answer(again)] = &core.due()[..] else {
        panic!()
    };
    assert_eq!(again.base_rev, Some(7));
}

#[test]
fn no_more_goes_out_than_may_be_unsaved() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 2));
    for _ in 0..5 {
        core.push(answer("q1", json!("a")));
    }
    assert_eq!(numbers(&core.due()), [1, 2]);
    core.receive(saved(1));
    assert_eq!(numbers(&core.due()), [3]);
    let pulse = Pulse {
        n: 1,
        now_at: 0,
        remaining_ms: 0,
        saved_seq: 3,
        section: None,
    };
    core.receive(ServerMessage::Pulse(pulse));
    assert_eq!(numbers(&core.due()), [4, 5]);
}

#[test]
fn a_gap_sends_everything_again() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    core.push(Command::Submit);
    core.push(Command::Submit);
    core.due();
    core.receive(ServerMessage::Refused(Refused::gap(2, 1, None)));
    assert_eq!(numbers(&core.due()), [1, 2]);
}

#[test]
fn events_are_repeated_until_acknowledged() {
    let mut core = Core::new();
    core.push_event("focus_lost", 1, None);
    core.push_event("focus_gained", 2, None);
    core.receive(ServerMessage::EventAck(EventAck {
        n: 1,
        dropped: None,
    }));
    let [ClientMessage::Event(event)] = &core.due()[..] else {
        panic!()
    };
    assert_eq!((event.n, event.kind.as_str()), (2, "focus_gained"));
    assert_eq!(core.due(), []);
    core.disconnected();
    assert_eq!(core.due().len(), 1);
}

#[test]
fn an_older_deadline_is_ignored() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    let timing = |timing_rev| {
        ServerMessage::Timing(Timing {
            deadline_at: 5,
            remaining_ms: 5,
            timing_rev,
            reason: TimingReason::Extended,
        })
    };
    assert_eq!(core.receive(timing(1)), []);
    assert_eq!(core.receive(timing(3)).len(), 1);
}

#[test]
fn events_wait_until_the_engine_is_well_and_answers_do_not() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    let health = |level| {
        ServerMessage::Health(Health {
            level,
            heartbeat_ms: 30_000,
        })
    };
    core.receive(health(4));
    core.push_event("copy", 1, None);
    core.push(answer("q1", json!("a")));
    assert_eq!(numbers(&core.due()), [1]);
    core.receive(health(5));
    assert_eq!(core.due().len(), 1);
}

#[test]
fn events_get_new_numbers_in_a_new_session() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    for at in 0..3 {
        core.push_event("copy", at, None);
    }
    core.due();
    core.receive(ServerMessage::EventAck(EventAck {
        n: 2,
        dropped: None,
    }));
    core.disconnected();
    core.receive(welcome("s2", false, 0, 256));
    core.push_event("cut", 3, None);
    let numbers: Vec<_> = core
        .due()
        .into_iter()
        .map(|message| {
            let ClientMessage::Event(event) = message else {
                panic!("{message:?}")
            };
            (event.n, event.at)
        })
        .collect();
    assert_eq!(numbers, [(1, 2), (2, 3)]);
}

#[test]
fn events_have_a_bound_and_the_dropped_ones_no_number() {
    let mut core = Core::new();
    for at in 0..5_000 {
        core.push_event("copy", at, None);
    }
    core.receive(ServerMessage::EventAck(EventAck {
        n: 1_000,
        dropped: None,
    }));
    core.push_event("cut", 0, None);
    let [ClientMessage::Event(event)] = &core.due()[..] else {
        panic!()
    };
    assert_eq!(event.n, 1_001);
}

#[test]
fn a_notice_is_acknowledged_once() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    core.push_seen("n1".to_owned());
    core.push_seen("n1".to_owned());
    let ack = ClientMessage::NoticeAck(NoticeAck {
        id: "n1".to_owned(),
    });
    assert_eq!(core.due(), [ack]);
    assert_eq!(core.due(), []);
}

#[test]
fn a_long_answer_goes_by_exchange_and_nothing_overtakes_it() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    core.push(answer("q1", json!("short")));
    core.push(answer("q2", json!("x".repeat(13_000))));
    core.push(answer("q3", json!("short")));
    assert_eq!(numbers(&core.due()), [1]);
    assert!(core.wants_exchange());
    assert_eq!(core.due(), []);
    assert_eq!(numbers(&core.exchange().commands), [1, 2, 3]);
    assert!(!core.wants_exchange());
    let updates = core.exchanged(exchanged(true, 3));
    // The socket may still bring a refusal of the first.
    assert_eq!(updates[0], Update::Saved(vec![2, 3]));
    assert_eq!(
        core.recorded(&record(3, json!("short"))),
        [Update::Saved(vec![1])]
    );
    assert!(core.is_clean());
}

#[test]
fn an_exchange_takes_only_so_much() {
    let mut core = Core::new();
    for question in ["q1", "q2", "q3"] {
        core.push(answer(question, json!("x".repeat(300_000))));
    }
    assert_eq!(numbers(&core.exchange().commands), [1]);
    core.disconnected();
    core.push(answer("q4", json!("x".repeat(900_000))));
    assert_eq!(numbers(&core.exchange().commands), [1]);
}

#[test]
fn an_edit_that_a_later_one_of_the_same_client_replaced_is_no_conflict() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    let tickets = ["a", "b"].map(|value| core.push(answer("q1", json!(value))));
    core.due();
    // Both had arrived, and the session is lost before either `saved`.
    core.disconnected();
    core.receive(welcome("s2", false, 0, 256));
    assert_eq!(numbers(&core.due()), [1, 2]);
    assert_eq!(
        core.receive(conflict(1, 2, json!("b"))),
        [Update::Saved(vec![tickets[0]])]
    );
    assert_eq!(
        core.receive(conflict(2, 2, json!("b"))),
        [Update::Saved(vec![tickets[1]])]
    );
}

#[test]
fn a_conflict_with_an_earlier_value_of_ones_own_is_one() {
    let mut core = Core::new();
    core.receive(welcome("s", false, 0, 256));
    for value in ["a", "b"] {
        core.push(answer("q1", json!(value)));
    }
    core.due();
    // Elsewhere "a" was answered too, later: "b" is not what is stored.
    core.receive(conflict(1, 3, json!("a")));
    let updates = core.receive(conflict(2, 3, json!("a")));
    assert!(
        matches!(updates[..], [Update::Conflict { .. }]),
        "{updates:?}"
    );
}
