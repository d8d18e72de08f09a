//! The result as displayed.

use expect_test::{Expect, expect};
use serde_json::Value;

use super::*;
use crate::{attempt::LifecycleStatus, exam::HotspotRegion, id::AttemptId};

fn sample_exam() -> Exam {
    let number = AcceptedAnswer::Number {
        number: parse_decimal("3.140"),
        tolerance: parse_decimal("0.01"),
    };
    let mut questions = vec![
        with_partial_credit(make_question(
            "q1",
            "2",
            multiple_choice_body("a b c", "a b c"),
        )),
        make_question("q2", "1.5", matching_body("l1 r1 l2 r2")),
        make_question(
            "q3",
            "1",
            fill_blank_body(vec![vec![number], accepted_texts(&["x", "y"])]),
        ),
        make_question("q4", "4.00", essay_body()),
        make_question("q5", "1", single_choice_body("a b", "a")),
        make_question(
            "q6",
            "1",
            QuestionBody::Hotspot {
                image: "map.png".into(),
                multiple: false,
                answer: vec![HotspotRegion::Circle {
                    cx: 0.5,
                    cy: 0.25,
                    r: 0.1,
                }],
            },
        ),
    ];
    questions[4].explanation = Some("See chapter 3.".into());
    exam_of(questions)
}

fn check_view(key: KeyVisibility, expected: &Expect) {
    let exam = sample_exam();
    let answers: BTreeMap<&str, &str> = [
        ("q1", r#"["a","b"]"#),
        ("q4", r#""words""#),
        ("q6", "[[0.5,0.3]]"),
    ]
    .into();
    let grading = grade_answers(
        &exam,
        &answers.clone().into_iter().collect::<Vec<_>>(),
        true,
    );
    let head = ResultHeader {
        attempt: AttemptId(42),
        status: LifecycleStatus::Submitted,
        late: true,
        totals: &grading.totals,
    };
    let rows = &grading.rows;
    let standing = |id: &QuestionId| {
        let row = rows.iter().find(|row| row.question == *id)?;
        Some(MarkedAnswer {
            value: answers[id.as_str()],
            points_earned: row.points_earned,
        })
    };
    let view = build_result(&exam, head, standing, key);
    let mut rest = serde_json::to_value(view).unwrap();
    let questions = rest["questions"].take();
    let mut lines: Vec<String> = questions
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    lines.push(rest.to_string());
    let text = lines.join("\n") + "\n";
    expected.assert_eq(&text);
}

#[test]
fn a_result_tells_nothing_of_the_key() {
    check_view(
        KeyVisibility::Hidden,
        &expect![[r#"
        {"points":2,"q":"q1","score":1.33,"value":["a","b"]}
        {"points":1.5,"q":"q2","score":0,"value":null}
        {"points":1,"q":"q3","score":0,"value":null}
        {"points":4,"q":"q4","score":null,"value":"words"}
        {"points":1,"q":"q5","score":0,"value":null}
        {"points":1,"q":"q6","score":1,"value":[[0.5,0.3]]}
        {"attempt":"42","grade":null,"late":true,"max_score":10.5,"needs_marking":true,"passed":null,"penalty":0.23,"percentage":20,"questions":null,"score":2.1,"status":"submitted"}
    "#]],
    );
}

#[test]
fn a_result_shows_the_key_as_the_exam_file_has_it() {
    check_view(
        KeyVisibility::Shown,
        &expect![[r#"
        {"answer":["a","b","c"],"points":2,"q":"q1","score":1.33,"value":["a","b"]}
        {"answer":{"l1":"r1","l2":"r2"},"points":1.5,"q":"q2","score":0,"value":null}
        {"answer":[[{"number":3.14,"tolerance":0.01}],["x","y"]],"points":1,"q":"q3","score":0,"value":null}
        {"answer":null,"points":4,"q":"q4","score":null,"value":"words"}
        {"answer":"a","explanation":"See chapter 3.","points":1,"q":"q5","score":0,"value":null}
        {"answer":[{"coords":[0.5,0.25,0.1],"shape":"circle"}],"points":1,"q":"q6","score":1,"value":[[0.5,0.3]]}
        {"attempt":"42","grade":null,"late":true,"max_score":10.5,"needs_marking":true,"passed":null,"penalty":0.23,"percentage":20,"questions":null,"score":2.1,"status":"submitted"}
    "#]],
    );
}

#[test]
fn a_stored_value_that_is_no_json_shows_as_null() {
    let exam = exam_of(vec![make_question(
        "q1",
        "1",
        QuestionBody::TrueFalse { answer: true },
    )]);
    let grading = grade_answers(&exam, &[("q1", "tru")], false);
    let head = ResultHeader {
        attempt: AttemptId(1),
        status: LifecycleStatus::Graded,
        late: false,
        totals: &grading.totals,
    };
    let standing = |_: &QuestionId| {
        Some(MarkedAnswer {
            value: "tru",
            points_earned: grading.rows[0].points_earned,
        })
    };
    let view = build_result(&exam, head, standing, KeyVisibility::Hidden);
    assert!(view.questions[0].value.is_null());
    assert_eq!(view.questions[0].score, Some(0.into()));
}
