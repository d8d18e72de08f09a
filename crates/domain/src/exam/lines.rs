//! Line numbers of faults: a second pass over the text, made only if a file has
//! faults. JSON is read as YAML, of which it is a subset.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use granit_parser::{Event, Parser};

use crate::fault::{FileFault, KEY_CHARS_MAX};

/// Sets the line of every fault with a path, to that of the place itself or of the
/// nearest place around it: a missing key has no line of its own.
pub(super) fn add_lines(text: &str, faults: &mut [FileFault]) {
    let wanted: BTreeSet<&str> = faults
        .iter()
        .flat_map(|fault| path_and_parents(&fault.path))
        .collect();
    let lines = find_lines(text, &wanted);
    let found: Vec<Option<u32>> = faults
        .iter()
        .map(|fault| path_and_parents(&fault.path).find_map(|path| lines.get(path).copied()))
        .collect();
    for (fault, line) in faults.iter_mut().zip(found) {
        fault.line = fault.line.or(line);
    }
}

/// Iterates over a path and the paths of everything around it.
fn path_and_parents(path: &str) -> impl Iterator<Item = &str> {
    let whole = Some(path).filter(|path| !path.is_empty());
    std::iter::successors(whole, |path| {
        let end = path.rfind(['.', '['])?;
        Some(&path[..end])
    })
}

/// A list or map whose end has not been read yet.
enum OpenCollection {
    /// The index of the next item.
    List(usize),
    /// The line of the key whose value comes next; `None` if a key comes next.
    Map(Option<u32>),
}

/// Finds the lines of the wanted paths. Ends early at unreadable text.
fn find_lines(text: &str, wanted: &BTreeSet<&str>) -> BTreeMap<String, u32> {
    let mut lines = BTreeMap::new();
    let mut path = String::new();
    // Each with the length of its path.
    let mut frames: Vec<(OpenCollection, usize)> = Vec::new();
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        let here = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        if let Event::SequenceEnd | Event::MappingEnd = event {
            frames.pop();
        } else if !event.is_node() {
            continue;
        } else if let Some((OpenCollection::Map(key_line @ None), length)) = frames.last_mut() {
            path.truncate(*length);
            if *length > 0 {
                path.push('.');
            }
            // The file was read before, so every key is a text or an alias of one.
            let Some((key, _)) = event.scalar() else {
                break;
            };
            path.extend(key.chars().take(KEY_CHARS_MAX));
            *key_line = Some(here);
            continue;
        } else {
            let line = match frames.last_mut() {
                Some((OpenCollection::Map(key_line), _)) => key_line.unwrap_or(here),
                Some((OpenCollection::List(index), length)) => {
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
                frames.push((OpenCollection::List(0), path.len()));
                continue;
            }
            if let Event::MappingStart(..) = event {
                frames.push((OpenCollection::Map(None), path.len()));
                continue;
            }
        }
        // A value is complete: the next item or key follows.
        match frames.last_mut() {
            Some((OpenCollection::List(index), _)) => *index += 1,
            Some((OpenCollection::Map(key_line), _)) => *key_line = None,
            None => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(text: &str, paths: &[&str]) -> Vec<Option<u32>> {
        let mut faults: Vec<FileFault> = paths
            .iter()
            .map(|path| FileFault {
                path: (*path).to_owned(),
                message: String::new(),
                line: None,
            })
            .collect();
        add_lines(text, &mut faults);
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
        assert_eq!(lines_of(text, &PATHS), LINES);
    }

    #[test]
    fn places_in_json_have_lines() {
        let text = "{\"code\": \"x\",\n\"list\": [\n{\"id\": \"a\"},\n{\"other\": [[]],\n\"id\": \"b\"},\n7]}";
        assert_eq!(lines_of(text, &PATHS), LINES);
    }

    #[test]
    fn what_is_no_yaml_has_no_lines() {
        assert_eq!(lines_of("{", &["code"]), [None]);
    }
}
