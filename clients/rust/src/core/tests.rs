//! The core as tables of inputs and outputs.

mod network;

use invigil_protocol::{
    candidate::{
        CandidatePulse, CommandsSaved, EngineHealth, EventAck, TimingChange, TimingReason,
    },
    code::RefusalCode,
    paper::RecordedAnswer,
};
use serde_json::json;

use super::*;

fn answer_command(question: &str, value: Value) -> ClientCommand {
    ClientCommand::Answer {
        question: question.to_owned(),
        value,
    }
}

fn saved_message(seq: u64) -> ServerMessage {
    ServerMessage::Saved(CommandsSaved { seq })
}

fn conflict_message(seq: u64, rev: u32, value: Value) -> ServerMessage {
    ServerMessage::Refused(CommandRefused::for_conflict(
        seq,
        "q1".to_owned(),
        rev,
        value,
    ))
}

fn welcome_message(session: &str, resumed: bool, saved_seq: u64, unsaved: u32) -> ServerMessage {
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

fn exchange_reply(resumed: bool, saved_seq: u64) -> exchange::ExchangeResponse {
    let reply = json!({
        "session": "s", "resumed": resumed, "saved_seq": saved_seq, "applied_seq": saved_seq,
        "refused": [], "status": "in_progress", "deadline_at": 1000, "remaining_ms": 900,
        "timing_rev": 2, "notices": [],
    });
    serde_json::from_value(reply).unwrap()
}

fn submitted_message() -> ServerMessage {
    let text = json!({
        "t": "submitted", "at": 900, "status": "graded", "handed_in": "candidate", "receipt": {},
    });
    serde_json::from_value(text).unwrap()
}

fn sequence_numbers(messages: &[ClientMessage]) -> Vec<u64> {
    messages.iter().filter_map(ClientMessage::seq).collect()
}

#[test]
fn a_command_goes_out_once_a_connection_and_is_saved_once() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    let ticket = core.push_command(answer_command("q1", json!("a")));
    assert_eq!(sequence_numbers(&core.due_messages()), [1]);
    assert_eq!(core.due_messages(), []);
    assert_eq!(
        core.handle_message(saved_message(1)),
        [ClientUpdate::Saved(vec![ticket])]
    );
    assert_eq!(core.handle_message(saved_message(1)), []);
    assert!(core.is_clean());
}

#[test]
fn after_a_break_the_rest_goes_out_again_under_the_same_numbers() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    for value in ["a", "b", "c"] {
        core.push_command(answer_command("q1", json!(value)));
    }
    core.due_messages();
    core.handle_message(saved_message(1));
    core.mark_disconnected();
    let resume = core.hello_message("t").resume.unwrap();
    assert_eq!((resume.session.as_str(), resume.next_seq), ("s", 4));
    core.handle_message(welcome_message("s", true, 2, 256));
    assert_eq!(sequence_numbers(&core.due_messages()), [3]);
}

/// Stored answers up to a number, with this value for `q1`.
fn stored_record(saved_seq: u64, value: Value) -> RecordedAnswers {
    let answer = RecordedAnswer {
        value,
        flagged: false,
        rev: 1,
    };
    RecordedAnswers {
        session: Some("s".to_owned()),
        saved_seq,
        answers: [("q1".to_owned(), answer)].into(),
    }
}

/// A client whose connection broke after it had sent these answers to `q1`. It has
/// reconnected and learnt that all of them are settled.
fn core_in_doubt(values: &[&str]) -> ClientCore {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    for value in values {
        core.push_command(answer_command("q1", json!(value)));
    }
    core.due_messages();
    core.mark_disconnected();
    let updates = core.handle_message(welcome_message("s", true, values.len() as u64, 256));
    assert!(
        matches!(updates[..], [ClientUpdate::Entered(_)]),
        "{updates:?}"
    );
    assert!(core.is_in_doubt() && !core.is_clean() && !core.has_commands());
    core
}

#[test]
fn what_is_settled_unheard_is_saved_where_the_record_has_it() {
    let mut core = core_in_doubt(&["a", "b"]);
    let updates = core.apply_record(&stored_record(2, json!("a")));
    assert_eq!(
        updates,
        [
            ClientUpdate::Saved(vec![1]),
            ClientUpdate::Unheard { ticket: 2 }
        ]
    );
    assert!(core.is_clean());
    // The second answer made no revision.
    core.push_command(answer_command("q1", json!("c")));
    let due = core.due_messages();
    let [ClientMessage::Answer(next)] = &due[..] else {
        panic!("{due:?}");
    };
    assert_eq!((next.seq, next.base_rev), (3, Some(1)));
}

#[test]
fn a_record_that_is_behind_or_ahead_of_the_commit_settles_nothing() {
    let mut core = core_in_doubt(&["a"]);
    assert_eq!(core.apply_record(&stored_record(0, json!("z"))), []);
    let other = RecordedAnswers {
        session: Some("s0".to_owned()),
        ..stored_record(1, json!("z"))
    };
    assert_eq!(core.apply_record(&other), []);
    // The record shows an applied answer that is not durable yet.
    core.push_command(answer_command("q1", json!("b")));
    core.due_messages();
    assert_eq!(core.apply_record(&stored_record(1, json!("b"))), []);
    assert!(core.is_in_doubt());
    // Once it is durable, it supersedes the other one.
    assert_eq!(
        core.handle_message(saved_message(2)),
        [ClientUpdate::Saved(vec![1, 2])]
    );
    assert!(core.is_clean());
}

#[test]
fn a_hand_in_that_is_in_doubt_is_settled_by_how_the_attempt_stands() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    let ticket = core.push_command(ClientCommand::Submit);
    core.due_messages();
    core.mark_disconnected();
    // The hand-in had not arrived, is sent again, and is covered.
    core.handle_message(welcome_message("s", true, 0, 256));
    core.due_messages();
    assert_eq!(core.handle_message(saved_message(1)), []);
    assert_eq!(core.apply_record(&stored_record(1, json!("a"))), []);
    let updates = core.handle_message(submitted_message());
    assert_eq!(updates[0], ClientUpdate::Saved(vec![ticket]));
    // If the attempt is still open, the hand-in was refused.
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    let ticket = core.push_command(ClientCommand::Submit);
    core.due_messages();
    core.mark_disconnected();
    let updates = core.handle_message(welcome_message("s", true, 1, 256));
    assert_eq!(updates[1..], [ClientUpdate::Unheard { ticket }]);
}

#[test]
fn at_the_end_everything_is_settled_by_what_is_stored() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    for value in ["a", "b"] {
        core.push_command(answer_command("q1", json!(value)));
    }
    core.push_command(ClientCommand::Submit);
    core.due_messages();
    core.mark_disconnected();
    core.push_command(answer_command("q1", json!("too late")));
    core.handle_message(submitted_message());
    assert!(!core.is_clean());
    let mut updates = core.apply_record(&stored_record(3, json!("a")));
    updates.sort_by_key(|update| format!("{update:?}"));
    assert_eq!(
        updates,
        [
            ClientUpdate::Saved(vec![1]),
            ClientUpdate::Saved(vec![3]),
            ClientUpdate::Unheard { ticket: 2 },
            ClientUpdate::Unheard { ticket: 4 },
        ]
    );
    assert!(core.is_clean());
}

#[test]
fn a_record_is_behind_where_more_is_known_to_be_settled() {
    let mut core = core_in_doubt(&["a"]);
    core.push_command(answer_command("q1", json!("b")));
    core.due_messages();
    let refused = CommandRefused::new(2, RefusalCode::Paused, Some("q1".to_owned()));
    core.handle_message(ServerMessage::Refused(refused));
    core.handle_message(saved_message(2));
    // A node that has lost the attempt shows an answer that it never made durable.
    assert_eq!(core.apply_record(&stored_record(1, json!("b"))), []);
    assert_eq!(
        core.apply_record(&stored_record(2, json!("a"))),
        [ClientUpdate::Saved(vec![1])]
    );
}

#[test]
fn the_record_says_how_often_an_answer_was_changed() {
    let mut core = core_in_doubt(&["refused", "taken"]);
    let updates = core.apply_record(&stored_record(2, json!("taken")));
    assert_eq!(
        updates,
        [1, 2].map(|ticket| ClientUpdate::Saved(vec![ticket]))
    );
    core.push_command(answer_command("q1", json!("next")));
    let due = core.due_messages();
    let [ClientMessage::Answer(next)] = &due[..] else {
        panic!("{due:?}");
    };
    assert_eq!(next.base_rev, Some(1));
}

#[test]
fn a_word_that_comes_by_one_way_does_not_settle_what_is_on_the_other() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    let ticket = core.push_command(answer_command("q1", json!("a")));
    assert_eq!(core.exchange_request().commands.len(), 1);
    assert_eq!(core.handle_message(saved_message(1)), []);
    let refused = CommandRefused::new(1, RefusalCode::Paused, Some("q1".to_owned()));
    let updates = core.handle_message(ServerMessage::Refused(refused.clone()));
    assert_eq!(updates, [ClientUpdate::Refused { ticket, refused }]);
    assert!(core.is_clean());
}

#[test]
fn what_an_exchange_refused_that_began_a_session_may_not_have_been_said() {
    let mut core = ClientCore::new();
    core.push_command(answer_command("q1", json!("a")));
    core.exchange_request();
    let updates = core.apply_exchange_reply(exchange_reply(false, 1));
    assert!(
        matches!(updates[..], [ClientUpdate::Timing { .. }]),
        "{updates:?}"
    );
    assert_eq!(
        core.apply_record(&stored_record(1, json!("b"))),
        [ClientUpdate::Unheard { ticket: 1 }]
    );
    // In an existing session the engine reports every refusal.
    core.push_command(answer_command("q1", json!("c")));
    core.exchange_request();
    let updates = core.apply_exchange_reply(exchange_reply(true, 2));
    assert_eq!(updates[0], ClientUpdate::Saved(vec![2]));
    assert!(core.is_clean());
}

#[test]
fn what_is_in_doubt_takes_room_like_what_is_unsaved() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 8_192));
    for _ in 0..4_096 {
        core.push_command(answer_command("q1", json!("a")));
    }
    assert!(!core.has_room());
    core.due_messages();
    core.mark_disconnected();
    core.handle_message(welcome_message("s", true, 4_096, 8_192));
    assert!(core.is_in_doubt() && !core.has_commands() && !core.has_room());
    core.apply_record(&stored_record(4_096, json!("a")));
    assert!(core.is_clean() && core.has_room());
}

#[test]
fn in_a_new_session_what_is_unsaved_is_numbered_anew_with_its_base() {
    let mut core = ClientCore::new();
    core.set_revision("q1", 4);
    core.handle_message(welcome_message("s", false, 0, 256));
    core.push_command(ClientCommand::Flag {
        question: "q9".to_owned(),
        on: true,
    });
    let first = core.push_command(answer_command("q1", json!("a")));
    core.push_command(answer_command("q1", json!("b")));
    core.due_messages();
    core.handle_message(saved_message(1));
    core.mark_disconnected();
    core.handle_message(welcome_message("s2", false, 0, 256));
    let bases: Vec<_> = core
        .due_messages()
        .into_iter()
        .map(|message| {
            let ClientMessage::Answer(answer) = message else {
                panic!("{message:?}")
            };
            (answer.seq, answer.base_rev)
        })
        .collect();
    assert_eq!(bases, [(1, Some(4)), (2, Some(5))]);
    // The first answer had arrived before the break: its own value is no conflict.
    let updates = core.handle_message(conflict_message(1, 5, json!("a")));
    assert_eq!(updates, [ClientUpdate::Saved(vec![first])]);
}

#[test]
fn a_conflict_shows_both() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    let ticket = core.push_command(answer_command("q1", json!("mine")));
    core.due_messages();
    let updates = core.handle_message(conflict_message(1, 7, json!("other")));
    let [
        ClientUpdate::Conflict {
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
    assert_eq!(
        core.handle_message(saved_message(1)),
        [],
        "refused is not saved"
    );
    core.push_command(answer_command("q1", json!("again")));
    let [ClientMessage::Answer(again)] = &core.due_messages()[..] else {
        panic!()
    };
    assert_eq!(again.base_rev, Some(7));
}

#[test]
fn no_more_goes_out_than_may_be_unsaved() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 2));
    for _ in 0..5 {
        core.push_command(answer_command("q1", json!("a")));
    }
    assert_eq!(sequence_numbers(&core.due_messages()), [1, 2]);
    core.handle_message(saved_message(1));
    assert_eq!(sequence_numbers(&core.due_messages()), [3]);
    let pulse = CandidatePulse {
        n: 1,
        now_at: 0,
        remaining_ms: 0,
        saved_seq: 3,
        section: None,
    };
    core.handle_message(ServerMessage::Pulse(pulse));
    assert_eq!(sequence_numbers(&core.due_messages()), [4, 5]);
}

#[test]
fn a_gap_sends_everything_again() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    core.push_command(ClientCommand::Submit);
    core.push_command(ClientCommand::Submit);
    core.due_messages();
    core.handle_message(ServerMessage::Refused(CommandRefused::for_gap(2, 1, None)));
    assert_eq!(sequence_numbers(&core.due_messages()), [1, 2]);
}

#[test]
fn events_are_repeated_until_acknowledged() {
    let mut core = ClientCore::new();
    core.push_event("focus_lost", 1, None);
    core.push_event("focus_gained", 2, None);
    core.handle_message(ServerMessage::EventAck(EventAck {
        n: 1,
        dropped: None,
    }));
    let [ClientMessage::Event(event)] = &core.due_messages()[..] else {
        panic!()
    };
    assert_eq!((event.n, event.kind.as_str()), (2, "focus_gained"));
    assert_eq!(core.due_messages(), []);
    core.mark_disconnected();
    assert_eq!(core.due_messages().len(), 1);
}

#[test]
fn an_older_deadline_is_ignored() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    let timing = |timing_rev| {
        ServerMessage::Timing(TimingChange {
            deadline_at: 5,
            remaining_ms: 5,
            timing_rev,
            reason: TimingReason::Extended,
        })
    };
    assert_eq!(core.handle_message(timing(1)), []);
    assert_eq!(core.handle_message(timing(3)).len(), 1);
}

#[test]
fn events_wait_until_the_engine_is_well_and_answers_do_not() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    let health = |level| {
        ServerMessage::Health(EngineHealth {
            level,
            heartbeat_ms: 30_000,
        })
    };
    core.handle_message(health(4));
    core.push_event("copy", 1, None);
    core.push_command(answer_command("q1", json!("a")));
    assert_eq!(sequence_numbers(&core.due_messages()), [1]);
    core.handle_message(health(5));
    assert_eq!(core.due_messages().len(), 1);
}

#[test]
fn events_get_new_numbers_in_a_new_session() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    for at in 0..3 {
        core.push_event("copy", at, None);
    }
    core.due_messages();
    core.handle_message(ServerMessage::EventAck(EventAck {
        n: 2,
        dropped: None,
    }));
    core.mark_disconnected();
    core.handle_message(welcome_message("s2", false, 0, 256));
    core.push_event("cut", 3, None);
    let numbers: Vec<_> = core
        .due_messages()
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
    let mut core = ClientCore::new();
    for at in 0..5_000 {
        core.push_event("copy", at, None);
    }
    core.handle_message(ServerMessage::EventAck(EventAck {
        n: 1_000,
        dropped: None,
    }));
    core.push_event("cut", 0, None);
    let [ClientMessage::Event(event)] = &core.due_messages()[..] else {
        panic!()
    };
    assert_eq!(event.n, 1_001);
}

#[test]
fn a_notice_is_acknowledged_once() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    core.push_notice_ack("n1".to_owned());
    core.push_notice_ack("n1".to_owned());
    let ack = ClientMessage::NoticeAck(NoticeAck {
        id: "n1".to_owned(),
    });
    assert_eq!(core.due_messages(), [ack]);
    assert_eq!(core.due_messages(), []);
}

#[test]
fn a_long_answer_goes_by_exchange_and_nothing_overtakes_it() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    core.push_command(answer_command("q1", json!("short")));
    core.push_command(answer_command("q2", json!("x".repeat(13_000))));
    core.push_command(answer_command("q3", json!("short")));
    assert_eq!(sequence_numbers(&core.due_messages()), [1]);
    assert!(core.wants_exchange());
    assert_eq!(core.due_messages(), []);
    assert_eq!(
        sequence_numbers(&core.exchange_request().commands),
        [1, 2, 3]
    );
    assert!(!core.wants_exchange());
    let updates = core.apply_exchange_reply(exchange_reply(true, 3));
    // The socket may still bring a refusal of the first answer.
    assert_eq!(updates[0], ClientUpdate::Saved(vec![2, 3]));
    assert_eq!(
        core.apply_record(&stored_record(3, json!("short"))),
        [ClientUpdate::Saved(vec![1])]
    );
    assert!(core.is_clean());
}

#[test]
fn an_exchange_takes_only_so_much() {
    let mut core = ClientCore::new();
    for question in ["q1", "q2", "q3"] {
        core.push_command(answer_command(question, json!("x".repeat(300_000))));
    }
    assert_eq!(sequence_numbers(&core.exchange_request().commands), [1]);
    core.mark_disconnected();
    core.push_command(answer_command("q4", json!("x".repeat(900_000))));
    assert_eq!(sequence_numbers(&core.exchange_request().commands), [1]);
}

#[test]
fn an_edit_that_a_later_one_of_the_same_client_replaced_is_no_conflict() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    let tickets = ["a", "b"].map(|value| core.push_command(answer_command("q1", json!(value))));
    core.due_messages();
    // Both answers had arrived, and the session is lost before either `saved`.
    core.mark_disconnected();
    core.handle_message(welcome_message("s2", false, 0, 256));
    assert_eq!(sequence_numbers(&core.due_messages()), [1, 2]);
    assert_eq!(
        core.handle_message(conflict_message(1, 2, json!("b"))),
        [ClientUpdate::Saved(vec![tickets[0]])]
    );
    assert_eq!(
        core.handle_message(conflict_message(2, 2, json!("b"))),
        [ClientUpdate::Saved(vec![tickets[1]])]
    );
}

#[test]
fn a_conflict_with_an_earlier_value_of_ones_own_is_one() {
    let mut core = ClientCore::new();
    core.handle_message(welcome_message("s", false, 0, 256));
    for value in ["a", "b"] {
        core.push_command(answer_command("q1", json!(value)));
    }
    core.due_messages();
    // Another device answered "a" later: "b" is not stored.
    core.handle_message(conflict_message(1, 3, json!("a")));
    let updates = core.handle_message(conflict_message(2, 3, json!("a")));
    assert!(
        matches!(updates[..], [ClientUpdate::Conflict { .. }]),
        "{updates:?}"
    );
}
