//! Tables of courses, their categories and enrolments.

use std::collections::HashSet;

use super::{
    Course, CourseCategory, CourseCategoryDraft, CourseDraft, EnrolledStudent, NewEnrolments,
};
use crate::{
    FieldFault, ManagementError, UnitOfWork,
    ids::{CourseCategoryId, CourseId, OrganizationId, UserId},
    resource::{self, ListPage, PageCursor, Resource},
};

/// The resource of courses.
#[derive(Debug)]
pub struct CourseResource;

impl Resource for CourseResource {
    type Id = CourseId;
    type Draft = CourseDraft;
    type Row = Course;
    const TABLE: &'static str = "courses";
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

/// The resource of course categories.
#[derive(Debug)]
pub struct CourseCategoryResource;

impl Resource for CourseCategoryResource {
    type Id = CourseCategoryId;
    type Draft = CourseCategoryDraft;
    type Row = CourseCategory;
    const TABLE: &'static str = "course_categories";
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

/// Returns a page of a course's enrolments, in the order of people's numbers.
///
/// # Errors
/// [`ManagementError::NotFound`] if the course is not visible to the person.
pub async fn list_enrolments(
    work: &mut UnitOfWork,
    course: CourseId,
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

/// Enrols people in a course, all or none.
///
/// # Errors
/// [`ManagementError::Invalid`] with every name that is unknown in the organisation, and if
/// the course would exceed `max_students`.
pub async fn enrol_people(
    work: &mut UnitOfWork,
    course: CourseId,
    enrolment: &NewEnrolments,
) -> Result<i64, ManagementError> {
    let (organization, limit): (OrganizationId, Option<i32>) = sqlx::query_as(
        "SELECT organization_id, max_students FROM courses WHERE id = $1 FOR UPDATE",
    )
    .bind(course)
    .fetch_one(&mut *work.tx)
    .await?;
    let found: Vec<(UserId, String)> = sqlx::query_as("SELECT * FROM people_by_name($1, $2)")
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
    let ids: Vec<UserId> = found.iter().map(|(id, _)| *id).collect();
    let changed = sqlx::query(
        "INSERT INTO course_enrollments (course_id, user_id, status)
         SELECT $1, u.id, $3 FROM unnest($2::bigint[]) AS u (id) ORDER BY u.id
         ON CONFLICT (course_id, user_id) DO UPDATE SET status = excluded.status
         WHERE course_enrollments.status <> excluded.status",
    )
    .bind(course)
    .bind(&ids)
    .bind(enrolment.status)
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
