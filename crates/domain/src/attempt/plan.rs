//! The exam that all attempts at one version share, with its questions by number,
//! so that an attempt stores small numbers instead of ids.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    exam::{Exam, ProctoringPolicy, Question, QuestionBody},
    id::{QuestionId, SectionId},
};

/// A frozen exam with indexes.
#[derive(Debug)]
pub struct IndexedExam {
    exam: Arc<Exam>,
    proctoring: Arc<ProctoringPolicy>,
    /// Place of each question: (section, position in the section).
    places: Vec<(u16, u16)>,
    numbers: BTreeMap<QuestionId, u16>,
}

impl IndexedExam {
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

    /// Proctoring rules of the frozen exam.
    pub const fn proctoring(&self) -> &Arc<ProctoringPolicy> {
        &self.proctoring
    }

    /// Number of questions.
    pub fn question_count(&self) -> usize {
        self.places.len()
    }

    /// Number of a question, 0 for the exam's first one.
    pub fn question_number(&self, question: &QuestionId) -> Option<u16> {
        self.numbers.get(question).copied()
    }

    /// The question of a number that [`IndexedExam::question_number`] returned.
    pub fn question(&self, number: u16) -> &Question {
        let (section, position) = self.places[usize::from(number)];
        &self.exam.sections[usize::from(section)].questions[usize::from(position)]
    }

    /// Id of a section, by its index in the exam.
    pub fn section_id(&self, index: u16) -> &SectionId {
        &self.exam.sections[usize::from(index)].id
    }

    /// Index of a question's section.
    pub fn section_index(&self, number: u16) -> u16 {
        self.places[usize::from(number)].0
    }

    /// Returns true if a person has to mark an answer to this question.
    pub fn needs_marking(&self, number: u16) -> bool {
        match &self.question(number).body {
            QuestionBody::Essay { .. } | QuestionBody::Coding { .. } => true,
            QuestionBody::ShortAnswer { accepted, .. } => accepted.is_none(),
            QuestionBody::SingleChoice { .. }
            | QuestionBody::MultipleChoice { .. }
            | QuestionBody::TrueFalse { .. }
            | QuestionBody::FillBlank { .. }
            | QuestionBody::Matching { .. }
            | QuestionBody::Ordering { .. }
            | QuestionBody::Hotspot { .. } => false,
        }
    }
}
