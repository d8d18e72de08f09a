//! Papers and stored answers, fetched over HTTP.
//!
//! A paper has no right answers. The engine serves it as bytes that it makes once;
//! clients decode them into these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// A paper in the clear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Paper")]
pub struct OpenPaper {
    /// `sha256:` and the hash of the content.
    pub version: String,
    /// In the file's order; the candidate's own order is `order`.
    pub sections: Vec<PaperSection>,
    /// Present if it would not fit into `welcome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<PaperSectionOrder>>,
}

/// A paper before the exam opens: AES-256-GCM, the tag at the end of `data`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SealedPaper {
    /// `sha256:` and the hash of the content.
    pub version: String,
    /// Always `A256GCM`.
    pub alg: String,
    /// Base64, 96 bits.
    pub nonce: String,
    /// Base64 of the encrypted JSON of [`OpenPaper::sections`].
    pub data: String,
    /// Present if it would not fit into `welcome`. It has only ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<PaperSectionOrder>>,
}

/// Response of the paper's address.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum PaperDocument {
    /// Before the exam opens.
    Sealed(SealedPaper),
    /// Once the exam has opened.
    Open(OpenPaper),
}

/// A part of a paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Section")]
pub struct PaperSection {
    /// Unique within the paper.
    pub id: String,
    /// Shown to people.
    #[serde(default)]
    pub title: String,
    /// Time limit of the section; sections with one run one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_ms: Option<i64>,
    /// In the file's order.
    pub questions: Vec<PaperQuestion>,
}

/// A question without its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Question")]
pub struct PaperQuestion {
    /// Unique within the paper.
    pub id: String,
    /// Determines the form of the answer's value.
    #[serde(rename = "type")]
    pub kind: PaperQuestionType,
    /// Markdown with LaTeX between `$`.
    pub content: String,
    /// Points of a right answer.
    pub points: Number,
    /// `single_choice`, `multiple_choice`: the choices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<PaperChoice>,
    /// `fill_blank`: number of blanks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blanks: Option<u32>,
    /// `coding`: allowed languages; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// `hotspot`: address of the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `hotspot`: true if more than one point may be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiple: Option<bool>,
    /// `matching`: the left sides, each of which gets a partner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<PaperChoice>,
    /// `matching`: the right sides, the partners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub right: Vec<PaperChoice>,
    /// `ordering`: the items to put in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<PaperChoice>,
}

/// The form of a question and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the protocol's own")]
#[schemars(rename = "QuestionType")]
pub enum PaperQuestionType {
    SingleChoice,
    MultipleChoice,
    TrueFalse,
    FillBlank,
    ShortAnswer,
    Essay,
    Coding,
    Matching,
    Ordering,
    Hotspot,
}

/// An item to choose, to match or to order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Choice")]
pub struct PaperChoice {
    /// Unique within its list.
    pub id: String,
    /// Markdown with LaTeX between `$`.
    pub text: String,
}

/// A candidate's order of one section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SectionOrder")]
pub struct PaperSectionOrder {
    /// Id of the section.
    pub section: String,
    /// First to last.
    pub questions: Vec<PaperQuestionOrder>,
}

/// A candidate's order within one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "QuestionOrder")]
pub struct PaperQuestionOrder {
    /// Id of the question.
    pub q: String,
    /// Ids of its options, items or right sides, first to last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// The stored answers of an attempt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StoredAnswers")]
pub struct RecordedAnswers {
    /// The session that owns the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Every command of the session up to this number is stored here or was refused.
    pub saved_seq: u64,
    /// By question.
    pub answers: BTreeMap<String, RecordedAnswer>,
}

/// The stored answer to one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StoredAnswer")]
pub struct RecordedAnswer {
    /// `null`: cleared, or only flagged.
    pub value: Value,
    /// Marked for review by the candidate.
    pub flagged: bool,
    /// Number of times it was answered.
    pub rev: u32,
}
