//! Releases of results to candidates.

mod repository;

use crate::{ManagementError, UnitOfWork, ids::ExamId};
use invigil_domain::id::AttemptId;

/// Selection of results to release.
#[derive(Debug, Default)]
pub struct ResultRelease {
    /// Attempts; none: all of the exam, including later hand-ins.
    pub attempts: Option<Vec<AttemptId>>,
    /// True to release results although answers wait for a mark.
    pub unfinished: bool,
}

/// Releases results to candidates. Returns the count of results that are visible from now
/// on.
///
/// # Errors
/// [`ManagementError::WrongState`] while answers wait for a mark, unless `unfinished` is set.
pub async fn release_results(
    work: &mut UnitOfWork,
    exam: ExamId,
    release: &ResultRelease,
) -> Result<i64, ManagementError> {
    let attempts = release.attempts.as_ref();
    let attempts = attempts.map(|ids| ids.iter().map(|id| id.0).collect::<Vec<i64>>());
    let attempts = attempts.as_deref();
    let counts = repository::count_results(work, exam, attempts).await?;
    if counts.unmarked > 0 && !release.unfinished {
        let sentence = format!("{} attempts have answers without a mark", counts.unmarked);
        return Err(ManagementError::WrongState(sentence));
    }
    let released = match attempts {
        None => repository::release_exam(work, exam).await?,
        Some(attempts) => repository::release_attempts(work, exam, attempts).await?,
    };
    if released == 0 {
        return Err(ManagementError::NotFound);
    }
    Ok(counts.whole)
}
