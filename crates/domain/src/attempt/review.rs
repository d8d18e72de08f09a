//! Status of an attempt after its hand-in: what marks and a person's review make of it.

use super::{AttemptControl, AttemptPhase, HandedInBy, LifecycleStatus};

/// Reason for which the review of an attempt cannot end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReviewRefusal {
    /// An answer waits for a mark.
    #[error("the attempt has answers without a mark")]
    NeedsMarking,
    /// The attempt is not handed in, or void.
    #[error("the attempt is {}", .0.as_str())]
    NotHandedIn(LifecycleStatus),
}

impl LifecycleStatus {
    /// Status of an attempt that is handed in and not held for a review.
    pub const fn after_hand_in(by: HandedInBy, needs_marking: bool) -> Self {
        match (needs_marking, by) {
            (false, _) => Self::Graded,
            (true, HandedInBy::Time) => Self::AutoSubmitted,
            (true, HandedInBy::Candidate | HandedInBy::Staff) => Self::Submitted,
        }
    }
}

impl AttemptControl {
    /// Sets the status that follows from the marks. Flagged, cancelled and reviewed attempts
    /// keep theirs, and so do attempts that are not handed in.
    pub const fn settle_marks(&mut self, needs_marking: bool) {
        let AttemptPhase::HandedIn { by, status, .. } = &mut self.phase else {
            return;
        };
        match status {
            LifecycleStatus::Flagged | LifecycleStatus::Cancelled | LifecycleStatus::Reviewed => {}
            LifecycleStatus::Started
            | LifecycleStatus::InProgress
            | LifecycleStatus::Paused
            | LifecycleStatus::Submitted
            | LifecycleStatus::AutoSubmitted
            | LifecycleStatus::Graded => {
                *status = LifecycleStatus::after_hand_in(*by, needs_marking);
            }
        }
    }

    /// Ends the review of a marked attempt, and removes its flag.
    ///
    /// # Errors
    /// While an answer waits for a mark, and for attempts that are not handed in or void.
    pub const fn end_review(&mut self, needs_marking: bool) -> Result<(), ReviewRefusal> {
        if needs_marking {
            return Err(ReviewRefusal::NeedsMarking);
        }
        match &mut self.phase {
            AttemptPhase::HandedIn { status, .. } => *status = LifecycleStatus::Reviewed,
            AttemptPhase::Waiting | AttemptPhase::Taking | AttemptPhase::Cancelled { .. } => {
                return Err(ReviewRefusal::NotHandedIn(self.status()));
            }
        }
        self.flagged = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn handed_in(by: HandedInBy, status: LifecycleStatus) -> AttemptControl {
        AttemptControl {
            phase: AttemptPhase::HandedIn {
                at: Timestamp::from_ms(1),
                by,
                status,
            },
            flagged: status == LifecycleStatus::Flagged,
            ..AttemptControl::default()
        }
    }

    #[test]
    fn marks_settle_what_no_person_decided() {
        use LifecycleStatus::{AutoSubmitted, Cancelled, Flagged, Graded, Reviewed, Submitted};
        for (by, status, needs_marking, after) in [
            (HandedInBy::Candidate, Submitted, false, Graded),
            (HandedInBy::Candidate, Submitted, true, Submitted),
            (HandedInBy::Time, AutoSubmitted, false, Graded),
            (HandedInBy::Time, AutoSubmitted, true, AutoSubmitted),
            // A correction of the key may ask for a person again.
            (HandedInBy::Staff, Graded, true, Submitted),
            (HandedInBy::Time, Graded, true, AutoSubmitted),
            (HandedInBy::Time, Flagged, false, Flagged),
            (HandedInBy::Time, Reviewed, true, Reviewed),
            (HandedInBy::Time, Cancelled, false, Cancelled),
        ] {
            let mut control = handed_in(by, status);
            control.settle_marks(needs_marking);
            assert_eq!(control.status(), after, "{by:?} {status:?} {needs_marking}");
        }
        let mut control = AttemptControl::default();
        control.settle_marks(false);
        assert_eq!(control, AttemptControl::default());
    }

    #[test]
    fn a_review_ends_once_all_is_marked() {
        let flagged = handed_in(HandedInBy::Candidate, LifecycleStatus::Flagged);
        let mut control = flagged.clone();
        assert_eq!(control.end_review(true), Err(ReviewRefusal::NeedsMarking));
        assert_eq!(control, flagged);
        assert_eq!(control.end_review(false), Ok(()));
        assert_eq!(control.status(), LifecycleStatus::Reviewed);
        assert!(!control.flagged);
    }

    #[test]
    fn a_void_attempt_cannot_be_reviewed() {
        let at = Timestamp::from_ms(1);
        let mut control = AttemptControl {
            phase: AttemptPhase::Cancelled { at },
            ..AttemptControl::default()
        };
        let refusal = control.end_review(false).unwrap_err();
        assert_eq!(refusal.to_string(), "the attempt is cancelled");
        assert_eq!(control.phase, AttemptPhase::Cancelled { at });
    }
}
