//! Marking: the grading queue, claims, first and second marks, regrading after a
//! corrected key, reviews and result releases.
//!
//! A regraded attempt may still be in a node's memory. Marking increments its
//! epoch first, so that the store refuses later writes of that node.

pub mod correction;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, types::Json};
use utoipa::ToSchema;

use crate::{ManagementError, UnitOfWork};
use invigil_domain::{
    attempt::{AttemptControl, AttemptPhase, HandedInBy, LifecycleStatus},
    exam::{
        Exam,
        definition::{self, CorrectedKey},
    },
    grading::{self, AnswerMark, ScoreTotals},
};

/// An answer to be marked by a person, without the name of its candidate.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Waiting)]
pub struct GradingQueueItem {
    /// Number of the attempt.
    pub attempt_id: i64,
    /// Id of the question within the exam.
    pub question: String,
    /// Number of the question in the bank.
    pub question_id: i64,
    /// Question type, one of ten.
    pub r#type: String,
    /// Definition of the question, with its rubric.
    #[schema(value_type = Object)]
    pub definition: Value,
    /// Value of the answer.
    #[schema(value_type = Object)]
    pub value: Value,
    /// Largest mark.
    pub points_possible: f64,
    /// Marks so far: 1 if a second is required, 2 if they differ.
    pub marks: i64,
    /// True if a marker holds a claim on it.
    pub claimed: bool,
}

const WAITING: &str = "
SELECT jsonb_build_object(
    'attempt_id', k.attempt_id, 'question', x.question_key, 'question_id', a.question_id, 'type', q.type,
    'definition', q.definition, 'value', a.user_answer, 'points_possible', a.points_possible,
    'marks', m.marks, 'claimed', m.claimed)
FROM exam_attempt_keys AS k
JOIN answers AS a ON a.attempt_id = k.attempt_id AND a.status = 'pending_review'
JOIN exam_version_questions AS x
  ON x.exam_version_id = k.exam_version_id AND x.question_id = a.question_id
JOIN questions AS q ON q.id = a.question_id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE n.points IS NOT NULL) AS marks,
           count(*) FILTER (WHERE n.points IS NULL AND n.claimed_at > now() - interval '1 hour') > 0 AS claimed,
           count(*) FILTER (WHERE n.marker_id = $3 AND n.points IS NOT NULL) > 0 AS own
    FROM answer_marks AS n
    WHERE n.attempt_id = a.attempt_id AND n.question_id = a.question_id
) AS m
WHERE k.exam_id = $1 AND k.closed_at IS NOT NULL AND ($2::text IS NULL OR x.question_key = $2)
  AND NOT m.own";

/// Returns the grading queue of an exam, question by question, which keeps the marks
/// of one question consistent.
///
/// # Errors
/// Database errors.
pub async fn list_queue(
    work: &mut UnitOfWork,
    exam: i64,
    question: Option<&str>,
    limit: i64,
) -> Result<Vec<GradingQueueItem>, ManagementError> {
    let sql = format!("{WAITING} ORDER BY x.position, k.attempt_id LIMIT $4");
    let rows: Vec<Json<GradingQueueItem>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(exam)
        .bind(question)
        .bind(work.user_id)
        .bind(limit.clamp(1, 500))
        .fetch_all(&mut *work.tx)
        .await?;
    Ok(rows.into_iter().map(|Json(row)| row).collect())
}

/// Claims the next unclaimed answer for an hour; none if the queue has none.
///
/// # Errors
/// Database errors.
pub async fn claim_next(
    work: &mut UnitOfWork,
    exam: i64,
    question: Option<&str>,
) -> Result<Option<GradingQueueItem>, ManagementError> {
    // Serialised by exam: simultaneous claims would get the same answer.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('marking'), $1::integer)")
        .bind(i32::try_from(exam).unwrap_or(i32::MAX))
        .execute(&mut *work.tx)
        .await?;
    let sql = format!("{WAITING} AND NOT m.claimed ORDER BY x.position, k.attempt_id LIMIT 1");
    let next: Option<Json<GradingQueueItem>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(exam)
        .bind(question)
        .bind(work.user_id)
        .fetch_optional(&mut *work.tx)
        .await?;
    let Some(Json(waiting)) = next else {
        return Ok(None);
    };
    sqlx::query(
        "DELETE FROM answer_marks
         WHERE attempt_id = $1 AND question_id = $2 AND points IS NULL
           AND claimed_at <= now() - interval '1 hour'",
    )
    .bind(waiting.attempt_id)
    .bind(waiting.question_id)
    .execute(&mut *work.tx)
    .await?;
    sqlx::query(
        "INSERT INTO answer_marks (attempt_id, question_id, marker_id, round)
         SELECT $1, $2, $3, count(*) + 1 FROM answer_marks WHERE attempt_id = $1 AND question_id = $2",
    )
    .bind(waiting.attempt_id)
    .bind(waiting.question_id)
    .bind(work.user_id)
    .execute(&mut *work.tx)
    .await?;
    Ok(Some(waiting))
}

/// A marker's mark of an answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMark {
    /// Points, 0 to the points of the question.
    #[serde(with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub points: Decimal,
    /// Points by criterion.
    #[serde(default)]
    pub rubric: Vec<RubricCriterion>,
    /// Comment for the candidate.
    #[serde(default)]
    pub comment: String,
    /// Note for other markers.
    #[serde(default)]
    pub note: String,
}

/// A line of a rubric.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Criterion)]
pub struct RubricCriterion {
    /// Name of the criterion.
    #[serde(rename = "criterion")]
    pub name: String,
    /// Points earned by it.
    pub points: f64,
    /// Reason for the points.
    #[serde(default)]
    pub comment: String,
}

/// Status and score of an attempt after marking.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settled)]
pub struct MarkingOutcome {
    /// Number of the attempt.
    pub attempt_id: i64,
    /// Status of the attempt.
    pub status: String,
    /// Score; the sum so far while answers wait for a mark.
    pub score: f64,
    /// Percentage of the maximum score, 0 to 100.
    pub percentage: f64,
    /// True if answers wait for a mark.
    pub needs_marking: bool,
}

#[derive(FromRow)]
struct MarkRow {
    round: i16,
    points: Decimal,
    comment: String,
}

/// Marks an answer, or changes the acting person's mark of it.
///
/// # Errors
/// [`ManagementError::WrongState`] if the key graded the answer,
/// [`ManagementError::Invalid`] if the points are out of range.
pub async fn mark_answer(
    work: &mut UnitOfWork,
    attempt: i64,
    question: &str,
    new: &NewMark,
) -> Result<MarkingOutcome, ManagementError> {
    let locked = lock_attempt(work, attempt).await?;
    let answer = locked
        .answers
        .iter()
        .find(|answer| answer.question == question);
    let answer = answer.ok_or(ManagementError::NotFound)?;
    let by_hand =
        answer.status == "pending_review" || answer.grading_method.as_deref() == Some("manual");
    if !by_hand {
        let sentence = "this answer was graded by its key; correct the key instead";
        return Err(ManagementError::WrongState(sentence.to_owned()));
    }
    let possible = answer.points_possible.unwrap_or_default();
    if new.points < Decimal::ZERO || new.points > possible || new.points.scale() > 2 {
        let message = format!("must be 0 to {possible}, with 2 decimals at most");
        return Err(ManagementError::invalid_field("points", message));
    }
    let question_id = answer.question_id;
    upsert_mark(work, attempt, question_id, new).await?;
    let marks: Vec<MarkRow> = sqlx::query_as(
        "SELECT round, points, comment FROM answer_marks
         WHERE attempt_id = $1 AND question_id = $2 AND points IS NOT NULL
         ORDER BY round",
    )
    .bind(attempt)
    .bind(question_id)
    .fetch_all(&mut *work.tx)
    .await?;
    let decided = combine_marks(
        &marks,
        locked.second_marking,
        locked.second_marking_tolerance,
    );
    let comments: Vec<&str> = marks.iter().map(|mark| mark.comment.as_str()).collect();
    sqlx::query(DECIDED)
        .bind(attempt)
        .bind(question_id)
        .bind(decided)
        .bind(work.user_id)
        .bind(comments.join("\n\n").trim())
        .execute(&mut *work.tx)
        .await?;
    recompute_attempt(work, attempt).await
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

async fn upsert_mark(
    work: &mut UnitOfWork,
    attempt: i64,
    question: i64,
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
    .bind(attempt)
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

/// Combines the marks of an answer; none while another mark is required. The mean of
/// two marks counts if they differ by at most `tolerance`; else a third one decides.
fn combine_marks(marks: &[MarkRow], second: bool, tolerance: Decimal) -> Option<Decimal> {
    let points = |round: i16| {
        marks
            .iter()
            .find(|mark| mark.round == round)
            .map(|mark| mark.points)
    };
    if let Some(third) = points(3) {
        return Some(third);
    }
    match (
        points(1).or_else(|| points(2)),
        points(2).filter(|_| points(1).is_some()),
    ) {
        (Some(only), None) => (!second).then_some(only),
        (Some(first), Some(other)) if (first - other).abs() <= tolerance => {
            let mean = (first + other) / Decimal::TWO;
            Some(
                mean.round_dp_with_strategy(
                    2,
                    rust_decimal::RoundingStrategy::MidpointAwayFromZero,
                ),
            )
        }
        _ => None,
    }
}

#[derive(FromRow)]
struct MarkingAnswerRow {
    question: String,
    question_id: i64,
    value: Option<String>,
    status: String,
    points_earned: Option<Decimal>,
    points_possible: Option<Decimal>,
    grading_method: Option<String>,
}

#[derive(FromRow)]
struct MarkingAttemptRow {
    exam_version_id: i64,
    started_at: DateTime<Utc>,
    status: String,
    control: String,
    late: bool,
    definition: String,
    second_marking: bool,
    second_marking_tolerance: Decimal,
}

/// A handed-in attempt whose row is locked and whose former owner is fenced off.
struct LockedAttempt {
    exam_version_id: i64,
    started_at: DateTime<Utc>,
    control: AttemptControl,
    status: String,
    late: bool,
    definition: String,
    second_marking: bool,
    second_marking_tolerance: Decimal,
    answers: Vec<MarkingAnswerRow>,
}

async fn lock_attempt(
    work: &mut UnitOfWork,
    attempt: i64,
) -> Result<LockedAttempt, ManagementError> {
    let taken = sqlx::query(
        "UPDATE exam_attempt_keys SET owner_epoch = owner_epoch + 1, owner_node = NULL
         WHERE attempt_id = $1 AND closed_at IS NOT NULL",
    )
    .bind(attempt)
    .execute(&mut *work.tx)
    .await?;
    if taken.rows_affected() == 0 {
        let seen: Option<i64> =
            sqlx::query_scalar("SELECT attempt_id FROM exam_attempt_keys WHERE attempt_id = $1")
                .bind(attempt)
                .fetch_optional(&mut *work.tx)
                .await?;
        return Err(match seen {
            Some(_) => ManagementError::WrongState("the attempt is not handed in yet".to_owned()),
            None => ManagementError::NotFound,
        });
    }
    let row: MarkingAttemptRow = sqlx::query_as(
        "SELECT k.exam_version_id, k.started_at, a.status, a.control::text AS control, a.late,
                v.definition::text AS definition, e.second_marking, e.second_marking_tolerance
         FROM exam_attempt_keys AS k
         JOIN exam_attempts AS a ON a.id = k.attempt_id AND a.started_at = k.started_at
         JOIN exam_versions AS v ON v.id = k.exam_version_id
         JOIN exams AS e ON e.id = k.exam_id
         WHERE k.attempt_id = $1 AND a.submitted_at IS NOT NULL",
    )
    .bind(attempt)
    .fetch_optional(&mut *work.tx)
    .await?
    .ok_or_else(|| ManagementError::WrongState("the attempt is void".to_owned()))?;
    let answers = sqlx::query_as(
        "SELECT x.question_key AS question, a.question_id, a.user_answer::text AS value, a.status,
                a.points_earned, a.points_possible, a.grading_method
         FROM answers AS a
         JOIN exam_version_questions AS x ON x.question_id = a.question_id AND x.exam_version_id = $2
         WHERE a.attempt_id = $1",
    )
    .bind(attempt)
    .bind(row.exam_version_id)
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(LockedAttempt {
        exam_version_id: row.exam_version_id,
        started_at: row.started_at,
        control: serde_json::from_str(&row.control).map_err(ManagementError::internal)?,
        status: row.status,
        late: row.late,
        definition: row.definition,
        second_marking: row.second_marking,
        second_marking_tolerance: row.second_marking_tolerance,
        answers,
    })
}

async fn read_corrections(
    work: &mut UnitOfWork,
    version: i64,
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

/// Grades an attempt by its corrected keys, except where a person marked an answer. Returns
/// the marks of the keys by question number, and the totals.
fn regrade_attempt(exam: &Exam, locked: &LockedAttempt) -> (Vec<(i64, AnswerMark)>, ScoreTotals) {
    let by_question: BTreeMap<&str, &MarkingAnswerRow> = locked
        .answers
        .iter()
        .map(|answer| (answer.question.as_str(), answer))
        .collect();
    let mut rows = Vec::new();
    let mut marks = Vec::new();
    for question in exam.questions() {
        let answer = by_question.get(question.id.as_str());
        let value = answer.and_then(|answer| answer.value.as_deref());
        let by_hand = answer
            .filter(|answer| answer.grading_method.as_deref() == Some("manual"))
            .and_then(|answer| answer.points_earned);
        let mark = by_hand.map_or_else(
            || grading::grade_question(question, value),
            AnswerMark::from_points,
        );
        if let Some(answer) = answer.filter(|_| value.is_some() && by_hand.is_none()) {
            rows.push((answer.question_id, mark.clone()));
        }
        marks.push(mark);
    }
    let totals = grading::sum_marks(exam, &marks, locked.late);
    (rows, totals)
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

const SETTLE: &str = "
UPDATE exam_attempts
SET status = $3, control = $4::json, score = $5, max_score = $6, percentage = $7, passed = $8, grade = $9,
    penalty = $10, needs_marking = $11, key_revision = $12,
    graded_at = CASE WHEN $11 THEN NULL ELSE coalesce(graded_at, now()) END, updated_at = now()
WHERE id = $1 AND started_at = $2";

/// Grades an attempt again and stores its marks, totals, grade and status.
///
/// # Errors
/// [`ManagementError::WrongState`] if it is not handed in, or void.
pub async fn recompute_attempt(
    work: &mut UnitOfWork,
    attempt: i64,
) -> Result<MarkingOutcome, ManagementError> {
    let locked = lock_attempt(work, attempt).await?;
    let corrections = read_corrections(work, locked.exam_version_id).await?;
    let exam = corrected_exam(&locked.definition, &corrections)?;
    recompute_with(work, attempt, locked, &exam, corrections.len()).await
}

fn corrected_exam(definition: &str, corrections: &[CorrectedKey]) -> Result<Exam, ManagementError> {
    definition::with_corrected_keys(definition, corrections).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        ManagementError::Internal(faults.join("; ").into())
    })
}

async fn recompute_with(
    work: &mut UnitOfWork,
    attempt: i64,
    mut locked: LockedAttempt,
    exam: &Exam,
    key_revision: usize,
) -> Result<MarkingOutcome, ManagementError> {
    let (rows, totals) = regrade_attempt(exam, &locked);
    let questions: Vec<i64> = rows.iter().map(|(question, _)| *question).collect();
    let points: Vec<Option<Decimal>> = rows.iter().map(|(_, mark)| mark.rounded_points()).collect();
    sqlx::query(MACHINE)
        .bind(attempt)
        .bind(&questions)
        .bind(&points)
        .execute(&mut *work.tx)
        .await?;
    if let AttemptPhase::HandedIn { by, status, .. } = &mut locked.control.phase {
        *status = next_status(*status, *by, totals.needs_marking);
    }
    let status = locked.control.status();
    let control = serde_json::to_string(&locked.control).map_err(ManagementError::internal)?;
    sqlx::query(SETTLE)
        .bind(attempt)
        .bind(locked.started_at)
        .bind(status.as_str())
        .bind(control)
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
    Ok(MarkingOutcome {
        attempt_id: attempt,
        status: status.as_str().to_owned(),
        score: to_float(totals.score),
        percentage: to_float(totals.percentage),
        needs_marking: totals.needs_marking,
    })
}

fn to_float(decimal: Decimal) -> f64 {
    rust_decimal::prelude::ToPrimitive::to_f64(&decimal).unwrap_or_default()
}

/// Returns the status after grading. Flagged, cancelled and reviewed attempts keep theirs.
fn next_status(status: LifecycleStatus, by: HandedInBy, needs_marking: bool) -> LifecycleStatus {
    match (status, needs_marking, by) {
        (LifecycleStatus::Flagged | LifecycleStatus::Cancelled | LifecycleStatus::Reviewed, ..) => {
            status
        }
        (_, false, _) => LifecycleStatus::Graded,
        (_, true, HandedInBy::Time) => LifecycleStatus::AutoSubmitted,
        (_, true, HandedInBy::Candidate | HandedInBy::Staff) => LifecycleStatus::Submitted,
    }
}

/// The outcome of a person's review of an attempt.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptReview {
    /// Feedback for the candidate.
    #[serde(default)]
    pub feedback: Option<String>,
    /// Notes for staff.
    #[serde(default)]
    pub notes: Option<String>,
}

/// Ends the review of an attempt, and removes its flag.
///
/// # Errors
/// [`ManagementError::WrongState`] while answers wait for a mark.
pub async fn review_attempt(
    work: &mut UnitOfWork,
    attempt: i64,
    review: &AttemptReview,
) -> Result<MarkingOutcome, ManagementError> {
    let settled = recompute_attempt(work, attempt).await?;
    if settled.needs_marking {
        return Err(ManagementError::WrongState(
            "the attempt has answers without a mark".to_owned(),
        ));
    }
    let mut locked = lock_attempt(work, attempt).await?;
    match &mut locked.control.phase {
        AttemptPhase::HandedIn { status, .. } => *status = LifecycleStatus::Reviewed,
        AttemptPhase::Waiting | AttemptPhase::Taking | AttemptPhase::Cancelled { .. } => {
            return Err(ManagementError::WrongState(format!(
                "the attempt is {}",
                locked.status
            )));
        }
    }
    locked.control.flagged = false;
    let control = serde_json::to_string(&locked.control).map_err(ManagementError::internal)?;
    sqlx::query(
        "UPDATE exam_attempts
         SET status = 'reviewed', control = $3::json, reviewed_at = now(), reviewed_by = $4,
             feedback = coalesce($5, feedback), grading_notes = coalesce($6, grading_notes),
             integrity_verified = proctoring_score IS NOT NULL AND $7,
             updated_at = now()
         WHERE id = $1 AND started_at = $2",
    )
    .bind(attempt)
    .bind(locked.started_at)
    .bind(control)
    .bind(work.user_id)
    .bind(&review.feedback)
    .bind(&review.notes)
    .bind(locked.control.integrity.is_clear())
    .execute(&mut *work.tx)
    .await?;
    Ok(MarkingOutcome {
        status: LifecycleStatus::Reviewed.as_str().to_owned(),
        ..settled
    })
}

/// Selection of results to release.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Release)]
pub struct ResultRelease {
    /// Numbers of attempts; none: all of the exam, including later hand-ins.
    #[serde(default)]
    pub attempts: Option<Vec<i64>>,
    /// True to release results although answers wait for a mark.
    #[serde(default)]
    pub unfinished: bool,
}

/// Count of a release.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Released)]
pub struct ReleasedResults {
    /// Results that are visible to candidates from now on.
    pub attempts: i64,
}

/// Releases results to candidates.
///
/// # Errors
/// [`ManagementError::WrongState`] while answers wait for a mark, unless `unfinished` is set.
pub async fn release_results(
    work: &mut UnitOfWork,
    exam: i64,
    release: &ResultRelease,
) -> Result<ReleasedResults, ManagementError> {
    let (open, count): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE needs_marking), count(*)
         FROM exam_attempts
         WHERE exam_id = $1 AND submitted_at IS NOT NULL AND ($2::bigint[] IS NULL OR id = ANY ($2))",
    )
    .bind(exam)
    .bind(&release.attempts)
    .fetch_one(&mut *work.tx)
    .await?;
    if open > 0 && !release.unfinished {
        let sentence = format!("{open} attempts have answers without a mark");
        return Err(ManagementError::WrongState(sentence));
    }
    let done = match &release.attempts {
        None => sqlx::query(
            "UPDATE exams SET results_released_at = now(), revision = revision + 1 WHERE id = $1",
        )
        .bind(exam)
        .execute(&mut *work.tx)
        .await?,
        Some(attempts) => {
            sqlx::query(
                "UPDATE exam_attempts SET released_at = coalesce(released_at, now())
                 WHERE exam_id = $1 AND submitted_at IS NOT NULL AND id = ANY ($2)",
            )
            .bind(exam)
            .bind(attempts)
            .execute(&mut *work.tx)
            .await?
        }
    };
    if done.rows_affected() == 0 {
        return Err(ManagementError::NotFound);
    }
    Ok(ReleasedResults { attempts: count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark_rows(points: &[(i16, i64)]) -> Vec<MarkRow> {
        let marks = points.iter();
        marks
            .map(|(round, points)| MarkRow {
                round: *round,
                points: Decimal::new(*points, 2),
                comment: String::new(),
            })
            .collect()
    }

    #[test]
    fn two_markers_agree_or_a_third_decides() {
        let check = |points: &[(i16, i64)], second| {
            combine_marks(&mark_rows(points), second, Decimal::ONE).map(|points| points.to_string())
        };
        assert_eq!(check(&[], false), None);
        assert_eq!(check(&[(1, 300)], false).as_deref(), Some("3.00"));
        assert_eq!(check(&[(1, 300)], true), None);
        assert_eq!(check(&[(1, 300), (2, 375)], true).as_deref(), Some("3.38"));
        assert_eq!(check(&[(1, 300), (2, 401)], true), None);
        let all = [(1, 300), (2, 401), (3, 350)];
        assert_eq!(check(&all, true).as_deref(), Some("3.50"));
    }
}
