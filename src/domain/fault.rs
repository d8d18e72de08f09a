//! What is wrong with a file that a person wrote.
//!
//! Files are validated whole: whoever wrote one gets all its faults at once,
//! each with its place, in sentences that can be shown as they are.

use std::fmt::{self, Write as _};

/// At most this many faults of a file are listed; the last one then says how
/// many more there are. A person can use no more, and a hostile file of
/// millions of faults must not take memory.
pub const FAULTS_MAX: usize = 1_000;

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the content: `sections[0].questions[3].options[1].id`, or a
    /// column of a table. Empty for the file as a whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
    /// The line, from 1, where the format tells it.
    pub line: Option<u32>,
}

impl fmt::Display for Fault {
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

/// Keys come from the file: a long one is cut, so that its fault stays readable.
pub(crate) const KEY_CHARS_MAX: usize = 64;

/// Collects faults, up to [`FAULTS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Faults {
    list: Vec<Fault>,
    more: usize,
}

impl Faults {
    /// Adds one.
    pub(crate) fn push(&mut self, fault: Fault) {
        if self.list.len() < FAULTS_MAX {
            self.list.push(fault);
        } else {
            self.more += 1;
        }
    }

    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, for people.
    pub(crate) fn into_list(mut self) -> Vec<Fault> {
        if self.more > 0 {
            self.list.push(Fault {
                path: String::new(),
                message: format!("{} more faults are not listed", self.more),
                line: None,
            });
        }
        self.list
    }
}

/// Walks a tree: knows where it is, and collects what is wrong there.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    path: String,
    faults: Faults,
}

impl Walk {
    /// Says that something is wrong here.
    pub(crate) fn fault(&mut self, message: impl Into<String>) {
        self.faults.push(Fault {
            path: self.path.clone(),
            message: message.into(),
            line: None,
        });
    }

    /// Does something inside the entry `key` of the map here.
    pub(crate) fn key<T>(&mut self, key: &str, inside: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.extend(key.chars().take(KEY_CHARS_MAX));
        let result = inside(self);
        self.path.truncate(length);
        result
    }

    /// Does something inside the item `index` of the list here.
    pub(crate) fn item<T>(&mut self, index: usize, inside: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        write!(self.path, "[{index}]").expect("writing to a String does not fail");
        let result = inside(self);
        self.path.truncate(length);
        result
    }

    /// What was found wrong.
    pub(crate) fn into_faults(self) -> Faults {
        self.faults
    }
}
