//! Marks, sums and results, by examples and by properties.

mod properties;
mod results;
mod sums;
mod types;

use std::{collections::BTreeMap, time::Duration};

use rust_decimal::Decimal;

use super::*;
use crate::domain::{
    exam::{Accepted, Body, Choice, ExamKind, Proctoring, Question, Section, SessionPolicy},
    id::{OptionId, SectionId},
};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Ids from words: `"a b c"`.
fn ids(words: &str) -> Vec<OptionId> {
    words.split_whitespace().map(OptionId::from).collect()
}

fn choices(words: &str) -> Vec<Choice> {
    let choice = |id: OptionId| Choice {
        text: id.to_string(),
        id,
    };
    ids(words).into_iter().map(choice).collect()
}

fn texts(accepted: &[&str]) -> Vec<Accepted> {
    let text = |text: &&str| Accepted::Text((*text).into());
    accepted.iter().map(text).collect()
}

fn question(id: &str, points: &str, body: Body) -> Question {
    Question {
        id: id.into(),
        content: String::new(),
        points: decimal(points),
        partial_credit: false,
        negative_marking: false,
        explanation: None,
        body,
    }
}

fn partial(question: Question) -> Question {
    Question {
        partial_credit: true,
        ..question
    }
}

fn negative(question: Question) -> Question {
    Question {
        negative_marking: true,
        ..question
    }
}

fn single_choice(options: &str, answer: &str) -> Body {
    Body::SingleChoice {
        options: choices(options),
        answer: answer.into(),
    }
}

fn multiple_choice(options: &str, answer: &str) -> Body {
    Body::MultipleChoice {
        options: choices(options),
        answer: ids(answer),
    }
}

fn fill_blank(blanks: Vec<Vec<Accepted>>) -> Body {
    Body::FillBlank {
        blanks,
        case_sensitive: false,
    }
}

fn matching(pairs: &str) -> Body {
    let pairs = ids(pairs);
    let (left, right): (Vec<_>, Vec<_>) = pairs
        .chunks(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .unzip();
    let words = |ids: &[OptionId]| {
        let words: Vec<&str> = ids.iter().map(OptionId::as_str).collect();
        choices(&words.join(" "))
    };
    Body::Matching {
        right: words(&right),
        left: words(&left),
        answer: left.into_iter().zip(right).collect(),
    }
}

fn ordering(answer: &str) -> Body {
    Body::Ordering {
        items: choices(answer),
        answer: ids(answer),
    }
}

fn essay() -> Body {
    Body::Essay { rubric: None }
}

fn exam(questions: Vec<Question>) -> Exam {
    let section = Section {
        id: SectionId::from("s1"),
        title: String::new(),
        time_limit: None,
        questions,
    };
    let scale = [
        ("90", "A"),
        ("80", "B"),
        ("70", "C"),
        ("60", "D"),
        ("0", "F"),
    ];
    Exam {
        version: "sha256:00".into(),
        code: "T-1".into(),
        title: String::new(),
        instructions: String::new(),
        kind: ExamKind::Quiz,
        duration: Duration::from_hours(1),
        passing_score: decimal("60"),
        max_attempts: 1,
        available_from: None,
        available_until: None,
        lobby: Duration::ZERO,
        grace_period: Duration::ZERO,
        late_submission_penalty: decimal("0.10"),
        full_duration_after_close: false,
        shuffle_questions: false,
        shuffle_options: false,
        show_results_immediately: true,
        allow_review: true,
        show_correct_answers: false,
        password: None,
        ip_restrictions: Vec::new(),
        session_policy: SessionPolicy::Takeover,
        compensate_up_to: None,
        grade_scale: scale
            .map(|(bound, letter)| (decimal(bound), letter.into()))
            .into(),
        proctoring: Proctoring {
            enabled: false,
            heartbeat: Duration::from_secs(10),
            keep: None,
            rules: Vec::new(),
        },
        sections: vec![section],
    }
}

/// Grades answers given as `[(question, value)]`.
fn grade(exam: &Exam, answers: &[(&str, &str)], late: bool) -> Grading {
    let answers: BTreeMap<&str, &str> = answers.iter().copied().collect();
    grade_attempt(exam, |id| answers.get(id.as_str()).copied(), late)
}

/// A mark as it is shown; `?` where a person has to mark.
fn shown(question: &Question, value: &str) -> String {
    let mark = grade_question(question, Some(value));
    mark.points()
        .map_or_else(|| "?".into(), |points| points.normalize().to_string())
}

/// Each line: a value, and what it earns.
#[track_caller]
fn check(question: &Question, table: &[(&str, &str)]) {
    for (value, points) in table {
        assert_eq!(shown(question, value), *points, "for {value}");
    }
}
