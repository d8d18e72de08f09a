//! Statements that lock an attempt and read it, its answers and the corrected keys.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx_macros::FromRow;

use crate::{
    ManagementError, UnitOfWork,
    ids::{BankQuestionId, ExamVersionId},
    marking::model::{LockedAttempt, MarkingAnswer},
};
use invigil_domain::{
    exam::definition::CorrectedKey,
    id::AttemptId,
    marking::{AnswerStatus, GradingMethod, MarkingPolicy},
};

#[derive(FromRow)]
struct MarkingAttemptRow {
    exam_version_id: ExamVersionId,
    started_at: DateTime<Utc>,
    control: String,
    late: bool,
    definition: String,
    second_marking: bool,
    second_marking_tolerance: Decimal,
}

#[derive(FromRow)]
struct MarkingAnswerRow {
    question: String,
    question_id: BankQuestionId,
    value: Option<String>,
    status: String,
    points_earned: Option<Decimal>,
    points_possible: Option<Decimal>,
    grading_method: Option<String>,
}

impl TryFrom<MarkingAnswerRow> for MarkingAnswer {
    type Error = ManagementError;

    fn try_from(row: MarkingAnswerRow) -> Result<Self, ManagementError> {
        let unknown = |name: &str| ManagementError::Internal(format!("unknown `{name}`").into());
        let status = AnswerStatus::from_name(&row.status);
        let status = status.ok_or_else(|| unknown(&row.status))?;
        let method = row
            .grading_method
            .map(|name| GradingMethod::from_name(&name).ok_or_else(|| unknown(&name)));
        Ok(Self {
            question: row.question.into(),
            question_id: row.question_id,
            value: row.value,
            status,
            points_earned: row.points_earned,
            points_possible: row.points_possible,
            grading_method: method.transpose()?,
        })
    }
}

/// Increments the epoch of a handed-in attempt, so that the store refuses later writes of the
/// node that has it in memory, and reads it.
///
/// # Errors
/// [`ManagementError::WrongState`] if it is not handed in, or void.
pub(in crate::marking) async fn lock_attempt(
    work: &mut UnitOfWork,
    attempt: AttemptId,
) -> Result<LockedAttempt, ManagementError> {
    let taken = sqlx::query(
        "UPDATE exam_attempt_keys SET owner_epoch = owner_epoch + 1, owner_node = NULL
         WHERE attempt_id = $1 AND closed_at IS NOT NULL",
    )
    .bind(attempt.0)
    .execute(&mut *work.tx)
    .await?;
    if taken.rows_affected() == 0 {
        return Err(not_locked(work, attempt).await?);
    }
    let row: MarkingAttemptRow = sqlx::query_as(
        "SELECT k.exam_version_id, k.started_at, a.control::text AS control, a.late,
                v.definition::text AS definition, e.second_marking, e.second_marking_tolerance
         FROM exam_attempt_keys AS k
         JOIN exam_attempts AS a ON a.id = k.attempt_id AND a.started_at = k.started_at
         JOIN exam_versions AS v ON v.id = k.exam_version_id
         JOIN exams AS e ON e.id = k.exam_id
         WHERE k.attempt_id = $1 AND a.submitted_at IS NOT NULL",
    )
    .bind(attempt.0)
    .fetch_optional(&mut *work.tx)
    .await?
    .ok_or_else(|| ManagementError::WrongState("the attempt is void".to_owned()))?;
    Ok(LockedAttempt {
        id: attempt,
        exam_version_id: row.exam_version_id,
        started_at: row.started_at,
        control: serde_json::from_str(&row.control).map_err(ManagementError::internal)?,
        late: row.late,
        definition: row.definition,
        policy: MarkingPolicy {
            second_marking: row.second_marking,
            tolerance: row.second_marking_tolerance,
        },
        answers: read_answers(work, attempt, row.exam_version_id).await?,
    })
}

/// Returns the reason for which an attempt cannot be locked.
async fn not_locked(
    work: &mut UnitOfWork,
    attempt: AttemptId,
) -> Result<ManagementError, ManagementError> {
    let seen: Option<i64> =
        sqlx::query_scalar("SELECT attempt_id FROM exam_attempt_keys WHERE attempt_id = $1")
            .bind(attempt.0)
            .fetch_optional(&mut *work.tx)
            .await?;
    Ok(match seen {
        Some(_) => ManagementError::WrongState("the attempt is not handed in yet".to_owned()),
        None => ManagementError::NotFound,
    })
}

async fn read_answers(
    work: &mut UnitOfWork,
    attempt: AttemptId,
    version: ExamVersionId,
) -> Result<Vec<MarkingAnswer>, ManagementError> {
    let rows: Vec<MarkingAnswerRow> = sqlx::query_as(
        "SELECT x.question_key AS question, a.question_id, a.user_answer::text AS value, a.status,
                a.points_earned, a.points_possible, a.grading_method
         FROM answers AS a
         JOIN exam_version_questions AS x ON x.question_id = a.question_id AND x.exam_version_id = $2
         WHERE a.attempt_id = $1",
    )
    .bind(attempt.0)
    .bind(version)
    .fetch_all(&mut *work.tx)
    .await?;
    rows.into_iter().map(MarkingAnswer::try_from).collect()
}

/// Returns the corrected keys of a version, oldest first.
pub(in crate::marking) async fn read_corrections(
    work: &mut UnitOfWork,
    version: ExamVersionId,
) -> Result<Vec<CorrectedKey>, ManagementError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT x.question_key, c.answer::text
         FROM key_corrections AS c
         JOIN exam_version_questions AS x
           ON x.exam_version_id = c.exam_version_id AND x.question_id = c.question_id
         WHERE c.exam_version_id = $1
         ORDER BY c.revision",
    )
    .bind(version)
    .fetch_all(&mut *work.tx)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(question, answer)| CorrectedKey {
            question: question.into(),
            answer: answer.into(),
        })
        .collect())
}
