//! The names of types: each once in the workspace, and the nouns of the exam for the exam
//! alone.

use std::collections::BTreeMap;

use super::{File, files, none};

/// Names that may stand in any module: each module has its own error and arguments.
const SHARED: [&str; 3] = ["Args", "Error", "Result"];

/// Nouns of the exam. As a whole name, one belongs to the rules of the exam.
const NOUNS: [&str; 10] = [
    "Actor", "Answer", "Attempt", "Command", "Event", "Exam", "Paper", "Question", "Section",
    "Session",
];

/// The type that a line at the left margin defines. Nested ones, as in a test or behind an
/// `impl`, are known in their block alone.
fn defined_type(line: &str) -> Option<&str> {
    let visible = line.strip_prefix("pub").map_or(line, |rest| {
        let rest = rest.strip_prefix('(').map_or(rest, |inside| {
            inside.split_once(')').map_or(inside, |(_, rest)| rest)
        });
        rest.trim_start()
    });
    let name = ["struct ", "enum ", "type ", "trait ", "union "]
        .iter()
        .find_map(|keyword| visible.strip_prefix(keyword))?;
    let end = name.find(|character: char| !character.is_alphanumeric() && character != '_');
    Some(&name[..end.unwrap_or(name.len())])
}

/// Sources of the workspace, those of tests left out.
fn sources() -> Vec<File> {
    let test = |path: &str| {
        ["tests/", "examples/"]
            .iter()
            .any(|folder| path.starts_with(folder))
            || path.contains("/tests/")
            || path.ends_with("/tests.rs")
    };
    let mut all = files(&["rs"]);
    all.retain(|file| !test(&file.path));
    all
}

#[test]
fn a_type_name_stands_once() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources() {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(name) = defined_type(line).filter(|name| !SHARED.contains(name)) {
                let place = format!("{}:{}", file.path, index + 1);
                places.entry(name.to_owned()).or_default().push(place);
            }
        }
    }
    assert!(places.len() > 300, "found only {} types", places.len());
    let faults: Vec<String> = places
        .iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect();
    none(&faults);
}

#[test]
fn a_noun_of_the_exam_names_a_part_of_the_exam() {
    let mut faults = Vec::new();
    for file in sources() {
        for (index, line) in file.text.lines().enumerate() {
            let name = defined_type(line).filter(|name| NOUNS.contains(name));
            if let Some(name) = name.filter(|_| !file.path.starts_with("crates/domain/")) {
                faults.push(format!("{}:{}: {name}", file.path, index + 1));
            }
        }
    }
    none(&faults);
}
