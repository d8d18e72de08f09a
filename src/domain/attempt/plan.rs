//! What all attempts at one frozen exam share: the exam, and its questions by
//! number, so that an attempt keeps small numbers instead of names.

use std::{collections::BTreeMap, sync::Arc};

use crate::domain::{
    exam::{Body, Exam, Proctoring, Question},
    id::QuestionId,
};

/// A frozen exam, indexed.
#[derive(Debug)]
pub struct Plan {
    exam: Arc<Exam>,
    proctoring: Arc<Proctoring>,
    /// Where each question stands: (section, position in the section).
    places: Vec<(u16, u16)>,
    numbers: BTreeMap<QuestionId, u16>,
}

impl Plan {
    /// Indexes an exam, which validation keeps far below 65,536 questions.
    pub fn new(exam: Arc<Exam>) -> Self {
        let places: Vec<(u16, u16)> = (0..)
            .zip(&exam.sections)
            .flat_map(|(section, content)| {
                (0..)
                    .zip(&content.questions)
                    .map(move |(position, _)| (section, position))
            })
            .collect();
        let numbers = exam
            .sections
            .iter()
            .flat_map(|section| &section.questions)
            .map(|question| question.id.clone())
            .zip(0..)
            .collect();
        Self {
            proctoring: Arc::new(exam.proctoring.clone()),
            exam,
            places,
            numbers,
        }
    }

    /// The exam.
    pub const fn exam(&self) -> &Arc<Exam> {
        &self.exam
    }

    /// How attempts were to be watched when the exam was frozen.
    pub const fn proctoring(&self) -> &Arc<Proctoring> {
        &self.proctoring
    }

    /// How many questions there are.
    pub fn question_count(&self) -> usize {
        self.places.len()
    }

    /// A question's number, 0 for the first of the exam.
    pub fn number(&self, question: &QuestionId) -> Option<u16> {
        self.numbers.get(question).copied()
    }

    /// The question of a number that [`Plan::number`] gave.
    pub fn question(&self, number: u16) -> &Question {
        let (section, position) = self.places[usize::from(number)];
        &self.exam.sections[usize::from(section)].questions[usize::from(position)]
    }

    /// Index of the section that a question stands in.
    pub fn section(&self, number: u16) -> u16 {
        self.places[usize::from(number)].0
    }

    /// Whether a person has to mark an answer to this question.
    pub fn needs_person(&self, number: u16) -> bool {
        match &self.question(number).body {
            Body::Essay { .. } | Body::Coding { .. } => true,
            Body::ShortAnswer { accepted, .. } => accepted.is_none(),
            Body::SingleChoice { .. }
            | Body::MultipleChoice { .. }
            | Body::TrueFalse { .. }
            | Body::FillBlank { .. }
            | Body::Matching { .. }
            | Body::Ordering { .. }
            | Body::Hotspot { .. } => false,
        }
    }
}
