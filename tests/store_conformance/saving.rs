//! Saving, fencing and reading back.

use std::{collections::BTreeMap, sync::Arc};

use invigil_domain::id::AttemptId;
use invigil_store::{AttemptWrite, Error, GradeRow, WriteOutcome};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use rust_decimal::Decimal;

use crate::fixture::{
    QUESTIONS, Store, answer, at, closed, entry, furnish, hand_in, node, start, started_and_taken,
    take, totals, write,
};

/// Values whose exact text must come back.
const VALUES: [&str; 7] = [
    "\"b\"",
    "[ \"a\",\"a\" ]",
    "{\"z\": 1, \"a\": 1e2, \"z\": 2}",
    "\"NUL \\u0000, lone \\ud800, quote \\\" '\"",
    "\"\u{202e}\u{fffd}\u{10ffff}\u{1f469}\u{200d}\u{1f680} e\u{301} \u{7f}\"",
    "123456789012345678901234567890.10",
    "false",
];

pub(crate) async fn what_was_saved_comes_back_as_it_was(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let (attempt, epoch) = started_and_taken(&*store, "ann").await;
    let mut saved = write(attempt, epoch, 0);
    for (version, value) in (1..).zip(VALUES) {
        saved.progress.version = version;
        saved.progress.last_seq = version;
        saved.answers = vec![
            answer(QUESTIONS[1], Some(value), version),
            answer(QUESTIONS[2], None, version),
        ];
        saved.timeline = vec![entry(version, &format!("{{\"value\": {value}}}"))];
        assert_eq!(
            store.save_batch(&[saved.clone()]).await.unwrap(),
            [WriteOutcome::Saved]
        );

        let taken = take(&*store, attempt, &node()).await;
        saved.epoch = taken.epoch;
        assert_eq!(taken.progress, saved.progress);
        let mut expected = saved.answers.clone();
        expected.sort_by(|a, b| a.question.cmp(&b.question));
        assert_eq!(taken.answers, expected);
        let timeline = store.read_timeline(attempt, version - 1, 10).await.unwrap();
        assert_eq!(timeline, saved.timeline);
    }
    let summary = store.read_summary(attempt).await.unwrap().unwrap();
    assert_eq!((summary.answered, summary.progress), (1, saved.progress));
}

pub(crate) async fn a_stale_epoch_writes_nothing_while_others_are_saved(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let (stale, old_epoch) = started_and_taken(&*store, "ann").await;
    let (live, epoch) = started_and_taken(&*store, "bob").await;
    let before = take(&*store, stale, &node()).await;
    assert!(before.epoch > old_epoch);

    let full = |attempt, epoch| {
        let mut full = write(attempt, epoch, 9);
        full.answers = vec![answer(QUESTIONS[0], Some("1"), 9)];
        full.timeline = vec![entry(9, "{}")];
        full.control = Some(Box::new(closed(at(60))));
        full.hand_in = Some(Box::new(hand_in()));
        full
    };
    let nobody = AttemptId(i64::MAX);
    let batch = [
        full(stale, old_epoch),
        full(nobody, 1),
        full(live, epoch),
        full(stale, epoch + 9),
    ];
    let written = store.save_batch(&batch[..3]).await.unwrap();
    assert_eq!(
        written,
        [
            WriteOutcome::Fenced,
            WriteOutcome::Fenced,
            WriteOutcome::Saved
        ]
    );
    assert_eq!(
        store.save_batch(&batch[3..]).await.unwrap(),
        [WriteOutcome::Fenced]
    );

    let after = take(&*store, stale, &node()).await;
    assert_eq!(
        (&after.answers, &after.progress),
        (&before.answers, &before.progress)
    );
    assert_eq!(after.control, before.control);
    assert_eq!(store.read_timeline(stale, 0, 10).await.unwrap(), []);
    assert_eq!(store.read_receipt(stale).await.unwrap(), None);
    assert_eq!(store.read_graded_answers(live).await.unwrap().len(), 1);
    assert!(store.read_receipt(live).await.unwrap().is_some());
}

pub(crate) async fn a_repeated_batch_changes_nothing(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let (attempt, epoch) = started_and_taken(&*store, "ann").await;
    let mut full = write(attempt, epoch, 4);
    full.answers = vec![
        answer(QUESTIONS[0], Some("1"), 3),
        answer(QUESTIONS[2], Some("true"), 4),
    ];
    full.timeline = vec![entry(1, "{}"), entry(2, "{\"a\":1}")];
    full.control = Some(Box::new(closed(at(60))));
    let mark = |question: &str, earned| GradeRow {
        question: question.into(),
        points_earned: earned,
        points_possible: Decimal::new(125, 3),
    };
    full.hand_in = Some(Box::new(hand_in()));
    full.hand_in.as_mut().unwrap().grades = vec![
        mark(QUESTIONS[0], None),
        mark(QUESTIONS[2], Some(Decimal::new(-13, 2))),
    ];

    let look = async || {
        (
            store.read_summary(attempt).await.unwrap().unwrap(),
            store.read_graded_answers(attempt).await.unwrap(),
            store.read_timeline(attempt, 0, 10).await.unwrap(),
            store.read_receipt(attempt).await.unwrap(),
        )
    };
    store.save_batch(&[full.clone()]).await.unwrap();
    let first = look().await;
    assert_eq!(
        store.save_batch(&[full.clone()]).await.unwrap(),
        [WriteOutcome::Saved]
    );
    assert_eq!(look().await, first);

    let (summary, answers, timeline, receipt) = first;
    assert_eq!(Some(Box::new(summary.control)), full.control);
    assert_eq!(summary.totals, Some(totals()));
    assert_eq!((summary.submitted_at, summary.late), (Some(at(50)), true));
    let marks: Vec<_> = answers.iter().map(|(_, grade)| grade.clone()).collect();
    let written = full.hand_in.unwrap();
    assert_eq!(
        marks,
        written.grades.into_iter().map(Some).collect::<Vec<_>>()
    );
    assert_eq!(timeline, full.timeline);
    assert_eq!(receipt, Some(written.receipt));
}

pub(crate) async fn a_lower_version_never_overwrites(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let (attempt, epoch) = started_and_taken(&*store, "ann").await;
    let mut newer = write(attempt, epoch, 8);
    newer.answers = vec![answer(QUESTIONS[0], Some("\"new\""), 8)];
    newer.timeline = vec![entry(1, "{\"n\":8}")];
    newer.control = Some(Box::new(closed(at(60))));
    store.save_batch(&[newer.clone()]).await.unwrap();

    let mut older = write(attempt, epoch, 7);
    older.answers = vec![
        answer(QUESTIONS[0], Some("\"old\""), 7),
        answer(QUESTIONS[1], Some("2"), 7),
    ];
    older.timeline = vec![entry(1, "{\"n\":7}")];
    older.control = Some(Box::new(crate::fixture::untouched()));
    assert_eq!(
        store.save_batch(&[older.clone()]).await.unwrap(),
        [WriteOutcome::Saved]
    );

    let summary = store.read_summary(attempt).await.unwrap().unwrap();
    assert_eq!(
        (summary.progress, Some(Box::new(summary.control))),
        (newer.progress, newer.control)
    );
    let taken = take(&*store, attempt, &node()).await;
    assert_eq!(
        taken.answers,
        [newer.answers[0].clone(), older.answers[1].clone()]
    );
    assert_eq!(
        store.read_timeline(attempt, 0, 9).await.unwrap(),
        newer.timeline
    );
}

pub(crate) async fn data_that_no_column_takes_is_refused_and_nothing_is_written(
    store: Arc<dyn Store>,
) {
    furnish(&*store).await;
    let (attempt, epoch) = started_and_taken(&*store, "ann").await;
    let (other, other_epoch) = started_and_taken(&*store, "bob").await;
    let mut strange = write(attempt, epoch, 1);
    strange.answers = vec![answer("no such question", Some("1"), 1)];
    let mut huge = write(attempt, epoch, 1);
    huge.progress.last_seq = u64::MAX;
    let mut bad_grade = write(attempt, epoch, 1);
    bad_grade.hand_in = Some(Box::new(invigil_store::HandInRow {
        handed_in_by: "nobody",
        ..hand_in()
    }));
    for bad in [strange, huge, bad_grade] {
        let outcome = store.save_batch(&[write(other, other_epoch, 1), bad]).await;
        assert!(
            matches!(outcome, Err(Error::Rejected { .. })),
            "{outcome:?}"
        );
        assert_eq!(
            store
                .read_summary(other)
                .await
                .unwrap()
                .unwrap()
                .progress
                .version,
            0
        );
    }
    assert_eq!(store.save_batch(&[]).await.unwrap(), []);
}

pub(crate) async fn two_thousand_writes_are_one_batch(store: Arc<dyn Store>) {
    const WRITES: usize = 2_000;
    furnish(&*store).await;
    let people: Vec<_> = (0..WRITES)
        .map(|n| (crate::fixture::person(&format!("p{n:04}")), [1; 32]))
        .collect();
    store.upsert_people(&people).await.unwrap();
    let mut batch = Vec::with_capacity(WRITES);
    for (person, _) in &people {
        let attempt = start(&*store, person.id.as_str()).await;
        let mut one = write(attempt, 0, 1);
        one.answers = QUESTIONS
            .map(|question| answer(question, Some("\"x\""), 1))
            .to_vec();
        one.timeline = vec![entry(1, "{}")];
        batch.push(one);
    }
    batch.reverse();
    batch[1_234].epoch = 5;
    let written = store.save_batch(&batch).await.unwrap();
    assert_eq!(
        written
            .iter()
            .filter(|one| **one == WriteOutcome::Saved)
            .count(),
        WRITES - 1
    );
    assert_eq!(written[1_234], WriteOutcome::Fenced);
    let lines = store.list_results(&"HIST".into()).await.unwrap();
    assert_eq!(
        lines.iter().map(|line| line.summary.answered).sum::<u32>(),
        3 * 1_999
    );
}

/// A step that may happen to one of three attempts.
#[derive(Debug, Clone)]
enum Step {
    Take(usize),
    Save {
        attempt: usize,
        stale: bool,
        version: u64,
        answers: Vec<(usize, Option<u8>, u64)>,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let answers = prop::collection::vec((0..3_usize, any::<Option<u8>>(), 1..20_u64), 0..4);
    let save = (0..3_usize, prop::bool::weighted(0.2), 1..20_u64, answers).prop_map(
        |(attempt, stale, version, answers)| Step::Save {
            attempt,
            stale,
            version,
            answers,
        },
    );
    prop::collection::vec(
        prop_oneof![1 => (0..3_usize).prop_map(Step::Take), 4 => save],
        1..25,
    )
}

/// The expected state of an attempt.
#[derive(Debug, Default)]
struct Model {
    epoch: u64,
    version: u64,
    answers: BTreeMap<usize, (Option<u8>, u64)>,
}

pub(crate) async fn any_sequence_of_writes_ends_as_the_model_says(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let mut runner = TestRunner::deterministic();
    for case in 0..25 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let mut attempts = Vec::new();
        for letter in ["a", "b", "c"] {
            let id = format!("case {case} {letter}");
            store
                .upsert_people(&[(crate::fixture::person(&id), [1; 32])])
                .await
                .unwrap();
            attempts.push((start(&*store, &id).await, Model::default()));
        }
        for step in &steps {
            play(&*store, &mut attempts, step).await;
        }
        for (attempt, model) in attempts {
            let taken = take(&*store, attempt, &node()).await;
            let mut expected: Vec<_> = (model.answers.iter())
                .map(|(&question, &(value, version))| stored(question, value, version))
                .collect();
            expected.sort_by(|a, b| a.question.cmp(&b.question));
            assert_eq!(taken.answers, expected, "{steps:?}");
            assert_eq!(
                (taken.epoch, taken.progress.version),
                (model.epoch + 1, model.version)
            );
        }
    }
}

fn stored(question: usize, value: Option<u8>, version: u64) -> invigil_store::AnswerRow {
    let value = value.map(|value| value.to_string());
    answer(QUESTIONS[question], value.as_deref(), version)
}

async fn play(store: &dyn Store, attempts: &mut [(AttemptId, Model)], step: &Step) {
    match step {
        Step::Take(index) => {
            let (attempt, model) = &mut attempts[*index];
            model.epoch += 1;
            let taken = take(store, *attempt, &node()).await;
            assert_eq!(taken.epoch, model.epoch);
        }
        Step::Save {
            attempt,
            stale,
            version,
            answers,
        } => {
            let (attempt, model) = &mut attempts[*attempt];
            let stale = *stale && model.epoch > 0;
            let epoch = model.epoch - u64::from(stale);
            let rows = answers
                .iter()
                .map(|&(question, value, version)| stored(question, value, version))
                .collect();
            let batch = [AttemptWrite {
                answers: rows,
                ..write(*attempt, epoch, *version)
            }];
            let expected = if stale {
                WriteOutcome::Fenced
            } else {
                WriteOutcome::Saved
            };
            assert_eq!(store.save_batch(&batch).await.unwrap(), [expected]);
            if stale {
                return;
            }
            model.version = model.version.max(*version);
            for &(question, value, version) in answers {
                let known = model.answers.get(&question).map_or(0, |&(_, known)| known);
                if version > known {
                    model.answers.insert(question, (value, version));
                }
            }
        }
    }
}
