//! Faults of a file that a person wrote.
//!
//! Files are validated as a whole: the author gets all faults at once, each with
//! its place, in sentences that can be shown unchanged.

use std::fmt::{self, Write as _};

/// The most faults of a file that are listed; one more entry then counts the rest.
/// A person can use no more, and a hostile file with millions of faults must not
/// take memory.
pub const FAULTS_MAX: usize = 1_000;

/// A fault of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// Place in the content: `sections[0].questions[3].options[1].id`, or a column of
    /// a table. Empty for the file as a whole.
    pub path: String,
    /// Description for people.
    pub message: String,
    /// The line, from 1, if the format has lines.
    pub line: Option<u32>,
}

impl fmt::Display for FileFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}

/// Characters of a key in a path. Keys come from the file; longer ones are cut, so
/// that their faults stay readable.
pub(crate) const KEY_CHARS_MAX: usize = 64;

/// A list of up to [`FAULTS_MAX`] faults.
#[derive(Debug, Default)]
pub(crate) struct FaultList {
    list: Vec<FileFault>,
    more: usize,
}

impl FaultList {
    /// Adds a fault, or counts it if the list is full.
    pub(crate) fn push(&mut self, fault: FileFault) {
        if self.list.len() < FAULTS_MAX {
            self.list.push(fault);
        } else {
            self.more += 1;
        }
    }

    /// Returns true if there are no faults.
    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the faults, for people.
    pub(crate) fn into_list(mut self) -> Vec<FileFault> {
        if self.more > 0 {
            self.list.push(FileFault {
                path: String::new(),
                message: format!("{} more faults are not listed", self.more),
                line: None,
            });
        }
        self.list
    }
}

/// A walk through a tree, with the current path and the faults found so far.
#[derive(Debug, Default)]
pub(crate) struct TreeWalk {
    path: String,
    faults: FaultList,
}

impl TreeWalk {
    /// Reports a fault at the current path.
    pub(crate) fn report_fault(&mut self, message: impl Into<String>) {
        self.faults.push(FileFault {
            path: self.path.clone(),
            message: message.into(),
            line: None,
        });
    }

    /// Calls `inside` for the entry `key` of the current map.
    pub(crate) fn at_key<T>(&mut self, key: &str, inside: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.extend(key.chars().take(KEY_CHARS_MAX));
        let result = inside(self);
        self.path.truncate(length);
        result
    }

    /// Calls `inside` for the item `index` of the current list.
    pub(crate) fn at_index<T>(&mut self, index: usize, inside: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        write!(self.path, "[{index}]").expect("writing to a String does not fail");
        let result = inside(self);
        self.path.truncate(length);
        result
    }

    /// Returns the faults found.
    pub(crate) fn into_faults(self) -> FaultList {
        self.faults
    }
}
