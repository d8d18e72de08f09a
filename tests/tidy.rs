//! The structure of the repository, as a test: the walls between crates, the length of
//! files, and documents that leave no name out.
//!
//! Every rule reports all of its faults at once, each with its place. Rules that clippy can
//! check are left to clippy.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "tidy/cycles.rs"]
mod cycles;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/features.rs"]
mod features;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/names.rs"]
mod names;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders of files that are written by hand.
const FOLDERS: [&str; 13] = [
    ".ci",
    "benches",
    "clients",
    "config",
    "crates",
    "docs",
    "examples",
    "fuzz",
    "loadtest",
    "migrations",
    "scripts",
    "src",
    "tests",
];

/// Folders inside them that tools make.
const MADE: [&str; 4] = ["node_modules", "dist", "target", "__pycache__"];

const LINES_MAX: usize = 800;
const COLUMNS_MAX: usize = 100;

/// Unbreakable text, a word of prose or a line of a literal (an address, SQL, an expected
/// text), excuses its line if the text is longer than this.
const UNBREAKABLE_COLUMNS: usize = 70;

/// A text file of the repository.
struct File {
    /// Path from the root, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is(&self, extensions: &[&str]) -> bool {
        let extension = Path::new(&self.path).extension();
        extensions
            .iter()
            .any(|wanted| extension.is_some_and(|it| it == *wanted))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files with one of these extensions, in the order of their paths.
fn files(extensions: &[&str]) -> Vec<File> {
    let mut pending: Vec<PathBuf> = FOLDERS.iter().map(|folder| root().join(folder)).collect();
    let mut found: Vec<PathBuf> = list(root())
        .into_iter()
        .filter(|path| path.is_file())
        .collect();
    while let Some(folder) = pending.pop() {
        for path in list(&folder) {
            if path.is_file() {
                found.push(path);
            } else if !MADE.iter().any(|made| path.ends_with(made)) {
                pending.push(path);
            }
        }
    }
    found.sort();
    let relative = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    found
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).ok()?;
            Some(File {
                path: relative(path),
                text,
            })
        })
        .filter(|file| file.is(extensions))
        .collect()
}

/// Returns the entries of a folder; none if the folder is missing.
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Returns the text of a file that must exist.
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails with all faults of a rule.
fn none(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn files_are_short_enough_to_be_read_whole() {
    let mut faults = Vec::new();
    for file in files(&[
        "rs", "ts", "tsx", "js", "mjs", "css", "html", "py", "sh", "sql", "md",
    ]) {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines, {LINES_MAX} at most", file.path));
        }
    }
    none(&faults);
}

#[test]
fn lines_fit_beside_each_other() {
    let mut faults = Vec::new();
    // Prettier does the same for the pages.
    for file in files(&["rs", "py", "sh", "md"]) {
        let literals = imports::literals(&file);
        for (index, line) in file.text.lines().enumerate() {
            let columns = line.chars().count();
            if columns <= COLUMNS_MAX {
                continue;
            }
            let table = file.is(&["md"]) && line.trim_start().starts_with('|');
            let quoted = literals
                .iter()
                .flat_map(|literal| literal.lines())
                .any(|part| part.len() > UNBREAKABLE_COLUMNS && line.contains(part));
            let word = line
                .split_whitespace()
                .any(|word| word.len() > UNBREAKABLE_COLUMNS);
            if !table && !quoted && !word {
                faults.push(format!("{}:{}: {columns} columns", file.path, index + 1));
            }
        }
    }
    none(&faults);
}

#[test]
fn rust_sources_are_ascii() {
    let mut faults = Vec::new();
    for file in files(&["rs"]) {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(other) = line.chars().find(|character| !character.is_ascii()) {
                faults.push(format!("{}:{}: {other:?}", file.path, index + 1));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_module_says_what_it_is() {
    let mut faults = Vec::new();
    for file in files(&["rs"]) {
        let first = file
            .text
            .lines()
            .find(|line| !line.is_empty() && !line.starts_with("#!"));
        if !first.is_some_and(|line| line.starts_with("//! ")) {
            faults.push(format!("{}: does not start with `//! `", file.path));
        }
        if file.path.ends_with("/mod.rs") {
            faults.push(format!("{}: modules are `foo.rs` and `foo/`", file.path));
        }
    }
    none(&faults);
}

#[test]
fn nothing_is_left_for_later() {
    // In two parts, so that this file does not break its own rule.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let mut faults = Vec::new();
    for file in files(&[
        "rs", "ts", "tsx", "js", "css", "html", "py", "sh", "sql", "toml", "md",
    ]) {
        for (index, line) in file.text.lines().enumerate() {
            let mut words = line.split(|character: char| !character.is_alphanumeric());
            if words.any(|word| marks.contains(&word)) {
                faults.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    none(&faults);
}
