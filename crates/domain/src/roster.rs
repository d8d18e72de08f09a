//! The roster: a CSV file of the people who may take and watch exams.
//!
//! The header has the columns `id,name,email,role,code,exams,time_factor,`
//! `extra_minutes,groups` in any order; `email`, `time_factor`, `extra_minutes` and
//! `groups` are optional. Like an exam file it is read to the end, and every fault is
//! reported with its line and column. The caller checks that the exams exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use csv::StringRecord;
use rust_decimal::Decimal;

use crate::{
    exam,
    fault::{FaultList, FileFault},
    id::{ExamCode, PersonId},
    person::{ExamScope, GroupSet, PersonRole, RosterPerson},
};

/// Bytes of a roster.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// People of a roster.
pub const PEOPLE_MAX: usize = 100_000;
/// Characters of a field, except `exams` and `groups`: see [`SCOPE_CHARS_MAX`].
pub const FIELD_CHARS_MAX: usize = 255;
/// Characters of `exams`, and of `groups`.
pub const SCOPE_CHARS_MAX: usize = 20_000;
/// The highest factor of a candidate's time.
pub const TIME_FACTOR_MAX: i64 = 10;
/// The most extra minutes: one day.
pub const EXTRA_MINUTES_MAX: u64 = 1_440;

const COLUMNS: [&str; 9] = [
    "id",
    "name",
    "email",
    "role",
    "code",
    "exams",
    "time_factor",
    "extra_minutes",
    "groups",
];
const REQUIRED: [&str; 5] = ["id", "name", "role", "code", "exams"];

/// A line of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterEntry {
    /// The person.
    pub person: RosterPerson,
    /// The access code in clear; it is hashed before it is stored.
    pub code: String,
}

/// Parses a roster.
///
/// # Errors
/// All faults of the roster, at least one.
pub fn parse_roster(text: &str) -> Result<Vec<RosterEntry>, Vec<FileFault>> {
    let mut faults = FaultList::default();
    let entries = read_entries(text, &mut faults);
    match entries {
        Some(entries) if faults.is_empty() => Ok(entries),
        _ => Err(faults.into_list()),
    }
}

fn read_entries(text: &str, faults: &mut FaultList) -> Option<Vec<RosterEntry>> {
    if text.len() > FILE_BYTES_MAX {
        let mebibytes = FILE_BYTES_MAX / (1024 * 1024);
        push_fault(
            faults,
            None,
            "",
            format!("the roster is over {mebibytes} MiB"),
        );
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let columns = match reader.headers() {
        Ok(header) => read_header(header, faults)?,
        Err(error) => {
            push_fault(faults, Some(1), "", error.to_string());
            return None;
        }
    };
    let mut entries = Vec::new();
    let mut lines: BTreeMap<PersonId, u32> = BTreeMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                push_fault(faults, None, "", error.to_string());
                return None;
            }
        };
        let line = record
            .position()
            .and_then(|position| line_at(text, position));
        if entries.len() >= PEOPLE_MAX {
            push_fault(
                faults,
                line,
                "",
                format!("the roster has over {PEOPLE_MAX} people"),
            );
            return None;
        }
        if record.len() != columns.len() {
            let (has, needs) = (record.len(), columns.len());
            push_fault(
                faults,
                line,
                "",
                format!("has {has} fields, the header has {needs}"),
            );
            continue;
        }
        let mut row = RosterLine {
            columns: &columns,
            record: &record,
            line,
            faults,
        };
        let entry = row.read_entry();
        if let Some(id) = row.id() {
            match lines.get(&id) {
                Some(first) => row.report_fault("id", format!("used twice, first in line {first}")),
                None => drop(lines.insert(id, line.unwrap_or_default())),
            }
        }
        entries.extend(entry);
    }
    Some(entries)
}

/// Reads the header: the columns, in the order of the file.
fn read_header(header: &StringRecord, faults: &mut FaultList) -> Option<Vec<&'static str>> {
    let mut columns = Vec::new();
    for name in header {
        match COLUMNS.into_iter().find(|known| *known == name) {
            Some(column) if columns.contains(&column) => {
                push_fault(faults, Some(1), column, "the header names it twice");
            }
            Some(column) => columns.push(column),
            None => {
                let name: String = name.chars().take(64).collect();
                push_fault(faults, Some(1), &name, "is not a known column");
            }
        }
    }
    for column in REQUIRED {
        if !columns.contains(&column) {
            push_fault(faults, Some(1), column, "is missing from the header");
        }
    }
    faults.is_empty().then_some(columns)
}

/// Returns the line on which a record starts. The reader's position is before the
/// line ends that it skips: blank lines, and the second half of `\r\n`.
fn line_at(text: &str, position: &csv::Position) -> Option<u32> {
    let start = usize::try_from(position.byte()).ok()?;
    let rest = text.as_bytes().get(start..)?;
    let breaks = rest.iter().take_while(|byte| b"\r\n".contains(byte));
    let skipped = breaks.filter(|byte| **byte == b'\n').count();
    let line = position.line() + u64::try_from(skipped).ok()?;
    u32::try_from(line).ok()
}

fn push_fault(faults: &mut FaultList, line: Option<u32>, column: &str, message: impl Into<String>) {
    faults.push(FileFault {
        path: column.to_owned(),
        message: message.into(),
        line,
    });
}

/// Splits a list at its semicolons.
fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(';')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

/// A line of the roster that is being read.
struct RosterLine<'a> {
    columns: &'a [&'static str],
    record: &'a StringRecord,
    line: Option<u32>,
    faults: &'a mut FaultList,
}

impl RosterLine<'_> {
    fn field(&self, column: &str) -> &str {
        self.columns
            .iter()
            .position(|known| *known == column)
            .and_then(|index| self.record.get(index))
            .unwrap_or_default()
    }

    fn id(&self) -> Option<PersonId> {
        let id = self.field("id");
        (!id.is_empty()).then(|| id.into())
    }

    fn report_fault(&mut self, column: &str, message: impl Into<String>) {
        push_fault(self.faults, self.line, column, message);
    }

    fn read_entry(&mut self) -> Option<RosterEntry> {
        for column in COLUMNS {
            self.check_text(column);
        }
        let role = PersonRole::from_name(self.field("role"));
        if role.is_none() && !self.field("role").is_empty() {
            self.report_fault(
                "role",
                format!("must be one of {}", PersonRole::NAMES.join(", ")),
            );
        }
        let exams = self.read_exams();
        let groups = self.read_groups();
        let time_factor = self.read_time_factor();
        let extra_time = self.read_extra_time();
        Some(RosterEntry {
            person: RosterPerson {
                id: self.id()?,
                name: self.field("name").to_owned(),
                email: self.field("email").to_owned(),
                role: role?,
                exams,
                groups,
                time_factor: time_factor?,
                extra_time: extra_time?,
            },
            code: self.field("code").to_owned(),
        })
    }

    fn check_text(&mut self, column: &str) {
        let text = self.field(column);
        let max = match column {
            "exams" | "groups" => SCOPE_CHARS_MAX,
            _ => FIELD_CHARS_MAX,
        };
        if text.is_empty() && REQUIRED.contains(&column) && column != "exams" {
            self.report_fault(column, "must not be empty");
        } else if text.chars().count() > max {
            self.report_fault(column, format!("must have at most {max} characters"));
        } else if text.contains(char::is_control) {
            self.report_fault(column, "must not hold control characters");
        }
    }

    fn read_exams(&mut self) -> ExamScope {
        let text = self.field("exams");
        if text == "*" {
            return ExamScope::All;
        }
        let codes: BTreeSet<ExamCode> = split_list(text).map(ExamCode::from).collect();
        for code in &codes {
            if !exam::is_exam_code(code.as_str()) {
                let code: String = code.as_str().chars().take(64).collect();
                self.report_fault("exams", format!("`{code}` is no exam code"));
            }
        }
        ExamScope::Some(codes.into_iter().collect())
    }

    fn read_groups(&mut self) -> GroupSet {
        let groups: GroupSet = split_list(self.field("groups")).collect();
        let too_long = |name: &&str| name.chars().count() > FIELD_CHARS_MAX;
        if groups.names().iter().any(too_long) {
            let message = format!("each must have at most {FIELD_CHARS_MAX} characters");
            self.report_fault("groups", message);
        }
        groups
    }

    fn read_time_factor(&mut self) -> Option<Decimal> {
        let text = self.field("time_factor");
        if text.is_empty() {
            return Some(Decimal::ONE);
        }
        let factor = Decimal::from_str_exact(text)
            .ok()
            .map(|factor| factor.normalize())
            .filter(|factor| factor.scale() <= 4)
            .filter(|factor| (Decimal::ONE..=TIME_FACTOR_MAX.into()).contains(factor));
        if factor.is_none() {
            let message = format!("must be from 1 to {TIME_FACTOR_MAX}, at most 4 decimals");
            self.report_fault("time_factor", message);
        }
        factor
    }

    fn read_extra_time(&mut self) -> Option<Duration> {
        let text = self.field("extra_minutes");
        if text.is_empty() {
            return Some(Duration::ZERO);
        }
        let minutes = text
            .parse::<u64>()
            .ok()
            .filter(|minutes| *minutes <= EXTRA_MINUTES_MAX);
        if minutes.is_none() {
            let message = format!("must be a whole number from 0 to {EXTRA_MINUTES_MAX}");
            self.report_fault("extra_minutes", message);
        }
        minutes.map(|minutes| Duration::from_secs(60 * minutes))
    }
}

#[cfg(test)]
mod tests;
