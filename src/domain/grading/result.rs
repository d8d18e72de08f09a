//! The result as people and programs see it, numbers as JSON numbers.

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Number, Value, json};

use super::Totals;
use crate::domain::{
    attempt::Status,
    exam::{Accepted, Body, Exam, Region},
    id::{AttemptId, QuestionId},
};

/// An attempt's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultView {
    /// The attempt's id.
    pub attempt: String,
    /// Where the attempt stands.
    pub status: Status,
    /// So far, while a person has to mark.
    pub score: Number,
    /// The most that can be reached.
    pub max_score: Number,
    /// 0 to 100.
    pub percentage: Number,
    /// None while a person has to mark.
    pub passed: Option<bool>,
    /// None while a person has to mark.
    pub grade: Option<String>,
    /// Whether it was handed in late.
    pub late: bool,
    /// Points that the late penalty took.
    pub penalty: Number,
    /// Whether a person has to mark something.
    pub needs_marking: bool,
    /// All questions, in the exam's order.
    pub questions: Vec<QuestionResult>,
}

/// One question of a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuestionResult {
    /// Which question.
    pub q: QuestionId,
    /// The most that can be earned.
    pub points: Number,
    /// What was earned; none while a person has to mark it.
    pub score: Option<Number>,
    /// The answer; null where unanswered.
    pub value: Value,
    /// The right answer in the exam file's shape, only where it may be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// The author's explanation, only where the right answer may be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

/// What a result says of the attempt as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Where it stands.
    pub status: Status,
    /// Whether it was handed in late.
    pub late: bool,
    /// Its sums.
    pub totals: &'a Totals,
}

/// One answer with its mark, as stored.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// JSON.
    pub value: &'a str,
    /// None while a person has to mark it.
    pub points_earned: Option<Decimal>,
}

/// Whether a result shows the right answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// For staff, and for candidates where the exam shows them.
    Shown,
    /// Nothing of the key is told.
    Hidden,
}

impl Key {
    /// What a candidate of this exam may see.
    pub const fn for_candidate(exam: &Exam) -> Self {
        if exam.show_correct_answers {
            Self::Shown
        } else {
            Self::Hidden
        }
    }
}

/// Puts a result together. `standing` gives a question's answer, none where
/// it is unanswered.
pub fn result_view<'a>(
    exam: &Exam,
    head: Head<'_>,
    standing: impl Fn(&QuestionId) -> Option<Standing<'a>>,
    key: Key,
) -> ResultView {
    let totals = head.totals;
    let shown = key == Key::Shown;
    let questions = exam
        .questions()
        .map(|question| {
            let standing = standing(&question.id);
            let earned = standing.map_or(Some(Decimal::ZERO), |standing| standing.points_earned);
            QuestionResult {
                q: question.id.clone(),
                points: number(question.points),
                score: earned.map(number),
                value: standing.map_or(Value::Null, |standing| {
                    serde_json::from_str(standing.value).unwrap_or_default()
                }),
                answer: shown.then(|| right_answer(&question.body)),
                explanation: question.explanation.clone().filter(|_| shown),
            }
        })
        .collect();
    ResultView {
        attempt: head.attempt.to_string(),
        status: head.status,
        score: number(totals.score),
        max_score: number(totals.max_score),
        percentage: number(totals.percentage),
        passed: totals.passed,
        grade: totals.grade.clone(),
        late: head.late,
        penalty: number(totals.penalty),
        needs_marking: totals.needs_marking,
        questions,
    }
}

/// A key in the exam file's shape.
fn right_answer(body: &Body) -> Value {
    match body {
        Body::SingleChoice { answer, .. } => json!(answer),
        Body::MultipleChoice { answer, .. } | Body::Ordering { answer, .. } => json!(answer),
        Body::TrueFalse { answer } => json!(answer),
        Body::FillBlank { blanks, .. } => blanks.iter().map(|blank| accepted(blank)).collect(),
        Body::ShortAnswer {
            accepted: Some(answers),
            ..
        } => accepted(answers),
        Body::Matching { answer, .. } => json!(answer),
        Body::Hotspot { answer, .. } => answer.iter().map(region).collect(),
        Body::ShortAnswer { accepted: None, .. } | Body::Essay { .. } | Body::Coding { .. } => {
            Value::Null
        }
    }
}

fn accepted(answers: &[Accepted]) -> Value {
    let shape = |accepted: &Accepted| match accepted {
        Accepted::Text(text) => json!(text),
        Accepted::Number {
            number: right,
            tolerance,
        } => json!({"number": number(*right), "tolerance": number(*tolerance)}),
    };
    answers.iter().map(shape).collect()
}

fn region(region: &Region) -> Value {
    match region {
        Region::Rect { x1, y1, x2, y2 } => json!({"shape": "rect", "coords": [x1, y1, x2, y2]}),
        Region::Circle { cx, cy, r } => json!({"shape": "circle", "coords": [cx, cy, r]}),
        Region::Polygon { points } => json!({"shape": "polygon", "coords": points}),
    }
}

/// A decimal as JSON has it, without trailing zeros: `2`, not `2.00`.
fn number(decimal: Decimal) -> Number {
    let text = decimal.normalize().to_string();
    text.parse().expect("a decimal's text is a JSON number")
}
