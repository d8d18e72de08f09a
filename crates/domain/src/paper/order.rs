//! A candidate's order of a paper.

use serde::Serialize;

use super::draw::{DrawStream, arrangeable, document_order, key_order};
use crate::{
    exam::{Exam, Question, QuestionBody},
    id::{OptionId, QuestionId, SectionId},
};

/// A candidate's order of sections, questions and options: `welcome.paper.order`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PaperOrder {
    /// The sections, in the exam's order.
    pub sections: Vec<OrderedSection>,
}

/// The order within a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderedSection {
    /// Id of the section.
    pub section: SectionId,
    /// Its questions, in the candidate's order.
    pub questions: Vec<OrderedQuestion>,
}

/// The order within a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderedQuestion {
    /// Id of the question.
    pub q: QuestionId,
    /// Options, items or right sides; empty if the type has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionId>,
}

/// Draws the order for a seed. The same exam version and seed always give the same
/// order: see [`draw`](super::draw).
///
/// A single stream is read in the exam's order: for each section, its questions are
/// shuffled, then the options of its questions in the order of the file. Items and
/// right sides never have the order of the key, even if the exam does not shuffle.
pub fn draw_order(exam: &Exam, seed: u64) -> PaperOrder {
    let mut draw = DrawStream::from_label(&[b"invigil paper order v1", &seed.to_le_bytes()]);
    let sections = exam
        .sections
        .iter()
        .map(|section| {
            let mut places: Vec<usize> = (0..section.questions.len()).collect();
            if exam.shuffle_questions {
                draw.shuffle(&mut places);
            }
            let mut questions: Vec<Option<OrderedQuestion>> = section
                .questions
                .iter()
                .map(|question| {
                    Some(OrderedQuestion {
                        q: question.id.clone(),
                        options: draw_options(exam, question, &mut draw),
                    })
                })
                .collect();
            OrderedSection {
                section: section.id.clone(),
                questions: places
                    .into_iter()
                    .filter_map(|place| questions[place].take())
                    .collect(),
            }
        })
        .collect();
    PaperOrder { sections }
}

fn draw_options(exam: &Exam, question: &Question, draw: &mut DrawStream) -> Vec<OptionId> {
    let keyed = matches!(
        question.body,
        QuestionBody::Matching { .. } | QuestionBody::Ordering { .. }
    );
    if keyed && !exam.shuffle_options {
        return document_order(&exam.code, question)
            .into_iter()
            .map(|choice| choice.id.clone())
            .collect();
    }
    let mut ids: Vec<OptionId> = arrangeable(&question.body)
        .iter()
        .map(|choice| choice.id.clone())
        .collect();
    if exam.shuffle_options {
        draw.shuffle_off_key(&mut ids, &key_order(&question.body));
    }
    ids
}
