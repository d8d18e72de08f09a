//! Reading exams.

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx_macros::FromRow;

use super::connection::SqlConnection;
use invigil_domain::id::ExamVersion;
use invigil_store::{CorrectedKey, StoredExam};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A version of an exam.
#[derive(FromRow)]
struct ExamColumns {
    code: String,
    version: String,
    title: String,
    definition: String,
    /// Missing on SQLite: the management side corrects keys, and it needs PostgreSQL.
    #[sqlx(default)]
    corrections: Json<Vec<(String, Box<RawValue>)>>,
}

impl From<ExamColumns> for StoredExam {
    fn from(row: ExamColumns) -> Self {
        let corrections = row.corrections.0.into_iter();
        Self {
            code: row.code.into(),
            version: row.version.into(),
            title: row.title,
            definition: row.definition.into(),
            corrections: corrections
                .map(|(question, answer)| CorrectedKey {
                    question: question.into(),
                    answer: answer.get().into(),
                })
                .collect(),
        }
    }
}

/// Returns the exams that the statement selects.
pub(crate) async fn list_exams(
    connection: &mut impl SqlConnection,
    statement: &'static str,
) -> Result<Vec<StoredExam>> {
    let rows: Vec<ExamColumns> = connection.query_rows(statement, &[]).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Reads a version of an exam; the statement takes the version.
pub(crate) async fn read_exam_version(
    connection: &mut impl SqlConnection,
    statement: &'static str,
    version: &ExamVersion,
) -> Result<Option<StoredExam>> {
    let row: Option<ExamColumns> = connection
        .query_row(statement, &[&version.as_str()])
        .await?;
    Ok(row.map(Into::into))
}
