//! Changes on their way to the store, and the effects that wait for them.

use futures_util::FutureExt;
use serde_json::json;

use super::*;
use crate::attempt::fixture::{
    EPOCH, NOW, answer_command, enter_session, entered_attempt, exam_content, new_attempt,
    staff_command,
};
use crate::commit::outbox::Outbox;
use invigil_domain::attempt::{
    AttemptCommand,
    command::{ClientEvent, StaffAction},
};
use invigil_store::AttemptWrite;

fn new_journal(attempt: &Attempt) -> AttemptJournal {
    AttemptJournal::new(attempt, EPOCH, None)
}

/// Performs a command as the actor does, with the changes that the journal makes of it.
fn journal_command(
    journal: &mut AttemptJournal,
    attempt: &mut Attempt,
    command: &AttemptCommand,
    mut changes: AttemptChanges,
) -> Option<Arc<WriteBuffer>> {
    for event in attempt.decide(NOW, command).unwrap() {
        attempt.apply(&event);
        let entry = journal.timeline_entry(attempt, NOW, &event);
        journal.add_event(attempt, NOW, (&event, entry), &mut changes);
    }
    journal.add_changes(attempt, NOW, changes)
}

/// Commits what waits, as the writer does.
fn commit(buffer: &Arc<WriteBuffer>) -> AttemptWrite {
    let (write, ack) = buffer.take_pending().unwrap();
    ack.settle(Vec::new());
    write
}

/// An entered attempt, its journal and its queued buffer.
fn entered_journal() -> (Attempt, AttemptJournal, Arc<WriteBuffer>) {
    let mut attempt = new_attempt(&exam_content(json!({})));
    let mut journal = new_journal(&attempt);
    let enter = AttemptCommand::Enter {
        resume: None,
        fresh: "s1".into(),
    };
    let changes = AttemptChanges::default();
    let buffer = journal_command(&mut journal, &mut attempt, &enter, changes).unwrap();
    (attempt, journal, buffer)
}

const fn status_effect() -> DeferredEffect {
    DeferredEffect::Status(None)
}

#[test]
fn effects_wait_for_their_version_in_order() {
    let attempt = entered_attempt(json!({}));
    let mut journal = new_journal(&attempt);
    journal.defer(3, DeferredEffect::Finish(None));
    journal.defer(4, status_effect());
    assert!(journal.pop_effect(2).is_none());
    let first = journal.pop_effect(4);
    assert!(matches!(first, Some(DeferredEffect::Finish(None))));
    assert!(matches!(
        journal.pop_effect(4),
        Some(DeferredEffect::Status(None))
    ));
    assert!(journal.pop_effect(u64::MAX).is_none());
}

#[test]
fn a_loaded_attempt_is_durable() {
    let attempt = entered_attempt(json!({}));
    let mut journal = new_journal(&attempt);
    assert!(journal.is_settled(attempt.version()));
    assert_eq!(journal.durable_session(), Some("s1".into()));
    journal.defer(attempt.version(), status_effect());
    assert!(journal.is_clean(attempt.version()));
    assert!(
        !journal.is_settled(attempt.version()),
        "an effect still waits"
    );
}

#[test]
fn a_buffer_is_queued_once_until_it_is_taken() {
    let (mut attempt, mut journal, buffer) = entered_journal();
    let mut answer = |journal: &mut AttemptJournal, seq| {
        let command = answer_command(seq, "q0");
        let changes = AttemptChanges::default();
        journal_command(journal, &mut attempt, &command, changes).is_some()
    };
    assert!(!answer(&mut journal, 1), "queued already");
    let write = commit(&buffer);
    assert_eq!(write.answers.len(), 1);
    assert_eq!(write.progress.last_seq, 1);
    assert!(answer(&mut journal, 2));
}

#[test]
fn the_actor_is_woken_only_by_a_commit_that_an_effect_waits_for() {
    let (mut attempt, mut journal, buffer) = entered_journal();
    commit(&buffer);
    assert!(journal.wait_settled().now_or_never().is_none());
    journal.defer(attempt.version() + 1, status_effect());
    let changes = AttemptChanges::default();
    let answer = answer_command(1, "q0");
    journal_command(&mut journal, &mut attempt, &answer, changes).unwrap();
    commit(&buffer);
    assert!(journal.wait_settled().now_or_never().is_some());
    assert_eq!(journal.durable_version(), attempt.version());
}

#[test]
fn only_numbers_of_the_present_session_are_saved() {
    let (mut attempt, mut journal, buffer) = entered_journal();
    let changes = AttemptChanges::default();
    let answer = answer_command(1, "q0");
    journal_command(&mut journal, &mut attempt, &answer, changes);
    assert_eq!(journal.saved_seq(&attempt), 0, "not durable yet");
    commit(&buffer);
    assert_eq!(journal.saved_seq(&attempt), 1);
    enter_session(&mut attempt, NOW, "s2").unwrap();
    assert_eq!(journal.saved_seq(&attempt), 0);
}

#[test]
fn a_refusal_goes_to_the_connection_or_waits_for_the_exchange() {
    let (mut attempt, mut journal, buffer) = entered_journal();
    let unknown = answer_command(1, "q99");
    let changes = AttemptChanges::default();
    journal_command(&mut journal, &mut attempt, &unknown, changes);
    let refused = journal.take_refusal().unwrap();
    assert_eq!(refused.seq, 1);
    assert!(journal.take_refusal().is_none());
    let outbox = Arc::new(Outbox::default());
    let changes = AttemptChanges {
        outbox: Some(Arc::clone(&outbox)),
        ..AttemptChanges::default()
    };
    let unknown = answer_command(2, "q99");
    journal_command(&mut journal, &mut attempt, &unknown, changes);
    assert!(journal.take_refusal().is_none());
    assert!(outbox.next().now_or_never().is_none(), "not durable yet");
    commit(&buffer);
    assert!(outbox.next().now_or_never().is_some());
}

#[test]
fn a_fenced_journal_writes_nothing_more() {
    let (mut attempt, mut journal, buffer) = entered_journal();
    journal.fence();
    assert_eq!(journal.state(), BufferState::Fenced);
    assert!(journal.wait_settled().now_or_never().is_some());
    let answer = answer_command(1, "q0");
    let changes = AttemptChanges::default();
    journal_command(&mut journal, &mut attempt, &answer, changes);
    assert!(buffer.take_pending().is_none());
}

#[test]
fn refusals_leave_room_for_exchanges() {
    let attempt = entered_attempt(json!({}));
    let mut journal = new_journal(&attempt);
    let mut room = Vec::new();
    for count in 0..=32 {
        let both = (
            journal.has_room_for_refusal(),
            journal.has_room_for_exchange(),
        );
        if room.last().is_none_or(|(_, last)| *last != both) {
            room.push((count, both));
        }
        journal.defer(1, status_effect());
    }
    let expected = [(0, (true, true)), (16, (false, true)), (32, (false, false))];
    assert_eq!(room, expected);
}

#[test]
fn an_observation_without_a_recorder_is_part_of_the_commit() {
    let attempt = entered_attempt(json!({}));
    let journal = new_journal(&attempt);
    let entry = TimelineRow {
        number: 1,
        at: NOW,
        kind: "heartbeat".to_owned(),
        data: "{}".into(),
    };
    let changes = journal.record_observation(&attempt, RecordClass::Heartbeat, entry.clone());
    assert_eq!(changes.unwrap().timeline, [entry]);
}

/// True if a command changes the stored control state.
fn changes_control(attempt: &mut Attempt, command: &AttemptCommand) -> bool {
    let mut journal = new_journal(attempt);
    let changes = AttemptChanges::default();
    let buffer = journal_command(&mut journal, attempt, command, changes).unwrap();
    commit(&buffer).control.is_some()
}

#[test]
fn leaving_changes_the_control_state_only_under_rules_that_need_it() {
    for (rules, expected) in [
        (json!({}), false),
        (json!({ "session_policy": "takeover" }), false),
        (json!({ "session_policy": "reject" }), true),
        (
            json!({ "on_disconnect": { "compensate_up_to_minutes": 5 } }),
            true,
        ),
    ] {
        let mut attempt = entered_attempt(rules.clone());
        let changed = changes_control(&mut attempt, &AttemptCommand::Leave);
        assert_eq!(changed, expected, "{rules}");
    }
}

#[test]
fn answers_leave_the_control_state_alone_and_staff_changes_it() {
    let mut attempt = entered_attempt(json!({}));
    assert!(!changes_control(&mut attempt, &answer_command(1, "q0")));
    let pause = staff_command(StaffAction::Pause { reason: None });
    assert!(changes_control(&mut attempt, &pause));
}

#[test]
fn a_dropped_event_leaves_no_entry() {
    for (dropped, expected) in [(0, 1), (1, 0)] {
        let (mut attempt, mut journal, buffer) = entered_journal();
        commit(&buffer);
        let observed = AttemptCommand::Observe(ClientEvent {
            n: 1,
            kind: "copy".to_owned(),
            client_at: NOW,
            data: serde_json::Value::Null,
            dropped: dropped > 0,
        });
        let changes = AttemptChanges {
            dropped,
            ..AttemptChanges::default()
        };
        journal_command(&mut journal, &mut attempt, &observed, changes);
        assert_eq!(commit(&buffer).timeline.len(), expected);
    }
}
