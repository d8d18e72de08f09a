//! Papers and stored answers, as they are fetched over HTTP.
//!
//! A paper has no right answers. The engine serves it as bytes that are made
//! once; these types are what a client reads them into.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// A paper that can be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Paper {
    /// `sha256:` and the hash of the content.
    pub version: String,
    /// In the file's order; a candidate's own is `order`.
    pub sections: Vec<Section>,
    /// Where it would not fit into `welcome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<SectionOrder>>,
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
    /// Base64; inside is the JSON of [`Paper::sections`].
    pub data: String,
    /// Where it would not fit into `welcome`. It tells ids only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<SectionOrder>>,
}

/// What the paper's address answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum PaperDocument {
    /// Before the exam opens.
    Sealed(SealedPaper),
    /// From then on.
    Open(Paper),
}

/// A part of a paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    /// Unique within the paper.
    pub id: String,
    /// Shown to people.
    #[serde(default)]
    pub title: String,
    /// Sections with a limit run one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_ms: Option<i64>,
    /// In the file's order.
    pub questions: Vec<Question>,
}

/// A question without its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// Unique within the paper.
    pub id: String,
    /// Decides the form of the value.
    #[serde(rename = "type")]
    pub kind: QuestionType,
    /// Markdown with LaTeX between `$`.
    pub content: String,
    /// What a right answer earns.
    pub points: Number,
    /// `single_choice`, `multiple_choice`: what to choose from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Choice>,
    /// `fill_blank`: how many blanks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blanks: Option<u32>,
    /// `coding`: which languages; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// `hotspot`: address of the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `hotspot`: whether more than one point may be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multiple: Option<bool>,
    /// `matching`: what gets a partner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Choice>,
    /// `matching`: the partners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub right: Vec<Choice>,
    /// `ordering`: what to put in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Choice>,
}

/// The form of a question and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum QuestionType {
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

/// Something to choose, to match or to order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// Unique within its list.
    pub id: String,
    /// Markdown with LaTeX between `$`.
    pub text: String,
}

/// A candidate's order of one section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SectionOrder {
    /// Which section.
    pub section: String,
    /// First to last.
    pub questions: Vec<QuestionOrder>,
}

/// A candidate's order within one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuestionOrder {
    /// Which question.
    pub q: String,
    /// Ids of its options, items or right sides, first to last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// The stored answers of an attempt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StoredAnswers {
    /// The session that owns the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Every command of the session up to this number is in them or was refused.
    pub saved_seq: u64,
    /// By question.
    pub answers: BTreeMap<String, StoredAnswer>,
}

/// One question's answer as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredAnswer {
    /// `null`: cleared, or only flagged.
    pub value: Value,
    /// Marked for review by the candidate.
    pub flagged: bool,
    /// How often it was answered.
    pub rev: u32,
}
