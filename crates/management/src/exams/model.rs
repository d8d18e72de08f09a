//! Exams as staff write them: settings, status and the row that staff read.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ids::{CourseId, ExamId, OrganizationId},
    names::named_column,
};
use invigil_domain::exam::{ExamKind, SessionPolicy};

named_column!(
    /// Stage of an exam's life.
    ExamStatus {
        /// Being written.
        Draft = "draft",
        /// Written, and read by a colleague.
        Review = "review",
        /// Open to candidates.
        Published = "published",
        /// Open to candidates, who take it.
        Active = "active",
        /// Closed; no attempt starts.
        Completed = "completed",
        /// Out of sight.
        Archived = "archived",
    }
);

impl ExamStatus {
    /// Returns true if staff may move an exam from this status to another. An exam opens
    /// only with a published version.
    pub const fn may_become(self, new: Self, has_version: bool) -> bool {
        let open = matches!(self, Self::Published | Self::Active);
        match new {
            Self::Review => matches!(self, Self::Draft),
            Self::Draft => matches!(self, Self::Review | Self::Archived),
            Self::Published | Self::Active => {
                has_version && (open || matches!(self, Self::Completed))
            }
            Self::Completed => open,
            Self::Archived => !open,
        }
    }
}

/// The editable settings of an exam, named as in the exam file where it has them.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    pub organization_id: OrganizationId,
    /// Number of the course whose students take the exam; none: the whole organisation.
    pub course_id: Option<CourseId>,
    /// Description for staff.
    pub description: Option<String>,
    /// Instructions for candidates, in Markdown.
    pub instructions: String,
    /// Purpose.
    #[serde(rename = "type")]
    pub kind: ExamKind,
    /// Duration in minutes, 1 to 1440.
    pub duration_minutes: i32,
    /// Attempts of a candidate, 1 to 10.
    pub max_attempts: i32,
    /// Passing score, percent.
    #[serde(with = "rust_decimal::serde::float")]
    pub passing_score: Decimal,
    /// Opening time: answering starts here at the earliest.
    pub available_from: Option<DateTime<Utc>>,
    /// Closing time: no attempt starts later.
    pub available_until: Option<DateTime<Utc>>,
    /// Minutes before the opening time from which candidates may enter and wait.
    pub lobby_minutes: i32,
    /// Minutes after the deadline in which answers count, marked late.
    pub grace_period_minutes: i32,
    /// Fraction of the score that a late hand-in loses.
    #[serde(with = "rust_decimal::serde::float")]
    pub late_submission_penalty: Decimal,
    /// True if a late start keeps the full duration past the closing time.
    pub full_duration_after_close: bool,
    /// True if the order of questions differs by candidate.
    pub shuffle_questions: bool,
    /// True if the order of options differs by candidate.
    pub shuffle_options: bool,
    /// True if the result is shown with the hand-in.
    pub show_results_immediately: bool,
    /// True if candidates may read the result later.
    pub allow_review: bool,
    /// True if results show the correct answers.
    pub show_correct_answers: bool,
    /// Addresses or networks that may take the exam; empty: all.
    pub ip_restrictions: Vec<String>,
    /// Treatment of a second device.
    pub session_policy: SessionPolicy,
    /// True if two people mark each answer that the key cannot grade.
    pub second_marking: bool,
    /// Points by which two marks may differ before a third marker decides.
    #[serde(with = "rust_decimal::serde::float")]
    pub second_marking_tolerance: Decimal,
    /// Further keys of the exam file, such as `on_disconnect`.
    pub settings: Map<String, Value>,
    /// The exam file's `proctoring`.
    pub proctoring_config: Map<String, Value>,
    /// The exam file's `grading`.
    pub grading_config: Map<String, Value>,
}

impl ExamDraft {
    /// Returns the settings of an exam that a file will overwrite.
    pub fn for_import(
        code: &str,
        title: &str,
        organization_id: OrganizationId,
        course_id: Option<CourseId>,
    ) -> Self {
        Self {
            code: code.to_owned(),
            title: title.to_owned(),
            organization_id,
            course_id,
            description: None,
            instructions: String::new(),
            kind: ExamKind::Quiz,
            duration_minutes: 1,
            max_attempts: 1,
            passing_score: Decimal::new(60, 0),
            available_from: None,
            available_until: None,
            lobby_minutes: 15,
            grace_period_minutes: 0,
            late_submission_penalty: Decimal::ZERO,
            full_duration_after_close: false,
            shuffle_questions: false,
            shuffle_options: false,
            show_results_immediately: true,
            allow_review: true,
            show_correct_answers: false,
            ip_restrictions: Vec::new(),
            session_policy: SessionPolicy::Takeover,
            second_marking: false,
            second_marking_tolerance: Decimal::ZERO,
            settings: Map::new(),
            proctoring_config: Map::new(),
            grading_config: Map::new(),
        }
    }
}

/// An exam as staff read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExamRecord {
    /// Number of the exam.
    pub id: ExamId,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The settings that people edit.
    #[serde(flatten)]
    pub draft: ExamDraft,
    /// Stage of the exam's life.
    pub status: ExamStatus,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exam_opens_once_it_has_a_version_and_closes_before_it_is_archived() {
        use ExamStatus::{Active, Archived, Completed, Draft, Published, Review};
        let all = [Draft, Review, Published, Active, Completed, Archived];
        let after = |from: ExamStatus, has_version: bool| -> Vec<&str> {
            let reached = all.iter().filter(|to| from.may_become(**to, has_version));
            reached.map(|to| to.as_str()).collect()
        };
        for (from, reached) in [
            (Draft, &["review", "archived"][..]),
            (Review, &["draft", "archived"]),
            (Published, &["published", "active", "completed"]),
            (Active, &["published", "active", "completed"]),
            (Completed, &["published", "active", "archived"]),
            (Archived, &["draft", "archived"]),
        ] {
            assert_eq!(after(from, true), reached, "{from}");
        }
        assert_eq!(after(Completed, false), ["archived"]);
        assert_eq!(after(Published, false), ["completed"]);
    }
}
