//! Courses, their categories and enrolments.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    FieldFault, ManagementError, UnitOfWork,
    resource::{self, ListPage, PageCursor, Resource},
};

/// The editable fields of a course.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CourseDraft {
    /// Display title.
    pub title: String,
    /// Description in Markdown.
    #[serde(default)]
    pub description: Option<String>,
    /// Unique code.
    pub code: String,
    /// Number of the instructor.
    pub instructor_id: i64,
    /// Number of the owning organisation.
    pub organization_id: i64,
    /// Number of the course category.
    #[serde(default)]
    pub category_id: Option<i64>,
    /// `draft`, `active`, `archived` or `suspended`.
    #[serde(default = "draft")]
    pub status: String,
    /// `beginner`, `intermediate`, `advanced` or `expert`.
    #[serde(default = "intermediate")]
    pub difficulty_level: String,
    /// Workload in hours.
    #[serde(default)]
    pub duration_hours: Option<i32>,
    /// Limit of active enrolments; none: no limit.
    #[serde(default)]
    pub max_students: Option<i32>,
    /// Start of the enrolment period.
    #[serde(default)]
    pub enrollment_start: Option<DateTime<Utc>>,
    /// End of the enrolment period.
    #[serde(default)]
    pub enrollment_end: Option<DateTime<Utc>>,
    /// First day of the course.
    #[serde(default)]
    pub course_start: Option<NaiveDate>,
    /// Last day of the course.
    #[serde(default)]
    pub course_end: Option<NaiveDate>,
    /// Search tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Numbers of courses to be taken before.
    #[serde(default)]
    pub prerequisites: Vec<i64>,
    /// Learning objectives.
    #[serde(default)]
    pub learning_objectives: Vec<String>,
    /// True if the course is listed for the whole organisation.
    #[serde(default)]
    pub is_public: bool,
    /// True if new enrolments are pending until approved.
    #[serde(default)]
    pub requires_approval: bool,
}

fn draft() -> String {
    "draft".to_owned()
}

fn intermediate() -> String {
    "intermediate".to_owned()
}

/// A course as staff read it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Course {
    /// Number of the course.
    pub id: i64,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    pub draft: CourseDraft,
    /// Count of active enrolments.
    pub students: i64,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// The resource of courses.
#[derive(Debug)]
pub struct CourseResource;

impl Resource for CourseResource {
    type Id = i64;
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

    fn revision(row: &Course) -> i32 {
        row.revision
    }
}

/// The editable fields of a course category.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CourseCategoryDraft {
    /// Number of the owning organisation.
    pub organization_id: i64,
    /// Display name.
    pub name: String,
    /// Unique within the organisation.
    pub code: String,
    /// Number of the parent category; none: a top-level category.
    #[serde(default)]
    pub parent_id: Option<i64>,
    /// Sort position among siblings.
    #[serde(default)]
    pub sort_order: i32,
    /// True if new courses may be filed here.
    #[serde(default = "yes")]
    pub is_active: bool,
}

fn yes() -> bool {
    true
}

/// A course category as staff read it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CourseCategory {
    /// Number of the category.
    pub id: i64,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    pub draft: CourseCategoryDraft,
    /// Count of courses in this category.
    pub courses: i64,
}

/// The resource of course categories.
#[derive(Debug)]
pub struct CourseCategoryResource;

impl Resource for CourseCategoryResource {
    type Id = i64;
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

    fn revision(row: &CourseCategory) -> i32 {
        row.revision
    }
}

/// A person enrolled in a course.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Student)]
pub struct EnrolledStudent {
    /// Number of the person.
    pub user_id: i64,
    /// Sign-in name.
    pub username: String,
    /// Display name.
    pub name: String,
    /// `pending`, `active`, `dropped` or `completed`.
    pub status: String,
    /// Time of the first enrolment.
    pub enrolled_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// Returns a page of a course's enrolments, in the order of people's numbers.
///
/// # Errors
/// [`ManagementError::NotFound`] if the course is not visible to the person.
pub async fn list_enrolments(
    work: &mut UnitOfWork,
    course: i64,
    cursor: PageCursor,
    status: Option<&str>,
) -> Result<ListPage<EnrolledStudent>, ManagementError> {
    resource::get_row::<CourseResource>(work, course).await?;
    let limit = cursor.clamped_limit();
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
    Ok(ListPage::from_rows(rows, limit))
}

/// People to be enrolled, and the status of their enrolment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Enrolment)]
pub struct NewEnrolments {
    /// Sign-in names.
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
/// [`ManagementError::Invalid`] with every name that is unknown in the organisation, and if
/// the course would exceed `max_students`.
pub async fn enrol_people(
    work: &mut UnitOfWork,
    course: i64,
    enrolment: &NewEnrolments,
) -> Result<i64, ManagementError> {
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
        .map(|(index, _)| {
            FieldFault::new(
                format!("people[{index}]"),
                "is not a person of this organisation",
            )
        })
        .collect();
    if !faults.is_empty() {
        return Err(ManagementError::Invalid(faults));
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
        let message = format!("would make {students} students, over the course's `max_students`");
        return Err(ManagementError::invalid_field("people", message));
    }
    Ok(i64::try_from(changed.rows_affected()).unwrap_or(i64::MAX))
}
