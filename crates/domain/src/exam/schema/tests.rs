//! Agreement of the JSON Schema with the check.

use std::{fs, path::Path, sync::LazyLock};

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::exam_schema;
use crate::exam::{
    definition::{FileFormat, parse_exam},
    fixture::{DEMO_ALL, DEMO_QUIZ, any_change, apply_change, demo_all_tree, parse_sample, set_at},
    table::EVENT_KINDS,
};

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::options()
        .should_validate_formats(true)
        .build(&exam_schema())
        .unwrap()
});

fn assert_valid(tree: &Value) {
    let errors: Vec<String> = VALIDATOR
        .iter_errors(tree)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(errors, Vec::<String>::new());
}

#[test]
fn exams_that_are_right_keep_to_the_schema() {
    for sample in [DEMO_ALL, DEMO_QUIZ] {
        assert_valid(&serde_json::from_str(&parse_sample(sample).definition).unwrap());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/exams");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: there is no ../shared/data/exams");
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "json") {
            assert_valid(&serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap());
        }
    }
}

#[test]
fn what_one_place_can_tell_fails_both() {
    for (pointer, value) in [
        ("/code", json!("a b")),
        ("/code", json!("")),
        ("/title", json!(7)),
        ("/titel", json!("x")),
        ("/type", json!("party")),
        ("/duration_minutes", json!(0)),
        ("/duration_minutes", json!(1.5)),
        ("/passing_score", json!(101)),
        ("/available_from", json!("tomorrow")),
        ("/ip_restrictions", json!(["everywhere"])),
        ("/on_disconnect", json!("give_it_back")),
        ("/on_disconnect", json!({"compensate_up_to_minutes": 0})),
        ("/grading", json!({"scale": [[90]]})),
        ("/proctoring/rules/0/kind", json!("yawn")),
        ("/sections", json!([])),
        ("/sections/0/id", json!("a b")),
        ("/sections/0/questions", json!([])),
        ("/sections/0/questions/0/points", json!(0)),
        ("/sections/0/questions/0/type", json!("riddle")),
        (
            "/sections/0/questions/0/options",
            json!([{"id": "a", "text": "A"}]),
        ),
        ("/sections/0/questions/0/languages", json!(["c"])),
        ("/sections/0/questions/1/answer", json!([])),
        ("/sections/0/questions/2/answer", json!("true")),
        ("/sections/1/questions/0/answer", json!(["text"])),
        ("/sections/1/questions/2/answer", json!("text")),
        ("/sections/2/questions/0/answer", json!({})),
        ("/sections/2/questions/2/image", json!("javascript:x")),
        (
            "/sections/2/questions/2/answer",
            json!([{"shape": "circle", "coords": [0, 0]}]),
        ),
        (
            "/sections/2/questions/2/answer",
            json!([{"shape": "rect", "coords": [0, 0, 2, 2]}]),
        ),
    ] {
        let mut tree = demo_all_tree();
        set_at(&mut tree, pointer, value.clone());
        assert!(
            !VALIDATOR.is_valid(&tree),
            "schema takes {pointer} = {value}"
        );
        let checked = parse_exam(&tree.to_string(), FileFormat::Json);
        assert!(checked.is_err(), "check takes {pointer} = {value}");
    }
}

#[test]
fn every_event_kind_is_in_the_schema() {
    for kind in EVENT_KINDS.into_iter().chain(["x-own"]) {
        let mut tree = demo_all_tree();
        tree["proctoring"]["rules"][0]["kind"] = kind.into();
        assert_valid(&tree);
        assert!(
            parse_exam(&tree.to_string(), FileFormat::Json).is_ok(),
            "{kind}"
        );
    }
}

proptest! {
    #[test]
    fn the_schema_refuses_nothing_that_the_check_takes(
        changes in prop::collection::vec((any::<usize>(), any_change()), 1..3),
    ) {
        let mut tree = demo_all_tree();
        for (pick, step) in &changes {
            apply_change(&mut tree, *pick, step);
        }
        if parse_exam(&tree.to_string(), FileFormat::Json).is_ok() {
            prop_assert!(VALIDATOR.is_valid(&tree), "{}", tree);
        }
    }
}
