//! Documents that name everything that the code has.

use invigil_protocol::code::{CloseCode, ErrorCode, EventKind, RefusalCode};

use super::{none, read};

/// Returns a fault for each name that a document does not have between backquotes.
fn missing(document: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let text = read(document);
    let absent = names
        .into_iter()
        .filter(|name| !text.contains(&format!("`{name}`")));
    absent
        .map(|name| format!("{document}: `{name}` is not explained"))
        .collect()
}

#[test]
fn every_code_is_in_the_protocol_document() {
    let closes = CloseCode::ALL.iter().map(|code| code.number().to_string());
    let byes = CloseCode::ALL
        .iter()
        .filter_map(|code| code.bye_code())
        .map(str::to_owned);
    let refusals = RefusalCode::ALL.iter().map(|code| code.as_str().to_owned());
    let errors = ErrorCode::ALL.iter().map(|code| code.as_str().to_owned());
    let events = EventKind::ALL.iter().map(|kind| kind.as_str().to_owned());
    let names = closes
        .chain(byes)
        .chain(refusals)
        .chain(errors)
        .chain(events);
    none(&missing("docs/protocol.md", names));
}

#[test]
fn every_metric_is_in_the_operations_document() {
    let source = read("crates/telemetry/src/metrics.rs");
    let (_, registered) = source
        .split_once("register! {")
        .expect("metrics are registered at once");
    let (registered, _) = registered.split_once('}').expect("a closing brace");
    let names: Vec<String> = registered
        .lines()
        .filter_map(|line| line.split_once(": \""))
        .map(|(name, _)| format!("invigil_{}", name.trim()))
        .collect();
    assert!(names.len() > 10, "found only {names:?}");
    none(&missing("docs/operations.md", names));
}

#[test]
fn every_setting_is_explained_where_it_stands() {
    let mut faults = Vec::new();
    let text = read("config/default.toml");
    let mut above = "";
    for (index, line) in text.lines().enumerate() {
        if line.contains(" = ") && !line.starts_with('#') && !above.starts_with("# ") {
            faults.push(format!(
                "config/default.toml:{}: {line}: no comment above",
                index + 1
            ));
        }
        above = line;
    }
    none(&faults);
}

#[test]
fn every_section_of_settings_is_in_the_operations_document() {
    let text = read("config/default.toml");
    let sections = text.lines().filter(|line| line.starts_with('['));
    none(&missing("docs/operations.md", sections.map(str::to_owned)));
}

#[test]
fn the_changelog_says_what_is_new() {
    let text = read("CHANGELOG.md");
    let (_, unreleased) = text
        .split_once("## [Unreleased]")
        .expect("an Unreleased section");
    let section = unreleased
        .split("\n## ")
        .next()
        .expect("split gives one at least");
    assert!(section.contains("\n- "), "nothing under Unreleased");
}
