//! Grading: what answers are worth, as far as a machine can tell.
//!
//! Arithmetic is exact from the first share to the last sum; a number is
//! rounded once, where it leaves as [`Totals`] or [`GradeRow`]. So sums never
//! depend on the order of questions, and a pass is never a matter of rounding:
//! the exact percentage decides, not the one that is shown.
//!
//! Three steps, each usable alone: [`grade_question`] gives a [`Mark`],
//! [`totals`] adds marks up, and [`grade_attempt`] does both. Whoever marks by
//! hand puts [`Mark::Graded`] in the place of a [`Mark::Pending`] and asks for
//! the totals again.
//!
//! Stored values were checked when they were accepted. One that is malformed
//! all the same is a wrong answer, worth 0, and never a panic.

mod exact;
mod hotspot;
mod question;
mod result;
mod text;

use num_rational::BigRational;
use num_traits::{Signed, Zero};
use rust_decimal::Decimal;

use self::exact::{from_decimal, rounded};
pub use self::{
    question::grade_question,
    result::{Head, Key, QuestionResult, ResultView, Standing, result_view},
};
use super::{exam::Exam, id::QuestionId};

/// What one answer is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Points, exact; negative where a wrong choice costs points.
    Graded(BigRational),
    /// A person has to mark it.
    Pending,
}

impl Mark {
    /// Points that a person gave.
    pub fn given(points: Decimal) -> Self {
        Self::Graded(from_decimal(points))
    }

    /// Points as they are shown and stored, 2 decimals; none where a person
    /// has to mark.
    pub fn points(&self) -> Option<Decimal> {
        match self {
            Self::Graded(points) => Some(rounded(points)),
            Self::Pending => None,
        }
    }
}

/// An attempt's sums, rounded as they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Points after floor and late penalty, 2 decimals.
    pub score: Decimal,
    /// Sum of the questions' points, 2 decimals.
    pub max_score: Decimal,
    /// 0 to 100, 2 decimals.
    pub percentage: Decimal,
    /// Whether the exact percentage reaches the passing score; none while a person has to mark.
    pub passed: Option<bool>,
    /// Letter; none while a person has to mark or without a scale.
    pub grade: Option<String>,
    /// Points that the late penalty took, 2 decimals.
    pub penalty: Decimal,
    /// Whether a person has to mark something.
    pub needs_marking: bool,
}

/// The mark of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradeRow {
    /// Which question.
    pub question: QuestionId,
    /// 2 decimals; none where a person has to mark it.
    pub points_earned: Option<Decimal>,
    /// The question's points.
    pub points_possible: Decimal,
}

/// A graded attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grading {
    /// One for each question, in the exam's order.
    pub marks: Vec<Mark>,
    /// One for each question that has an answer, in the exam's order.
    pub rows: Vec<GradeRow>,
    /// The sums.
    pub totals: Totals,
}

/// Grades an attempt. `answer` gives a question's stored value, none where it
/// is unanswered.
pub fn grade_attempt<'a>(
    exam: &Exam,
    answer: impl Fn(&QuestionId) -> Option<&'a str>,
    late: bool,
) -> Grading {
    let mut marks = Vec::new();
    let mut rows = Vec::new();
    for question in exam.questions() {
        let value = answer(&question.id);
        let mark = grade_question(question, value);
        if value.is_some() {
            rows.push(GradeRow {
                question: question.id.clone(),
                points_earned: mark.points(),
                points_possible: question.points,
            });
        }
        marks.push(mark);
    }
    let totals = totals(exam, &marks, late);
    Grading {
        marks,
        rows,
        totals,
    }
}

/// Adds up marks. While one is pending the score is that of the others, and
/// there is no pass and no grade.
pub fn totals(exam: &Exam, marks: &[Mark], late: bool) -> Totals {
    let mut sum = BigRational::zero();
    let mut needs_marking = false;
    for mark in marks {
        match mark {
            Mark::Graded(points) => sum += points,
            Mark::Pending => needs_marking = true,
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
    Totals {
        score: rounded(&score),
        max_score: rounded(&max_score),
        percentage: rounded(&percentage),
        passed: (!needs_marking).then(|| reaches(exam.passing_score)),
        grade: grade
            .filter(|_| !needs_marking)
            .map(|(_, letter)| letter.clone()),
        penalty: rounded(&penalty),
        needs_marking,
    }
}

#[cfg(test)]
mod tests;
