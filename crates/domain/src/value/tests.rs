//! Values for each type of question.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::check_answer;
use crate::exam::{
    QuestionBody,
    fixture::{any_json, demo_all},
};

/// The canonical text of a value for a question of the sample, or its refusal.
fn check_sample(question: &str, value: &Value) -> Result<String, &'static str> {
    let exam = demo_all();
    let question = exam.question(&question.into()).unwrap();
    match check_answer(question, value) {
        Ok(text) => Ok(text.map(|text| text.to_string()).unwrap_or_default()),
        Err(bad) => Err(bad.reason()),
    }
}

#[test]
fn null_clears_every_question() {
    for question in demo_all().questions() {
        assert_eq!(check_answer(question, &Value::Null), Ok(None));
    }
}

#[test]
fn values_of_the_right_form_are_kept_as_compact_json() {
    for (question, value) in [
        ("q1", json!("b")),
        ("q2", json!(["e", "a"])),
        ("q2", json!([])),
        ("q3", json!(false)),
        ("q4", json!(["60", ""])),
        ("q4", json!(["60"])),
        ("q5", json!("CO\u{2082}\n")),
        ("q6", json!("")),
        ("q7", json!({"language": "rust", "source": "fn main() {}"})),
        ("q7", json!({"language": "rust", "source": ""})),
        ("q8", json!({"ke": "osl"})),
        ("q8", json!({"ke": "osl", "pe": "osl"})),
        ("q9", json!(["z", "w"])),
        ("q10", json!([[0, 1], [0.333_333_333_333_333_3, 0.1]])),
    ] {
        let text = check_sample(question, &value).unwrap();
        assert_eq!(text, value.to_string(), "{question}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn values_that_cannot_be_answers_are_refused_with_a_reason() {
    let many = vec![[0.5, 0.5]; 1_001];
    for (question, value, reason) in [
        (
            "q1",
            json!("z"),
            "names an id that the question does not have",
        ),
        ("q1", json!(["a"]), "must be an option id"),
        ("q1", json!(1), "must be an option id"),
        ("q2", json!(["a", "a"]), "names an id twice"),
        (
            "q2",
            json!(["a", "w"]),
            "names an id that the question does not have",
        ),
        ("q2", json!("a"), "must be a list of option ids"),
        ("q3", json!("true"), "must be true or false"),
        ("q3", json!(1), "must be true or false"),
        (
            "q4",
            json!(["1", "2", "3"]),
            "has more entries than there are blanks",
        ),
        ("q4", json!([1]), "must be a list of texts"),
        ("q4", json!([null]), "must be a list of texts"),
        ("q4", json!("60"), "must be a list of texts, one a blank"),
        ("q4", json!(["\u{0}"]), "holds the NUL character"),
        ("q5", json!(["CO2"]), "must be a text"),
        ("q6", json!("a\u{0}"), "holds the NUL character"),
        (
            "q7",
            json!("fn main() {}"),
            "must be a map of language and source",
        ),
        (
            "q7",
            json!({"language": "cobol"}),
            "names a language that is not offered",
        ),
        (
            "q7",
            json!({"source": 1}),
            "must be a map of language and source",
        ),
        (
            "q7",
            json!({"file": "x"}),
            "must be a map of language and source",
        ),
        (
            "q8",
            json!({"xx": "nbo"}),
            "names an id that the question does not have",
        ),
        (
            "q8",
            json!({"ke": "pe"}),
            "names an id that the question does not have",
        ),
        (
            "q8",
            json!({"ke": null}),
            "must be a map from left ids to right ids",
        ),
        (
            "q8",
            json!([["ke", "nbo"]]),
            "must be a map from left ids to right ids",
        ),
        ("q9", json!(["w", "w"]), "names an id twice"),
        (
            "q9",
            json!(["w", "a"]),
            "names an id that the question does not have",
        ),
        ("q10", json!([0.5, 0.5]), "must be a list of [x, y] points"),
        ("q10", json!([[0.5]]), "must be a list of [x, y] points"),
        (
            "q10",
            json!([[0.5, 0.5, 0.5]]),
            "must be a list of [x, y] points",
        ),
        (
            "q10",
            json!([[0.5, "0.5"]]),
            "must be a list of [x, y] points",
        ),
        (
            "q10",
            json!([[0.5, 1.001]]),
            "points are fractions from 0 to 1",
        ),
        (
            "q10",
            json!([[-0.1, 1]]),
            "points are fractions from 0 to 1",
        ),
        ("q10", json!(many), "has too many points"),
    ] {
        assert_eq!(
            check_sample(question, &value),
            Err(reason),
            "{question} {value}"
        );
    }
}

#[test]
fn any_language_will_do_where_the_question_names_none() {
    let mut question = demo_all().question(&"q7".into()).unwrap().clone();
    if let QuestionBody::Coding { languages, .. } = &mut question.body {
        languages.clear();
    }
    let value = json!({"language": "cobol", "source": ""});
    assert!(check_answer(&question, &value).unwrap().is_some());
}

proptest! {
    #[test]
    fn whatever_is_taken_is_taken_again(number in 0..10_usize, value in any_json()) {
        let exam = demo_all();
        let question = exam.questions().nth(number).unwrap();
        if let Ok(Some(text)) = check_answer(question, &value) {
            let again: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(check_answer(question, &again), Ok(Some(text)));
        }
    }
}
