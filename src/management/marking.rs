//! Marking: what waits for a person, claims, first and second marks, regrading
//! after a corrected key, reviews and releases.
//!
//! Whoever settles an attempt takes it away from a node that may still have it
//! in memory: the owner's epoch rises, so that nothing older is written after.

pub mod correction;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, types::Json};
use utoipa::ToSchema;

use super::{Fault, Work};
use crate::domain::{
    attempt::{Control, HandedInBy, Phase, Status},
    exam::{
        Exam,
        definition::{self, Correction},
    },
    grading::{self, Mark, Totals},
};

/// An answer that waits for a person. Whose it is stays hidden.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// The attempt.
    pub attempt_id: i64,
    /// The question's id within the exam.
    pub question: String,
    /// Number in the bank.
    pub question_id: i64,
    /// One of the ten types.
    pub r#type: String,
    /// What the question asks, with its rubric.
    #[schema(value_type = Object)]
    pub definition: Value,
    /// The answer.
    #[schema(value_type = Object)]
    pub value: Value,
    /// The most that can be given.
    pub points_possible: f64,
    /// Marks that are there: 1 where a second is awaited, 2 where they differ.
    pub marks: i64,
    /// Whether somebody has it in hand.
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

/// What waits in an exam, question by question: whoever marks one question of
/// all candidates marks them alike.
///
/// # Errors
/// As every query.
pub async fn queue(
    work: &mut Work,
    exam: i64,
    question: Option<&str>,
    limit: i64,
) -> Result<Vec<Waiting>, Fault> {
    let sql = format!("{WAITING} ORDER BY x.position, k.attempt_id LIMIT $4");
    let rows: Vec<Json<Waiting>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(exam)
        .bind(question)
        .bind(work.actor.user_id)
        .bind(limit.clamp(1, 500))
        .fetch_all(&mut *work.tx)
        .await?;
    Ok(rows.into_iter().map(|Json(row)| row).collect())
}

/// Gives the actor the next answer that nobody has in hand, for an hour.
///
/// # Errors
/// As every query; none where nothing waits.
pub async fn claim(
    work: &mut Work,
    exam: i64,
    question: Option<&str>,
) -> Result<Option<Waiting>, Fault> {
    // Two who claim at once would take the same: one after the other, an exam.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('marking'), $1::integer)")
        .bind(i32::try_from(exam).unwrap_or(i32::MAX))
        .execute(&mut *work.tx)
        .await?;
    let sql = format!("{WAITING} AND NOT m.claimed ORDER BY x.position, k.attempt_id LIMIT 1");
    let next: Option<Json<Waiting>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(exam)
        .bind(question)
        .bind(work.actor.user_id)
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
    .bind(work.actor.user_id)
    .execute(&mut *work.tx)
    .await?;
    Ok(Some(waiting))
}

/// A person's mark of an answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMark {
    /// 0 to what the question is worth.
    #[serde(with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub points: Decimal,
    /// How the points came about: criterion, points, comment.
    #[serde(default)]
    pub rubric: Vec<Criterion>,
    /// For the candidate.
    #[serde(default)]
    pub comment: String,
    /// For other markers.
    #[serde(default)]
    pub note: String,
}

/// A line of a rubric.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// What was looked at.
    #[serde(rename = "criterion")]
    pub name: String,
    /// What it earned.
    pub points: f64,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

/// How an attempt stands after a mark.
#[derive(Debug, Serialize, ToSchema)]
pub struct Settled {
    /// The attempt.
    pub attempt_id: i64,
    /// Where it stands.
    pub status: String,
    /// So far, where something is left.
    pub score: f64,
    /// 0 to 100.
    pub percentage: f64,
    /// Whether a person has to mark something.
    pub needs_marking: bool,
}

#[derive(FromRow)]
struct Marked {
    round: i16,
    points: Decimal,
    comment: String,
}

/// Marks an answer, or changes the actor's mark of it.
///
/// # Errors
/// Where the answer is not one for people, or the points are out of range.
pub async fn mark(
    work: &mut Work,
    attempt: i64,
    question: &str,
    new: &NewMark,
) -> Result<Settled, Fault> {
    let head = take(work, attempt).await?;
    let answer = head
        .answers
        .iter()
        .find(|answer| answer.question == question);
    let answer = answer.ok_or(Fault::NotFound)?;
    let by_hand =
        answer.status == "pending_review" || answer.grading_method.as_deref() == Some("manual");
    if !by_hand {
        let sentence = "this answer was graded by its key; correct the key instead";
        return Err(Fault::State(sentence.to_owned()));
    }
    let possible = answer.points_possible.unwrap_or_default();
    if new.points < Decimal::ZERO || new.points > possible || new.points.scale() > 2 {
        let message = format!("must be 0 to {possible}, with 2 decimals at most");
        return Err(Fault::field("points", message));
    }
    let question_id = answer.question_id;
    put_mark(work, attempt, question_id, new).await?;
    let marks: Vec<Marked> = sqlx::query_as(
        "SELECT round, points, comment FROM answer_marks
         WHERE attempt_id = $1 AND question_id = $2 AND points IS NOT NULL
         ORDER BY round",
    )
    .bind(attempt)
    .bind(question_id)
    .fetch_all(&mut *work.tx)
    .await?;
    let decided = decide(&marks, head.second_marking, head.second_marking_tolerance);
    let comments: Vec<&str> = marks.iter().map(|mark| mark.comment.as_str()).collect();
    sqlx::query(DECIDED)
        .bind(attempt)
        .bind(question_id)
        .bind(decided)
        .bind(work.actor.user_id)
        .bind(comments.join("\n\n").trim())
        .execute(&mut *work.tx)
        .await?;
    settle(work, attempt).await
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

async fn put_mark(
    work: &mut Work,
    attempt: i64,
    question: i64,
    new: &NewMark,
) -> Result<(), Fault> {
    let rubric = serde_json::to_value(&new.rubric).map_err(Fault::internal)?;
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
    .bind(work.actor.user_id)
    .bind(new.points)
    .bind(Json(rubric))
    .bind(&new.comment)
    .bind(&new.note)
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}

/// What several markers' points come to; none while another one is awaited. Two
/// that are near enough count by their mean; else a third one decides.
fn decide(marks: &[Marked], second: bool, tolerance: Decimal) -> Option<Decimal> {
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
struct StoredAnswer {
    question: String,
    question_id: i64,
    value: Option<String>,
    status: String,
    points_earned: Option<Decimal>,
    points_possible: Option<Decimal>,
    grading_method: Option<String>,
}

#[derive(FromRow)]
struct StoredAttempt {
    exam_version_id: i64,
    started_at: DateTime<Utc>,
    status: String,
    control: String,
    late: bool,
    definition: String,
    second_marking: bool,
    second_marking_tolerance: Decimal,
}

/// An attempt that is handed in, locked and taken from its owner.
struct Head {
    exam_version_id: i64,
    started_at: DateTime<Utc>,
    control: Control,
    status: String,
    late: bool,
    definition: String,
    second_marking: bool,
    second_marking_tolerance: Decimal,
    answers: Vec<StoredAnswer>,
}

async fn take(work: &mut Work, attempt: i64) -> Result<Head, Fault> {
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
            Some(_) => Fault::State("the attempt is not handed in".to_owned()),
            None => Fault::NotFound,
        });
    }
    let row: StoredAttempt = sqlx::query_as(
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
    .ok_or_else(|| Fault::State("the attempt is void".to_owned()))?;
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
    Ok(Head {
        exam_version_id: row.exam_version_id,
        started_at: row.started_at,
        control: serde_json::from_str(&row.control).map_err(Fault::internal)?,
        status: row.status,
        late: row.late,
        definition: row.definition,
        second_marking: row.second_marking,
        second_marking_tolerance: row.second_marking_tolerance,
        answers,
    })
}

async fn corrections(work: &mut Work, version: i64) -> Result<Vec<Correction>, Fault> {
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
        .map(|(question, answer)| Correction {
            question: question.into(),
            answer: answer.into(),
        })
        .collect())
}

/// Marks by the keys as they are now, and by people where they marked.
fn regrade(exam: &Exam, head: &Head) -> (Vec<(i64, Mark)>, Totals) {
    let by_question: BTreeMap<&str, &StoredAnswer> = head
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
        let mark = by_hand.map_or_else(|| grading::grade_question(question, value), Mark::given);
        if let Some(answer) = answer.filter(|_| value.is_some() && by_hand.is_none()) {
            rows.push((answer.question_id, mark.clone()));
        }
        marks.push(mark);
    }
    let totals = grading::totals(exam, &marks, head.late);
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

/// Adds an attempt up again: its sums, its status, its grade.
///
/// # Errors
/// Where it is not handed in.
pub async fn settle(work: &mut Work, attempt: i64) -> Result<Settled, Fault> {
    let head = take(work, attempt).await?;
    let corrections = corrections(work, head.exam_version_id).await?;
    let exam = parsed(&head.definition, &corrections)?;
    settle_as(work, attempt, head, &exam, corrections.len()).await
}

fn parsed(definition: &str, corrections: &[Correction]) -> Result<Exam, Fault> {
    definition::corrected(definition, corrections).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Fault::Internal(faults.join("; ").into())
    })
}

async fn settle_as(
    work: &mut Work,
    attempt: i64,
    mut head: Head,
    exam: &Exam,
    key_revision: usize,
) -> Result<Settled, Fault> {
    let (rows, totals) = regrade(exam, &head);
    let questions: Vec<i64> = rows.iter().map(|(question, _)| *question).collect();
    let points: Vec<Option<Decimal>> = rows.iter().map(|(_, mark)| mark.points()).collect();
    sqlx::query(MACHINE)
        .bind(attempt)
        .bind(&questions)
        .bind(&points)
        .execute(&mut *work.tx)
        .await?;
    if let Phase::HandedIn { by, status, .. } = &mut head.control.phase {
        *status = next_status(*status, *by, totals.needs_marking);
    }
    let status = head.control.status();
    let control = serde_json::to_string(&head.control).map_err(Fault::internal)?;
    sqlx::query(SETTLE)
        .bind(attempt)
        .bind(head.started_at)
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
    Ok(Settled {
        attempt_id: attempt,
        status: status.as_str().to_owned(),
        score: number(totals.score),
        percentage: number(totals.percentage),
        needs_marking: totals.needs_marking,
    })
}

fn number(decimal: Decimal) -> f64 {
    rust_decimal::prelude::ToPrimitive::to_f64(&decimal).unwrap_or_default()
}

/// What is held for its integrity stays held; what people looked over stays so.
fn next_status(status: Status, by: HandedInBy, needs_marking: bool) -> Status {
    match (status, needs_marking, by) {
        (Status::Flagged | Status::Cancelled | Status::Reviewed, ..) => status,
        (_, false, _) => Status::Graded,
        (_, true, HandedInBy::Time) => Status::AutoSubmitted,
        (_, true, HandedInBy::Candidate | HandedInBy::Staff) => Status::Submitted,
    }
}

/// What somebody says who looked an attempt over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttemptReview {
    /// For the candidate.
    #[serde(default)]
    pub feedback: Option<String>,
    /// For staff.
    #[serde(default)]
    pub notes: Option<String>,
}

/// Ends the review of an attempt: nothing is left to mark or to hold.
///
/// # Errors
/// [`Fault::State`] while something is to be marked.
pub async fn review(
    work: &mut Work,
    attempt: i64,
    review: &AttemptReview,
) -> Result<Settled, Fault> {
    let settled = settle(work, attempt).await?;
    if settled.needs_marking {
        return Err(Fault::State("something is left to be marked".to_owned()));
    }
    let mut head = take(work, attempt).await?;
    match &mut head.control.phase {
        Phase::HandedIn { status, .. } => *status = Status::Reviewed,
        Phase::Waiting | Phase::Taking | Phase::Cancelled { .. } => {
            return Err(Fault::State(format!("the attempt is {}", head.status)));
        }
    }
    head.control.flagged = false;
    let control = serde_json::to_string(&head.control).map_err(Fault::internal)?;
    sqlx::query(
        "UPDATE exam_attempts
         SET status = 'reviewed', control = $3::json, reviewed_at = now(), reviewed_by = $4,
             feedback = coalesce($5, feedback), grading_notes = coalesce($6, grading_notes),
             integrity_verified = proctoring_score IS NOT NULL AND $7,
             updated_at = now()
         WHERE id = $1 AND started_at = $2",
    )
    .bind(attempt)
    .bind(head.started_at)
    .bind(control)
    .bind(work.actor.user_id)
    .bind(&review.feedback)
    .bind(&review.notes)
    .bind(head.control.integrity.is_clear())
    .execute(&mut *work.tx)
    .await?;
    Ok(Settled {
        status: Status::Reviewed.as_str().to_owned(),
        ..settled
    })
}

/// Which results go out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// These attempts only; none: all of the exam, those of later hand-ins too.
    #[serde(default)]
    pub attempts: Option<Vec<i64>>,
    /// Even while something is to be marked.
    #[serde(default)]
    pub unfinished: bool,
}

/// What was released.
#[derive(Debug, Serialize, ToSchema)]
pub struct Released {
    /// Results that candidates see from now on.
    pub attempts: i64,
}

/// Releases results to their candidates.
///
/// # Errors
/// [`Fault::State`] while something is to be marked.
pub async fn release(work: &mut Work, exam: i64, release: &Release) -> Result<Released, Fault> {
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
        let sentence = format!("{open} attempts are not wholly marked");
        return Err(Fault::State(sentence));
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
        return Err(Fault::NotFound);
    }
    Ok(Released { attempts: count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(points: &[(i16, i64)]) -> Vec<Marked> {
        let marks = points.iter();
        marks
            .map(|(round, points)| Marked {
                round: *round,
                points: Decimal::new(*points, 2),
                comment: String::new(),
            })
            .collect()
    }

    #[test]
    fn two_markers_agree_or_a_third_decides() {
        let check = |points: &[(i16, i64)], second| {
            decide(&marks(points), second, Decimal::ONE).map(|points| points.to_string())
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
