//! Marks, sums and results, by examples and by properties.

mod properties;
mod results;
mod sums;
mod types;

use std::{collections::BTreeMap, time::Duration};

use rust_decimal::Decimal;

use super::*;
use crate::{
    exam::{
        AcceptedAnswer, ExamKind, ProctoringPolicy, Question, QuestionBody, QuestionOption,
        Section, SessionPolicy,
    },
    id::{OptionId, SectionId},
};

fn parse_decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Ids from words: `"a b c"`.
fn parse_ids(words: &str) -> Vec<OptionId> {
    words.split_whitespace().map(OptionId::from).collect()
}

fn options_of(words: &str) -> Vec<QuestionOption> {
    let choice = |id: OptionId| QuestionOption {
        text: id.to_string(),
        id,
    };
    parse_ids(words).into_iter().map(choice).collect()
}

fn accepted_texts(accepted: &[&str]) -> Vec<AcceptedAnswer> {
    let text = |text: &&str| AcceptedAnswer::Text((*text).into());
    accepted.iter().map(text).collect()
}

fn make_question(id: &str, points: &str, body: QuestionBody) -> Question {
    Question {
        id: id.into(),
        content: String::new(),
        points: parse_decimal(points),
        partial_credit: false,
        negative_marking: false,
        explanation: None,
        body,
    }
}

fn with_partial_credit(question: Question) -> Question {
    Question {
        partial_credit: true,
        ..question
    }
}

fn with_negative_marking(question: Question) -> Question {
    Question {
        negative_marking: true,
        ..question
    }
}

fn single_choice_body(options: &str, answer: &str) -> QuestionBody {
    QuestionBody::SingleChoice {
        options: options_of(options),
        answer: answer.into(),
    }
}

fn multiple_choice_body(options: &str, answer: &str) -> QuestionBody {
    QuestionBody::MultipleChoice {
        options: options_of(options),
        answer: parse_ids(answer),
    }
}

fn fill_blank_body(blanks: Vec<Vec<AcceptedAnswer>>) -> QuestionBody {
    QuestionBody::FillBlank {
        blanks,
        case_sensitive: false,
    }
}

fn matching_body(pairs: &str) -> QuestionBody {
    let pairs = parse_ids(pairs);
    let (left, right): (Vec<_>, Vec<_>) = pairs
        .chunks(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .unzip();
    let words = |ids: &[OptionId]| {
        let words: Vec<&str> = ids.iter().map(OptionId::as_str).collect();
        options_of(&words.join(" "))
    };
    QuestionBody::Matching {
        right: words(&right),
        left: words(&left),
        answer: left.into_iter().zip(right).collect(),
    }
}

fn ordering_body(answer: &str) -> QuestionBody {
    QuestionBody::Ordering {
        items: options_of(answer),
        answer: parse_ids(answer),
    }
}

fn essay_body() -> QuestionBody {
    QuestionBody::Essay { rubric: None }
}

fn exam_of(questions: Vec<Question>) -> Exam {
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
        passing_score: parse_decimal("60"),
        max_attempts: 1,
        available_from: None,
        available_until: None,
        lobby: Duration::ZERO,
        grace_period: Duration::ZERO,
        late_submission_penalty: parse_decimal("0.10"),
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
            .map(|(bound, letter)| (parse_decimal(bound), letter.into()))
            .into(),
        proctoring: ProctoringPolicy {
            enabled: false,
            heartbeat: Duration::from_secs(10),
            retention: None,
            rules: Vec::new(),
        },
        sections: vec![section],
    }
}

/// Grades answers given as `[(question, value)]`.
fn grade_answers(exam: &Exam, answers: &[(&str, &str)], late: bool) -> AttemptGrades {
    let answers: BTreeMap<&str, &str> = answers.iter().copied().collect();
    grade_attempt(exam, |id| answers.get(id.as_str()).copied(), late)
}

/// A mark as displayed; `?` if a person has to mark.
fn shown_mark(question: &Question, value: &str) -> String {
    let mark = grade_question(question, Some(value));
    mark.rounded_points()
        .map_or_else(|| "?".into(), |points| points.normalize().to_string())
}

/// Checks a table of values and the points that they earn.
#[track_caller]
fn check_marks(question: &Question, table: &[(&str, &str)]) {
    for (value, points) in table {
        assert_eq!(shown_mark(question, value), *points, "for {value}");
    }
}
