//! Fields of courses, their categories and enrolments.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{CourseCategoryId, CourseId, OrganizationId, UserId},
    names::named_column,
};

named_column!(
    /// Stage of a course.
    CourseStatus {
        /// In preparation.
        Draft = "draft",
        /// Open to its students.
        Active = "active",
        /// Over.
        Archived = "archived",
        /// Closed for now.
        Suspended = "suspended",
    }
);

named_column!(
    /// Level of difficulty of a course.
    CourseDifficulty {
        /// For beginners.
        Beginner = "beginner",
        /// For students with the basics.
        Intermediate = "intermediate",
        /// For advanced students.
        Advanced = "advanced",
        /// For experts.
        Expert = "expert",
    }
);

named_column!(
    /// Stage of an enrolment.
    EnrolmentStatus {
        /// Waits for approval.
        Pending = "pending",
        /// The person is a student of the course.
        Active = "active",
        /// The person left the course.
        Dropped = "dropped",
        /// The person completed the course.
        Completed = "completed",
    }
);

/// The editable fields of a course.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CourseDraft {
    /// Display title.
    pub title: String,
    /// Description in Markdown.
    pub description: Option<String>,
    /// Unique code.
    pub code: String,
    /// Number of the instructor.
    pub instructor_id: UserId,
    /// Number of the owning organisation.
    pub organization_id: OrganizationId,
    /// Number of the course category.
    pub category_id: Option<CourseCategoryId>,
    /// Stage of the course.
    pub status: CourseStatus,
    /// Level of difficulty.
    pub difficulty_level: CourseDifficulty,
    /// Workload in hours.
    pub duration_hours: Option<i32>,
    /// Limit of active enrolments; none: no limit.
    pub max_students: Option<i32>,
    /// Start of the enrolment period.
    pub enrollment_start: Option<DateTime<Utc>>,
    /// End of the enrolment period.
    pub enrollment_end: Option<DateTime<Utc>>,
    /// First day of the course.
    pub course_start: Option<NaiveDate>,
    /// Last day of the course.
    pub course_end: Option<NaiveDate>,
    /// Search tags.
    pub tags: Vec<String>,
    /// Numbers of courses to be taken before.
    pub prerequisites: Vec<CourseId>,
    /// Learning objectives.
    pub learning_objectives: Vec<String>,
    /// True if the course is listed for the whole organisation.
    pub is_public: bool,
    /// True if new enrolments are pending until approved.
    pub requires_approval: bool,
}

/// A course as staff read it.
#[derive(Debug, Clone, Deserialize)]
pub struct Course {
    /// Number of the course.
    pub id: CourseId,
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

/// The editable fields of a course category.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CourseCategoryDraft {
    /// Number of the owning organisation.
    pub organization_id: OrganizationId,
    /// Display name.
    pub name: String,
    /// Unique within the organisation.
    pub code: String,
    /// Number of the parent category; none: a top-level category.
    pub parent_id: Option<CourseCategoryId>,
    /// Sort position among siblings.
    pub sort_order: i32,
    /// True if new courses may be filed here.
    pub is_active: bool,
}

/// A course category as staff read it.
#[derive(Debug, Clone, Deserialize)]
pub struct CourseCategory {
    /// Number of the category.
    pub id: CourseCategoryId,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    pub draft: CourseCategoryDraft,
    /// Count of courses in this category.
    pub courses: i64,
}

/// A person enrolled in a course.
#[derive(Debug, Clone, Deserialize)]
pub struct EnrolledStudent {
    /// Number of the person.
    pub user_id: UserId,
    /// Sign-in name.
    pub username: String,
    /// Display name.
    pub name: String,
    /// Stage of the enrolment.
    pub status: EnrolmentStatus,
    /// Time of the first enrolment.
    pub enrolled_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// People to be enrolled, and the status of their enrolment.
#[derive(Debug)]
pub struct NewEnrolments {
    /// Sign-in names.
    pub people: Vec<String>,
    /// Stage of the enrolment.
    pub status: EnrolmentStatus,
}
