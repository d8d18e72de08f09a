//! Exam files with faults.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::SMALL;
use crate::{
    exam::{
        FILE_VALUES_MAX,
        definition::{FileFormat, parse_exam},
        fixture::set_at,
    },
    fault::FAULTS_MAX,
};

fn faults_of(text: &str, format: FileFormat) -> String {
    let faults = parse_exam(text, format).expect_err("this file is wrong");
    assert!(!faults.is_empty());
    // Lists of all names are too long for the expectations.
    let lines = faults
        .iter()
        .map(|fault| fault.to_string().chars().take(80).collect());
    lines.collect::<Vec<String>>().join("\n")
}

/// Sets one place of the smallest exam and returns the faults.
fn small_with(pointer: &str, value: &Value) -> String {
    let mut tree: Value = serde_json::from_str(SMALL).unwrap();
    set_at(&mut tree, pointer, value.clone());
    match parse_exam(&tree.to_string(), FileFormat::Json) {
        Ok(_) => String::new(),
        Err(faults) => faults
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

/// Replaces the question of the smallest exam.
fn small_with_question(fields: &Value) -> String {
    let mut question = json!({"id": "q", "content": "?"});
    for (key, value) in fields.as_object().unwrap() {
        question[key] = value.clone();
    }
    small_with("/sections/0/questions", &json!([question]))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn every_fault_of_a_file_is_reported_with_its_place() {
    let yaml = r#"
code: "HIST 101"
titel: Modern history
duration_minutes: 0
passing_score: 100.5
max_attempts: two
available_from: 2026-11-23T12:00:00Z
available_until: 2026-11-23T08:00:00Z
lobby_minutes: 1.5
password: 1234
ip_restrictions: [10.0.0.0/33, "10.0.0.0/8"]
on_disconnect: give_it_back
shuffle_options: "yes"
grading: {scale: [[60, A], [70, B], [0]]}
proctoring: {rules: [{kind: yawn, then: expel}]}
sections:
  - id: s1
    title: One
    questions:
      - {id: q1, type: single_choice, content: "?", points: 0,
         options: [{id: a, text: A}, {id: a, text: B}], answer: c}
      - {id: q1, type: multiple_choice, content: "?", points: 1.234,
         options: [{id: a, text: A}, {id: b}], answer: [a, a, z]}
      - {id: q 3, type: riddle, content: ""}
      - {id: q4, type: fill_blank, content: "?", answer: [[], {numbr: 1}]}
      - {id: q5, type: true_false, content: "?", answer: "true", options: []}
  - id: s1
    questions:
      - {id: q6, type: matching, content: "?", left: [{id: l, text: L}, {id: m, text: M}],
         right: [{id: r, text: R}], answer: {l: x, k: r}}
      - {id: q7, type: ordering, content: "?", items: [{id: a, text: A}, {id: b, text: B}],
         answer: [a, a]}
      - {id: q8, type: hotspot, content: "?", image: "javascript:alert(1)",
         answer: [{shape: rect, coords: [0.5, 0.5, 0.1, 0.9]}, {shape: star},
                  {shape: circle, coords: [0.5, 2, 0]},
                  {shape: polygon, coords: [[0, 0], [1, 1]]}]}
      - {id: q9, type: essay, content: "?", answer: model text}
      - {id: q10, type: coding, content: "?", languages: [c, c]}
"#;
    expect![[r#"
        line 2: code: must be letters A-Z and a-z, digits, _ and -
        title: is missing
        line 4: duration_minutes: must be from 1 to 1440
        line 5: passing_score: must be from 0 to 100
        line 6: max_attempts: must be a whole number, not text
        line 9: lobby_minutes: must be a whole number from 0 to 1440
        line 13: shuffle_options: must be true or false, not text
        line 10: password: must be text or null, not a number; put it between quotes
        line 11: ip_restrictions[0]: must be a network such as 10.0.0.0/8, or an address
        line 12: on_disconnect: must be one of keep_running
        line 14: grading.scale[2]: must be a list of 2
        line 15: proctoring.rules[0].kind: must be an event kind of the protocol, or beg
        line 15: proctoring.rules[0].then: must be one of note, warn, flag, pause, cance
        line 20: sections[0].questions[0].points: must be over 0, up to 1000
        line 22: sections[0].questions[1].points: must have at most 2 decimals
        line 23: sections[0].questions[1].options[1].text: is missing
        line 24: sections[0].questions[2].type: must be one of single_choice, multiple_c
        line 24: sections[0].questions[2].id: must not hold blanks or control characters
        line 24: sections[0].questions[2].content: must not be empty
        line 25: sections[0].questions[3].answer[0]: must not be empty
        line 25: sections[0].questions[3].answer[1].number: is missing
        line 25: sections[0].questions[3].answer[1].numbr: is not a key that is known he
        line 26: sections[0].questions[4].answer: must be true or false, not text
        line 26: sections[0].questions[4].options: is not a key that is known here
        line 33: sections[1].questions[2].image: must be an http, https or data:image ad
        line 34: sections[1].questions[2].answer[1].shape: must be one of rect, circle, 
        line 35: sections[1].questions[2].answer[2].coords[1]: must be from 0 to 1
        line 36: sections[1].questions[2].answer[3].coords: must have at least 3 entries
        line 37: sections[1].questions[3].answer: must be null, not text
        line 3: titel: is not a key that is known here
        line 21: sections[0].questions[0].options[1].id: used twice
        line 21: sections[0].questions[0].answer: `c` is not an id of this question
        line 22: sections[0].questions[1].id: used twice
        line 23: sections[0].questions[1].answer[1]: used twice
        line 23: sections[0].questions[1].answer[2]: `z` is not an id of this question
        line 27: sections[1].id: used twice
        line 30: sections[1].questions[0].answer.k: is not an id of the left side
        line 30: sections[1].questions[0].answer.l: `x` is not an id of this question
        line 30: sections[1].questions[0].answer.m: is missing
        line 32: sections[1].questions[1].answer[1]: used twice
        line 32: sections[1].questions[1].answer: does not name item `b`
        line 34: sections[1].questions[2].answer[0].coords: must be [x1, y1, x2, y2] wit
        line 35: sections[1].questions[2].answer[2].coords: must have a radius over 0
        line 38: sections[1].questions[4].languages[1]: used twice
        line 14: grading.scale[1]: must be under the one before
        line 8: available_until: must be after available_from"#]]
    .assert_eq(&faults_of(yaml, FileFormat::Yaml));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn small_faults_are_found_one_by_one() {
    let check = |pointer: &str, value: Value, expected: Expect| {
        expected.assert_eq(&small_with(pointer, &value));
    };
    check(
        "/code",
        json!("x".repeat(51)),
        expect!["line 1: code: must have at most 50 characters, has 51"],
    );
    check(
        "/code",
        json!(""),
        expect!["line 1: code: must not be empty"],
    );
    check(
        "/title",
        json!(null),
        expect!["line 1: title: must be text, not nothing"],
    );
    check(
        "/title",
        json!("a\u{0}b"),
        expect!["line 1: title: must not hold the NUL character"],
    );
    check(
        "/instructions",
        json!("x".repeat(10_001)),
        expect!["line 1: instructions: must have at most 10000 characters, has 10001"],
    );
    check(
        "/duration_minutes",
        json!(1441),
        expect!["line 1: duration_minutes: must be from 1 to 1440"],
    );
    check("/duration_minutes", json!(60.0), expect![[""]]);
    check(
        "/duration_minutes",
        json!(1e300),
        expect!["line 1: duration_minutes: must be a whole number from 1 to 1440"],
    );
    check(
        "/max_attempts",
        json!(11),
        expect!["line 1: max_attempts: must be from 1 to 10"],
    );
    check(
        "/late_submission_penalty",
        json!(1.01),
        expect!["line 1: late_submission_penalty: must be from 0 to 1"],
    );
    check(
        "/available_from",
        json!("tomorrow"),
        expect![
            "line 1: available_from: must be an instant of RFC 3339, such as 2026-11-23T08:00:00Z"
        ],
    );
    check("/available_from", json!(null), expect![[""]]);
    check(
        "/sections",
        json!([]),
        expect!["line 1: sections: must not be empty"],
    );
    check(
        "/sections",
        json!({}),
        expect!["line 1: sections: must be a list, not a map"],
    );
    check(
        "/sections/0/questions",
        json!([]),
        expect!["line 1: sections[0].questions: must not be empty"],
    );
    check(
        "/sections/0/questions/0",
        json!(7),
        expect!["line 1: sections[0].questions[0]: must be a map, not a number"],
    );
    check(
        "/sections/0/questions/0/points",
        json!(1000.01),
        expect!["line 1: sections[0].questions[0].points: must be over 0, up to 1000"],
    );
    check(
        "/sections/0/questions/0/points",
        json!(0.001),
        expect!["line 1: sections[0].questions[0].points: must have at most 2 decimals"],
    );
    check(
        "/sections/0/questions/0/points",
        json!("2"),
        expect!["line 1: sections[0].questions[0].points: must be a number, not text"],
    );
    check(
        "/sections/0/questions/0/answer",
        json!(null),
        expect!["line 1: sections[0].questions[0].answer: must be true or false, not nothing"],
    );
    check(
        "/sections/0/time_limit_minutes",
        json!(0),
        expect!["line 1: sections[0].time_limit_minutes: must be from 1 to 1440"],
    );
}

#[test]
fn each_type_of_question_has_its_own_rules() {
    let check = |fields: Value, expected: Expect| expected.assert_eq(&small_with_question(&fields));
    let options = json!([{"id": "a", "text": "A"}, {"id": "b", "text": "B"}]);
    check(
        json!({"type": "single_choice", "options": [{"id": "a", "text": "A"}], "answer": "a"}),
        expect!["line 1: sections[0].questions[0].options: must have at least 2 entries"],
    );
    check(
        json!({"type": "single_choice", "options": options, "answer": ["a"]}),
        expect!["line 1: sections[0].questions[0].answer: must be text, not a list"],
    );
    check(
        json!({"type": "single_choice", "answer": "a"}),
        expect!["line 1: sections[0].questions[0].options: is missing"],
    );
    check(
        json!({"type": "multiple_choice", "options": options, "answer": []}),
        expect!["line 1: sections[0].questions[0].answer: must not be empty"],
    );
    check(
        json!({"type": "fill_blank", "answer": ["Paris"]}),
        expect!["line 1: sections[0].questions[0].answer[0]: must be a list or a map, not text"],
    );
    check(
        json!({"type": "fill_blank", "answer": [[{"number": "3", "tolerance": -1}]]}),
        expect![[r#"
            line 1: sections[0].questions[0].answer[0][0].number: must be a number, not text
            line 1: sections[0].questions[0].answer[0][0].tolerance: must be from 0 to 1000000000000"#]],
    );
    check(
        json!({"type": "short_answer", "answer": []}),
        expect!["line 1: sections[0].questions[0].answer: must not be empty"],
    );
    check(
        json!({"type": "short_answer", "answer": null, "rubric": "Any."}),
        expect![[""]],
    );
    check(
        json!({"type": "essay", "answer": null, "rubric": null}),
        expect![[""]],
    );
    check(
        json!({"type": "coding", "languages": [""]}),
        expect!["line 1: sections[0].questions[0].languages[0]: must not be empty"],
    );
    check(
        json!({"type": "ordering", "items": options, "answer": ["b", "c"]}),
        expect![[r#"
            line 1: sections[0].questions[0].answer[1]: `c` is not an id of this question
            line 1: sections[0].questions[0].answer: does not name item `a`"#]],
    );
    check(
        json!({"type": "hotspot", "image": "map.png",
               "answer": [{"shape": "circle", "coords": [0.5, 0.5, 0]}]}),
        expect!["line 1: sections[0].questions[0].answer[0].coords: must have a radius over 0"],
    );
}

#[test]
fn what_is_not_yaml_or_json_is_reported_with_its_line() {
    let check = |text: &str, format, expected: Expect| expected.assert_eq(&faults_of(text, format));
    check(
        "{\"code\": \"X\",\n \"title\": }",
        FileFormat::Json,
        expect!["line 2: the file is not valid JSON: expected value"],
    );
    check(
        "{\"code\": \"X\",\n\"code\": \"Y\"}",
        FileFormat::Json,
        expect!["line 2: the file is not valid JSON: key `code` stands twice"],
    );
    check(
        "{} {}",
        FileFormat::Json,
        expect!["line 1: the file is not valid JSON: trailing characters"],
    );
    check(
        "",
        FileFormat::Json,
        expect!["line 1: the file is not valid JSON: EOF while parsing a value"],
    );
    check("", FileFormat::Yaml, expect!["must be a map, not nothing"]);
    check(
        "code: X\ncode: Y\n",
        FileFormat::Yaml,
        expect!["line 2: the file is not valid YAML: duplicate mapping key `code` is not allowed "],
    );
    check(
        "code: X\n  title: [\n",
        FileFormat::Yaml,
        expect!["line 2: the file is not valid YAML: mapping values are not allowed in this conte"],
    );
    check(
        "code: .nan",
        FileFormat::Yaml,
        expect!["line 1: the file is not valid YAML: value `.nan` is not a finite number"],
    );
    check(
        "a: 1\n---\nb: 2\n",
        FileFormat::Yaml,
        expect!["line 2: the file is not valid YAML: YAML document too large or too complex: limi"],
    );
}

#[test]
fn a_bomb_is_refused_before_it_grows() {
    let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(yaml, "a{level}: &a{level} [{below}]").unwrap();
    }
    assert!(faults_of(&yaml, FileFormat::Yaml).contains("is not valid YAML"));
    for format in [FileFormat::Json, FileFormat::Yaml] {
        let deep = "[".repeat(100_000);
        assert!(faults_of(&deep, format).contains("is not valid"));
        let wide = format!("[{}0]", "0,".repeat(FILE_VALUES_MAX));
        assert!(faults_of(&wide, format).contains("is not valid"));
    }
    let long = " ".repeat(16 * 1024 * 1024 + 1);
    assert_eq!(
        faults_of(&long, FileFormat::Yaml),
        "the file is over 16 MiB"
    );
}

#[test]
fn a_file_of_countless_faults_lists_a_thousand() {
    let mut tree: Value = serde_json::from_str(SMALL).unwrap();
    for number in 0..5_000 {
        tree[format!("k{number}")] = 0.into();
    }
    let faults = parse_exam(&tree.to_string(), FileFormat::Json).unwrap_err();
    assert_eq!(faults.len(), FAULTS_MAX + 1);
    let last = faults.last().unwrap();
    assert_eq!(last.to_string(), "4000 more faults are not listed");
}

#[test]
fn questions_and_points_are_bounded_over_all_sections() {
    let exam = |sections: usize, questions: usize, points: u32| {
        let sections: Vec<Value> = (0..sections)
            .map(|section| {
                let questions: Vec<Value> = (0..questions)
                    .map(|it| {
                        json!({"id": format!("{section}-{it}"), "type": "essay",
                               "content": "?", "points": points})
                    })
                    .collect();
                json!({"id": format!("s{section}"), "questions": questions})
            })
            .collect();
        small_with("/sections", &sections.into())
    };
    assert_eq!(exam(2, 2_500, 1), "");
    assert_eq!(
        exam(2, 2_501, 1),
        "line 1: sections: must have at most 5000 questions in all"
    );
    assert_eq!(
        exam(2, 600, 1_000),
        "line 1: sections: must have at most 999999.99 points in all"
    );
}
