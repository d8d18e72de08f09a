//! On which line of its file a fault is: a second look at the text, taken only
//! where something is wrong. JSON is read as the YAML that it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use granit_parser::{Event, Parser};

use crate::domain::fault::{Fault, KEY_CHARS_MAX};

/// Gives every fault that has a path the line of that place, or of the nearest
/// one around it: what is missing stands nowhere.
pub(super) fn add(text: &str, faults: &mut [Fault]) {
    let wanted: BTreeSet<&str> = faults
        .iter()
        .flat_map(|fault| around(&fault.path))
        .collect();
    let lines = find(text, &wanted);
    let found: Vec<Option<u32>> = faults
        .iter()
        .map(|fault| around(&fault.path).find_map(|path| lines.get(path).copied()))
        .collect();
    for (fault, line) in faults.iter_mut().zip(found) {
        fault.line = fault.line.or(line);
    }
}

/// A path and those of everything that it is in.
fn around(path: &str) -> impl Iterator<Item = &str> {
    let whole = Some(path).filter(|path| !path.is_empty());
    std::iter::successors(whole, |path| {
        let end = path.rfind(['.', '['])?;
        Some(&path[..end])
    })
}

/// A list or map that is being read.
enum Frame {
    /// The index of the next item.
    List(usize),
    /// The line of the key whose value comes next; none: a key comes next.
    Map(Option<u32>),
}

/// The lines of the wanted paths. Ends early where it meets what it cannot read.
fn find(text: &str, wanted: &BTreeSet<&str>) -> BTreeMap<String, u32> {
    let mut lines = BTreeMap::new();
    let mut path = String::new();
    // Each with the length of the path to it.
    let mut frames: Vec<(Frame, usize)> = Vec::new();
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        let here = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        if let Event::SequenceEnd | Event::MappingEnd = event {
            frames.pop();
        } else if !event.is_node() {
            continue;
        } else if let Some((Frame::Map(key_line @ None), length)) = frames.last_mut() {
            path.truncate(*length);
            if *length > 0 {
                path.push('.');
            }
            // The file is read already, so every key is a text or stands for one.
            let Some((key, _)) = event.scalar() else {
                break;
            };
            path.extend(key.chars().take(KEY_CHARS_MAX));
            *key_line = Some(here);
            continue;
        } else {
            let line = match frames.last_mut() {
                Some((Frame::Map(key_line), _)) => key_line.unwrap_or(here),
                Some((Frame::List(index), length)) => {
                    path.truncate(*length);
                    write!(path, "[{index}]").expect("writing to a String does not fail");
                    here
                }
                None => here,
            };
            if wanted.contains(path.as_str()) {
                lines.entry(path.clone()).or_insert(line);
            }
            if let Event::SequenceStart(..) = event {
                frames.push((Frame::List(0), path.len()));
                continue;
            }
            if let Event::MappingStart(..) = event {
                frames.push((Frame::Map(None), path.len()));
                continue;
            }
        }
        // A value is complete: the next item or key comes.
        match frames.last_mut() {
            Some((Frame::List(index), _)) => *index += 1,
            Some((Frame::Map(key_line), _)) => *key_line = None,
            None => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, paths: &[&str]) -> Vec<Option<u32>> {
        let mut faults: Vec<Fault> = paths
            .iter()
            .map(|path| Fault {
                path: (*path).to_owned(),
                message: String::new(),
                line: None,
            })
            .collect();
        add(text, &mut faults);
        faults.iter().map(|fault| fault.line).collect()
    }

    const PATHS: [&str; 6] = [
        "code",
        "list[0].id",
        "list[1].id",
        "list[1].gone",
        "list[2]",
        "",
    ];
    const LINES: [Option<u32>; 6] = [Some(1), Some(3), Some(5), Some(4), Some(6), None];

    #[test]
    fn places_in_yaml_have_lines() {
        let text = "code: x\nlist:\n  - {id: a}\n  - other: [[]]\n    id: b\n  - last\n";
        assert_eq!(lines(text, &PATHS), LINES);
    }

    #[test]
    fn places_in_json_have_lines() {
        let text = "{\"code\": \"x\",\n\"list\": [\n{\"id\": \"a\"},\n{\"other\": [[]],\n\"id\": \"b\"},\n7]}";
        assert_eq!(lines(text, &PATHS), LINES);
    }

    #[test]
    fn what_is_no_yaml_has_no_lines() {
        assert_eq!(lines("{", &["code"]), [None]);
    }
}
