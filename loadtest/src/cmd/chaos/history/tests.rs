//! The comparison finds every violation, and nothing else.

use serde_json::json;

use super::{super::database::DatabaseAnswer, *};

/// A history of answers to these questions, in order; the first `saved` are saved.
fn history_of(questions: &[usize], saved: u64) -> CandidateHistory {
    let mut history = CandidateHistory::new(7);
    for &question in questions {
        history.give_answer(question);
    }
    history.note_update(ClientUpdate::Saved((1..=saved).collect()));
    history
}

fn stored_attempt(answers: &[(&str, Value, u64)]) -> DatabaseAttempt {
    let answers = answers.iter().map(|(question, value, rev)| {
        let answer = DatabaseAnswer {
            value: value.clone(),
            rev: *rev,
        };
        ((*question).to_owned(), answer)
    });
    DatabaseAttempt {
        attempt: "1".to_owned(),
        epoch: 1,
        status: "in_progress".to_owned(),
        receipt: None,
        extended_ms: 0,
        pauses: 0,
        answers: answers.collect(),
    }
}

#[test]
fn what_was_refused_unheard_is_no_answer() {
    let mut history = history_of(&[0, 1, 0, 0], 1);
    history.note_update(ClientUpdate::Unheard { ticket: 2 });
    history.note_update(ClientUpdate::Saved(vec![3, 4]));
    // The third answer was superseded before its refusal was known.
    let found = history.learn_refused(&[json!("c7-2"), json!("c7-3")]);
    assert_eq!(found, Vec::<String>::new());
    assert_eq!((history.saved_count(), history.unheard_count()), (2, 2));
    let stored = stored_attempt(&[("q1", json!("c7-4"), 2)]);
    assert_eq!(history.check_settled(&stored), Vec::<String>::new());
}

#[test]
fn what_is_refused_and_called_saved_is_found_and_the_other_way_round() {
    let mut history = history_of(&[0, 1, 0], 1);
    history.note_update(ClientUpdate::Unheard { ticket: 2 });
    history.note_update(ClientUpdate::Saved(vec![3]));
    let found = history.learn_refused(&[json!("c7-3")]);
    assert_eq!(
        found,
        [
            "c7: c7-3 was reported as saved, but is refused",
            "c7: c7-2 was reported as refused, but is not"
        ]
    );
}

#[test]
fn what_was_saved_or_came_later_may_be_stored_in_the_middle_of_a_run() {
    let history = history_of(&[0, 1, 0], 2);
    let saved = history.newest_saved();
    for first in [json!("c7-1"), json!("c7-3")] {
        let stored = stored_attempt(&[("q1", first, 1), ("q2", json!("c7-2"), 1)]);
        assert_eq!(history.check_running(&saved, &stored), Vec::<String>::new());
    }
}

#[test]
fn an_older_answer_a_strange_one_and_none_are_found_in_the_middle_of_a_run() {
    let history = history_of(&[0, 1, 0], 3);
    let saved = history.newest_saved();
    let older = stored_attempt(&[("q1", json!("c7-1"), 1), ("q2", json!("c7-2"), 1)]);
    let found = history.check_running(&saved, &older);
    assert_eq!(found, ["c7 q1: c7-3 was saved, but stored is \"c7-1\""]);
    let strange = stored_attempt(&[("q1", json!("c8-3"), 2), ("q2", json!("c7-2"), 1)]);
    let found = history.check_running(&saved, &strange);
    assert_eq!(found, ["c7 q1: stored is \"c8-3\", which was never given"]);
    let none = stored_attempt(&[("q1", json!("c7-3"), 2)]);
    let found = history.check_running(&saved, &none);
    assert_eq!(found, ["c7 q2: c7-2 was saved, but stored is null"]);
}

#[test]
fn in_the_end_the_last_answer_must_be_stored_and_each_taken_once() {
    let history = history_of(&[0, 1, 0], 3);
    let second = ("q2", json!("c7-2"), 1);
    let right = stored_attempt(&[("q1", json!("c7-3"), 2), second.clone()]);
    assert_eq!(history.check_settled(&right), Vec::<String>::new());
    let lost = stored_attempt(std::slice::from_ref(&second));
    assert_eq!(history.check_settled(&lost), ["c7 q1: nothing is stored"]);
    let older = stored_attempt(&[("q1", json!("c7-1"), 2), second.clone()]);
    let found = history.check_settled(&older);
    assert_eq!(
        found,
        ["c7 q1: the last answer is \"c7-3\", but stored is \"c7-1\""]
    );
    let twice = stored_attempt(&[("q1", json!("c7-3"), 3), second]);
    let found = history.check_settled(&twice);
    assert_eq!(
        found,
        ["c7 q1: 2 answers were taken, but stored is revision 3"]
    );
}

#[test]
fn an_answer_that_was_saved_before_the_next_one_was_given_was_committed_by_itself() {
    let mut history = history_of(&[0, 0], 2);
    history.give_answer(0);
    history.note_update(ClientUpdate::Saved(vec![3]));
    let taken = [("c7-1", false), ("c7-2", true), ("c7-3", true)];
    assert_eq!(
        history.expected_entries(),
        taken.map(|(value, alone)| (value.to_owned(), alone)).into()
    );
}
