//! Statements on exams.

use serde_json::json;
use sqlx::types::Json;

use super::model::{ExamDraft, ExamRecord, ExamStatus};
use crate::{ManagementError, UnitOfWork, ids::ExamId, resource::Resource};

/// The resource of exams.
#[derive(Debug)]
pub struct ExamResource;

impl Resource for ExamResource {
    type Id = ExamId;
    type Draft = ExamDraft;
    type Row = ExamRecord;
    const TABLE: &'static str = "exams";
    const COLUMNS: &'static [&'static str] = &[
        "code",
        "title",
        "organization_id",
        "course_id",
        "description",
        "instructions",
        "type",
        "duration_minutes",
        "max_attempts",
        "passing_score",
        "available_from",
        "available_until",
        "lobby_minutes",
        "grace_period_minutes",
        "late_submission_penalty",
        "full_duration_after_close",
        "shuffle_questions",
        "shuffle_options",
        "show_results_immediately",
        "allow_review",
        "show_correct_answers",
        "ip_restrictions",
        "session_policy",
        "second_marking",
        "second_marking_tolerance",
        "settings",
        "proctoring_config",
        "grading_config",
    ];
    const SELECT: &'static str = "
        SELECT t.id, to_jsonb(t) - 'exam_password' || jsonb_build_object('version', (
            SELECT v.version FROM exam_versions AS v WHERE v.id = t.current_version_id))
        FROM exams AS t";

    fn revision(row: &ExamRecord) -> i32 {
        row.revision
    }
}

/// Inserts an exam with its author.
pub(super) async fn insert_exam(
    work: &mut UnitOfWork,
    draft: &ExamDraft,
) -> Result<ExamId, ManagementError> {
    let mut row = serde_json::to_value(draft).map_err(ManagementError::internal)?;
    row["created_by"] = json!(work.user_id);
    let columns = ExamResource::COLUMNS.join(", ");
    let sql = format!(
        "INSERT INTO exams ({columns}, created_by)
         SELECT {columns}, created_by FROM jsonb_populate_record(NULL::exams, $1)
         RETURNING id"
    );
    let id = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(Json(row))
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(id)
}

/// Locks an exam that the person may change, and increments its revision.
pub(super) async fn raise_revision(
    work: &mut UnitOfWork,
    exam: ExamId,
    revision: Option<i32>,
) -> Result<(), ManagementError> {
    let current: i32 = sqlx::query_scalar("SELECT revision FROM exams WHERE id = $1")
        .bind(exam)
        .fetch_one(&mut *work.tx)
        .await?;
    let expected = revision.unwrap_or(current);
    let touched =
        sqlx::query("UPDATE exams SET revision = revision + 1 WHERE id = $1 AND revision = $2")
            .bind(exam)
            .bind(expected)
            .execute(&mut *work.tx)
            .await?;
    match touched.rows_affected() {
        0 if current == expected => Err(ManagementError::Forbidden),
        0 => Err(ManagementError::Stale),
        _ => Ok(()),
    }
}

/// Returns the number of the exam with a code, and locks it.
pub(super) async fn lock_by_code(
    work: &mut UnitOfWork,
    code: &str,
) -> Result<Option<ExamId>, ManagementError> {
    let known = sqlx::query_scalar("SELECT id FROM exams WHERE code = $1 FOR UPDATE")
        .bind(code)
        .fetch_optional(&mut *work.tx)
        .await?;
    Ok(known)
}

pub(super) async fn read_code(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<String, ManagementError> {
    let code = sqlx::query_scalar("SELECT code FROM exams WHERE id = $1")
        .bind(exam)
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(code)
}

/// Returns the hash of the password that a start requires.
pub(super) async fn read_password(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<Option<String>, ManagementError> {
    let password = sqlx::query_scalar("SELECT exam_password FROM exams WHERE id = $1")
        .bind(exam)
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(password)
}

pub(super) async fn write_status(
    work: &mut UnitOfWork,
    exam: ExamId,
    status: ExamStatus,
) -> Result<(), ManagementError> {
    sqlx::query("UPDATE exams SET status = $2 WHERE id = $1")
        .bind(exam)
        .bind(status)
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}

pub(super) async fn write_password(
    work: &mut UnitOfWork,
    exam: ExamId,
    hashed: Option<String>,
) -> Result<(), ManagementError> {
    sqlx::query("UPDATE exams SET exam_password = $2 WHERE id = $1")
        .bind(exam)
        .bind(hashed)
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}

pub(super) async fn write_title(
    work: &mut UnitOfWork,
    exam: ExamId,
    title: &str,
) -> Result<(), ManagementError> {
    sqlx::query("UPDATE exams SET title = $2 WHERE id = $1")
        .bind(exam)
        .bind(title)
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}
