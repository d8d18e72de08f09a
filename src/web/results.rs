//! Rows of an exam's results, for `GET /exams/{code}/results` and
//! `invigil results`: the same fields in JSON and in CSV.

use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::Serialize;
use utoipa::ToSchema;

use invigil_domain::time::Timestamp;
use invigil_store::{ResultLine, ScoreTotals};

/// Result of an attempt. Times are milliseconds since the Unix epoch.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResultRow {
    attempt: String,
    candidate_id: String,
    candidate_name: String,
    /// `started`, `in_progress`, `paused`, `submitted`, `auto_submitted`,
    /// `graded`, `reviewed`, `cancelled` or `flagged`.
    status: &'static str,
    started_at: i64,
    submitted_at: Option<i64>,
    /// Score; the certain part while a question waits for a mark.
    score: Option<f64>,
    max_score: Option<f64>,
    percentage: Option<f64>,
    grade: Option<String>,
    passed: Option<bool>,
    late: bool,
}

impl ResultRow {
    /// Returns the row of an attempt; it has figures after the hand-in.
    pub fn new(line: &ResultLine) -> Self {
        let summary = &line.summary;
        let figure =
            |of: fn(&ScoreTotals) -> Decimal| summary.totals.as_ref().and_then(|t| of(t).to_f64());
        Self {
            attempt: summary.identity.id.to_string(),
            candidate_id: summary.identity.candidate.to_string(),
            candidate_name: line.candidate_name.clone(),
            status: summary.control.status.as_str(),
            started_at: summary.identity.started_at.as_ms(),
            submitted_at: summary.submitted_at.map(Timestamp::as_ms),
            score: figure(|totals| totals.score),
            max_score: figure(|totals| totals.max_score),
            percentage: figure(|totals| totals.percentage),
            grade: summary
                .totals
                .as_ref()
                .and_then(|totals| totals.grade.clone()),
            passed: summary.totals.as_ref().and_then(|totals| totals.passed),
            late: summary.late,
        }
    }

    /// Returns the row for a spreadsheet: names that it would run as formulas are
    /// marked as text.
    fn for_spreadsheet(mut self) -> Self {
        for text in [&mut self.candidate_id, &mut self.candidate_name] {
            if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
                text.insert(0, '\'');
            }
        }
        self
    }
}

/// Returns the rows as CSV with a header.
///
/// # Errors
/// Never fails for rows of [`ResultRow::new`]; the type of the CSV writer allows it.
pub fn results_csv(rows: Vec<ResultRow>) -> Result<String, csv::Error> {
    let mut writer = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(Vec::new());
    writer.write_record([
        "attempt",
        "candidate_id",
        "candidate_name",
        "status",
        "started_at",
        "submitted_at",
        "score",
        "max_score",
        "percentage",
        "grade",
        "passed",
        "late",
    ])?;
    for row in rows {
        writer.serialize(row.for_spreadsheet())?;
    }
    let bytes = writer
        .into_inner()
        .map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8(bytes).expect("rows are text"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn sample_row(name: &str) -> ResultRow {
        ResultRow {
            attempt: "17".to_owned(),
            candidate_id: "ann".to_owned(),
            candidate_name: name.to_owned(),
            status: "graded",
            started_at: 1,
            submitted_at: Some(2),
            score: Some(12.5),
            max_score: Some(20.0),
            percentage: Some(62.5),
            grade: None,
            passed: Some(true),
            late: false,
        }
    }

    #[test]
    fn results_are_a_table_for_spreadsheets() {
        let rows = vec![
            sample_row("Ann \"The Pen\" Smith, jr."),
            sample_row("=HYPERLINK(1)"),
        ];
        expect![[r#"
            attempt,candidate_id,candidate_name,status,started_at,submitted_at,score,max_score,percentage,grade,passed,late
            17,ann,"Ann ""The Pen"" Smith, jr.",graded,1,2,12.5,20.0,62.5,,true,false
            17,ann,'=HYPERLINK(1),graded,1,2,12.5,20.0,62.5,,true,false
        "#]].assert_eq(&results_csv(rows).unwrap());
    }

    #[test]
    fn an_exam_without_attempts_has_a_header() {
        assert_eq!(results_csv(Vec::new()).unwrap().lines().count(), 1);
    }
}
