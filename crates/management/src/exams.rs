//! Exam drafts: settings, sections and questions, random draws from the bank,
//! publication and accommodations.
//!
//! People edit the composition. Publication builds an exam file from it, checks
//! the whole file and freezes it as a version. Attempts refer to versions, so an
//! exam can be edited while it is taken: later starts get the next version.

pub mod publish;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use utoipa::ToSchema;

use crate::{
    FieldFault, ManagementError, UnitOfWork,
    resource::{self, ListPage, PageCursor, Resource},
};
use invigil_domain::admission::hashed_password;

/// The editable settings of an exam, named as in the exam file where it has them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of the exam file"
)]
pub struct ExamDraft {
    /// Unique code.
    pub code: String,
    /// Display title.
    pub title: String,
    /// Number of the owning organisation.
    pub organization_id: i64,
    /// Number of the course whose students take the exam; none: the whole organisation.
    #[serde(default)]
    pub course_id: Option<i64>,
    /// Description for staff.
    #[serde(default)]
    pub description: Option<String>,
    /// Instructions for candidates, in Markdown.
    #[serde(default)]
    pub instructions: String,
    /// `quiz`, `assignment`, `midterm`, `final`, `certification` or `practice`.
    #[serde(default = "quiz")]
    pub r#type: String,
    /// Duration in minutes, 1 to 1440.
    pub duration_minutes: i32,
    /// Attempts of a candidate, 1 to 10.
    #[serde(default = "one")]
    pub max_attempts: i32,
    /// Passing score, percent.
    #[serde(default = "sixty", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub passing_score: Decimal,
    /// Opening time: answering starts here at the earliest.
    #[serde(default)]
    pub available_from: Option<DateTime<Utc>>,
    /// Closing time: no attempt starts later.
    #[serde(default)]
    pub available_until: Option<DateTime<Utc>>,
    /// Minutes before the opening time from which candidates may enter and wait.
    #[serde(default = "fifteen")]
    pub lobby_minutes: i32,
    /// Minutes after the deadline in which answers count, marked late.
    #[serde(default)]
    pub grace_period_minutes: i32,
    /// Fraction of the score that a late hand-in loses.
    #[serde(default, with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub late_submission_penalty: Decimal,
    /// True if a late start keeps the full duration past the closing time.
    #[serde(default)]
    pub full_duration_after_close: bool,
    /// True if the order of questions differs by candidate.
    #[serde(default)]
    pub shuffle_questions: bool,
    /// True if the order of options differs by candidate.
    #[serde(default)]
    pub shuffle_options: bool,
    /// True if the result is shown with the hand-in.
    #[serde(default = "yes")]
    pub show_results_immediately: bool,
    /// True if candidates may read the result later.
    #[serde(default = "yes")]
    pub allow_review: bool,
    /// True if results show the correct answers.
    #[serde(default)]
    pub show_correct_answers: bool,
    /// Addresses or networks that may take the exam; empty: all.
    #[serde(default)]
    pub ip_restrictions: Vec<String>,
    /// Treatment of a second device: `takeover` or `reject`.
    #[serde(default = "takeover")]
    pub session_policy: String,
    /// True if two people mark each answer that the key cannot grade.
    #[serde(default)]
    pub second_marking: bool,
    /// Points by which two marks may differ before a third marker decides.
    #[serde(default, with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub second_marking_tolerance: Decimal,
    /// Further keys of the exam file, such as `on_disconnect`.
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

/// An exam as staff read it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Exam)]
pub struct ExamRecord {
    /// Number of the exam.
    pub id: i64,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The settings that people edit.
    #[serde(flatten)]
    pub draft: ExamDraft,
    /// `draft`, `review`, `published`, `active`, `completed` or `archived`.
    pub status: String,
    /// True if a start requires a password.
    pub password_protected: bool,
    /// Questions in the composition.
    pub questions_count: i32,
    /// Points in the composition.
    pub total_points: f64,
    /// Attempts, as of the last refresh of the statistics.
    pub attempts_count: i32,
    /// Attempts that were handed in.
    pub completed_attempts: i32,
    /// Version that new attempts get.
    pub version: Option<String>,
    /// Time of the last publication.
    pub published_at: Option<DateTime<Utc>>,
    /// Time at which all results were released.
    pub results_released_at: Option<DateTime<Utc>>,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
}

/// The resource of exams.
#[derive(Debug)]
pub struct ExamResource;

impl Resource for ExamResource {
    type Id = i64;
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

/// Creates an exam that its author may change.
///
/// # Errors
/// [`ManagementError::Invalid`] for invalid settings and over the organisation's `max_exams`.
pub async fn create_exam(
    work: &mut UnitOfWork,
    draft: &ExamDraft,
) -> Result<ExamRecord, ManagementError> {
    let mut row = serde_json::to_value(draft).map_err(ManagementError::internal)?;
    row["created_by"] = json!(work.user_id);
    let columns = ExamResource::COLUMNS.join(", ");
    let sql = format!(
        "INSERT INTO exams ({columns}, created_by)
         SELECT {columns}, created_by FROM jsonb_populate_record(NULL::exams, $1)
         RETURNING id"
    );
    let id: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(Json(row))
        .fetch_one(&mut *work.tx)
        .await?;
    resource::get_row::<ExamResource>(work, id).await
}

/// The sections of an exam and their questions.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Composition)]
pub struct ExamComposition {
    /// Sections in their order.
    pub sections: Vec<ComposedSection>,
}

/// A section of an exam's composition.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComposedSection {
    /// Id, unique within the exam.
    pub id: String,
    /// Display title.
    #[serde(default)]
    pub title: String,
    /// Time limit of the section, in minutes.
    #[serde(default)]
    pub time_limit_minutes: Option<i32>,
    /// Questions in their order.
    #[serde(default)]
    pub questions: Vec<ComposedQuestion>,
}

/// A question of the bank within a section.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Placed)]
pub struct ComposedQuestion {
    /// Number of the question's version in the bank.
    pub question_id: i64,
    /// Id within the exam; none: `q` and the number.
    #[serde(default)]
    pub id: Option<String>,
    /// Points; none: the default of the question.
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

/// Returns the composition of an exam.
///
/// # Errors
/// Database errors.
pub async fn read_composition(
    work: &mut UnitOfWork,
    exam: i64,
) -> Result<ExamComposition, ManagementError> {
    let Json(composition): Json<ExamComposition> = sqlx::query_scalar(COMPOSITION)
        .bind(exam)
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(composition)
}

/// Locks an exam that the person may change, and increments its revision.
async fn raise_revision(
    work: &mut UnitOfWork,
    exam: i64,
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

/// Replaces the composition of an exam.
///
/// # Errors
/// [`ManagementError::Stale`]; [`ManagementError::Invalid`] for questions that are not in the
/// organisation's bank.
pub async fn replace_composition(
    work: &mut UnitOfWork,
    exam: i64,
    revision: i32,
    composition: &ExamComposition,
) -> Result<ExamRecord, ManagementError> {
    raise_revision(work, exam, Some(revision)).await?;
    write_composition(work, exam, composition).await?;
    resource::get_row::<ExamResource>(work, exam).await
}

async fn write_composition(
    work: &mut UnitOfWork,
    exam: i64,
    composition: &ExamComposition,
) -> Result<(), ManagementError> {
    let sections = serde_json::to_value(composition).map_err(ManagementError::internal)?;
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
    work: &mut UnitOfWork,
    exam: i64,
    composition: &ExamComposition,
) -> Result<ManagementError, ManagementError> {
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
                    "is not a question of this organisation's bank",
                ));
            }
        }
    }
    Ok(ManagementError::Invalid(faults))
}

/// Conditions of a random draw of questions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Draw)]
pub struct QuestionDraw {
    /// Section that gets the questions, created if missing.
    pub section: String,
    /// Count of questions, 1 to 500.
    pub count: i64,
    /// Category, including its subcategories.
    #[serde(default)]
    pub category_id: Option<i64>,
    /// Difficulty.
    #[serde(default)]
    pub difficulty: Option<String>,
    /// Question type.
    #[serde(default)]
    pub r#type: Option<String>,
    /// Tags, all of which a question must have.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Seed; the same one draws the same questions from an unchanged bank.
    #[serde(default)]
    pub seed: Option<i64>,
}

/// Result of a random draw.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Drawn)]
pub struct DrawnQuestions {
    /// Seed that repeats the draw.
    pub seed: i64,
    /// Numbers of the questions in the bank.
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
/// [`ManagementError::Invalid`] if too few questions of the bank match.
pub async fn draw_questions(
    work: &mut UnitOfWork,
    exam: i64,
    revision: i32,
    draw: &QuestionDraw,
) -> Result<DrawnQuestions, ManagementError> {
    raise_revision(work, exam, Some(revision)).await?;
    let seed = match draw.seed {
        Some(seed) => seed,
        None => i64::from(getrandom::u32().map_err(ManagementError::internal)?),
    };
    if !(1..=500).contains(&draw.count) {
        return Err(ManagementError::invalid_field("count", "must be 1 to 500"));
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
        let message = format!("the bank has {} matching questions", questions.len());
        return Err(ManagementError::invalid_field("count", message));
    }
    let mut composition = read_composition(work, exam).await?;
    let drawn = questions.iter().map(|id| ComposedQuestion {
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
        None => composition.sections.push(ComposedSection {
            id: draw.section.clone(),
            title: String::new(),
            time_limit_minutes: None,
            questions: drawn.collect(),
        }),
    }
    write_composition(work, exam, &composition).await?;
    Ok(DrawnQuestions { seed, questions })
}

/// Moves an exam to another status: ends, reopens or archives it.
///
/// # Errors
/// [`ManagementError::WrongState`] if the exam's status does not allow the step.
pub async fn set_status(
    work: &mut UnitOfWork,
    exam: i64,
    revision: i32,
    status: &str,
) -> Result<ExamRecord, ManagementError> {
    let current = resource::get_row::<ExamResource>(work, exam).await?;
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
        _ => {
            return Err(ManagementError::invalid_field(
                "status",
                "is not a status of an exam",
            ));
        }
    };
    if !allowed {
        let sentence = format!("the exam is {} and cannot become {status}", current.status);
        return Err(ManagementError::WrongState(sentence));
    }
    raise_revision(work, exam, Some(revision)).await?;
    sqlx::query("UPDATE exams SET status = $2 WHERE id = $1")
        .bind(exam)
        .bind(status)
        .execute(&mut *work.tx)
        .await?;
    resource::get_row::<ExamResource>(work, exam).await
}

/// Sets the password that a start requires, from the next publication on.
///
/// # Errors
/// [`ManagementError::Stale`], [`ManagementError::Forbidden`].
pub async fn set_password(
    work: &mut UnitOfWork,
    exam: i64,
    revision: i32,
    password: Option<&str>,
) -> Result<ExamRecord, ManagementError> {
    raise_revision(work, exam, Some(revision)).await?;
    let code: String = sqlx::query_scalar("SELECT code FROM exams WHERE id = $1")
        .bind(exam)
        .fetch_one(&mut *work.tx)
        .await?;
    sqlx::query("UPDATE exams SET exam_password = $2 WHERE id = $1")
        .bind(exam)
        .bind(password.map(|password| hashed_password(&code.into(), password)))
        .execute(&mut *work.tx)
        .await?;
    resource::get_row::<ExamResource>(work, exam).await
}

/// Extra time of a candidate at one exam.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accommodation {
    /// Factor of the duration, 1 or more.
    #[serde(default = "unchanged", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub time_factor: Decimal,
    /// Minutes added to the duration.
    #[serde(default)]
    pub extra_minutes: i64,
    /// Reason, kept with the accommodation.
    #[serde(default)]
    pub reason: String,
}

fn unchanged() -> Decimal {
    Decimal::ONE
}

/// Grants a candidate extra time at one exam, from the next start on.
///
/// # Errors
/// [`ManagementError::NotFound`] if the exam or the candidate is not visible to the person.
pub async fn grant_accommodation(
    work: &mut UnitOfWork,
    exam: i64,
    username: &str,
    wanted: &Accommodation,
) -> Result<(), ManagementError> {
    raise_revision(work, exam, None).await?;
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
    .bind(work.user_id)
    .execute(&mut *work.tx)
    .await?;
    if done.rows_affected() == 0 {
        return Err(ManagementError::NotFound);
    }
    Ok(())
}

/// A candidate with an accommodation at an exam.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Accommodated)]
pub struct AccommodatedCandidate {
    /// Number of the person.
    pub user_id: i64,
    /// Sign-in name.
    pub username: String,
    /// Display name.
    pub name: String,
    /// The granted accommodation.
    #[serde(flatten)]
    pub granted: Accommodation,
    /// Number of the person who granted it.
    pub granted_by: Option<i64>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// Returns a page of an exam's accommodations, in the order of people's numbers.
///
/// # Errors
/// [`ManagementError::NotFound`] if the exam is not visible to the person.
pub async fn list_accommodations(
    work: &mut UnitOfWork,
    exam: i64,
    cursor: PageCursor,
) -> Result<ListPage<AccommodatedCandidate>, ManagementError> {
    resource::get_row::<ExamResource>(work, exam).await?;
    let limit = cursor.clamped_limit();
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
    Ok(ListPage::from_rows(rows, limit))
}

/// Revokes an accommodation; started attempts keep theirs.
///
/// # Errors
/// [`ManagementError::NotFound`] if the candidate has none.
pub async fn revoke_accommodation(
    work: &mut UnitOfWork,
    exam: i64,
    username: &str,
) -> Result<(), ManagementError> {
    raise_revision(work, exam, None).await?;
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
        return Err(ManagementError::NotFound);
    }
    Ok(())
}
