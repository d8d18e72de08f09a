//! When a change may be called saved, and by which commit.

use futures_util::FutureExt;

use super::*;
use crate::{
    domain::{person::Groups, time::Timestamp},
    engine::outbox::Outgoing,
};

const NONE: [u64; 0] = [];

fn slot() -> Arc<Slot> {
    let durable = Durable {
        version: 0,
        session: None,
        seq: 0,
    };
    let identity = Identity {
        id: AttemptId(1),
        exam: "E1".into(),
        exam_version: "sha256:0".into(),
        candidate: "ann".into(),
        number: 1,
        seed: 0,
        time_factor: rust_decimal::Decimal::ONE,
        extra_time: std::time::Duration::ZERO,
        groups: Groups::default(),
        started_at: Timestamp::from_ms(0),
    };
    Arc::new(Slot::new(&identity, 1, durable, None))
}

/// The answer `seq` of a session, which makes the attempt's version `seq`.
fn answer(question: u16, seq: u64, outbox: &Arc<Outbox>) -> Change {
    let row = AnswerRow {
        question: format!("q{question}").into(),
        value: Some(seq.to_string().into()),
        flagged: false,
        rev: 1,
        version: seq,
        answered_at: Timestamp::from_ms(0),
        spent_ms: 0,
    };
    let entry = TimelineRow {
        number: seq,
        at: Timestamp::from_ms(0),
        kind: "answer".to_owned(),
        data: "{}".into(),
    };
    Change {
        progress: Progress {
            version: seq,
            last_seq: seq,
            ..Progress::default()
        },
        answer: Some((question, row, entry)),
        outbox: Some(Arc::clone(outbox)),
        saved: true,
        ..Change::default()
    }
}

fn put(slot: &Slot, change: Change) -> bool {
    slot.put(change, Instant::now())
}

/// The numbers that a client was told are saved.
fn told(outbox: &Outbox) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(outgoing) = outbox.next().now_or_never() {
        let Outgoing::Message(ServerMessage::Saved(saved)) = outgoing else {
            panic!("{outgoing:?}");
        };
        numbers.push(saved.seq);
    }
    numbers
}

#[tokio::test]
async fn what_comes_during_a_commit_is_not_called_saved_by_it() {
    let (slot, outbox) = (slot(), Arc::default());
    assert!(put(&slot, answer(0, 1, &outbox)), "to be queued");
    let (first, under_way) = slot.take().unwrap();
    assert_eq!(first.answers.len(), 1);
    assert!(put(&slot, answer(0, 2, &outbox)), "to be queued once more");
    assert!(!put(&slot, answer(1, 3, &outbox)), "is queued already");
    assert_eq!(told(&outbox), NONE, "nothing is durable yet");

    under_way.settle(Vec::new());
    assert_eq!(told(&outbox), [1]);
    assert_eq!(slot.durable().seq, 1);
    assert!(!slot.is_clean(3));

    let (second, under_way) = slot.take().unwrap();
    assert_eq!(second.answers.len(), 2);
    assert!(!slot.is_clean(3), "taken is not durable");
    under_way.settle(Vec::new());
    assert_eq!(told(&outbox), [3]);
    assert!(slot.is_clean(3));
    assert!(slot.take().is_none(), "nothing is left");
}

#[tokio::test]
async fn of_each_question_the_newest_answer_waits() {
    let (slot, outbox) = (slot(), Arc::default());
    for (question, seq) in [(7, 1), (3, 2), (7, 3), (5, 4), (3, 5)] {
        let _queue = put(&slot, answer(question, seq, &outbox));
    }
    let (write, _) = slot.take().unwrap();
    let waiting: Vec<_> = write
        .answers
        .iter()
        .map(|row| (row.question.as_str(), row.version))
        .collect();
    assert_eq!(waiting, [("q3", 5), ("q5", 4), ("q7", 3)]);
    assert_eq!(write.timeline.len(), 3);
    assert_eq!(write.progress.last_seq, 5);
}

#[tokio::test]
async fn whoever_takes_the_attempt_over_does_not_hear_of_the_others_commands() {
    let (slot, old, new) = (slot(), Arc::default(), Arc::default());
    let _queue = put(&slot, answer(0, 1, &old));
    let entered = Change {
        outbox: Some(Arc::clone(&new)),
        ..Change::default()
    };
    let _queued = put(&slot, entered);
    slot.take().unwrap().1.settle(Vec::new());
    assert_eq!((told(&old), told(&new)), (vec![], vec![]));
}

#[tokio::test]
async fn what_is_sealed_saves_nothing_any_more() {
    let (slot, outbox) = (slot(), Arc::default());
    let _queue = put(&slot, answer(0, 1, &outbox));
    slot.seal(Fate::Fenced);
    assert!(slot.settled().now_or_never().is_some(), "the actor is told");
    let _queued = put(&slot, answer(0, 2, &outbox));
    assert!(slot.take().is_none());
    assert_eq!(told(&outbox), NONE);
    assert_eq!(slot.durable().seq, 0);
}
