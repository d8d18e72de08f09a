//! Starting, acquiring, finding and listing attempts, and the engine's own rows.

use std::sync::Arc;

use invigil_domain::{id::AttemptId, time::Timestamp};
use invigil_store::{
    AttemptIdentity, CandidateScope, CommandState, ControlRow, Error, GroupSet, OverdueScope,
    StartOutcome,
};

use crate::fixture::{
    QUESTIONS, Store, answer, at, closed, entry, exam, furnish, hand_in, new_attempt, node, start,
    started_and_taken, take, totals, untouched, version, write,
};

pub(crate) async fn an_attempt_is_made_as_it_was_asked_for(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let wanted = new_attempt("ann");
    let StartOutcome::Created(made) = store.start_attempt(wanted.clone()).await.unwrap() else {
        panic!("the first start makes an attempt");
    };
    assert_eq!(
        made,
        AttemptIdentity {
            id: made.id,
            number: 1,
            ..wanted.identity
        }
    );
    let summary = store.read_summary(made.id).await.unwrap().unwrap();
    assert_eq!(
        (summary.identity, summary.control),
        (made.clone(), wanted.control)
    );
    assert_eq!(
        (summary.answered, summary.submitted_at, summary.totals),
        (0, None, None)
    );
    assert_eq!(
        store.start_attempt(new_attempt("ann")).await.unwrap(),
        StartOutcome::Open(made)
    );
    assert_eq!(store.read_summary(AttemptId(-1)).await.unwrap(), None);
}

pub(crate) async fn twenty_starts_at_once_make_one_attempt(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let starts = (0..20).map(|_| store.start_attempt(new_attempt("ann")));
    let mut made = 0;
    let mut ids = Vec::new();
    for started in futures_util::future::join_all(starts).await {
        match started.unwrap() {
            StartOutcome::Created(identity) => {
                made += 1;
                ids.push(identity.id);
            }
            StartOutcome::Open(identity) => ids.push(identity.id),
            StartOutcome::NoneLeft | StartOutcome::Changed => panic!("one attempt is left"),
        }
    }
    ids.dedup();
    assert_eq!((made, ids.len()), (1, 1));
}

pub(crate) async fn a_person_has_no_more_attempts_than_allowed(store: Arc<dyn Store>) {
    furnish(&*store).await;
    for number in 1..=2 {
        let (attempt, epoch) = started_and_taken(&*store, "ann").await;
        assert_eq!(
            store
                .read_summary(attempt)
                .await
                .unwrap()
                .unwrap()
                .identity
                .number,
            number
        );
        let mut last = write(attempt, epoch, 1);
        last.control = Some(Box::new(closed(at(9))));
        store.save_batch(&[last]).await.unwrap();
    }
    assert_eq!(
        store.start_attempt(new_attempt("ann")).await.unwrap(),
        StartOutcome::NoneLeft
    );
    start(&*store, "bob").await;
    let numbers = |summaries: Vec<invigil_store::AttemptSummary>| {
        summaries
            .iter()
            .map(|summary| summary.identity.number)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        numbers(store.list_attempts_of(&"ann".into()).await.unwrap()),
        [1, 2]
    );
    assert!(
        store
            .list_attempts_of(&"cy".into())
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn a_start_of_what_is_not_there_is_refused(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let mut version_missing = new_attempt("ann");
    version_missing.identity.exam_version = version("HIST", 2);
    for new in [new_attempt("nobody"), version_missing] {
        let outcome = store.start_attempt(new).await;
        assert!(
            matches!(outcome, Err(Error::Rejected { .. })),
            "{outcome:?}"
        );
    }
}

pub(crate) async fn taking_raises_the_epoch(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let attempt = start(&*store, "ann").await;
    let first = take(&*store, attempt, &node()).await;
    let second = take(&*store, attempt, &"node-2".into()).await;
    assert!(second.epoch > first.epoch);
    assert_eq!(
        (&first.control, first.answers.len()),
        (&untouched().state, 0)
    );
    assert_eq!((first.progress.version, first.progress.session), (0, None));
    assert_eq!(first.identity, second.identity);
    assert_eq!(
        store
            .acquire_attempt(AttemptId(-1), &node(), &[], None)
            .await
            .unwrap(),
        None
    );
}

pub(crate) async fn overdue_attempts_come_earliest_first(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let mut due = Vec::new();
    for (candidate, close_at) in [("ann", Some(at(30))), ("bob", Some(at(10))), ("cy", None)] {
        let (attempt, epoch) = started_and_taken(&*store, candidate).await;
        let mut change = write(attempt, epoch, 1);
        change.control = Some(Box::new(ControlRow {
            close_at,
            ..untouched()
        }));
        store.save_batch(&[change]).await.unwrap();
        due.push((attempt, epoch));
    }
    let overdue = async |ms, limit| {
        let found = store
            .find_overdue(at(ms), &node(), OverdueScope::OwnAndLost(&[]), limit)
            .await;
        found.unwrap()
    };
    assert_eq!(overdue(9, 10).await, []);
    assert_eq!(overdue(10, 10).await, [due[1]]);
    assert_eq!(overdue(99, 10).await, [due[1], due[0]]);
    assert_eq!(overdue(99, 1).await, [due[1]]);
}

pub(crate) async fn an_exam_lists_its_attempts(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let bob = start(&*store, "bob").await;
    let (ann, epoch) = started_and_taken(&*store, "ann").await;
    let open = async |command, exam: &str| {
        let (staff, exam) = ("bob".into(), exam.into());
        let whole = Some((&exam, &CandidateScope::All));
        let begun = store.begin_command(&staff, command, &[0; 32], whole);
        begun.await.unwrap()
    };
    let both = CommandState::Begun(vec![bob, ann]);
    assert_eq!(open("first", "HIST").await, both);
    let mut last = write(ann, epoch, 1);
    last.answers = vec![
        answer(QUESTIONS[0], Some("1"), 1),
        answer(QUESTIONS[1], None, 1),
    ];
    last.control = Some(Box::new(closed(at(9))));
    last.hand_in = Some(Box::new(hand_in()));
    store.save_batch(&[last]).await.unwrap();
    assert_eq!(open("second", "HIST").await, CommandState::Begun(vec![bob]));
    let again = start(&*store, "ann").await;
    assert_eq!(open("first", "HIST").await, both, "as it was when it began");

    let lines = store.list_results(&"HIST".into()).await.unwrap();
    let ids: Vec<_> = lines.iter().map(|line| line.summary.identity.id).collect();
    assert_eq!(ids, [ann, again, bob]);
    assert_eq!(lines[0].candidate_name, "Name of ann");
    assert_eq!(
        lines[0].summary,
        store.read_summary(ann).await.unwrap().unwrap()
    );
    assert_eq!(
        (lines[0].summary.answered, &lines[0].summary.totals),
        (1, &Some(totals()))
    );
    assert_eq!(store.list_results(&"OTHER".into()).await.unwrap(), []);
    assert_eq!(
        open("third", "OTHER").await,
        CommandState::Begun(Vec::new())
    );
}

pub(crate) async fn a_command_for_groups_is_for_their_candidates(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let rooms = |names: &[&str]| names.iter().copied().collect::<GroupSet>();
    let mut attempts = Vec::new();
    for (candidate, groups) in [
        ("ann", rooms(&["a", "\u{e9} \"b\""])),
        ("bob", rooms(&[])),
        ("cy", rooms(&["c"])),
    ] {
        let mut new = new_attempt(candidate);
        new.identity.groups = groups.clone();
        let StartOutcome::Created(identity) = store.start_attempt(new).await.unwrap() else {
            panic!("{candidate} has an attempt already");
        };
        assert_eq!(identity.groups, groups);
        let found = store.read_summary(identity.id).await.unwrap().unwrap();
        assert_eq!(found.identity, identity);
        attempts.push(identity.id);
    }
    let exam = "HIST".into();
    let begun = async |command, scope| {
        let (staff, whole) = ("bob".into(), Some((&exam, &scope)));
        store.begin_command(&staff, command, &[0; 32], whole).await
    };
    for (command, scope, expected) in [
        ("all", CandidateScope::All, attempts.clone()),
        (
            "some",
            CandidateScope::Of(rooms(&["\u{e9} \"b\"", "c", "d"])),
            vec![attempts[0], attempts[2]],
        ),
        ("other", CandidateScope::Of(rooms(&["d"])), vec![]),
    ] {
        let found = begun(command, scope).await.unwrap();
        assert_eq!(found, CommandState::Begun(expected), "{command}");
    }
}

pub(crate) async fn a_timeline_is_read_by_cursor(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let (attempt, epoch) = started_and_taken(&*store, "ann").await;
    let mut change = write(attempt, epoch, 1);
    change.timeline = (1..=5).map(|number| entry(number, "{}")).collect();
    store.save_batch(&[change]).await.unwrap();
    let numbers = async |after, limit| {
        let entries = store.read_timeline(attempt, after, limit).await.unwrap();
        entries.iter().map(|entry| entry.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(0, 2).await, [1, 2]);
    assert_eq!(numbers(2, 9).await, [3, 4, 5]);
    assert!(numbers(5, 9).await.is_empty());
}

pub(crate) async fn an_attempt_is_about_its_version_for_good(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let attempt = start(&*store, "ann").await;
    store.upsert_exams(&[exam("HIST", 2)]).await.unwrap();
    let summary = store.read_summary(attempt).await.unwrap().unwrap();
    assert_eq!(summary.identity.exam_version, version("HIST", 1));
    assert_eq!(
        store.read_exam_version(&version("HIST", 1)).await.unwrap(),
        Some(exam("HIST", 1))
    );
}

pub(crate) async fn a_command_is_done_once(store: Arc<dyn Store>) {
    furnish(&*store).await;
    let (ann, bob) = ("ann".into(), "bob".into());
    let begin = async |person, body| {
        let body = [body; 32];
        store.begin_command(person, "c-\u{e9}", &body, None).await
    };
    let open = CommandState::Begun(Vec::new());
    assert_eq!(begin(&ann, 1).await.unwrap(), open);
    assert_eq!(begin(&ann, 1).await.unwrap(), open);
    assert_eq!(begin(&ann, 2).await.unwrap(), CommandState::Conflict);
    assert_eq!(begin(&bob, 2).await.unwrap(), open);
    store
        .end_command(&ann, "c-\u{e9}", r#"{"done": 1}"#)
        .await
        .unwrap();
    store
        .end_command(&ann, "c-\u{e9}", r#"{"done": 2}"#)
        .await
        .unwrap();
    assert_eq!(
        begin(&ann, 1).await.unwrap(),
        CommandState::Done(r#"{"done": 1}"#.into())
    );
    assert_eq!(begin(&ann, 2).await.unwrap(), CommandState::Conflict);
    assert_eq!(begin(&bob, 2).await.unwrap(), open);
    let outcome = begin(&"nobody".into(), 1).await;
    assert!(
        matches!(outcome, Err(Error::Rejected { .. })),
        "{outcome:?}"
    );
}

pub(crate) async fn outages_are_measured_between_signs_of_life(store: Arc<dyn Store>) {
    let (one, two) = ("node-1".into(), "node-2".into());
    assert_eq!(store.mark_node_alive(&one, at(10)).await.unwrap(), None);
    assert_eq!(
        store.mark_node_alive(&two, at(20)).await.unwrap(),
        Some(at(10))
    );
    assert_eq!(
        store.mark_node_alive(&one, at(15)).await.unwrap(),
        Some(at(20))
    );
    assert_eq!(
        store.mark_node_alive(&one, at(5)).await.unwrap(),
        Some(at(20))
    );

    let early = Timestamp::from_ms(-62_135_596_800_000);
    store.record_outage(at(20), at(30)).await.unwrap();
    store.record_outage(early, at(1)).await.unwrap();
    store.record_outage(at(20), at(30)).await.unwrap();
    assert_eq!(
        store.list_outages().await.unwrap(),
        [(early, at(1)), (at(20), at(30))]
    );
    let backwards = store.record_outage(at(2), at(1)).await;
    assert!(
        matches!(backwards, Err(Error::Rejected { .. })),
        "{backwards:?}"
    );
    store.ping().await.unwrap();
}
