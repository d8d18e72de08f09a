//! An exam as its author wrote it: the content, the right answers, the rules.
//!
//! These are values that were validated whole (see [`definition`]); nothing
//! downstream checks them again. They never leave the engine: what candidates
//! get is a [`crate::domain::paper`], which has no right answers.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;
use rust_decimal::Decimal;

use super::{
    id::{ExamCode, ExamVersion, OptionId, QuestionId, SectionId},
    named::named,
    time::Timestamp,
};

pub mod definition;
#[cfg(test)]
pub(crate) mod fixture;
mod limits;
mod lines;
mod schema;
mod shape;
mod table;
mod tree;

pub use self::{limits::*, schema::exam_schema};

/// Whether text has the form of an exam's code.
pub fn is_code(text: &str) -> bool {
    (1..=CODE_CHARS_MAX).contains(&text.chars().count()) && (table::CODE_RULE.holds)(text)
}

/// An exam, validated.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of the exam file"
)]
pub struct Exam {
    /// Hash of the whole definition: two exams with one version are the same.
    pub version: ExamVersion,
    /// Unique among exams.
    pub code: ExamCode,
    /// Shown to people.
    pub title: String,
    /// Markdown, may be empty.
    pub instructions: String,
    /// What the exam is for.
    pub kind: ExamKind,
    /// Time that a candidate without accommodations has.
    pub duration: Duration,
    /// Percent of the points, 0 to 100, at which an attempt is passed.
    pub passing_score: Decimal,
    /// How often one person may take it, 1 to 10.
    pub max_attempts: u16,
    /// Nobody starts answering before.
    pub available_from: Option<Timestamp>,
    /// Nobody enters after; see `full_duration_after_close`.
    pub available_until: Option<Timestamp>,
    /// How long before `available_from` candidates may enter and wait.
    pub lobby: Duration,
    /// How long after the deadline answers still count, marked late.
    pub grace_period: Duration,
    /// Fraction of the score that a late hand-in loses, 0 to 1.
    pub late_submission_penalty: Decimal,
    /// Whether a late starter may run past `available_until`.
    pub full_duration_after_close: bool,
    /// Whether each candidate gets the questions of a section in an order of their own.
    pub shuffle_questions: bool,
    /// Whether each candidate gets the options of a question in an order of their own.
    pub shuffle_options: bool,
    /// Whether the result goes to the candidate with the hand-in.
    pub show_results_immediately: bool,
    /// Whether a candidate may see the own result later.
    pub allow_review: bool,
    /// Whether the result shows the right answers.
    pub show_correct_answers: bool,
    /// Asked for when an attempt is started.
    pub password: Option<String>,
    /// Empty: from anywhere.
    pub ip_restrictions: Vec<IpNet>,
    /// What a second device gets.
    pub session_policy: SessionPolicy,
    /// Whether time without a connection is given back, and up to how much.
    pub compensate_up_to: Option<Duration>,
    /// Letter grades by percentage, best first.
    pub grade_scale: Vec<(Decimal, String)>,
    /// How the attempt is watched.
    pub proctoring: Proctoring,
    /// At least one, each with at least one question.
    pub sections: Vec<Section>,
}

impl Exam {
    /// Every question, in the file's order.
    pub fn questions(&self) -> impl Iterator<Item = &Question> {
        self.sections.iter().flat_map(|section| &section.questions)
    }

    /// The question of this id. Walks the exam: what looks up often keeps
    /// [`Exam::index`].
    pub fn question(&self, id: &QuestionId) -> Option<&Question> {
        self.questions().find(|question| question.id == *id)
    }

    /// Where each question stands: (section, position in the section).
    pub fn index(&self) -> BTreeMap<QuestionId, (usize, usize)> {
        self.sections
            .iter()
            .enumerate()
            .flat_map(|(section, content)| {
                content
                    .questions
                    .iter()
                    .enumerate()
                    .map(move |(position, question)| (question.id.clone(), (section, position)))
            })
            .collect()
    }

    /// The sum of all questions' points.
    pub fn max_score(&self) -> Decimal {
        self.questions().map(|question| question.points).sum()
    }
}

/// What an exam is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum ExamKind {
    Quiz,
    Assignment,
    Midterm,
    Final,
    Certification,
    Practice,
}

named!(ExamKind {
    Quiz = "quiz",
    Assignment = "assignment",
    Midterm = "midterm",
    Final = "final",
    Certification = "certification",
    Practice = "practice",
});

/// What happens when a candidate opens the attempt on a second device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPolicy {
    /// The second takes over, the first is closed.
    Takeover,
    /// The second is refused until a proctor releases the attempt.
    Reject,
}

named!(SessionPolicy {
    Takeover = "takeover",
    Reject = "reject",
});

/// How attempts of an exam are watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Proctoring {
    /// Whether integrity events are asked for.
    pub enabled: bool,
    /// How often a client sends a heartbeat.
    pub heartbeat: Duration,
    /// How long events are kept; none: as the installation does.
    pub keep: Option<Duration>,
    /// What follows from which events.
    pub rules: Vec<IntegrityRule>,
}

/// `limit` events of a kind within a window have a consequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrityRule {
    /// Event kind of the protocol.
    pub kind: String,
    /// How bad one is.
    pub severity: Severity,
    /// The event that makes this many acts.
    pub limit: u32,
    /// Over which time events are counted; none: over the whole attempt.
    pub within: Option<Duration>,
    /// What follows.
    pub then: Consequence,
}

/// How bad an event is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

named!(Severity {
    Low = "low",
    Medium = "medium",
    High = "high",
    Critical = "critical",
});

/// What follows from a rule, mildest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Consequence {
    Note,
    Warn,
    Flag,
    Pause,
    Cancel,
}

named!(Consequence {
    Note = "note",
    Warn = "warn",
    Flag = "flag",
    Pause = "pause",
    Cancel = "cancel",
});

/// A part of an exam.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// Unique within the exam.
    pub id: SectionId,
    /// Shown to people.
    pub title: String,
    /// Sections with a limit run one after the other, in the file's order.
    pub time_limit: Option<Duration>,
    /// At least one.
    pub questions: Vec<Question>,
}

/// A question with its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Unique within the exam.
    pub id: QuestionId,
    /// Markdown with LaTeX between `$`.
    pub content: String,
    /// Over 0.
    pub points: Decimal,
    /// Whether a partly right answer earns a part of the points.
    pub partial_credit: bool,
    /// Whether a wrong `single_choice` costs points.
    pub negative_marking: bool,
    /// Shown with the result where the exam shows right answers.
    pub explanation: Option<String>,
    /// Type, content and key.
    pub body: Body,
}

/// What a question asks, by type, with its key.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are the exam file's own")]
pub enum Body {
    SingleChoice {
        options: Vec<Choice>,
        answer: OptionId,
    },
    MultipleChoice {
        options: Vec<Choice>,
        answer: Vec<OptionId>,
    },
    TrueFalse {
        answer: bool,
    },
    FillBlank {
        blanks: Vec<Vec<Accepted>>,
        case_sensitive: bool,
    },
    /// `accepted` is none where a person marks it.
    ShortAnswer {
        accepted: Option<Vec<Accepted>>,
        case_sensitive: bool,
        rubric: Option<String>,
    },
    Essay {
        rubric: Option<String>,
    },
    /// An empty list of languages: any.
    Coding {
        languages: Vec<String>,
        rubric: Option<String>,
    },
    Matching {
        left: Vec<Choice>,
        right: Vec<Choice>,
        answer: BTreeMap<OptionId, OptionId>,
    },
    Ordering {
        items: Vec<Choice>,
        answer: Vec<OptionId>,
    },
    Hotspot {
        image: String,
        answer: Vec<Region>,
        multiple: bool,
    },
}

impl Body {
    /// Which of the ten types it is.
    pub const fn kind(&self) -> QuestionType {
        match self {
            Self::SingleChoice { .. } => QuestionType::SingleChoice,
            Self::MultipleChoice { .. } => QuestionType::MultipleChoice,
            Self::TrueFalse { .. } => QuestionType::TrueFalse,
            Self::FillBlank { .. } => QuestionType::FillBlank,
            Self::ShortAnswer { .. } => QuestionType::ShortAnswer,
            Self::Essay { .. } => QuestionType::Essay,
            Self::Coding { .. } => QuestionType::Coding,
            Self::Matching { .. } => QuestionType::Matching,
            Self::Ordering { .. } => QuestionType::Ordering,
            Self::Hotspot { .. } => QuestionType::Hotspot,
        }
    }
}

/// The ten types of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the exam file's own")]
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

named!(QuestionType {
    SingleChoice = "single_choice",
    MultipleChoice = "multiple_choice",
    TrueFalse = "true_false",
    FillBlank = "fill_blank",
    ShortAnswer = "short_answer",
    Essay = "essay",
    Coding = "coding",
    Matching = "matching",
    Ordering = "ordering",
    Hotspot = "hotspot",
});

/// Something to choose, to match or to order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Unique within its list.
    pub id: OptionId,
    /// Markdown with LaTeX between `$`.
    pub text: String,
}

/// One accepted answer to a blank.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the exam file's own")]
pub enum Accepted {
    Text(String),
    Number { number: Decimal, tolerance: Decimal },
}

/// A region of a picture, in fractions of its width and height; edges are inside.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are the exam file's own")]
pub enum Region {
    Rect { x1: f64, y1: f64, x2: f64, y2: f64 },
    Circle { cx: f64, cy: f64, r: f64 },
    Polygon { points: Vec<(f64, f64)> },
}
