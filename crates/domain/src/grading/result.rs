//! The result for people and programs, with numbers as JSON numbers.

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Number, Value, json};

use super::ScoreTotals;
use crate::{
    attempt::LifecycleStatus,
    exam::{AcceptedAnswer, Exam, HotspotRegion, QuestionBody},
    id::{AttemptId, QuestionId},
};

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptResult {
    /// Id of the attempt.
    pub attempt: String,
    /// Status of the attempt.
    pub status: LifecycleStatus,
    /// Points; a partial sum while a mark is pending.
    pub score: Number,
    /// Sum of the questions' points.
    pub max_score: Number,
    /// Score in percent, 0 to 100.
    pub percentage: Number,
    /// `None` while a mark is pending.
    pub passed: Option<bool>,
    /// `None` while a mark is pending.
    pub grade: Option<String>,
    /// True if it was handed in late.
    pub late: bool,
    /// Points lost by the late penalty.
    pub penalty: Number,
    /// True if a person has to mark an answer.
    pub needs_marking: bool,
    /// All questions, in the exam's order.
    pub questions: Vec<GradedQuestion>,
}

/// A question of a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GradedQuestion {
    /// Id of the question.
    pub q: QuestionId,
    /// Points of the question.
    pub points: Number,
    /// Points earned; `None` while a person has to mark the answer.
    pub score: Option<Number>,
    /// The answer; null if there is none.
    pub value: Value,
    /// The right answer in the form of the exam file, if it may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// The author's explanation, if the right answer may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

/// The part of a result about the whole attempt.
#[derive(Debug, Clone, Copy)]
pub struct ResultHeader<'a> {
    /// Id of the attempt.
    pub attempt: AttemptId,
    /// Status of the attempt.
    pub status: LifecycleStatus,
    /// True if it was handed in late.
    pub late: bool,
    /// Sums of its marks.
    pub totals: &'a ScoreTotals,
}

/// A stored answer with its mark.
#[derive(Debug, Clone, Copy)]
pub struct MarkedAnswer<'a> {
    /// Value as JSON.
    pub value: &'a str,
    /// `None` while a person has to mark it.
    pub points_earned: Option<Decimal>,
}

/// Visibility of the right answers in a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyVisibility {
    /// Shown to staff, and to candidates if the exam shows the right answers.
    Shown,
    /// No part of the key is shown.
    Hidden,
}

impl KeyVisibility {
    /// Visibility for a candidate of this exam.
    pub const fn for_candidate(exam: &Exam) -> Self {
        if exam.show_correct_answers {
            Self::Shown
        } else {
            Self::Hidden
        }
    }
}

/// Builds a result. `standing` returns a question's answer, `None` for an unanswered
/// question.
pub fn build_result<'a>(
    exam: &Exam,
    head: ResultHeader<'_>,
    standing: impl Fn(&QuestionId) -> Option<MarkedAnswer<'a>>,
    key: KeyVisibility,
) -> AttemptResult {
    let totals = head.totals;
    let shown = key == KeyVisibility::Shown;
    let questions = exam
        .questions()
        .map(|question| {
            let standing = standing(&question.id);
            let earned = standing.map_or(Some(Decimal::ZERO), |standing| standing.points_earned);
            GradedQuestion {
                q: question.id.clone(),
                points: json_number(question.points),
                score: earned.map(json_number),
                value: standing.map_or(Value::Null, |standing| {
                    serde_json::from_str(standing.value).unwrap_or_default()
                }),
                answer: shown.then(|| right_answer(&question.body)),
                explanation: question.explanation.clone().filter(|_| shown),
            }
        })
        .collect();
    AttemptResult {
        attempt: head.attempt.to_string(),
        status: head.status,
        score: json_number(totals.score),
        max_score: json_number(totals.max_score),
        percentage: json_number(totals.percentage),
        passed: totals.passed,
        grade: totals.grade.clone(),
        late: head.late,
        penalty: json_number(totals.penalty),
        needs_marking: totals.needs_marking,
        questions,
    }
}

/// Returns the answer key in the form of the exam file.
fn right_answer(body: &QuestionBody) -> Value {
    match body {
        QuestionBody::SingleChoice { answer, .. } => json!(answer),
        QuestionBody::MultipleChoice { answer, .. } | QuestionBody::Ordering { answer, .. } => {
            json!(answer)
        }
        QuestionBody::TrueFalse { answer } => json!(answer),
        QuestionBody::FillBlank { blanks, .. } => {
            blanks.iter().map(|blank| accepted_json(blank)).collect()
        }
        QuestionBody::ShortAnswer {
            accepted: Some(answers),
            ..
        } => accepted_json(answers),
        QuestionBody::Matching { answer, .. } => json!(answer),
        QuestionBody::Hotspot { answer, .. } => answer.iter().map(region_json).collect(),
        QuestionBody::ShortAnswer { accepted: None, .. }
        | QuestionBody::Essay { .. }
        | QuestionBody::Coding { .. } => Value::Null,
    }
}

fn accepted_json(answers: &[AcceptedAnswer]) -> Value {
    let shape = |accepted: &AcceptedAnswer| match accepted {
        AcceptedAnswer::Text(text) => json!(text),
        AcceptedAnswer::Number {
            number: right,
            tolerance,
        } => json!({"number": json_number(*right), "tolerance": json_number(*tolerance)}),
    };
    answers.iter().map(shape).collect()
}

fn region_json(region: &HotspotRegion) -> Value {
    match region {
        HotspotRegion::Rect { x1, y1, x2, y2 } => {
            json!({"shape": "rect", "coords": [x1, y1, x2, y2]})
        }
        HotspotRegion::Circle { cx, cy, r } => json!({"shape": "circle", "coords": [cx, cy, r]}),
        HotspotRegion::Polygon { points } => json!({"shape": "polygon", "coords": points}),
    }
}

/// Returns a decimal as a JSON number, without trailing zeros: `2`, not `2.00`.
fn json_number(decimal: Decimal) -> Number {
    let text = decimal.normalize().to_string();
    text.parse().expect("a decimal's text is a JSON number")
}
