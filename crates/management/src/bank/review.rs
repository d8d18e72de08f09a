//! Review of questions.

use super::{
    BankQuestion, QuestionResource, QuestionReview, QuestionStatus, ReviewAction, ReviewStatus,
};
use crate::{ManagementError, UnitOfWork, ids::BankQuestionId, resource};

/// Effect of an action on a question's status.
struct ReviewStep {
    /// Statuses in which the action is allowed.
    from: &'static [QuestionStatus],
    /// Status after the action.
    to: QuestionStatus,
    /// Result of the review.
    outcome: ReviewStatus,
}

impl ReviewStep {
    const fn of(action: ReviewAction) -> Self {
        use {QuestionStatus as Status, ReviewStatus as Outcome};
        let (from, to, outcome): (&[Status], _, _) = match action {
            ReviewAction::Submit => (&[Status::Draft], Status::Review, Outcome::Pending),
            ReviewAction::Approve => (&[Status::Review], Status::Active, Outcome::Approved),
            ReviewAction::Reject => (&[Status::Review], Status::Draft, Outcome::Rejected),
            ReviewAction::Deprecate => (&[Status::Active], Status::Deprecated, Outcome::Approved),
            ReviewAction::Archive => (
                &[Status::Draft, Status::Deprecated],
                Status::Archived,
                Outcome::Approved,
            ),
            ReviewAction::Reopen => (
                &[Status::Deprecated, Status::Archived],
                Status::Draft,
                Outcome::Pending,
            ),
        };
        Self { from, to, outcome }
    }
}

impl ReviewAction {
    /// Returns true for the actions of a reviewer, who is not the author.
    const fn judges(self) -> bool {
        matches!(self, Self::Approve | Self::Reject)
    }
}

/// Moves a question through `draft`, `review`, `active`, `deprecated` and
/// `archived`. Approval needs an administrator or a teacher of the organisation
/// who is not the author.
///
/// # Errors
/// [`ManagementError::WrongState`] if the question's status does not allow the step.
pub async fn review_question(
    work: &mut UnitOfWork,
    id: BankQuestionId,
    revision: i32,
    review: &QuestionReview,
) -> Result<BankQuestion, ManagementError> {
    let current = resource::get_row::<QuestionResource>(work, id).await?;
    if current.revision != revision {
        return Err(ManagementError::Stale);
    }
    let step = ReviewStep::of(review.action);
    if !step.from.contains(&current.status) {
        let sentence = format!("the question is {}", current.status);
        return Err(ManagementError::WrongState(sentence));
    }
    if review.action.judges() && current.created_by == Some(work.user_id) {
        return Err(ManagementError::WrongState(
            "authors do not review their own questions".to_owned(),
        ));
    }
    let changed = sqlx::query("SELECT review_question($1, $2, $3, $4, $5, $6)")
        .bind(id)
        .bind(revision)
        .bind(step.to)
        .bind(step.outcome)
        .bind(&review.notes)
        .bind(review.action.judges())
        .execute(&mut *work.tx)
        .await?;
    if changed.rows_affected() == 0 {
        return Err(ManagementError::Forbidden);
    }
    resource::get_row::<QuestionResource>(work, id).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_review_makes_a_question_active() {
        for name in ["submit", "reject", "deprecate", "archive", "reopen"] {
            let action = ReviewAction::from_name(name).unwrap();
            assert_ne!(ReviewStep::of(action).to, QuestionStatus::Active, "{name}");
        }
        let approval = ReviewStep::of(ReviewAction::Approve);
        assert_eq!(approval.from, [QuestionStatus::Review]);
        assert!(ReviewAction::Approve.judges());
    }
}
