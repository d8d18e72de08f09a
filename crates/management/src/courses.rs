//! Courses, their categories and enrolments.

mod model;
mod repository;

pub use self::{
    model::{
        Course, CourseCategory, CourseCategoryDraft, CourseDifficulty, CourseDraft, CourseStatus,
        EnrolledStudent, EnrolmentStatus, NewEnrolments,
    },
    repository::{CourseCategoryResource, CourseResource, enrol_people, list_enrolments},
};
