//! Grading: points for the answers that need no person to mark them.
//!
//! All arithmetic is exact; a number is rounded once, in [`ScoreTotals`] or
//! [`GradeRow`]. Therefore sums do not depend on the order of questions, and a pass
//! does not depend on rounding: the exact percentage decides, not the displayed one.
//!
//! Four functions, each usable alone: [`grade_question`] returns an [`AnswerMark`],
//! [`sum_marks`] adds marks up, [`grade_attempt`] does both, and [`regrade_attempt`]
//! does both again after marking by hand or a corrected key: the points that a person
//! gave stand, the key grades the other answers.
//!
//! Stored values were checked when they were accepted. A malformed one nevertheless
//! counts as a wrong answer, worth 0, and never causes a panic.

mod exact;
mod hotspot;
mod question;
mod result;
mod text;

use num_rational::BigRational;
use num_traits::{Signed, Zero};
use rust_decimal::Decimal;

use self::exact::{from_decimal, round_half_up};
pub use self::{
    question::grade_question,
    result::{
        AttemptResult, GradedQuestion, KeyVisibility, MarkedAnswer, ResultHeader, build_result,
    },
};
use crate::{exam::Exam, id::QuestionId};

/// Exact mark of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerMark {
    /// Exact points; negative if a wrong choice costs points.
    Graded(BigRational),
    /// A person has to mark the answer.
    Pending,
}

impl AnswerMark {
    /// Returns the mark with the points that a person gave.
    pub fn from_points(points: Decimal) -> Self {
        Self::Graded(from_decimal(points))
    }

    /// Returns the points with 2 decimals, as displayed and stored; `None` if a person
    /// has to mark the answer.
    pub fn rounded_points(&self) -> Option<Decimal> {
        match self {
            Self::Graded(points) => Some(round_half_up(points)),
            Self::Pending => None,
        }
    }
}

/// Sums of an attempt, rounded as displayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreTotals {
    /// Points after floor and late penalty, 2 decimals.
    pub score: Decimal,
    /// Sum of the questions' points, 2 decimals.
    pub max_score: Decimal,
    /// Score in percent, 0 to 100, 2 decimals.
    pub percentage: Decimal,
    /// True if the exact percentage reaches the passing score; `None` while a mark is
    /// pending.
    pub passed: Option<bool>,
    /// Letter; `None` while a mark is pending, or without a scale.
    pub grade: Option<String>,
    /// Points lost by the late penalty, 2 decimals.
    pub penalty: Decimal,
    /// True if a person has to mark an answer.
    pub needs_marking: bool,
}

/// The stored mark of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradeRow {
    /// Id of the question.
    pub question: QuestionId,
    /// Points with 2 decimals; `None` if a person has to mark the answer.
    pub points_earned: Option<Decimal>,
    /// Points of the question.
    pub points_possible: Decimal,
}

/// Marks and sums of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptGrades {
    /// The marks of all questions, in the exam's order.
    pub marks: Vec<AnswerMark>,
    /// The key's marks of the questions that have an answer, in the exam's order.
    pub rows: Vec<GradeRow>,
    /// Sums of the marks.
    pub totals: ScoreTotals,
}

/// Grades an attempt. `answer` returns a question's stored value, `None` for an
/// unanswered question.
pub fn grade_attempt<'a>(
    exam: &Exam,
    answer: impl Fn(&QuestionId) -> Option<&'a str>,
    late: bool,
) -> AttemptGrades {
    let standing = |question: &QuestionId| StandingAnswer {
        value: answer(question),
        by_hand: None,
    };
    regrade_attempt(exam, standing, late)
}

/// An answer whose attempt is graded again.
#[derive(Debug, Clone, Copy, Default)]
pub struct StandingAnswer<'a> {
    /// Stored value; `None` for an unanswered question.
    pub value: Option<&'a str>,
    /// Points that a person gave.
    pub by_hand: Option<Decimal>,
}

/// Grades an attempt by its key, except where a person gave points. The rows are those of
/// the answers that the key graded.
pub fn regrade_attempt<'a>(
    exam: &Exam,
    standing: impl Fn(&QuestionId) -> StandingAnswer<'a>,
    late: bool,
) -> AttemptGrades {
    let mut marks = Vec::new();
    let mut rows = Vec::new();
    for question in exam.questions() {
        let StandingAnswer { value, by_hand } = standing(&question.id);
        let mark = by_hand.map_or_else(|| grade_question(question, value), AnswerMark::from_points);
        if value.is_some() && by_hand.is_none() {
            rows.push(GradeRow {
                question: question.id.clone(),
                points_earned: mark.rounded_points(),
                points_possible: question.points,
            });
        }
        marks.push(mark);
    }
    let totals = sum_marks(exam, &marks, late);
    AttemptGrades {
        marks,
        rows,
        totals,
    }
}

/// Adds up marks. While a mark is pending, the score is that of the others, and pass
/// and grade are open.
pub fn sum_marks(exam: &Exam, marks: &[AnswerMark], late: bool) -> ScoreTotals {
    let mut sum = BigRational::zero();
    let mut needs_marking = false;
    for mark in marks {
        match mark {
            AnswerMark::Graded(points) => sum += points,
            AnswerMark::Pending => needs_marking = true,
        }
    }
    let earned = if sum.is_negative() {
        BigRational::zero()
    } else {
        sum
    };
    let penalty = if late {
        &earned * from_decimal(exam.late_submission_penalty)
    } else {
        BigRational::zero()
    };
    let score = earned - &penalty;
    let max_score: BigRational = exam
        .questions()
        .map(|question| from_decimal(question.points))
        .sum();
    let percentage = if max_score.is_positive() {
        &score / &max_score * from_decimal(Decimal::ONE_HUNDRED)
    } else {
        BigRational::zero()
    };
    let reaches = |bound: Decimal| percentage >= from_decimal(bound);
    let grade = exam.grade_scale.iter().find(|(bound, _)| reaches(*bound));
    ScoreTotals {
        score: round_half_up(&score),
        max_score: round_half_up(&max_score),
        percentage: round_half_up(&percentage),
        passed: (!needs_marking).then(|| reaches(exam.passing_score)),
        grade: grade
            .filter(|_| !needs_marking)
            .map(|(_, letter)| letter.clone()),
        penalty: round_half_up(&penalty),
        needs_marking,
    }
}

#[cfg(test)]
mod tests;
