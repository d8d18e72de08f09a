//! Exams as they are written: settings, sections, questions; drawing questions
//! from the bank; publishing; accommodations.
//!
//! What people edit is the composition. Publishing makes an exam file out of it,
//! checks that whole, and freezes it as a version; attempts are about versions.
//! So an exam can be edited while it is taken: the next version is for those who
//! start later.

pub mod publish;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use utoipa::ToSchema;

use super::{
    Fault, FieldFault, Work,
    resource::{self, Cursor, Page, Resource},
};
use crate::domain::admission::hashed_password;

/// An exam's settings as they are written; the exam file's keys where it has them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of the exam file"
)]
pub struct ExamDraft {
    /// Unique.
    pub code: String,
    /// Shown to people.
    pub title: String,
    /// Whose it is.
    pub organization_id: i64,
    /// The course whose students take it; none: of the organisation as a whole.
    #[serde(default)]
    pub course_id: Option<i64>,
    /// For staff.
    #[serde(default)]
    pub description: Option<String>,
    /// For candidates, Markdown.
    #[serde(default)]
    pub instructions: String,
    /// `quiz`, `assignment`, `midterm`, `final`, `certification` or `practice`.
    #[serde(default = "quiz")]
    pub r#type: String,
    /// 1 to 1440.
    pub duration_minutes: i32,
    /// 1 to 10.
    #[serde(default = "one")]
    pub max_attempts: i32,
    /// Percent.
    #[serde(default = "sixty", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub passing_score: Decimal,
    /// Nobody starts answering before.
    #[serde(default)]
    pub available_from: Option<DateTime<Utc>>,
    /// Nobody enters after.
    #[serde(default)]
    pub available_until: Option<DateTime<Utc>>,
    /// So early candidates may enter and wait.
    #[serde(default = "fifteen")]
    pub lobby_minutes: i32,
    /// So long after the deadline answers still count, marked late.
    #[serde(default)]
    pub grace_period_minutes: i32,
    /// Fraction that a late hand-in loses.
    #[serde(default, with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub late_submission_penalty: Decimal,
    /// Whether a late starter may run past the end of the window.
    #[serde(default)]
    pub full_duration_after_close: bool,
    /// Whether each candidate has an own order of questions.
    #[serde(default)]
    pub shuffle_questions: bool,
    /// Whether each candidate has an own order of options.
    #[serde(default)]
    pub shuffle_options: bool,
    /// Whether the result goes out with the hand-in.
    #[serde(default = "yes")]
    pub show_results_immediately: bool,
    /// Whether candidates may look at the result later.
    #[serde(default = "yes")]
    pub allow_review: bool,
    /// Whether results show the right answers.
    #[serde(default)]
    pub show_correct_answers: bool,
    /// Addresses or networks; empty: from anywhere.
    #[serde(default)]
    pub ip_restrictions: Vec<String>,
    /// `takeover` or `reject`.
    #[serde(default = "takeover")]
    pub session_policy: String,
    /// Whether two people mark each answer that a machine cannot.
    #[serde(default)]
    pub second_marking: bool,
    /// Points by which they may differ; over it a third one decides.
    #[serde(default, with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub second_marking_tolerance: Decimal,
    /// The exam file's `on_disconnect`, where it is not the default.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    /// The exam file's `proctoring`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub proctoring_config: Map<String, Value>,
    /// The exam file's `grading`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub grading_config: Map<String, Value>,
}

fn quiz() -> String {
    "quiz".to_owned()
}

const fn one() -> i32 {
    1
}

fn sixty() -> Decimal {
    Decimal::new(60, 0)
}

const fn fifteen() -> i32 {
    15
}

const fn yes() -> bool {
    true
}

fn takeover() -> String {
    "takeover".to_owned()
}

/// An exam as staff see it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Exam {
    /// Its number.
    pub id: i64,
    /// Rises with every change; the `ETag`.
    pub revision: i32,
    /// What people wrote.
    #[serde(flatten)]
    pub draft: ExamDraft,
    /// `draft`, `review`, `published`, `active`, `completed` or `archived`.
    pub status: String,
    /// Whether starting asks for a password.
    pub password_protected: bool,
    /// Of the composition.
    pub questions_count: i32,
    /// Of the composition.
    pub total_points: f64,
    /// Attempts, as the statistics last counted them.
    pub attempts_count: i32,
    /// Those that were handed in.
    pub completed_attempts: i32,
    /// The version that new attempts are about.
    pub version: Option<String>,
    /// Last publication.
    pub published_at: Option<DateTime<Utc>>,
    /// When all results were released.
    pub results_released_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Exams.
#[derive(Debug)]
pub struct Exams;

impl Resource for Exams {
    type Draft = ExamDraft;
    type Row = Exam;
    const TABLE: &'static str = "exams";
    const NAME: &'static str = "exam";
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
}

/// Makes an exam that its maker may change.
///
/// # Errors
/// What the settings do not take; [`Fault::Invalid`] over the organisation's limit.
pub async fn create(work: &mut Work, draft: &ExamDraft) -> Result<Exam, Fault> {
    let mut row = serde_json::to_value(draft).map_err(Fault::internal)?;
    row["created_by"] = json!(work.actor.user_id);
    let columns = Exams::COLUMNS.join(", ");
    let sql = format!(
        "INSERT INTO exams ({columns}, created_by)
         SELECT {columns}, created_by FROM jsonb_populate_record(NULL::exams, $1)
         RETURNING id"
    );
    let id: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(Json(row))
        .fetch_one(&mut *work.tx)
        .await?;
    resource::get::<Exams>(work, id).await
}

/// The sections of an exam and their questions.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Composition {
    /// In their order.
    pub sections: Vec<Section>,
}

/// A section.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ComposedSection)]
pub struct Section {
    /// Unique within the exam.
    pub id: String,
    /// Shown to people.
    #[serde(default)]
    pub title: String,
    /// A time limit of its own.
    #[serde(default)]
    pub time_limit_minutes: Option<i32>,
    /// In their order.
    #[serde(default)]
    pub questions: Vec<Placed>,
}

/// A question in its place.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// Number in the bank: this version.
    pub question_id: i64,
    /// Its id within the exam; none: `q` and the number.
    #[serde(default)]
    pub id: Option<String>,
    /// None: the question's own.
    #[serde(default, with = "rust_decimal::serde::float_option")]
    #[schema(value_type = Option<f64>)]
    pub points: Option<Decimal>,
}

const COMPOSITION: &str = "
SELECT jsonb_build_object('sections', coalesce(jsonb_agg(jsonb_build_object(
    'id', s.section_key, 'title', s.title, 'time_limit_minutes', s.time_limit_minutes,
    'questions', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'question_id', q.question_id, 'id', q.question_key, 'points', q.points) ORDER BY q.position)
        FROM exam_questions AS q
        WHERE q.exam_id = s.exam_id AND q.section_key = s.section_key), '[]')
    ) ORDER BY s.position), '[]'))
FROM exam_sections AS s
WHERE s.exam_id = $1";

/// What an exam is made of.
///
/// # Errors
/// As every query.
pub async fn composition(work: &mut Work, exam: i64) -> Result<Composition, Fault> {
    let Json(composition): Json<Composition> = sqlx::query_scalar(COMPOSITION)
        .bind(exam)
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(composition)
}

/// Raises the revision of an exam that the actor may change, and locks it.
async fn touch(work: &mut Work, exam: i64, revision: Option<i32>) -> Result<(), Fault> {
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
        0 if current == expected => Err(Fault::Forbidden),
        0 => Err(Fault::Stale),
        _ => Ok(()),
    }
}

const PLACE: &str = "
INSERT INTO exam_questions (exam_id, question_id, question_key, section_key, position, points)
SELECT $1, b.id, coalesce(q.question ->> 'id', 'q' || b.id), s.section ->> 'id', q.position,
       coalesce((q.question ->> 'points')::numeric, b.default_points)
FROM jsonb_array_elements($2 -> 'sections') AS s (section)
CROSS JOIN LATERAL jsonb_array_elements(s.section -> 'questions') WITH ORDINALITY AS q (question, position)
JOIN questions AS b ON b.id = (q.question ->> 'question_id')::bigint
JOIN exams AS e ON e.id = $1 AND e.organization_id = b.organization_id";

const COUNT: &str = "
UPDATE exams AS e
SET questions_count = s.questions, total_points = s.points
FROM (
    SELECT count(*) AS questions, coalesce(sum(q.points), 0) AS points
    FROM exam_questions AS q WHERE q.exam_id = $1
) AS s
WHERE e.id = $1";

/// Replaces what an exam is made of.
///
/// # Errors
/// [`Fault::Stale`]; questions that are not the organisation's.
pub async fn compose(
    work: &mut Work,
    exam: i64,
    revision: i32,
    composition: &Composition,
) -> Result<Exam, Fault> {
    touch(work, exam, Some(revision)).await?;
    place(work, exam, composition).await?;
    resource::get::<Exams>(work, exam).await
}

async fn place(work: &mut Work, exam: i64, composition: &Composition) -> Result<(), Fault> {
    let sections = serde_json::to_value(composition).map_err(Fault::internal)?;
    sqlx::query("DELETE FROM exam_sections WHERE exam_id = $1")
        .bind(exam)
        .execute(&mut *work.tx)
        .await?;
    sqlx::query(
        "INSERT INTO exam_sections (exam_id, section_key, title, time_limit_minutes, position)
         SELECT $1, s.section ->> 'id', s.section ->> 'title',
                (s.section ->> 'time_limit_minutes')::integer, s.position
         FROM jsonb_array_elements($2 -> 'sections') WITH ORDINALITY AS s (section, position)",
    )
    .bind(exam)
    .bind(Json(&sections))
    .execute(&mut *work.tx)
    .await?;
    let placed = sqlx::query(PLACE)
        .bind(exam)
        .bind(Json(&sections))
        .execute(&mut *work.tx)
        .await?;
    let wanted: usize = composition
        .sections
        .iter()
        .map(|section| section.questions.len())
        .sum();
    if u64::try_from(wanted) != Ok(placed.rows_affected()) {
        return Err(unknown_questions(work, exam, composition).await?);
    }
    sqlx::query(COUNT).bind(exam).execute(&mut *work.tx).await?;
    Ok(())
}

async fn unknown_questions(
    work: &mut Work,
    exam: i64,
    composition: &Composition,
) -> Result<Fault, Fault> {
    let known: Vec<i64> =
        sqlx::query_scalar("SELECT question_id FROM exam_questions WHERE exam_id = $1")
            .bind(exam)
            .fetch_all(&mut *work.tx)
            .await?;
    let mut faults = Vec::new();
    for (section, content) in composition.sections.iter().enumerate() {
        for (position, placed) in content.questions.iter().enumerate() {
            if !known.contains(&placed.question_id) {
                faults.push(FieldFault::new(
                    format!("sections[{section}].questions[{position}].question_id"),
                    "names no question of this organisation's bank",
                ));
            }
        }
    }
    Ok(Fault::Invalid(faults))
}

/// Which questions are to be drawn.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Draw {
    /// Into this section, which is made where it is not there.
    pub section: String,
    /// So many.
    pub count: i64,
    /// From this category, or one below it.
    #[serde(default)]
    pub category_id: Option<i64>,
    /// As hard as this.
    #[serde(default)]
    pub difficulty: Option<String>,
    /// Of this type.
    #[serde(default)]
    pub r#type: Option<String>,
    /// With all of these labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The same seed draws the same questions from the same bank.
    #[serde(default)]
    pub seed: Option<i64>,
}

/// What was drawn.
#[derive(Debug, Serialize, ToSchema)]
pub struct Drawn {
    /// With which it is drawn again.
    pub seed: i64,
    /// Numbers in the bank.
    pub questions: Vec<i64>,
}

const DRAW: &str = "
WITH RECURSIVE below AS (
    SELECT $3::bigint AS id
    UNION
    SELECT c.id FROM question_categories AS c JOIN below ON c.parent_id = below.id
)
SELECT q.id
FROM questions AS q
JOIN exams AS e ON e.id = $1 AND e.organization_id = q.organization_id
WHERE q.status = 'active' AND q.is_latest_version
  AND ($3::bigint IS NULL OR q.category_id IN (SELECT id FROM below))
  AND ($4::text IS NULL OR q.difficulty = $4)
  AND ($5::text IS NULL OR q.type = $5)
  AND q.tags @> $6
  AND NOT EXISTS (SELECT FROM exam_questions AS x WHERE x.exam_id = e.id AND x.question_id = q.id)
ORDER BY sha256(convert_to($7::bigint || ' ' || q.id, 'UTF8'))
LIMIT $2";

/// Draws questions at random and adds them to an exam.
///
/// # Errors
/// Where the bank has fewer that fit.
pub async fn draw(work: &mut Work, exam: i64, revision: i32, draw: &Draw) -> Result<Drawn, Fault> {
    touch(work, exam, Some(revision)).await?;
    let seed = match draw.seed {
        Some(seed) => seed,
        None => i64::from(getrandom::u32().map_err(Fault::internal)?),
    };
    if !(1..=500).contains(&draw.count) {
        return Err(Fault::field("count", "must be 1 to 500"));
    }
    let questions: Vec<i64> = sqlx::query_scalar(DRAW)
        .bind(exam)
        .bind(draw.count)
        .bind(draw.category_id)
        .bind(&draw.difficulty)
        .bind(&draw.r#type)
        .bind(&draw.tags)
        .bind(seed)
        .fetch_all(&mut *work.tx)
        .await?;
    if i64::try_from(questions.len()) != Ok(draw.count) {
        let message = format!("the bank has {} that fit", questions.len());
        return Err(Fault::field("count", message));
    }
    let mut composition = composition(work, exam).await?;
    let drawn = questions.iter().map(|id| Placed {
        question_id: *id,
        id: None,
        points: None,
    });
    match composition
        .sections
        .iter_mut()
        .find(|section| section.id == draw.section)
    {
        Some(section) => section.questions.extend(drawn),
        None => composition.sections.push(Section {
            id: draw.section.clone(),
            title: String::new(),
            time_limit_minutes: None,
            questions: drawn.collect(),
        }),
    }
    place(work, exam, &composition).await?;
    Ok(Drawn { seed, questions })
}

/// Ends an exam, opens it again, or puts it away.
///
/// # Errors
/// [`Fault::State`] where that does not follow.
pub async fn set_status(
    work: &mut Work,
    exam: i64,
    revision: i32,
    status: &str,
) -> Result<Exam, Fault> {
    let current = resource::get::<Exams>(work, exam).await?;
    let allowed = match status {
        "review" => current.status == "draft",
        "draft" => matches!(current.status.as_str(), "review" | "archived"),
        "published" | "active" => {
            current.version.is_some()
                && matches!(
                    current.status.as_str(),
                    "published" | "active" | "completed"
                )
        }
        "completed" => matches!(current.status.as_str(), "published" | "active"),
        "archived" => !matches!(current.status.as_str(), "published" | "active"),
        _ => return Err(Fault::field("status", "is not a status")),
    };
    if !allowed {
        let sentence = format!("the exam is {} and cannot become {status}", current.status);
        return Err(Fault::State(sentence));
    }
    touch(work, exam, Some(revision)).await?;
    sqlx::query("UPDATE exams SET status = $2 WHERE id = $1")
        .bind(exam)
        .bind(status)
        .execute(&mut *work.tx)
        .await?;
    resource::get::<Exams>(work, exam).await
}

/// Sets the password that starting asks for, from the next publication on.
///
/// # Errors
/// As every change.
pub async fn set_password(
    work: &mut Work,
    exam: i64,
    revision: i32,
    password: Option<&str>,
) -> Result<Exam, Fault> {
    touch(work, exam, Some(revision)).await?;
    let code: String = sqlx::query_scalar("SELECT code FROM exams WHERE id = $1")
        .bind(exam)
        .fetch_one(&mut *work.tx)
        .await?;
    sqlx::query("UPDATE exams SET exam_password = $2 WHERE id = $1")
        .bind(exam)
        .bind(password.map(|password| hashed_password(&code.into(), password)))
        .execute(&mut *work.tx)
        .await?;
    resource::get::<Exams>(work, exam).await
}

/// A candidate's time at one exam.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accommodation {
    /// Multiplies the duration, 1 or more.
    #[serde(default = "unchanged", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub time_factor: Decimal,
    /// Added to the duration.
    #[serde(default)]
    pub extra_minutes: i64,
    /// Why, for the record.
    #[serde(default)]
    pub reason: String,
}

fn unchanged() -> Decimal {
    Decimal::ONE
}

/// Gives a candidate more time at one exam, from the next start on.
///
/// # Errors
/// Where the exam or the person is not the actor's.
pub async fn accommodate(
    work: &mut Work,
    exam: i64,
    username: &str,
    wanted: &Accommodation,
) -> Result<(), Fault> {
    touch(work, exam, None).await?;
    let done = sqlx::query(
        "INSERT INTO exam_accommodations (exam_id, user_id, time_factor, extra_time_ms, reason, granted_by)
         SELECT e.id, p.id, $3, $4, $5, $6
         FROM exams AS e
         CROSS JOIN LATERAL people_by_name(ARRAY[$2], e.organization_id) AS p
         WHERE e.id = $1
         ON CONFLICT (exam_id, user_id) DO UPDATE
         SET time_factor = excluded.time_factor, extra_time_ms = excluded.extra_time_ms,
             reason = excluded.reason, granted_by = excluded.granted_by",
    )
    .bind(exam)
    .bind(username)
    .bind(wanted.time_factor)
    .bind(wanted.extra_minutes.saturating_mul(60_000))
    .bind(&wanted.reason)
    .bind(work.actor.user_id)
    .execute(&mut *work.tx)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Fault::NotFound);
    }
    Ok(())
}

/// More time that somebody has at an exam.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Accommodated {
    /// The person's number.
    pub user_id: i64,
    /// To sign in with.
    pub username: String,
    /// Shown to people.
    pub name: String,
    /// What was granted.
    #[serde(flatten)]
    pub granted: Accommodation,
    /// The number of who granted it.
    pub granted_by: Option<i64>,
    /// Last change.
    pub updated_at: DateTime<Utc>,
}

/// Who has more time at an exam, by number.
///
/// # Errors
/// [`Fault::NotFound`] where the exam is not the actor's.
pub async fn accommodations(
    work: &mut Work,
    exam: i64,
    cursor: Cursor,
) -> Result<Page<Accommodated>, Fault> {
    resource::get::<Exams>(work, exam).await?;
    let limit = cursor.limit();
    let rows = sqlx::query_as(
        "SELECT a.user_id, jsonb_build_object(
             'user_id', a.user_id, 'username', u.username, 'name', u.name,
             'time_factor', a.time_factor, 'extra_minutes', a.extra_time_ms / 60000,
             'reason', a.reason, 'granted_by', a.granted_by, 'updated_at', a.updated_at)
         FROM exam_accommodations AS a
         CROSS JOIN LATERAL app_person_of_exam(a.exam_id, a.user_id) AS u
         WHERE a.exam_id = $1 AND a.user_id > $2
         ORDER BY a.user_id
         LIMIT $3",
    )
    .bind(exam)
    .bind(cursor.after)
    .bind(limit + 1)
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(Page::of(rows, limit))
}

/// Takes an accommodation back; attempts that have begun keep theirs.
///
/// # Errors
/// [`Fault::NotFound`] where there is none.
pub async fn take_accommodation_back(
    work: &mut Work,
    exam: i64,
    username: &str,
) -> Result<(), Fault> {
    touch(work, exam, None).await?;
    let gone = sqlx::query(
        "DELETE FROM exam_accommodations AS a
         USING exams AS e
         CROSS JOIN LATERAL people_by_name(ARRAY[$2], e.organization_id) AS p
         WHERE e.id = $1 AND a.exam_id = e.id AND a.user_id = p.id",
    )
    .bind(exam)
    .bind(username)
    .execute(&mut *work.tx)
    .await?;
    if gone.rows_affected() == 0 {
        return Err(Fault::NotFound);
    }
    Ok(())
}
