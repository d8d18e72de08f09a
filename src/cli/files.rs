//! Exam files and rosters on disk, with the faults of all files.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use invigil::web::token::access_code_hash;
use invigil_domain::{
    exam::definition::{self, FileFormat, ParsedExam},
    fault::FileFault,
    roster::{self, RosterEntry},
};
use invigil_store::{RosterPerson, StoredExam};

/// Bound on memory for a device file. The parsers refuse more than 16 MiB with a
/// fault of their own.
const READ_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Faults of files, a line each.
#[derive(Debug, Default)]
pub(super) struct FileFaults(Vec<String>);

impl fmt::Display for FileFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("invalid files:")?;
        self.0
            .iter()
            .try_for_each(|fault| write!(formatter, "\n  {fault}"))
    }
}

impl std::error::Error for FileFaults {}

impl FileFaults {
    /// Returns the content of a file, or collects its faults.
    pub(super) fn collect_faults<T>(
        &mut self,
        path: &Path,
        read: Result<T, Vec<FileFault>>,
    ) -> Option<T> {
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

/// Returns true for a roster; all other files are exams.
pub(super) fn is_roster(path: &Path) -> bool {
    has_ending(path, "csv")
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

pub(super) fn read_roster(path: &Path) -> Result<Vec<RosterEntry>, Vec<FileFault>> {
    roster::parse_roster(&read_text(path)?)
}

pub(super) fn read_exam(path: &Path) -> Result<ParsedExam, Vec<FileFault>> {
    let format = if has_ending(path, "json") {
        FileFormat::Json
    } else {
        FileFormat::Yaml
    };
    definition::parse_exam(&read_text(path)?, format)
}

/// Reads exam files; two files with one code are a fault.
pub(super) fn read_exams(paths: &[PathBuf], faults: &mut FileFaults) -> Vec<ParsedExam> {
    let mut exams: Vec<ParsedExam> = Vec::new();
    let mut first = HashMap::new();
    for path in paths {
        let Some(parsed) = faults.collect_faults(path, read_exam(path)) else {
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

/// Reads the text of a file, without a byte order mark.
fn read_text(path: &Path) -> Result<String, Vec<FileFault>> {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(READ_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text.trim_start_matches('\u{feff}').to_owned()),
        Err(error) => Err(vec![FileFault {
            path: String::new(),
            message: format!("cannot be read: {error}"),
            line: None,
        }]),
    }
}

/// Returns an exam in the form of the store.
pub(super) fn to_stored_exam(parsed: &ParsedExam) -> StoredExam {
    StoredExam {
        code: parsed.exam.code.clone(),
        version: parsed.exam.version.clone(),
        title: parsed.exam.title.clone(),
        definition: Arc::clone(&parsed.definition),
        corrections: Vec::new(),
    }
}

/// Returns people in the form of the store: with hashes for access codes.
pub(super) fn to_stored_people(
    entries: Vec<RosterEntry>,
    key: &[u8; 32],
) -> Vec<(RosterPerson, [u8; 32])> {
    entries
        .into_iter()
        .map(|RosterEntry { person, code }| {
            let hash = access_code_hash(key, &person.id, &code);
            (person, hash)
        })
        .collect()
}
