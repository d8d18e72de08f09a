//! Courses, their categories and enrolments on the wire.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::web::manage::WireResource;
use invigil_management::{
    ManagementError,
    courses::{
        Course, CourseCategory, CourseCategoryDraft, CourseCategoryResource, CourseDifficulty,
        CourseDraft, CourseResource, CourseStatus, EnrolledStudent, EnrolmentStatus, NewEnrolments,
    },
    ids::{CourseCategoryId, CourseId, OrganizationId, UserId},
};

/// The editable fields of a course.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CourseDraft)]
pub(in crate::web) struct CourseBody {
    /// Display title.
    title: String,
    /// Description in Markdown.
    #[serde(default)]
    description: Option<String>,
    /// Unique code.
    code: String,
    /// Number of the instructor.
    instructor_id: i64,
    /// Number of the owning organisation.
    organization_id: i64,
    /// Number of the course category.
    #[serde(default)]
    category_id: Option<i64>,
    /// `draft`, `active`, `archived` or `suspended`.
    #[serde(default = "draft")]
    status: String,
    /// `beginner`, `intermediate`, `advanced` or `expert`.
    #[serde(default = "intermediate")]
    difficulty_level: String,
    /// Workload in hours.
    #[serde(default)]
    duration_hours: Option<i32>,
    /// Limit of active enrolments; none: no limit.
    #[serde(default)]
    max_students: Option<i32>,
    /// Start of the enrolment period.
    #[serde(default)]
    enrollment_start: Option<DateTime<Utc>>,
    /// End of the enrolment period.
    #[serde(default)]
    enrollment_end: Option<DateTime<Utc>>,
    /// First day of the course.
    #[serde(default)]
    course_start: Option<NaiveDate>,
    /// Last day of the course.
    #[serde(default)]
    course_end: Option<NaiveDate>,
    /// Search tags.
    #[serde(default)]
    tags: Vec<String>,
    /// Numbers of courses to be taken before.
    #[serde(default)]
    prerequisites: Vec<i64>,
    /// Learning objectives.
    #[serde(default)]
    learning_objectives: Vec<String>,
    /// True if the course is listed for the whole organisation.
    #[serde(default)]
    is_public: bool,
    /// True if new enrolments are pending until approved.
    #[serde(default)]
    requires_approval: bool,
}

/// A course as staff read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Course)]
pub(in crate::web) struct CourseView {
    /// Number of the course.
    id: i64,
    /// Incremented by every change; served as the `ETag`.
    revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    draft: CourseBody,
    /// Count of active enrolments.
    students: i64,
    /// Time of creation.
    created_at: DateTime<Utc>,
    /// Time of the last change.
    updated_at: DateTime<Utc>,
}

impl WireResource for CourseResource {
    type Body = CourseBody;
    type View = CourseView;

    fn into_draft(body: CourseBody) -> Result<CourseDraft, ManagementError> {
        Ok(CourseDraft {
            title: body.title,
            description: body.description,
            code: body.code,
            instructor_id: UserId(body.instructor_id),
            organization_id: OrganizationId(body.organization_id),
            category_id: body.category_id.map(CourseCategoryId),
            status: CourseStatus::from_field("status", &body.status)?,
            difficulty_level: CourseDifficulty::from_field(
                "difficulty_level",
                &body.difficulty_level,
            )?,
            duration_hours: body.duration_hours,
            max_students: body.max_students,
            enrollment_start: body.enrollment_start,
            enrollment_end: body.enrollment_end,
            course_start: body.course_start,
            course_end: body.course_end,
            tags: body.tags,
            prerequisites: body.prerequisites.into_iter().map(CourseId).collect(),
            learning_objectives: body.learning_objectives,
            is_public: body.is_public,
            requires_approval: body.requires_approval,
        })
    }
}

impl From<CourseDraft> for CourseBody {
    fn from(draft: CourseDraft) -> Self {
        Self {
            title: draft.title,
            description: draft.description,
            code: draft.code,
            instructor_id: draft.instructor_id.0,
            organization_id: draft.organization_id.0,
            category_id: draft.category_id.map(i64::from),
            status: draft.status.to_string(),
            difficulty_level: draft.difficulty_level.to_string(),
            duration_hours: draft.duration_hours,
            max_students: draft.max_students,
            enrollment_start: draft.enrollment_start,
            enrollment_end: draft.enrollment_end,
            course_start: draft.course_start,
            course_end: draft.course_end,
            tags: draft.tags,
            prerequisites: draft.prerequisites.into_iter().map(i64::from).collect(),
            learning_objectives: draft.learning_objectives,
            is_public: draft.is_public,
            requires_approval: draft.requires_approval,
        }
    }
}

impl From<Course> for CourseView {
    fn from(row: Course) -> Self {
        Self {
            id: row.id.0,
            revision: row.revision,
            draft: row.draft.into(),
            students: row.students,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn draft() -> String {
    "draft".to_owned()
}

fn intermediate() -> String {
    "intermediate".to_owned()
}

/// The editable fields of a course category.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CourseCategoryDraft)]
pub(in crate::web) struct CourseCategoryBody {
    /// Number of the owning organisation.
    organization_id: i64,
    /// Display name.
    name: String,
    /// Unique within the organisation.
    code: String,
    /// Number of the parent category; none: a top-level category.
    #[serde(default)]
    parent_id: Option<i64>,
    /// Sort position among siblings.
    #[serde(default)]
    sort_order: i32,
    /// True if new courses may be filed here.
    #[serde(default = "yes")]
    is_active: bool,
}

/// A course category as staff read it.
#[derive(Serialize, ToSchema)]
#[schema(as = CourseCategory)]
pub(in crate::web) struct CourseCategoryView {
    /// Number of the category.
    id: i64,
    /// Incremented by every change; served as the `ETag`.
    revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    draft: CourseCategoryBody,
    /// Count of courses in this category.
    courses: i64,
}

impl WireResource for CourseCategoryResource {
    type Body = CourseCategoryBody;
    type View = CourseCategoryView;

    fn into_draft(body: CourseCategoryBody) -> Result<CourseCategoryDraft, ManagementError> {
        Ok(CourseCategoryDraft {
            organization_id: OrganizationId(body.organization_id),
            name: body.name,
            code: body.code,
            parent_id: body.parent_id.map(CourseCategoryId),
            sort_order: body.sort_order,
            is_active: body.is_active,
        })
    }
}

impl From<CourseCategoryDraft> for CourseCategoryBody {
    fn from(draft: CourseCategoryDraft) -> Self {
        Self {
            organization_id: draft.organization_id.0,
            name: draft.name,
            code: draft.code,
            parent_id: draft.parent_id.map(i64::from),
            sort_order: draft.sort_order,
            is_active: draft.is_active,
        }
    }
}

impl From<CourseCategory> for CourseCategoryView {
    fn from(row: CourseCategory) -> Self {
        Self {
            id: row.id.0,
            revision: row.revision,
            draft: row.draft.into(),
            courses: row.courses,
        }
    }
}

fn yes() -> bool {
    true
}

/// A person enrolled in a course.
#[derive(Serialize, ToSchema)]
#[schema(as = Student)]
pub(in crate::web) struct StudentView {
    /// Number of the person.
    user_id: i64,
    /// Sign-in name.
    username: String,
    /// Display name.
    name: String,
    /// `pending`, `active`, `dropped` or `completed`.
    status: String,
    /// Time of the first enrolment.
    enrolled_at: DateTime<Utc>,
    /// Time of the last change.
    updated_at: DateTime<Utc>,
}

impl From<EnrolledStudent> for StudentView {
    fn from(student: EnrolledStudent) -> Self {
        Self {
            user_id: student.user_id.0,
            username: student.username,
            name: student.name,
            status: student.status.to_string(),
            enrolled_at: student.enrolled_at,
            updated_at: student.updated_at,
        }
    }
}

/// People to be enrolled, and the status of their enrolment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Enrolment)]
pub(in crate::web) struct EnrolmentBody {
    /// Sign-in names.
    people: Vec<String>,
    /// `pending`, `active`, `dropped` or `completed`.
    #[serde(default = "active")]
    status: String,
}

fn active() -> String {
    "active".to_owned()
}

impl TryFrom<EnrolmentBody> for NewEnrolments {
    type Error = ManagementError;

    fn try_from(body: EnrolmentBody) -> Result<Self, ManagementError> {
        Ok(Self {
            people: body.people,
            status: EnrolmentStatus::from_field("status", &body.status)?,
        })
    }
}
