//! Exam files and rosters from disk, with every fault of every file.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use invigil::{
    domain::{
        exam::definition::{self, Format, Parsed},
        fault::Fault,
        roster::{self, RosterEntry},
    },
    store::{Person, StoredExam},
    web::token::access_code_hash,
};

/// The readers refuse more than 16 MiB with a fault of their own; this bound
/// only keeps a device file from filling memory.
const READ_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What is wrong with some files, a line for each fault.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the files are not right:")?;
        self.0
            .iter()
            .try_for_each(|fault| write!(formatter, "\n  {fault}"))
    }
}

impl std::error::Error for Faults {}

impl Faults {
    /// What a file holds, or nothing and its faults here.
    pub(super) fn take<T>(&mut self, path: &Path, read: Result<T, Vec<Fault>>) -> Option<T> {
        read.map_err(|faults| {
            self.0.extend(
                faults
                    .iter()
                    .map(|fault| format!("{}: {fault}", path.display())),
            );
        })
        .ok()
    }

    pub(super) fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// Whether a file is taken for a roster; all others are taken for exams.
pub(super) fn is_roster(path: &Path) -> bool {
    has_ending(path, "csv")
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

pub(super) fn read_roster(path: &Path) -> Result<Vec<RosterEntry>, Vec<Fault>> {
    roster::parse(&read(path)?)
}

pub(super) fn read_exam(path: &Path) -> Result<Parsed, Vec<Fault>> {
    let format = if has_ending(path, "json") {
        Format::Json
    } else {
        Format::Yaml
    };
    definition::parse(&read(path)?, format)
}

/// Reads exam files; a code may not stand in two of them.
pub(super) fn read_exams(paths: &[PathBuf], faults: &mut Faults) -> Vec<Parsed> {
    let mut exams: Vec<Parsed> = Vec::new();
    let mut first = HashMap::new();
    for path in paths {
        let Some(parsed) = faults.take(path, read_exam(path)) else {
            continue;
        };
        match first.insert(parsed.exam.code.clone(), path) {
            None => exams.push(parsed),
            Some(other) => faults.0.push(format!(
                "{}: code: {} is the code of {} too",
                path.display(),
                parsed.exam.code,
                other.display()
            )),
        }
    }
    exams
}

/// The text of a file, without the mark that some editors put before it.
fn read(path: &Path) -> Result<String, Vec<Fault>> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(READ_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text.trim_start_matches('\u{feff}').to_owned()),
        Err(error) => Err(vec![Fault {
            path: String::new(),
            message: format!("cannot be read: {error}"),
            line: None,
        }]),
    }
}

/// An exam as the store keeps it.
pub(super) fn to_store(parsed: &Parsed) -> StoredExam {
    StoredExam {
        code: parsed.exam.code.clone(),
        version: parsed.exam.version.clone(),
        title: parsed.exam.title.clone(),
        definition: Arc::clone(&parsed.definition),
        corrections: Vec::new(),
    }
}

/// People as the store keeps them: without their codes.
pub(super) fn people(entries: Vec<RosterEntry>, key: &[u8; 32]) -> Vec<(Person, [u8; 32])> {
    entries
        .into_iter()
        .map(|RosterEntry { person, code }| {
            let hash = access_code_hash(key, &person.id, &code);
            (person, hash)
        })
        .collect()
}
