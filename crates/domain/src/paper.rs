//! Papers: the public part of an exam, and each candidate's order of it.
//!
//! A [`Paper`] is one document for all candidates of an exam version: immutable,
//! cacheable, named by its hash. It is built key by key from the public values,
//! never by removing secret values from the exam, so a new field cannot reveal a
//! secret. Items to put in order and right sides of a matching, which the exam file
//! may list in the order of the key, have another order here.
//!
//! Each candidate's [`PaperOrder`] comes with `welcome` and is drawn from the
//! attempt's seed ([`order`]). Before the exam opens, candidates get the document
//! encrypted ([`seal`]).

use std::{ops::Range, sync::Arc};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::exam::{Exam, Question, QuestionBody, QuestionOption, Section};

mod draw;
mod order;
pub mod seal;
#[cfg(test)]
mod tests;

pub use order::{OrderedQuestion, OrderedSection, PaperOrder, draw_order};

/// The public document of an exam version.
#[derive(Debug, Clone)]
pub struct Paper {
    version: Arc<str>,
    document: Arc<str>,
    /// Range of the sections in `document`.
    sections: Range<usize>,
}

impl Paper {
    /// Builds the paper of an exam.
    pub fn from_exam(exam: &Exam) -> Self {
        let sections: Vec<Value> = exam
            .sections
            .iter()
            .map(|section| public_section(exam, section))
            .collect();
        let sections = Value::from(sections).to_string();
        let version = format!("sha256:{:x}", Sha256::digest(&sections));
        let start = r#"{"sections":"#;
        let document = format!(r#"{start}{sections},"version":"{version}"}}"#);
        Self {
            version: version.into(),
            document: document.into(),
            sections: start.len()..start.len() + sections.len(),
        }
    }

    /// `sha256:` and the hash of the sections' canonical JSON.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// JSON `{version, sections}`: the body of `GET /papers/{version}`.
    pub fn document(&self) -> &Arc<str> {
        &self.document
    }

    /// Canonical JSON of the sections alone, which is hashed and sealed.
    pub fn sections_json(&self) -> &str {
        &self.document[self.sections.clone()]
    }
}

fn public_section(exam: &Exam, section: &Section) -> Value {
    let questions: Vec<Value> = section
        .questions
        .iter()
        .map(|question| public_question(exam, question))
        .collect();
    let mut public = json!({
        "id": section.id,
        "title": section.title,
        "questions": questions,
    });
    if let Some(limit) = section.time_limit {
        public["time_limit_ms"] = crate::time::duration_ms(limit).into();
    }
    public
}

fn public_question(exam: &Exam, question: &Question) -> Value {
    let mut public = json!({
        "id": question.id,
        "type": question.body.question_type().as_str(),
        "content": question.content,
        // Not a text: a number keeps two decimals, and clients expect one.
        "points": json_points(question),
    });
    match &question.body {
        QuestionBody::SingleChoice { options, .. }
        | QuestionBody::MultipleChoice { options, .. } => {
            public["options"] = public_options(options);
        }
        QuestionBody::TrueFalse { .. }
        | QuestionBody::ShortAnswer { .. }
        | QuestionBody::Essay { .. } => {}
        QuestionBody::FillBlank { blanks, .. } => public["blanks"] = blanks.len().into(),
        QuestionBody::Coding { languages, .. } => public["languages"] = languages.as_slice().into(),
        QuestionBody::Matching { left, .. } => {
            public["left"] = public_options(left);
            public["right"] = public_options(draw::document_order(&exam.code, question));
        }
        QuestionBody::Ordering { .. } => {
            public["items"] = public_options(draw::document_order(&exam.code, question));
        }
        QuestionBody::Hotspot {
            image, multiple, ..
        } => {
            public["image"] = image.as_str().into();
            public["multiple"] = (*multiple).into();
        }
    }
    public
}

fn public_options<'a>(choices: impl IntoIterator<Item = &'a QuestionOption>) -> Value {
    choices
        .into_iter()
        .map(|choice| json!({"id": choice.id, "text": choice.text}))
        .collect()
}

/// Returns the points as a JSON number, an integer if they are whole.
fn json_points(question: &Question) -> Value {
    let points = question.points.normalize();
    match i64::try_from(points) {
        Ok(whole) if points.scale() == 0 => whole.into(),
        _ => points
            .to_string()
            .parse::<f64>()
            .map_or(Value::Null, Value::from),
    }
}
