//! An exam as its author wrote it: the content, the answer keys, the rules.
//!
//! These values are validated as a whole (see [`definition`]); no later code
//! checks them again. They never leave the engine: candidates get a
//! [`crate::paper`], which has no answer keys.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;
use rust_decimal::Decimal;

use crate::{
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

/// Returns true if the text is a valid exam code.
pub fn is_exam_code(text: &str) -> bool {
    (1..=CODE_CHARS_MAX).contains(&text.chars().count()) && (table::CODE_RULE.accepts)(text)
}

/// A validated exam.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent settings of the exam file"
)]
pub struct Exam {
    /// Hash of the whole definition: exams with the same version are equal.
    pub version: ExamVersion,
    /// Unique among exams.
    pub code: ExamCode,
    /// Shown to people.
    pub title: String,
    /// Markdown, may be empty.
    pub instructions: String,
    /// Purpose of the exam.
    pub kind: ExamKind,
    /// Time for a candidate without accommodations.
    pub duration: Duration,
    /// Percent of the points, 0 to 100, at which an attempt is passed.
    pub passing_score: Decimal,
    /// Attempts that one person has, 1 to 10.
    pub max_attempts: u16,
    /// The first instant at which candidates may answer.
    pub available_from: Option<Timestamp>,
    /// The end of first entries; see `full_duration_after_close`.
    pub available_until: Option<Timestamp>,
    /// Time before `available_from` in which candidates may enter and wait.
    pub lobby: Duration,
    /// Time after the deadline in which answers still count, marked late.
    pub grace_period: Duration,
    /// Fraction of the score that a late hand-in loses, 0 to 1.
    pub late_submission_penalty: Decimal,
    /// True if a late starter may run past `available_until`.
    pub full_duration_after_close: bool,
    /// True if each candidate gets the questions of a section in a different order.
    pub shuffle_questions: bool,
    /// True if each candidate gets the options of a question in a different order.
    pub shuffle_options: bool,
    /// True if the candidate gets the result with the hand-in.
    pub show_results_immediately: bool,
    /// True if candidates may see their results later.
    pub allow_review: bool,
    /// True if the result shows the right answers.
    pub show_correct_answers: bool,
    /// Password for starting an attempt, as a salted hash.
    pub password: Option<String>,
    /// Networks that the exam may be taken from; empty allows all.
    pub ip_restrictions: Vec<IpNet>,
    /// Treatment of a second device.
    pub session_policy: SessionPolicy,
    /// The most time without a connection that is given back; `None` gives back none.
    pub compensate_up_to: Option<Duration>,
    /// Letter grades by percentage, best first.
    pub grade_scale: Vec<(Decimal, String)>,
    /// Proctoring of the attempts.
    pub proctoring: ProctoringPolicy,
    /// At least one, each with at least one question.
    pub sections: Vec<Section>,
}

impl Exam {
    /// Iterates over the questions, in the file's order.
    pub fn questions(&self) -> impl Iterator<Item = &Question> {
        self.sections.iter().flat_map(|section| &section.questions)
    }

    /// Returns the question with this id. Walks the whole exam; for many look-ups keep
    /// [`Exam::question_positions`].
    pub fn question(&self, id: &QuestionId) -> Option<&Question> {
        self.questions().find(|question| question.id == *id)
    }

    /// Returns the place of each question: (section, position in the section).
    pub fn question_positions(&self) -> BTreeMap<QuestionId, (usize, usize)> {
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

/// Purpose of an exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// Treatment of a second device on which a candidate opens the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionPolicy {
    /// The second device takes over, the first is disconnected.
    Takeover,
    /// The second device is refused until a proctor releases the attempt.
    Reject,
}

named!(SessionPolicy {
    Takeover = "takeover",
    Reject = "reject",
});

/// Proctoring of an exam's attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct ProctoringPolicy {
    /// True if clients report integrity events.
    pub enabled: bool,
    /// Interval of a client's heartbeats.
    pub heartbeat: Duration,
    /// Time for which events are kept; `None` uses the installation's setting.
    pub retention: Option<Duration>,
    /// Rules that events are judged by.
    pub rules: Vec<IntegrityRule>,
}

/// A rule by which `limit` events of a kind within a window have a consequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrityRule {
    /// Event kind of the protocol.
    pub kind: String,
    /// Severity of each such event.
    pub severity: EventSeverity,
    /// Number of events at which the rule acts.
    pub limit: u32,
    /// Window in which events are counted; `None` for the whole attempt.
    pub within: Option<Duration>,
    /// Consequence of the rule.
    pub then: RuleConsequence,
}

/// Severity of an integrity event, mildest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum EventSeverity {
    Low,
    Medium,
    High,
    Critical,
}

named!(EventSeverity {
    Low = "low",
    Medium = "medium",
    High = "high",
    Critical = "critical",
});

/// Consequence of a rule, mildest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum RuleConsequence {
    Note,
    Warn,
    Flag,
    Pause,
    Cancel,
}

named!(RuleConsequence {
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
    /// Time limit; sections with one run one after the other, in the file's order.
    pub time_limit: Option<Duration>,
    /// At least one.
    pub questions: Vec<Question>,
}

/// A question with its answer key.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Unique within the exam.
    pub id: QuestionId,
    /// Markdown with LaTeX between `$`.
    pub content: String,
    /// Points for a right answer, more than 0.
    pub points: Decimal,
    /// True if a partly right answer earns a part of the points.
    pub partial_credit: bool,
    /// True if a wrong `single_choice` costs points.
    pub negative_marking: bool,
    /// Shown with the result if the exam shows the right answers.
    pub explanation: Option<String>,
    /// Content and answer key, by type.
    pub body: QuestionBody,
}

/// Content of a question and its answer key, by type.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are the exam file's own")]
pub enum QuestionBody {
    SingleChoice {
        options: Vec<QuestionOption>,
        answer: OptionId,
    },
    MultipleChoice {
        options: Vec<QuestionOption>,
        answer: Vec<OptionId>,
    },
    TrueFalse {
        answer: bool,
    },
    FillBlank {
        blanks: Vec<Vec<AcceptedAnswer>>,
        case_sensitive: bool,
    },
    /// `accepted` is `None` if a person marks it.
    ShortAnswer {
        accepted: Option<Vec<AcceptedAnswer>>,
        case_sensitive: bool,
        rubric: Option<String>,
    },
    Essay {
        rubric: Option<String>,
    },
    /// An empty list of languages allows any language.
    Coding {
        languages: Vec<String>,
        rubric: Option<String>,
    },
    Matching {
        left: Vec<QuestionOption>,
        right: Vec<QuestionOption>,
        answer: BTreeMap<OptionId, OptionId>,
    },
    Ordering {
        items: Vec<QuestionOption>,
        answer: Vec<OptionId>,
    },
    Hotspot {
        image: String,
        answer: Vec<HotspotRegion>,
        multiple: bool,
    },
}

impl QuestionBody {
    /// Type of the question.
    pub const fn question_type(&self) -> QuestionType {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// An option to choose, to match or to order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionOption {
    /// Unique within its list.
    pub id: OptionId,
    /// Markdown with LaTeX between `$`.
    pub text: String,
}

/// An accepted answer to a blank or a short-answer question.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the exam file's own")]
pub enum AcceptedAnswer {
    Text(String),
    Number { number: Decimal, tolerance: Decimal },
}

/// A region of a picture, in fractions of its width and height, edges included.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are the exam file's own")]
pub enum HotspotRegion {
    Rect { x1: f64, y1: f64, x2: f64, y2: f64 },
    Circle { cx: f64, cy: f64, r: f64 },
    Polygon { points: Vec<(f64, f64)> },
}
