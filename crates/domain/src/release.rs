//! Visibility of a result to its candidate.

use crate::{attempt::LifecycleStatus, exam::Exam, time::Timestamp};

/// Returns true if the candidate may see the result: at once if the exam shows
/// results immediately; if it allows a review, after the exam's window or after
/// the attempt was reviewed; and whenever staff `released` it.
pub fn is_result_visible(
    exam: &Exam,
    status: LifecycleStatus,
    released: bool,
    now: Timestamp,
) -> bool {
    let is_over = exam.available_until.is_some_and(|until| until <= now);
    match status {
        // A flagged attempt is held until a person has reviewed it.
        LifecycleStatus::Started
        | LifecycleStatus::InProgress
        | LifecycleStatus::Paused
        | LifecycleStatus::Cancelled
        | LifecycleStatus::Flagged => false,
        LifecycleStatus::Reviewed => released || exam.show_results_immediately || exam.allow_review,
        LifecycleStatus::Submitted | LifecycleStatus::AutoSubmitted | LifecycleStatus::Graded => {
            released || exam.show_results_immediately || (exam.allow_review && is_over)
        }
    }
}
