//! Marks that people give: the answers that take one, its range, and the points that
//! follow from several markers.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::named::named;

/// State of an answer's mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerStatus {
    /// The attempt is not handed in.
    Ungraded,
    /// All points were earned.
    Correct,
    /// No points were earned.
    Incorrect,
    /// Some of the points were earned.
    Partial,
    /// A person has to mark the answer.
    PendingReview,
}

named!(AnswerStatus {
    Ungraded = "ungraded",
    Correct = "correct",
    Incorrect = "incorrect",
    Partial = "partial",
    PendingReview = "pending_review",
});

/// Origin of an answer's points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GradingMethod {
    /// The answer key.
    Auto,
    /// A person.
    Manual,
}

named!(GradingMethod {
    Auto = "auto",
    Manual = "manual",
});

/// Returns true if a person may mark an answer, or change its mark. An answer that its key
/// graded changes by a correction of the key.
pub fn is_marked_by_hand(status: AnswerStatus, method: Option<GradingMethod>) -> bool {
    status == AnswerStatus::PendingReview || method == Some(GradingMethod::Manual)
}

/// Returns true for 0 to `possible` points with at most 2 decimals.
pub fn is_mark_allowed(points: Decimal, possible: Decimal) -> bool {
    points >= Decimal::ZERO && points <= possible && points.scale() <= 2
}

/// Number of markers that an exam asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkingPolicy {
    /// True if two people mark each answer.
    pub second_marking: bool,
    /// Points by which two marks may differ before a third marker decides.
    pub tolerance: Decimal,
}

/// The mark of one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenMark {
    /// 1 for the first marker, 2 for the second, 3 for the one who decides between them.
    pub round: i16,
    /// Points that the person gave.
    pub points: Decimal,
}

/// Combines the marks of an answer; `None` while another mark is required. The mean of two
/// marks counts if they differ by at most the tolerance; else a third one decides.
pub fn combine_marks(marks: &[GivenMark], policy: MarkingPolicy) -> Option<Decimal> {
    let points = |round: i16| {
        let mut marks = marks.iter();
        marks
            .find(|mark| mark.round == round)
            .map(|mark| mark.points)
    };
    match (points(1), points(2), points(3)) {
        (_, _, Some(third)) => Some(third),
        (Some(first), Some(second), None) => {
            let agreed = (first - second).abs() <= policy.tolerance;
            agreed.then(|| mean_of(first, second))
        }
        (Some(only), None, None) | (None, Some(only), None) => {
            (!policy.second_marking).then_some(only)
        }
        (None, None, None) => None,
    }
}

fn mean_of(first: Decimal, second: Decimal) -> Decimal {
    let mean = (first + second) / Decimal::TWO;
    mean.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combine(marks: &[(i16, i64)], second_marking: bool) -> Option<String> {
        let marks: Vec<GivenMark> = marks
            .iter()
            .map(|(round, points)| GivenMark {
                round: *round,
                points: Decimal::new(*points, 2),
            })
            .collect();
        let policy = MarkingPolicy {
            second_marking,
            tolerance: Decimal::ONE,
        };
        combine_marks(&marks, policy).map(|points| points.to_string())
    }

    #[test]
    fn two_markers_agree_or_a_third_decides() {
        let given = |text: &str| Some(text.to_owned());
        assert_eq!(combine(&[], false), None);
        assert_eq!(combine(&[(1, 300)], false), given("3.00"));
        assert_eq!(combine(&[(2, 300)], false), given("3.00"));
        assert_eq!(combine(&[(1, 300)], true), None);
        assert_eq!(combine(&[(2, 300)], true), None);
        assert_eq!(combine(&[(1, 300), (2, 375)], true), given("3.38"));
        assert_eq!(combine(&[(1, 300), (2, 400)], true), given("3.50"));
        assert_eq!(combine(&[(1, 300), (2, 401)], true), None);
        assert_eq!(combine(&[(1, 300), (2, 401)], false), None);
        let all = [(1, 300), (2, 401), (3, 350)];
        assert_eq!(combine(&all, true), given("3.50"));
    }

    #[test]
    fn a_key_s_grade_takes_no_mark() {
        for status in AnswerStatus::ALL {
            let waits = *status == AnswerStatus::PendingReview;
            assert_eq!(is_marked_by_hand(*status, None), waits, "{status:?}");
            assert_eq!(is_marked_by_hand(*status, Some(GradingMethod::Auto)), waits);
            assert!(is_marked_by_hand(*status, Some(GradingMethod::Manual)));
        }
    }

    #[test]
    fn a_mark_is_between_zero_and_the_points_of_the_question() {
        let allowed = |points: &str| is_mark_allowed(points.parse().unwrap(), Decimal::TWO);
        for points in ["0", "0.01", "1.5", "2", "2.00"] {
            assert!(allowed(points), "{points}");
        }
        for points in ["-0.01", "2.01", "0.001", "1.000"] {
            assert!(!allowed(points), "{points}");
        }
    }
}
