//! Sections and questions of an exam, and random draws from the bank.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::ids::{BankQuestionId, QuestionCategoryId};
use invigil_domain::id::{QuestionId, SectionId};

/// The sections of an exam and their questions.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExamComposition {
    /// Sections in their order.
    pub sections: Vec<ComposedSection>,
}

/// A section of an exam's composition.
#[derive(Debug, Serialize, Deserialize)]
pub struct ComposedSection {
    /// Id, unique within the exam.
    pub id: SectionId,
    /// Display title.
    pub title: String,
    /// Time limit of the section, in minutes.
    pub time_limit_minutes: Option<i32>,
    /// Questions in their order.
    pub questions: Vec<ComposedQuestion>,
}

/// A question of the bank within a section.
#[derive(Debug, Serialize, Deserialize)]
pub struct ComposedQuestion {
    /// Version of the question in the bank.
    pub question_id: BankQuestionId,
    /// Id within the exam; none: `q` and the number.
    pub id: Option<QuestionId>,
    /// Points; none: the default of the question.
    #[serde(default, with = "rust_decimal::serde::float_option")]
    pub points: Option<Decimal>,
}

impl ExamComposition {
    /// Returns all questions with their places: index of the section, index in it.
    pub(in crate::exams) fn places(
        &self,
    ) -> impl Iterator<Item = (usize, usize, &ComposedQuestion)> {
        let sections = self.sections.iter().enumerate();
        sections.flat_map(|(section, content)| {
            let questions = content.questions.iter().enumerate();
            questions.map(move |(position, placed)| (section, position, placed))
        })
    }

    /// Adds questions of the bank at the end of a section, which is created if missing.
    pub(super) fn add_questions(&mut self, section: &SectionId, questions: &[BankQuestionId]) {
        let added = questions.iter().map(|id| ComposedQuestion {
            question_id: *id,
            id: None,
            points: None,
        });
        let mut sections = self.sections.iter_mut();
        match sections.find(|known| known.id == *section) {
            Some(known) => known.questions.extend(added),
            None => self.sections.push(ComposedSection {
                id: section.clone(),
                title: String::new(),
                time_limit_minutes: None,
                questions: added.collect(),
            }),
        }
    }
}

/// Conditions of a random draw of questions. A question matches by names, so that an
/// unknown difficulty or type matches none.
#[derive(Debug)]
pub struct QuestionDraw {
    /// Section that gets the questions, created if missing.
    pub section: SectionId,
    /// Count of questions, 1 to 500.
    pub count: i64,
    /// Category, including its subcategories.
    pub category_id: Option<QuestionCategoryId>,
    /// Difficulty.
    pub difficulty: Option<String>,
    /// Question type.
    pub kind: Option<String>,
    /// Tags, all of which a question must have.
    pub tags: Vec<String>,
    /// Seed; the same one draws the same questions from an unchanged bank.
    pub seed: Option<i64>,
}

/// Result of a random draw.
#[derive(Debug)]
pub struct DrawnQuestions {
    /// Seed that repeats the draw.
    pub seed: i64,
    /// Drawn versions of questions in the bank.
    pub questions: Vec<BankQuestionId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_questions_join_a_section_or_begin_one() {
        let mut composition = ExamComposition {
            sections: Vec::new(),
        };
        composition.add_questions(&"a".into(), &[BankQuestionId(1)]);
        composition.add_questions(&"b".into(), &[BankQuestionId(2)]);
        composition.add_questions(&"a".into(), &[BankQuestionId(3)]);
        let places: Vec<_> = composition
            .places()
            .map(|(section, position, placed)| (section, position, placed.question_id.0))
            .collect();
        assert_eq!(places, [(0, 0, 1), (0, 1, 3), (1, 0, 2)]);
    }
}
