//! The grading queue: answers that wait for a mark, and claims on them.

pub mod model;
mod repository;

use self::model::GradingQueueItem;
use crate::{ManagementError, UnitOfWork, ids::ExamId, resource::PAGE_MAX};

/// Returns the grading queue of an exam, question by question, which keeps the marks
/// of one question consistent.
///
/// # Errors
/// Database errors.
pub async fn list_queue(
    work: &mut UnitOfWork,
    exam: ExamId,
    question: Option<&str>,
    limit: i64,
) -> Result<Vec<GradingQueueItem>, ManagementError> {
    repository::list_waiting(work, exam, question, limit.clamp(1, PAGE_MAX)).await
}

/// Claims the next unclaimed answer for an hour; none if the queue has none.
///
/// # Errors
/// Database errors.
pub async fn claim_next(
    work: &mut UnitOfWork,
    exam: ExamId,
    question: Option<&str>,
) -> Result<Option<GradingQueueItem>, ManagementError> {
    repository::lock_claims(work, exam).await?;
    let next = repository::next_unclaimed(work, exam, question).await?;
    if let Some(item) = &next {
        repository::insert_claim(work, item).await?;
    }
    Ok(next)
}
