//! Exam drafts: settings, sections and questions, random draws from the bank,
//! publication and accommodations.
//!
//! People edit the composition. Publication builds an exam file from it, checks
//! the whole file and freezes it as a version. Attempts refer to versions, so an
//! exam can be edited while it is taken: later starts get the next version.

pub mod accommodations;
pub mod composition;
pub mod model;
pub mod publish;
mod repository;

pub use self::repository::ExamResource;
use self::{
    model::{ExamDraft, ExamRecord, ExamStatus},
    repository::raise_revision,
};
use crate::{ManagementError, UnitOfWork, ids::ExamId, resource};
use invigil_domain::admission::hashed_password;

/// Creates an exam that its author may change.
///
/// # Errors
/// [`ManagementError::Invalid`] for invalid settings and over the organisation's `max_exams`.
pub async fn create_exam(
    work: &mut UnitOfWork,
    draft: &ExamDraft,
) -> Result<ExamRecord, ManagementError> {
    let id = repository::insert_exam(work, draft).await?;
    resource::get_row::<ExamResource>(work, id).await
}

/// Moves an exam to another status: ends, reopens or archives it.
///
/// # Errors
/// [`ManagementError::WrongState`] if the exam's status does not allow the step.
pub async fn set_status(
    work: &mut UnitOfWork,
    exam: ExamId,
    revision: i32,
    status: ExamStatus,
) -> Result<ExamRecord, ManagementError> {
    let current = resource::get_row::<ExamResource>(work, exam).await?;
    let has_version = current.version.is_some();
    if !current.status.may_become(status, has_version) {
        let sentence = format!("the exam is {} and cannot become {status}", current.status);
        return Err(ManagementError::WrongState(sentence));
    }
    raise_revision(work, exam, Some(revision)).await?;
    repository::write_status(work, exam, status).await?;
    resource::get_row::<ExamResource>(work, exam).await
}

/// Sets the password that a start requires, from the next publication on.
///
/// # Errors
/// [`ManagementError::Stale`], [`ManagementError::Forbidden`].
pub async fn set_password(
    work: &mut UnitOfWork,
    exam: ExamId,
    revision: i32,
    password: Option<&str>,
) -> Result<ExamRecord, ManagementError> {
    raise_revision(work, exam, Some(revision)).await?;
    let code = repository::read_code(work, exam).await?.into();
    let hashed = password.map(|password| hashed_password(&code, password));
    repository::write_password(work, exam, hashed).await?;
    resource::get_row::<ExamResource>(work, exam).await
}
