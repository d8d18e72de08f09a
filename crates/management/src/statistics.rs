//! Statistics of exams, and lists of their attempts with ranks.

pub mod model;
mod repository;

use serde_json::Value;

use self::model::{AttemptCursor, AttemptPage, ExamStatistics};
use crate::{ManagementError, UnitOfWork, ids::ExamId, resource::PAGE_MAX};

/// Returns the statistics of an exam.
///
/// # Errors
/// [`ManagementError::NotFound`] before their first refresh.
pub async fn exam_statistics(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<ExamStatistics, ManagementError> {
    Ok(ExamStatistics {
        exam: repository::read_statistics(work, exam).await?,
        questions: repository::read_items(work, exam).await?,
    })
}

/// Returns a page of an exam's attempts, newest first.
///
/// # Errors
/// Database errors.
pub async fn list_attempts(
    work: &mut UnitOfWork,
    exam: ExamId,
    before: Option<AttemptCursor>,
    limit: i64,
) -> Result<AttemptPage, ManagementError> {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut items = repository::list_attempts(work, exam, before, limit + 1).await?;
    let more = items.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        items.pop();
    }
    let last: Option<&Value> = items.last().filter(|_| more);
    let next = last.and_then(AttemptCursor::of_row);
    Ok(AttemptPage { items, next })
}
