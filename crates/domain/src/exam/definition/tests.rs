//! Valid and invalid exam files.

use std::{fs, path::Path};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{FileFormat, from_definition, parse_exam};
use crate::{
    exam::{
        AcceptedAnswer, ExamKind, QuestionBody, QuestionType, SessionPolicy,
        fixture::{
            DEMO_ALL, DEMO_QUIZ, any_change, apply_change, demo_all, demo_all_tree, parse_sample,
        },
    },
    time::Timestamp,
};

mod faults;

/// The smallest valid exam.
const SMALL: &str = r#"{"code":"X","title":"X","duration_minutes":60,"sections":[{"id":"s",
    "questions":[{"id":"q","type":"true_false","content":"?","answer":true}]}]}"#;

#[test]
fn samples_are_right_and_have_no_notes() {
    for sample in [DEMO_ALL, DEMO_QUIZ] {
        assert_eq!(parse_sample(sample).notes, []);
    }
    let exam = demo_all();
    let kinds: Vec<_> = exam.questions().map(|it| it.body.question_type()).collect();
    assert_eq!(kinds, QuestionType::ALL);
    assert_eq!(exam.max_score(), 30.into());
    let index = exam.question_positions();
    assert_eq!(index[&"q1".into()], (0, 0));
    assert_eq!(index[&"q5".into()], (1, 1));
    assert_eq!(exam.question(&"q5".into()).unwrap().points, 2.into());
}

#[test]
fn what_a_file_leaves_out_has_its_default() {
    let exam = parse_exam(SMALL, FileFormat::Json).unwrap().exam;
    assert_eq!(exam.kind, ExamKind::Quiz);
    assert_eq!(exam.passing_score, 60.into());
    assert_eq!(exam.max_attempts, 1);
    assert_eq!(exam.lobby.as_secs(), 15 * 60);
    assert_eq!(exam.session_policy, SessionPolicy::Takeover);
    assert_eq!(exam.grade_scale.len(), 5);
    assert!(exam.grace_period.is_zero() && exam.available_from.is_none());
    assert!(exam.show_results_immediately && exam.allow_review);
    assert!(!exam.shuffle_questions && !exam.shuffle_options && !exam.show_correct_answers);
    assert!(!exam.proctoring.enabled);
    assert_eq!(exam.proctoring.heartbeat.as_secs(), 10);
    assert_eq!(exam.questions().next().unwrap().points, 1.into());
}

#[test]
fn every_key_of_the_format_is_read() {
    let yaml = r#"
code: HIST-101
title: Modern history
type: midterm
duration_minutes: 60
passing_score: 62.5
max_attempts: 2
available_from: 2026-11-23T08:00:00Z
available_until: 2026-11-23T13:00:00.250+01:00
lobby_minutes: 5
grace_period_minutes: 3
late_submission_penalty: 0.10
password: "1234"
ip_restrictions: ["10.1.2.3/8", "192.0.2.7", "2001:db8::/32"]
session_policy: reject
on_disconnect: {compensate_up_to_minutes: 10}
grading: {scale: [[50, pass], [0, fail]]}
proctoring: {heartbeat_seconds: 5, rules: [{kind: x-own, limit: 2, then: pause}]}
sections:
  - id: s1
    time_limit_minutes: 20
    questions:
      - id: q1
        type: fill_blank
        content: Pi and a color
        points: 0.1
        answer: [{number: 3.14, tolerance: 1e-3}, [red, {number: 7}]]
        case_sensitive: true
"#;
    let exam = parse_sample(yaml).exam;
    assert_eq!(
        exam.available_from,
        Some(Timestamp::from_ms(1_795_420_800_000))
    );
    assert_eq!(
        exam.available_until,
        Some(Timestamp::from_ms(1_795_435_200_250))
    );
    let networks: Vec<String> = exam
        .ip_restrictions
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(networks, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
    assert_eq!(exam.compensate_up_to.unwrap().as_secs(), 600);
    let hashed = exam.password.as_deref().unwrap();
    assert!(
        hashed.starts_with("sha256$"),
        "no password is kept in clear"
    );
    assert!(!parse_sample(yaml).definition.contains("\"1234\""));
    assert_eq!(exam.late_submission_penalty.to_string(), "0.1");
    assert_eq!(exam.grade_scale[1].1, "fail");
    assert!(exam.proctoring.enabled);
    assert_eq!(exam.sections[0].time_limit.unwrap().as_secs(), 1_200);
    let question = exam.questions().next().unwrap();
    assert_eq!(question.points.to_string(), "0.1");
    let QuestionBody::FillBlank { blanks, .. } = &question.body else {
        panic!("{question:?}");
    };
    let number = |number: &str, tolerance: &str| AcceptedAnswer::Number {
        number: number.parse().unwrap(),
        tolerance: tolerance.parse().unwrap(),
    };
    assert_eq!(blanks[0], [number("3.14", "0.001")]);
    assert_eq!(
        blanks[1],
        [AcceptedAnswer::Text("red".into()), number("7", "0")]
    );
}

#[test]
fn a_hotspot_takes_several_points_where_it_has_several_regions() {
    let multiple = |regions: usize| {
        let region = json!({"shape": "circle", "coords": [0.5, 0.5, 0.1]});
        let mut tree: Value = serde_json::from_str(SMALL).unwrap();
        tree["sections"][0]["questions"][0] = json!({
            "id": "q", "type": "hotspot", "content": "?", "image": "/map.png",
            "answer": vec![region; regions],
        });
        let exam = parse_exam(&tree.to_string(), FileFormat::Json)
            .unwrap()
            .exam;
        matches!(
            exam.questions().next().unwrap().body,
            QuestionBody::Hotspot { multiple: true, .. }
        )
    };
    assert!(!multiple(1));
    assert!(multiple(2));
}

#[test]
fn words_of_yaml_1_1_are_text() {
    let yaml = "
code: X
title: no
duration_minutes: 5
sections:
  - id: on
    questions:
      - {id: n, type: single_choice, content: yes, answer: y,
         options: [{id: y, text: 0755}, {id: n, text: 1_000}]}
";
    let exam = parse_sample(yaml).exam;
    assert_eq!(exam.title, "no");
    let QuestionBody::SingleChoice { options, .. } = &exam.questions().next().unwrap().body else {
        panic!("{exam:?}");
    };
    assert_eq!(options[0].text, "0755");
    assert_eq!(options[1].text, "1_000");
}

#[test]
fn the_definition_is_canonical_and_reads_as_the_same_exam() {
    for sample in [DEMO_ALL, DEMO_QUIZ] {
        let first = parse_sample(sample);
        let again = parse_exam(&first.definition, FileFormat::Json).unwrap();
        assert_eq!(again.definition, first.definition);
        assert_eq!(again.exam, first.exam);
        assert_eq!(from_definition(&first.definition).unwrap(), first.exam);
        let yaml = parse_exam(&first.definition, FileFormat::Yaml).unwrap();
        assert_eq!(yaml.exam, first.exam, "JSON is YAML");
    }
    let shuffled = r#"{"b":{"d":0.1,"c":1e-7},"a":[2.0,-0.0]}"#;
    let tree = super::tree::read_tree(shuffled, FileFormat::Json).unwrap();
    let canonical = super::canonical_json(&tree);
    assert_eq!(canonical, r#"{"a":[2.0,-0.0],"b":{"c":1e-7,"d":0.1}}"#);
}

#[test]
fn another_content_is_another_version() {
    let version = |text: &str| parse_exam(text, FileFormat::Json).unwrap().exam.version;
    let small = version(SMALL);
    assert_eq!(small, version(&SMALL.replace(':', " :\n ")));
    assert_ne!(small, version(&SMALL.replace("60", "61")));
    assert_eq!(small.as_str().len(), "sha256:".len() + 64);
}

#[test]
fn what_has_no_effect_is_noted() {
    let mut tree = demo_all_tree();
    tree["sections"][1]["questions"][2]["negative_marking"] = true.into();
    tree["late_submission_penalty"] = 0.5.into();
    let notes = parse_exam(&tree.to_string(), FileFormat::Json)
        .unwrap()
        .notes;
    let notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "sections[1].questions[2].negative_marking: has no effect on this type",
            "late_submission_penalty: has no effect without grace_period_minutes",
        ]
    );
}

#[test]
fn exams_made_of_public_question_sets_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/exams");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: there is no ../shared/data/exams");
        return;
    };
    let mut questions = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "json") {
            let text = fs::read_to_string(&path).unwrap();
            let parsed = parse_exam(&text, FileFormat::Json)
                .unwrap_or_else(|faults| panic!("{}: {faults:#?}", path.display()));
            assert_eq!(from_definition(&parsed.definition).unwrap(), parsed.exam);
            questions += parsed.exam.questions().count();
        }
    }
    assert!(questions > 500, "only {questions} questions were there");
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>(), json in any::<bool>()) {
        let format = if json { FileFormat::Json } else { FileFormat::Yaml };
        if let Err(faults) = parse_exam(&text, format) {
            prop_assert!(!faults.is_empty());
        }
    }

    #[test]
    fn damaged_text_is_read_without_a_panic(
        start in 0..DEMO_ALL.len(),
        length in 0..40_usize,
        patch in "[\\PC\n\t:,&*\\[\\]{}\"'-]{0,8}",
        json in any::<bool>(),
    ) {
        let (mut bytes, format) = if json {
            (parse_sample(DEMO_ALL).definition.as_bytes().to_vec(), FileFormat::Json)
        } else {
            (DEMO_ALL.as_bytes().to_vec(), FileFormat::Yaml)
        };
        let start = start % bytes.len();
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, patch.bytes());
        if let Err(faults) = parse_exam(&String::from_utf8_lossy(&bytes), format) {
            prop_assert!(!faults.is_empty());
        }
    }

    #[test]
    fn a_changed_tree_has_faults_or_reads_as_the_same_exam_again(
        changes in prop::collection::vec((any::<usize>(), any_change()), 1..4),
    ) {
        let mut tree = demo_all_tree();
        for (pick, step) in &changes {
            apply_change(&mut tree, *pick, step);
        }
        match parse_exam(&tree.to_string(), FileFormat::Json) {
            Ok(parsed) => {
                let again = parse_exam(&parsed.definition, FileFormat::Json).unwrap();
                prop_assert_eq!(&again.definition, &parsed.definition);
                prop_assert_eq!(again.exam, parsed.exam);
            }
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }
}
