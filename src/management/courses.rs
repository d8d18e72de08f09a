//! Courses, and who is enrolled in them.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Fault, FieldFault, Work,
    resource::{self, Cursor, Page, Resource},
};

/// A course as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CourseDraft {
    /// Shown to people.
    pub title: String,
    /// Markdown.
    #[serde(default)]
    pub description: Option<String>,
    /// Unique.
    pub code: String,
    /// Who teaches it.
    pub instructor_id: i64,
    /// Whose it is.
    pub organization_id: i64,
    /// Where it is listed.
    #[serde(default)]
    pub category_id: Option<i64>,
    /// `draft`, `active`, `archived` or `suspended`.
    #[serde(default = "draft")]
    pub status: String,
    /// `beginner`, `intermediate`, `advanced` or `expert`.
    #[serde(default = "intermediate")]
    pub difficulty_level: String,
    /// Hours of work.
    #[serde(default)]
    pub duration_hours: Option<i32>,
    /// The most active enrolments.
    #[serde(default)]
    pub max_students: Option<i32>,
    /// From when people are enrolled.
    #[serde(default)]
    pub enrollment_start: Option<DateTime<Utc>>,
    /// Until when.
    #[serde(default)]
    pub enrollment_end: Option<DateTime<Utc>>,
    /// First day.
    #[serde(default)]
    pub course_start: Option<NaiveDate>,
    /// Last day.
    #[serde(default)]
    pub course_end: Option<NaiveDate>,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Courses that should come before.
    #[serde(default)]
    pub prerequisites: Vec<i64>,
    /// What is learned.
    #[serde(default)]
    pub learning_objectives: Vec<String>,
    /// Listed for everybody of the organisation.
    #[serde(default)]
    pub is_public: bool,
    /// Enrolments begin as pending.
    #[serde(default)]
    pub requires_approval: bool,
}

fn draft() -> String {
    "draft".to_owned()
}

fn intermediate() -> String {
    "intermediate".to_owned()
}

/// A course.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Course {
    /// Its number.
    pub id: i64,
    /// Rises with every change; the `ETag`.
    pub revision: i32,
    /// What people wrote.
    #[serde(flatten)]
    pub draft: CourseDraft,
    /// Active enrolments.
    pub students: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Last change.
    pub updated_at: DateTime<Utc>,
}

/// Courses.
#[derive(Debug)]
pub struct Courses;

impl Resource for Courses {
    type Draft = CourseDraft;
    type Row = Course;
    const TABLE: &'static str = "courses";
    const NAME: &'static str = "course";
    const COLUMNS: &'static [&'static str] = &[
        "title",
        "description",
        "code",
        "instructor_id",
        "organization_id",
        "category_id",
        "status",
        "difficulty_level",
        "duration_hours",
        "max_students",
        "enrollment_start",
        "enrollment_end",
        "course_start",
        "course_end",
        "tags",
        "prerequisites",
        "learning_objectives",
        "is_public",
        "requires_approval",
    ];
    const SELECT: &'static str = "
        SELECT t.id, to_jsonb(t) - 'metadata' || jsonb_build_object('students', (
            SELECT count(*) FROM course_enrollments AS n
            WHERE n.course_id = t.id AND n.status = 'active'))
        FROM courses AS t";
}

/// A category of courses as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CourseCategoryDraft {
    /// Whose it is.
    pub organization_id: i64,
    /// Shown to people.
    pub name: String,
    /// Unique in the organisation.
    pub code: String,
    /// The category above.
    #[serde(default)]
    pub parent_id: Option<i64>,
    /// Its place among its neighbours.
    #[serde(default)]
    pub sort_order: i32,
    /// Whether new courses may go there.
    #[serde(default = "yes")]
    pub is_active: bool,
}

fn yes() -> bool {
    true
}

/// A category of courses.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CourseCategory {
    /// Its number.
    pub id: i64,
    /// Rises with every change; the `ETag`.
    pub revision: i32,
    /// What people wrote.
    #[serde(flatten)]
    pub draft: CourseCategoryDraft,
    /// Courses in it.
    pub courses: i64,
}

/// Categories of courses.
#[derive(Debug)]
pub struct CourseCategories;

impl Resource for CourseCategories {
    type Draft = CourseCategoryDraft;
    type Row = CourseCategory;
    const TABLE: &'static str = "course_categories";
    const NAME: &'static str = "category";
    const COLUMNS: &'static [&'static str] = &[
        "organization_id",
        "name",
        "code",
        "parent_id",
        "sort_order",
        "is_active",
    ];
    const SELECT: &'static str = "
        SELECT t.id, to_jsonb(t) || jsonb_build_object('courses', (
            SELECT count(*) FROM courses AS c WHERE c.category_id = t.id))
        FROM course_categories AS t";
}

/// Somebody who is enrolled.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Student {
    /// The person's number.
    pub user_id: i64,
    /// To sign in with.
    pub username: String,
    /// Shown to people.
    pub name: String,
    /// `pending`, `active`, `dropped` or `completed`.
    pub status: String,
    /// First enrolment.
    pub enrolled_at: DateTime<Utc>,
    /// Last change.
    pub updated_at: DateTime<Utc>,
}

/// Who is enrolled in a course, by number.
///
/// # Errors
/// [`Fault::NotFound`] where the course is not the actor's.
pub async fn enrolments(
    work: &mut Work,
    course: i64,
    cursor: Cursor,
    status: Option<&str>,
) -> Result<Page<Student>, Fault> {
    resource::get::<Courses>(work, course).await?;
    let limit = cursor.limit();
    let rows = sqlx::query_as(
        "SELECT n.user_id, jsonb_build_object(
             'user_id', n.user_id, 'username', u.username, 'name', u.name, 'status', n.status,
             'enrolled_at', n.enrolled_at, 'updated_at', n.updated_at)
         FROM course_enrollments AS n
         JOIN users AS u ON u.id = n.user_id
         WHERE n.course_id = $1 AND n.user_id > $2 AND ($4::text IS NULL OR n.status = $4)
         ORDER BY n.user_id
         LIMIT $3",
    )
    .bind(course)
    .bind(cursor.after)
    .bind(limit + 1)
    .bind(status)
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(Page::of(rows, limit))
}

/// Who is to be enrolled, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Names to sign in with.
    pub people: Vec<String>,
    /// `pending`, `active`, `dropped` or `completed`.
    #[serde(default = "active")]
    pub status: String,
}

fn active() -> String {
    "active".to_owned()
}

/// Enrols people in a course, all or none.
///
/// # Errors
/// With every name that nobody of the organisation has.
pub async fn enrol(work: &mut Work, course: i64, enrolment: &Enrolment) -> Result<i64, Fault> {
    let (organization, limit): (i64, Option<i32>) = sqlx::query_as(
        "SELECT organization_id, max_students FROM courses WHERE id = $1 FOR UPDATE",
    )
    .bind(course)
    .fetch_one(&mut *work.tx)
    .await?;
    let found: Vec<(i64, String)> = sqlx::query_as("SELECT * FROM people_by_name($1, $2)")
        .bind(&enrolment.people)
        .bind(organization)
        .fetch_all(&mut *work.tx)
        .await?;
    let known: HashSet<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
    let faults: Vec<FieldFault> = enrolment
        .people
        .iter()
        .enumerate()
        .filter(|(_, name)| !known.contains(name.as_str()))
        .map(|(index, _)| FieldFault::new(format!("people[{index}]"), "is nobody here"))
        .collect();
    if !faults.is_empty() {
        return Err(Fault::Invalid(faults));
    }
    let ids: Vec<i64> = found.iter().map(|(id, _)| *id).collect();
    let changed = sqlx::query(
        "INSERT INTO course_enrollments (course_id, user_id, status)
         SELECT $1, u.id, $3 FROM unnest($2::bigint[]) AS u (id) ORDER BY u.id
         ON CONFLICT (course_id, user_id) DO UPDATE SET status = excluded.status
         WHERE course_enrollments.status <> excluded.status",
    )
    .bind(course)
    .bind(&ids)
    .bind(&enrolment.status)
    .execute(&mut *work.tx)
    .await?;
    let students: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM course_enrollments WHERE course_id = $1 AND status = 'active'",
    )
    .bind(course)
    .fetch_one(&mut *work.tx)
    .await?;
    if limit.is_some_and(|limit| students > i64::from(limit)) {
        let message = format!("would make {students} students, more than the course takes");
        return Err(Fault::field("people", message));
    }
    Ok(i64::try_from(changed.rows_affected()).unwrap_or(i64::MAX))
}
