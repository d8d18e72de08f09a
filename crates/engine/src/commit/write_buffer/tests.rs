//! Commits by which a change may be called saved.

use futures_util::FutureExt;

use super::*;
use crate::commit::outbox::OutboxItem;
use invigil_domain::{person::GroupSet, time::Timestamp};

const NONE: [u64; 0] = [];

fn new_buffer() -> Arc<WriteBuffer> {
    let durable = DurableProgress {
        version: 0,
        session: None,
        seq: 0,
    };
    let identity = AttemptIdentity {
        id: AttemptId(1),
        exam: "E1".into(),
        exam_version: "sha256:0".into(),
        candidate: "ann".into(),
        number: 1,
        seed: 0,
        time_factor: rust_decimal::Decimal::ONE,
        extra_time: std::time::Duration::ZERO,
        groups: GroupSet::default(),
        started_at: Timestamp::from_ms(0),
    };
    Arc::new(WriteBuffer::new(&identity, 1, durable, None))
}

/// The answer `seq` of a session, which makes the attempt's version `seq`.
fn answer_changes(question: u16, seq: u64, outbox: &Arc<Outbox>) -> AttemptChanges {
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
    AttemptChanges {
        progress: ProgressRow {
            version: seq,
            last_seq: seq,
            ..ProgressRow::default()
        },
        answer: Some((question, row, entry)),
        outbox: Some(Arc::clone(outbox)),
        saved: true,
        ..AttemptChanges::default()
    }
}

fn add_now(buffer: &WriteBuffer, changes: AttemptChanges) -> bool {
    buffer.add_changes(changes, Instant::now())
}

/// Numbers that the client was told are saved.
fn saved_numbers(outbox: &Outbox) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(outgoing) = outbox.next().now_or_never() {
        let OutboxItem::Message(ServerMessage::Saved(saved)) = outgoing else {
            panic!("{outgoing:?}");
        };
        numbers.push(saved.seq);
    }
    numbers
}

#[tokio::test]
async fn what_comes_during_a_commit_is_not_called_saved_by_it() {
    let (buffer, outbox) = (new_buffer(), Arc::default());
    assert!(
        add_now(&buffer, answer_changes(0, 1, &outbox)),
        "to be queued"
    );
    let (first, under_way) = buffer.take_pending().unwrap();
    assert_eq!(first.answers.len(), 1);
    assert!(
        add_now(&buffer, answer_changes(0, 2, &outbox)),
        "to be queued once more"
    );
    assert!(
        !add_now(&buffer, answer_changes(1, 3, &outbox)),
        "is queued already"
    );
    assert_eq!(saved_numbers(&outbox), NONE, "nothing is durable yet");

    under_way.settle(Vec::new());
    assert_eq!(saved_numbers(&outbox), [1]);
    assert_eq!(buffer.durable_progress().seq, 1);
    assert!(!buffer.is_clean(3));

    let (second, under_way) = buffer.take_pending().unwrap();
    assert_eq!(second.answers.len(), 2);
    assert!(!buffer.is_clean(3), "taken is not durable");
    under_way.settle(Vec::new());
    assert_eq!(saved_numbers(&outbox), [3]);
    assert!(buffer.is_clean(3));
    assert!(buffer.take_pending().is_none(), "nothing is left");
}

#[tokio::test]
async fn of_each_question_the_newest_answer_waits() {
    let (buffer, outbox) = (new_buffer(), Arc::default());
    for (question, seq) in [(7, 1), (3, 2), (7, 3), (5, 4), (3, 5)] {
        let _queue = add_now(&buffer, answer_changes(question, seq, &outbox));
    }
    let (write, _) = buffer.take_pending().unwrap();
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
    let (buffer, old, new) = (new_buffer(), Arc::default(), Arc::default());
    let _queue = add_now(&buffer, answer_changes(0, 1, &old));
    let entered = AttemptChanges {
        outbox: Some(Arc::clone(&new)),
        ..AttemptChanges::default()
    };
    let _queued = add_now(&buffer, entered);
    buffer.take_pending().unwrap().1.settle(Vec::new());
    assert_eq!((saved_numbers(&old), saved_numbers(&new)), (vec![], vec![]));
}

#[tokio::test]
async fn what_is_sealed_saves_nothing_any_more() {
    let (buffer, outbox) = (new_buffer(), Arc::default());
    let _queue = add_now(&buffer, answer_changes(0, 1, &outbox));
    buffer.seal(BufferState::Fenced);
    assert!(
        buffer.wait_settled().now_or_never().is_some(),
        "the actor is told"
    );
    let _queued = add_now(&buffer, answer_changes(0, 2, &outbox));
    assert!(buffer.take_pending().is_none());
    assert_eq!(saved_numbers(&outbox), NONE);
    assert_eq!(buffer.durable_progress().seq, 0);
}
