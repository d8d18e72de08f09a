//! Statements on marks and on what follows from them.

mod attempts;

use rust_decimal::Decimal;
use sqlx::types::Json;
use sqlx_macros::FromRow;

pub(super) use self::attempts::{lock_attempt, read_corrections};
use super::model::{AttemptReview, LockedAttempt, NewMark};
use crate::{ManagementError, UnitOfWork, ids::BankQuestionId};
use invigil_domain::{
    attempt::AttemptControl, grading::ScoreTotals, id::AttemptId, marking::GivenMark,
};

/// A mark with the marker's comment for the candidate.
#[derive(FromRow)]
pub(super) struct MarkRow {
    round: i16,
    points: Decimal,
    pub comment: String,
}

impl MarkRow {
    pub(super) const fn given(&self) -> GivenMark {
        GivenMark {
            round: self.round,
            points: self.points,
        }
    }
}

/// Returns the marks of an answer in the order of their rounds.
pub(super) async fn read_marks(
    work: &mut UnitOfWork,
    attempt: AttemptId,
    question: BankQuestionId,
) -> Result<Vec<MarkRow>, ManagementError> {
    let marks = sqlx::query_as(
        "SELECT round, points, comment FROM answer_marks
         WHERE attempt_id = $1 AND question_id = $2 AND points IS NOT NULL
         ORDER BY round",
    )
    .bind(attempt.0)
    .bind(question)
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(marks)
}

/// Inserts or replaces the acting person's mark.
pub(super) async fn upsert_mark(
    work: &mut UnitOfWork,
    attempt: AttemptId,
    question: BankQuestionId,
    new: &NewMark,
) -> Result<(), ManagementError> {
    let rubric = serde_json::to_value(&new.rubric).map_err(ManagementError::internal)?;
    sqlx::query(
        "INSERT INTO answer_marks
             (attempt_id, question_id, marker_id, round, points, rubric, comment, note, marked_at)
         SELECT $1, $2, $3, count(*) FILTER (WHERE marker_id <> $3) + 1, $4, $5, $6, $7, now()
         FROM answer_marks
         WHERE attempt_id = $1 AND question_id = $2
           AND (points IS NOT NULL OR claimed_at > now() - interval '1 hour')
         ON CONFLICT (attempt_id, question_id, marker_id) DO UPDATE
         SET points = excluded.points, rubric = excluded.rubric, comment = excluded.comment,
             note = excluded.note, marked_at = now()",
    )
    .bind(attempt.0)
    .bind(question)
    .bind(work.user_id)
    .bind(new.points)
    .bind(Json(rubric))
    .bind(&new.comment)
    .bind(&new.note)
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}

const DECIDED: &str = "
UPDATE answers
SET points_earned = $3,
    status = answer_status($3, points_possible),
    is_correct = $3 >= round(points_possible, 2),
    grading_method = CASE WHEN $3 IS NOT NULL THEN 'manual' END,
    graded_by = $4,
    graded_at = CASE WHEN $3 IS NOT NULL THEN now() END,
    feedback = nullif($5, '')
WHERE attempt_id = $1 AND question_id = $2";

/// Writes the points that follow from all marks of an answer; `None` while another mark is
/// required.
pub(super) async fn write_decided(
    work: &mut UnitOfWork,
    attempt: AttemptId,
    question: BankQuestionId,
    decided: Option<Decimal>,
    feedback: &str,
) -> Result<(), ManagementError> {
    sqlx::query(DECIDED)
        .bind(attempt.0)
        .bind(question)
        .bind(decided)
        .bind(work.user_id)
        .bind(feedback)
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}

const MACHINE: &str = "
UPDATE answers AS a
SET points_earned = n.points,
    status = answer_status(n.points, a.points_possible),
    is_correct = n.points >= round(a.points_possible, 2),
    grading_method = CASE WHEN n.points IS NOT NULL THEN 'auto' END,
    graded_at = CASE WHEN n.points IS NOT NULL THEN now() END
FROM unnest($2::bigint[], $3::numeric[]) AS n (question_id, points)
WHERE a.attempt_id = $1 AND a.question_id = n.question_id AND a.points_earned IS DISTINCT FROM n.points";

/// Writes the points that the key gave, where they differ from the stored ones.
pub(super) async fn write_key_points(
    work: &mut UnitOfWork,
    attempt: AttemptId,
    questions: &[BankQuestionId],
    points: &[Option<Decimal>],
) -> Result<(), ManagementError> {
    sqlx::query(MACHINE)
        .bind(attempt.0)
        .bind(questions)
        .bind(points)
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}

const SETTLE: &str = "
UPDATE exam_attempts
SET status = $3, control = $4::json, score = $5, max_score = $6, percentage = $7, passed = $8, grade = $9,
    penalty = $10, needs_marking = $11, key_revision = $12,
    graded_at = CASE WHEN $11 THEN NULL ELSE coalesce(graded_at, now()) END, updated_at = now()
WHERE id = $1 AND started_at = $2";

/// Writes status and totals of an attempt, and the number of corrections that it was graded
/// by.
pub(super) async fn write_totals(
    work: &mut UnitOfWork,
    locked: &LockedAttempt,
    totals: &ScoreTotals,
    key_revision: usize,
) -> Result<(), ManagementError> {
    sqlx::query(SETTLE)
        .bind(locked.id.0)
        .bind(locked.started_at)
        .bind(locked.control.status().as_str())
        .bind(control_text(&locked.control)?)
        .bind(totals.score)
        .bind(totals.max_score)
        .bind(totals.percentage)
        .bind(totals.passed)
        .bind(&totals.grade)
        .bind(totals.penalty)
        .bind(totals.needs_marking)
        .bind(i32::try_from(key_revision).unwrap_or(i32::MAX))
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}

fn control_text(control: &AttemptControl) -> Result<String, ManagementError> {
    serde_json::to_string(control).map_err(ManagementError::internal)
}

/// Writes the end of a review.
pub(super) async fn write_review(
    work: &mut UnitOfWork,
    locked: &LockedAttempt,
    review: &AttemptReview,
) -> Result<(), ManagementError> {
    sqlx::query(
        "UPDATE exam_attempts
         SET status = 'reviewed', control = $3::json, reviewed_at = now(), reviewed_by = $4,
             feedback = coalesce($5, feedback), grading_notes = coalesce($6, grading_notes),
             integrity_verified = proctoring_score IS NOT NULL AND $7,
             updated_at = now()
         WHERE id = $1 AND started_at = $2",
    )
    .bind(locked.id.0)
    .bind(locked.started_at)
    .bind(control_text(&locked.control)?)
    .bind(work.user_id)
    .bind(&review.feedback)
    .bind(&review.notes)
    .bind(locked.control.integrity.is_clear())
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}
