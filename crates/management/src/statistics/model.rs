//! Statistics and pages of attempts.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::ManagementError;
use invigil_domain::id::AttemptId;

/// Statistics of an exam and its questions, as of the last refresh.
#[derive(Debug)]
pub struct ExamStatistics {
    /// Attempts, mean, deviation, quartiles, duration and Cronbach's alpha of the exam.
    pub exam: Value,
    /// Facility, discrimination, mean time and distractors of each question.
    pub questions: Vec<Value>,
}

/// A page of an exam's attempts, newest first.
#[derive(Debug)]
pub struct AttemptPage {
    /// Attempts, with rank and percentile among the fully marked ones.
    pub items: Vec<Value>,
    /// End of the page; none: this is the last.
    pub next: Option<AttemptCursor>,
}

/// Place in a list of attempts. The start alone would skip attempts that started at the same
/// instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptCursor {
    /// Start of an attempt.
    pub started_at: DateTime<Utc>,
    /// The attempt.
    pub id: AttemptId,
}

impl AttemptCursor {
    /// Returns the place of an attempt of a page.
    pub(super) fn of_row(row: &Value) -> Option<Self> {
        Some(Self {
            started_at: row["started_at"].as_str()?.parse().ok()?,
            id: AttemptId(row["id"].as_i64()?),
        })
    }
}

impl fmt::Display for AttemptCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.started_at.timestamp_micros();
        write!(formatter, "{at}_{}", self.id)
    }
}

impl FromStr for AttemptCursor {
    type Err = ManagementError;

    /// # Errors
    /// [`ManagementError::Invalid`] if the text is not the end of a page.
    fn from_str(text: &str) -> Result<Self, ManagementError> {
        let parse = || {
            let (at, id) = text.split_once('_')?;
            Some(Self {
                started_at: DateTime::from_timestamp_micros(at.parse().ok()?)?,
                id: id.parse().ok()?,
            })
        };
        parse().ok_or_else(|| {
            ManagementError::invalid_field("before", "must be the `next` of another page")
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_end_of_a_page_is_the_start_of_the_next() {
        let row = json!({"id": 7, "started_at": "2026-11-30T18:00:00.000001+00:00"});
        let cursor = AttemptCursor::of_row(&row).unwrap();
        assert_eq!(cursor.to_string(), "1796061600000001_7");
        assert_eq!(cursor.to_string().parse::<AttemptCursor>().unwrap(), cursor);
        for text in ["", "7", "x_7", "7_x", "7_"] {
            assert!(text.parse::<AttemptCursor>().is_err(), "{text}");
        }
    }
}
