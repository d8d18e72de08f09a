//! Accommodations: granting, listing and revoking a candidate's extra time.

pub mod model;
mod repository;

use self::model::{AccommodatedCandidate, Accommodation};
use super::{ExamResource, repository::raise_revision};
use crate::{
    ManagementError, UnitOfWork,
    ids::ExamId,
    resource::{self, ListPage, PageCursor},
};

/// Grants a candidate extra time at one exam, from the next start on.
///
/// # Errors
/// [`ManagementError::NotFound`] if the exam or the candidate is not visible to the person.
pub async fn grant_accommodation(
    work: &mut UnitOfWork,
    exam: ExamId,
    username: &str,
    wanted: &Accommodation,
) -> Result<(), ManagementError> {
    raise_revision(work, exam, None).await?;
    let granted = repository::upsert_accommodation(work, exam, username, wanted).await?;
    granted.then_some(()).ok_or(ManagementError::NotFound)
}

/// Returns a page of an exam's accommodations, in the order of people's numbers.
///
/// # Errors
/// [`ManagementError::NotFound`] if the exam is not visible to the person.
pub async fn list_accommodations(
    work: &mut UnitOfWork,
    exam: ExamId,
    cursor: PageCursor,
) -> Result<ListPage<AccommodatedCandidate>, ManagementError> {
    resource::get_row::<ExamResource>(work, exam).await?;
    repository::list_accommodations(work, exam, cursor).await
}

/// Revokes an accommodation; started attempts keep theirs.
///
/// # Errors
/// [`ManagementError::NotFound`] if the candidate has none.
pub async fn revoke_accommodation(
    work: &mut UnitOfWork,
    exam: ExamId,
    username: &str,
) -> Result<(), ManagementError> {
    raise_revision(work, exam, None).await?;
    let revoked = repository::delete_accommodation(work, exam, username).await?;
    revoked.then_some(()).ok_or(ManagementError::NotFound)
}
