//! What candidates get of an exam, and each one's order of it.
//!
//! A [`Paper`] is one document for everyone who takes one version of an exam:
//! immutable, cacheable, named by its hash. It is put together key by key from
//! what a candidate may see, never by taking away from the exam what they may
//! not, so a secret cannot slip in with a new field. What stands in the key's
//! order in the exam file (items to put in order, right sides of a matching) is
//! in an order of its own here.
//!
//! Each candidate's [`Order`] comes with `welcome` and is drawn from the
//! attempt's seed ([`order`]); before the exam opens the document is handed out
//! encrypted ([`seal`]).

use std::{ops::Range, sync::Arc};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::exam::{Body, Choice, Exam, Question, Section};

mod draw;
mod order;
pub mod seal;
#[cfg(test)]
mod tests;

pub use order::{Order, QuestionOrder, SectionOrder, order_for};

/// The public document of an exam version.
#[derive(Debug, Clone)]
pub struct Paper {
    version: Arc<str>,
    document: Arc<str>,
    /// Where in `document` the sections stand.
    sections: Range<usize>,
}

impl Paper {
    /// The paper of an exam.
    pub fn of(exam: &Exam) -> Self {
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

    /// `{version, sections}` as JSON: the body of `GET /papers/{version}`.
    pub fn document(&self) -> &Arc<str> {
        &self.document
    }

    /// The sections alone, canonical JSON: what is hashed and sealed.
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
        public["time_limit_ms"] = super::time::duration_ms(limit).into();
    }
    public
}

fn public_question(exam: &Exam, question: &Question) -> Value {
    let mut public = json!({
        "id": question.id,
        "type": question.body.kind().as_str(),
        "content": question.content,
        // Text would surprise a client; two decimals survive the trip as a number.
        "points": points(question),
    });
    match &question.body {
        Body::SingleChoice { options, .. } | Body::MultipleChoice { options, .. } => {
            public["options"] = choices(options);
        }
        Body::TrueFalse { .. } | Body::ShortAnswer { .. } | Body::Essay { .. } => {}
        Body::FillBlank { blanks, .. } => public["blanks"] = blanks.len().into(),
        Body::Coding { languages, .. } => public["languages"] = languages.as_slice().into(),
        Body::Matching { left, .. } => {
            public["left"] = choices(left);
            public["right"] = choices(draw::document_order(&exam.code, question));
        }
        Body::Ordering { .. } => {
            public["items"] = choices(draw::document_order(&exam.code, question));
        }
        Body::Hotspot {
            image, multiple, ..
        } => {
            public["image"] = image.as_str().into();
            public["multiple"] = (*multiple).into();
        }
    }
    public
}

fn choices<'a>(choices: impl IntoIterator<Item = &'a Choice>) -> Value {
    choices
        .into_iter()
        .map(|choice| json!({"id": choice.id, "text": choice.text}))
        .collect()
}

/// The points as a JSON number: whole where they are whole.
fn points(question: &Question) -> Value {
    let points = question.points.normalize();
    match i64::try_from(points) {
        Ok(whole) if points.scale() == 0 => whole.into(),
        _ => points
            .to_string()
            .parse::<f64>()
            .map_or(Value::Null, Value::from),
    }
}
