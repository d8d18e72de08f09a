//! When a candidate may see the own result.

use super::{attempt::Status, exam::Exam, time::Timestamp};

/// Whether the exam shows a result to the candidate whose it is: at once where
/// it shows results immediately; else, where it allows a review, as soon as
/// nobody can take it any more or a person has looked the attempt over; and
/// whenever staff `released` it.
pub fn is_released(exam: &Exam, status: Status, released: bool, now: Timestamp) -> bool {
    let is_over = exam.available_until.is_some_and(|until| until <= now);
    match status {
        // What is flagged is held until a person has looked it over.
        Status::Started
        | Status::InProgress
        | Status::Paused
        | Status::Cancelled
        | Status::Flagged => false,
        Status::Reviewed => released || exam.show_results_immediately || exam.allow_review,
        Status::Submitted | Status::AutoSubmitted | Status::Graded => {
            released || exam.show_results_immediately || (exam.allow_review && is_over)
        }
    }
}
