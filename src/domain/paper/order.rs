//! One candidate's order of a paper.

use serde::Serialize;

use super::draw::{Draw, document_order, key_order, movable};
use crate::domain::{
    exam::{Body, Exam, Question},
    id::{OptionId, QuestionId, SectionId},
};

/// A candidate's order of sections, questions and options: `welcome.paper.order`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Order {
    /// In the exam's order.
    pub sections: Vec<SectionOrder>,
}

/// The order within a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SectionOrder {
    /// Which section.
    pub section: SectionId,
    /// Its questions.
    pub questions: Vec<QuestionOrder>,
}

/// The order within a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuestionOrder {
    /// Which question.
    pub q: QuestionId,
    /// Options, items or right sides; none where the type has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionId>,
}

/// Draws the order that belongs to a seed. The same exam version and seed give
/// the same order for good: see [`draw`](super::draw).
///
/// One stream is read in the exam's order: for each section its questions are
/// shuffled, then, question by question as the file has them, their options.
/// Items and right sides never come out in the key's order, whether the exam
/// shuffles or not.
pub fn order_for(exam: &Exam, seed: u64) -> Order {
    let mut draw = Draw::from_label(&[b"invigil paper order v1", &seed.to_le_bytes()]);
    let sections = exam
        .sections
        .iter()
        .map(|section| {
            let mut places: Vec<usize> = (0..section.questions.len()).collect();
            if exam.shuffle_questions {
                draw.shuffle(&mut places);
            }
            let mut questions: Vec<Option<QuestionOrder>> = section
                .questions
                .iter()
                .map(|question| {
                    Some(QuestionOrder {
                        q: question.id.clone(),
                        options: options_for(exam, question, &mut draw),
                    })
                })
                .collect();
            SectionOrder {
                section: section.id.clone(),
                questions: places
                    .into_iter()
                    .filter_map(|place| questions[place].take())
                    .collect(),
            }
        })
        .collect();
    Order { sections }
}

fn options_for(exam: &Exam, question: &Question, draw: &mut Draw) -> Vec<OptionId> {
    let keyed = matches!(question.body, Body::Matching { .. } | Body::Ordering { .. });
    if keyed && !exam.shuffle_options {
        return document_order(&exam.code, question)
            .into_iter()
            .map(|choice| choice.id.clone())
            .collect();
    }
    let mut ids: Vec<OptionId> = movable(&question.body)
        .iter()
        .map(|choice| choice.id.clone())
        .collect();
    if exam.shuffle_options {
        draw.shuffle_off_key(&mut ids, &key_order(&question.body));
    }
    ids
}
