//! The sample exams, for tests.

use proptest::prelude::*;
use serde_json::Value;

use super::{
    Exam,
    definition::{Format, Parsed, parse},
};

/// All ten types.
pub(crate) const DEMO_ALL: &str = include_str!("../../../config/samples/demo-all.yaml");
/// Two shuffled sections, a grace period.
pub(crate) const DEMO_QUIZ: &str = include_str!("../../../config/samples/demo-quiz.yaml");

/// A sample, parsed.
pub(crate) fn parsed(yaml: &str) -> Parsed {
    parse(yaml, Format::Yaml).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

/// The sample of all ten types.
pub(crate) fn demo_all() -> Exam {
    parsed(DEMO_ALL).exam
}

/// The definition of the sample of all ten types, as a tree.
pub(crate) fn demo_all_tree() -> Value {
    serde_json::from_str(&parsed(DEMO_ALL).definition).unwrap()
}

/// Puts a value at a JSON pointer, where a map may get a new key.
pub(crate) fn set(tree: &mut Value, pointer: &str, value: Value) {
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

/// What to do with one place of a tree.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Put this there.
    Set(Value),
    /// Take it away.
    Remove,
    /// Copy the entry before it there.
    Repeat,
    /// Add this key to the map.
    Add(String, Value),
}

/// Any change.
pub(crate) fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any_json().prop_map(Change::Set),
        Just(Change::Remove),
        Just(Change::Repeat),
        ("[a-z_]{1,8}", any_json()).prop_map(|(key, value)| Change::Add(key, value)),
    ]
}

/// Changes the place of a tree that `pick` falls on.
pub(crate) fn change(tree: &mut Value, pick: usize, change: &Change) {
    let mut pointers = Vec::new();
    collect(tree, String::new(), &mut pointers);
    let pointer = &pointers[pick % pointers.len()];
    let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", ""));
    let (parent, key) = (parent.to_owned(), key.to_owned());
    match change {
        Change::Set(value) => *tree.pointer_mut(pointer).unwrap() = value.clone(),
        Change::Add(name, value) => {
            if let Some(map) = tree.pointer_mut(pointer).unwrap().as_object_mut() {
                map.insert(name.clone(), value.clone());
            }
        }
        // The whole tree stands in nothing that it could be taken out of.
        Change::Remove | Change::Repeat if pointer.is_empty() => {}
        Change::Remove | Change::Repeat => match tree.pointer_mut(&parent).unwrap() {
            Value::Object(map) => drop(map.remove(&key)),
            Value::Array(list) => {
                let index: usize = key.parse().unwrap();
                if matches!(change, Change::Remove) {
                    list.remove(index);
                } else {
                    list.insert(index, list[index].clone());
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        },
    }
}

fn collect(tree: &Value, pointer: String, pointers: &mut Vec<String>) {
    match tree {
        Value::Object(map) => {
            for (key, value) in map {
                collect(value, format!("{pointer}/{key}"), pointers);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                collect(value, format!("{pointer}/{index}"), pointers);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    pointers.push(pointer);
}
