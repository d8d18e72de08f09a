//! Test fixtures: the sample exams, and random changes to them.

use proptest::prelude::*;
use serde_json::Value;

use super::{
    Exam,
    definition::{FileFormat, ParsedExam, parse_exam},
};

/// The sample with all ten types of question.
pub(crate) const DEMO_ALL: &str = include_str!("../../../../config/samples/demo-all.yaml");
/// The sample with two shuffled sections and a grace period.
pub(crate) const DEMO_QUIZ: &str = include_str!("../../../../config/samples/demo-quiz.yaml");

/// Parses a sample.
pub(crate) fn parse_sample(yaml: &str) -> ParsedExam {
    parse_exam(yaml, FileFormat::Yaml).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// Returns the sample with all ten types.
pub(crate) fn demo_all() -> Exam {
    parse_sample(DEMO_ALL).exam
}

/// Returns the definition of the sample with all ten types, as a tree.
pub(crate) fn demo_all_tree() -> Value {
    serde_json::from_str(&parse_sample(DEMO_ALL).definition).unwrap()
}

/// Sets the value at a JSON pointer; a map may get a new key.
pub(crate) fn set_at(tree: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = tree.pointer_mut(parent).unwrap();
    match parent.as_array_mut() {
        Some(list) => list[key.parse::<usize>().unwrap()] = value,
        None => parent[key] = value,
    }
}

/// Any JSON value, shallow.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3_i64..100).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0.0..1.0_f64).prop_map(Value::from),
        "[a-z0-9]{0,3}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("(id|text|type|[a-z]{1,3})", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A change to one place of a tree.
#[derive(Debug, Clone)]
pub(crate) enum TreeChange {
    /// Replaces the value.
    Set(Value),
    /// Removes the value.
    Remove,
    /// Inserts a copy of the value before it.
    Repeat,
    /// Adds a key to the map.
    Add(String, Value),
}

/// Any change.
pub(crate) fn any_change() -> impl Strategy<Value = TreeChange> {
    prop_oneof![
        any_json().prop_map(TreeChange::Set),
        Just(TreeChange::Remove),
        Just(TreeChange::Repeat),
        ("[a-z_]{1,8}", any_json()).prop_map(|(key, value)| TreeChange::Add(key, value)),
    ]
}

/// Changes the place of a tree that `pick` selects.
pub(crate) fn apply_change(tree: &mut Value, pick: usize, change: &TreeChange) {
    let mut pointers = Vec::new();
    collect_pointers(tree, String::new(), &mut pointers);
    let pointer = &pointers[pick % pointers.len()];
    let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", ""));
    let (parent, key) = (parent.to_owned(), key.to_owned());
    match change {
        TreeChange::Set(value) => *tree.pointer_mut(pointer).unwrap() = value.clone(),
        TreeChange::Add(name, value) => {
            if let Some(map) = tree.pointer_mut(pointer).unwrap().as_object_mut() {
                map.insert(name.clone(), value.clone());
            }
        }
        // The root of the tree has no parent to remove it from.
        TreeChange::Remove | TreeChange::Repeat if pointer.is_empty() => {}
        TreeChange::Remove | TreeChange::Repeat => match tree.pointer_mut(&parent).unwrap() {
            Value::Object(map) => drop(map.remove(&key)),
            Value::Array(list) => {
                let index: usize = key.parse().unwrap();
                if matches!(change, TreeChange::Remove) {
                    list.remove(index);
                } else {
                    list.insert(index, list[index].clone());
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        },
    }
}

fn collect_pointers(tree: &Value, pointer: String, pointers: &mut Vec<String>) {
    match tree {
        Value::Object(map) => {
            for (key, value) in map {
                collect_pointers(value, format!("{pointer}/{key}"), pointers);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                collect_pointers(value, format!("{pointer}/{index}"), pointers);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    pointers.push(pointer);
}
