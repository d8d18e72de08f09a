//! Exams as written, in the bodies of requests and responses.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::web::manage::WireResource;
use invigil_domain::exam::{ExamKind, SessionPolicy};
use invigil_management::{
    ManagementError,
    exams::{
        ExamResource,
        model::{ExamDraft, ExamRecord},
    },
    ids::{CourseId, OrganizationId},
};

impl WireResource for ExamResource {
    type Body = ExamBody;
    type View = ManagedExamView;

    fn into_draft(body: ExamBody) -> Result<ExamDraft, ManagementError> {
        let not_allowed = |field| ManagementError::invalid_field(field, "is not allowed");
        let kind = ExamKind::from_name(&body.r#type).ok_or_else(|| not_allowed("type"))?;
        let session_policy = SessionPolicy::from_name(&body.session_policy)
            .ok_or_else(|| not_allowed("session_policy"))?;
        Ok(ExamDraft {
            code: body.code,
            title: body.title,
            organization_id: OrganizationId(body.organization_id),
            course_id: body.course_id.map(CourseId),
            description: body.description,
            instructions: body.instructions,
            kind,
            duration_minutes: body.duration_minutes,
            max_attempts: body.max_attempts,
            passing_score: body.passing_score,
            available_from: body.available_from,
            available_until: body.available_until,
            lobby_minutes: body.lobby_minutes,
            grace_period_minutes: body.grace_period_minutes,
            late_submission_penalty: body.late_submission_penalty,
            full_duration_after_close: body.full_duration_after_close,
            shuffle_questions: body.shuffle_questions,
            shuffle_options: body.shuffle_options,
            show_results_immediately: body.show_results_immediately,
            allow_review: body.allow_review,
            show_correct_answers: body.show_correct_answers,
            ip_restrictions: body.ip_restrictions,
            session_policy,
            second_marking: body.second_marking,
            second_marking_tolerance: body.second_marking_tolerance,
            settings: body.settings,
            proctoring_config: body.proctoring_config,
            grading_config: body.grading_config,
        })
    }
}

/// The editable settings of an exam, named as in the exam file where it has them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ExamDraft)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of the exam file"
)]
pub(in crate::web) struct ExamBody {
    /// Unique code.
    code: String,
    /// Display title.
    title: String,
    /// Number of the owning organisation.
    organization_id: i64,
    /// Number of the course whose students take the exam; none: the whole organisation.
    #[serde(default)]
    course_id: Option<i64>,
    /// Description for staff.
    #[serde(default)]
    description: Option<String>,
    /// Instructions for candidates, in Markdown.
    #[serde(default)]
    instructions: String,
    /// `quiz`, `assignment`, `midterm`, `final`, `certification` or `practice`.
    #[serde(default = "quiz")]
    r#type: String,
    /// Duration in minutes, 1 to 1440.
    duration_minutes: i32,
    /// Attempts of a candidate, 1 to 10.
    #[serde(default = "one")]
    max_attempts: i32,
    /// Passing score, percent.
    #[serde(default = "sixty", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    passing_score: Decimal,
    /// Opening time: answering starts here at the earliest.
    #[serde(default)]
    available_from: Option<DateTime<Utc>>,
    /// Closing time: no attempt starts later.
    #[serde(default)]
    available_until: Option<DateTime<Utc>>,
    /// Minutes before the opening time from which candidates may enter and wait.
    #[serde(default = "fifteen")]
    lobby_minutes: i32,
    /// Minutes after the deadline in which answers count, marked late.
    #[serde(default)]
    grace_period_minutes: i32,
    /// Fraction of the score that a late hand-in loses.
    #[serde(default, with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    late_submission_penalty: Decimal,
    /// True if a late start keeps the full duration past the closing time.
    #[serde(default)]
    full_duration_after_close: bool,
    /// True if the order of questions differs by candidate.
    #[serde(default)]
    shuffle_questions: bool,
    /// True if the order of options differs by candidate.
    #[serde(default)]
    shuffle_options: bool,
    /// True if the result is shown with the hand-in.
    #[serde(default = "yes")]
    show_results_immediately: bool,
    /// True if candidates may read the result later.
    #[serde(default = "yes")]
    allow_review: bool,
    /// True if results show the correct answers.
    #[serde(default)]
    show_correct_answers: bool,
    /// Addresses or networks that may take the exam; empty: all.
    #[serde(default)]
    ip_restrictions: Vec<String>,
    /// Treatment of a second device: `takeover` or `reject`.
    #[serde(default = "takeover")]
    session_policy: String,
    /// True if two people mark each answer that the key cannot grade.
    #[serde(default)]
    second_marking: bool,
    /// Points by which two marks may differ before a third marker decides.
    #[serde(default, with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    second_marking_tolerance: Decimal,
    /// Further keys of the exam file, such as `on_disconnect`.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// The exam file's `proctoring`.
    #[serde(default)]
    #[schema(value_type = Object)]
    proctoring_config: Map<String, Value>,
    /// The exam file's `grading`.
    #[serde(default)]
    #[schema(value_type = Object)]
    grading_config: Map<String, Value>,
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Exam)]
pub(in crate::web) struct ManagedExamView {
    /// Number of the exam.
    id: i64,
    /// Incremented by every change; served as the `ETag`.
    revision: i32,
    /// The settings that people edit.
    #[serde(flatten)]
    draft: ExamBody,
    /// `draft`, `review`, `published`, `active`, `completed` or `archived`.
    status: String,
    /// True if a start requires a password.
    password_protected: bool,
    /// Questions in the composition.
    questions_count: i32,
    /// Points in the composition.
    total_points: f64,
    /// Attempts, as of the last refresh of the statistics.
    attempts_count: i32,
    /// Attempts that were handed in.
    completed_attempts: i32,
    /// Version that new attempts get.
    version: Option<String>,
    /// Time of the last publication.
    published_at: Option<DateTime<Utc>>,
    /// Time at which all results were released.
    results_released_at: Option<DateTime<Utc>>,
    /// Time of creation.
    created_at: DateTime<Utc>,
}

impl From<ExamDraft> for ExamBody {
    fn from(draft: ExamDraft) -> Self {
        Self {
            code: draft.code,
            title: draft.title,
            organization_id: draft.organization_id.0,
            course_id: draft.course_id.map(i64::from),
            description: draft.description,
            instructions: draft.instructions,
            r#type: draft.kind.as_str().to_owned(),
            duration_minutes: draft.duration_minutes,
            max_attempts: draft.max_attempts,
            passing_score: draft.passing_score,
            available_from: draft.available_from,
            available_until: draft.available_until,
            lobby_minutes: draft.lobby_minutes,
            grace_period_minutes: draft.grace_period_minutes,
            late_submission_penalty: draft.late_submission_penalty,
            full_duration_after_close: draft.full_duration_after_close,
            shuffle_questions: draft.shuffle_questions,
            shuffle_options: draft.shuffle_options,
            show_results_immediately: draft.show_results_immediately,
            allow_review: draft.allow_review,
            show_correct_answers: draft.show_correct_answers,
            ip_restrictions: draft.ip_restrictions,
            session_policy: draft.session_policy.as_str().to_owned(),
            second_marking: draft.second_marking,
            second_marking_tolerance: draft.second_marking_tolerance,
            settings: draft.settings,
            proctoring_config: draft.proctoring_config,
            grading_config: draft.grading_config,
        }
    }
}

impl From<ExamRecord> for ManagedExamView {
    fn from(row: ExamRecord) -> Self {
        Self {
            id: row.id.0,
            revision: row.revision,
            draft: row.draft.into(),
            status: row.status.to_string(),
            password_protected: row.password_protected,
            questions_count: row.questions_count,
            total_points: row.total_points,
            attempts_count: row.attempts_count,
            completed_attempts: row.completed_attempts,
            version: row.version,
            published_at: row.published_at,
            results_released_at: row.results_released_at,
            created_at: row.created_at,
        }
    }
}
