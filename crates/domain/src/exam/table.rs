//! The keys of the exam file, from which check and JSON Schema are made.

mod parts;
mod question;

#[cfg(test)]
pub(super) use self::parts::EVENT_KINDS;
use self::parts::{
    CODE, EVENT_KIND, ID, INSTANT, NETWORK, decimal, list, optional, or_null, required, text, whole,
};
pub(super) use self::parts::{CODE_RULE, parse_instant, parse_network};
use super::{
    EventSeverity, ExamKind, RuleConsequence, SessionPolicy,
    limits::{
        ATTEMPTS_MAX, GRADES_MAX, INSTRUCTIONS_CHARS_MAX, MINUTES_MAX, NETWORKS_MAX, QUESTIONS_MAX,
        RULES_MAX, SECTIONS_MAX, TITLE_CHARS_MAX, WORD_CHARS_MAX,
    },
    shape::ValueShape,
};

/// The whole file.
pub(super) const EXAM: ValueShape = ValueShape::Record(&[
    required("code", CODE, "Unique among exams; part of addresses."),
    required("title", text(1, TITLE_CHARS_MAX), "Shown to people."),
    optional(
        "instructions",
        text(0, INSTRUCTIONS_CHARS_MAX),
        "Markdown, shown to candidates.",
    ),
    optional(
        "type",
        ValueShape::Word(ExamKind::NAMES),
        "Purpose of the exam. Default: quiz.",
    ),
    required(
        "duration_minutes",
        whole(1, MINUTES_MAX),
        "Time without accommodations.",
    ),
    optional("passing_score", decimal(0, 100, 2), "Percent. Default: 60."),
    optional(
        "max_attempts",
        whole(1, ATTEMPTS_MAX),
        "Attempts of one person. Default: 1.",
    ),
    optional(
        "available_from",
        or_null!(INSTANT),
        "Begin of the time for answers. RFC 3339.",
    ),
    optional(
        "available_until",
        or_null!(INSTANT),
        "End of the time for first entries. RFC 3339.",
    ),
    optional(
        "lobby_minutes",
        whole(0, MINUTES_MAX),
        "Candidates may enter this early and wait. Default: 15.",
    ),
    optional(
        "grace_period_minutes",
        whole(0, MINUTES_MAX),
        "Late answers count for this long. Default: 0.",
    ),
    optional(
        "late_submission_penalty",
        decimal(0, 1, 4),
        "Fraction of the score that a late hand-in loses. Default: 0.",
    ),
    optional(
        "full_duration_after_close",
        ValueShape::Flag,
        "True if a late starter may run past available_until. Default: false.",
    ),
    optional(
        "shuffle_questions",
        ValueShape::Flag,
        "Another order of questions for each candidate. Default: false.",
    ),
    optional(
        "shuffle_options",
        ValueShape::Flag,
        "Another order of options for each candidate. Default: false.",
    ),
    optional(
        "show_results_immediately",
        ValueShape::Flag,
        "Show the result with the hand-in. Default: true.",
    ),
    optional(
        "allow_review",
        ValueShape::Flag,
        "Let candidates see their results later. Default: true.",
    ),
    optional(
        "show_correct_answers",
        ValueShape::Flag,
        "Show the right answers in the result. Default: false.",
    ),
    optional(
        "password",
        or_null!(text(1, WORD_CHARS_MAX)),
        "Password for starting an attempt.",
    ),
    optional(
        "ip_restrictions",
        list(&NETWORK, 0, NETWORKS_MAX),
        "Networks that the exam may be taken from. Default: any.",
    ),
    optional(
        "session_policy",
        ValueShape::Word(SessionPolicy::NAMES),
        "Treatment of a second device. Default: takeover.",
    ),
    optional(
        "on_disconnect",
        ON_DISCONNECT,
        "Treatment of time without a connection. Default: keep_running.",
    ),
    optional("grading", GRADING, "Letter grades."),
    optional(
        "proctoring",
        PROCTORING,
        "Proctoring of attempts. Default: none.",
    ),
    required(
        "sections",
        list(&SECTION, 1, SECTIONS_MAX),
        "The exam's parts, in order.",
    ),
]);

const ON_DISCONNECT: ValueShape = ValueShape::Either(&[
    ValueShape::Word(&["keep_running"]),
    ValueShape::Record(&[required(
        "compensate_up_to_minutes",
        whole(1, MINUTES_MAX),
        "The most minutes that are given back.",
    )]),
]);

const GRADING: ValueShape = ValueShape::Record(&[required(
    "scale",
    list(
        &ValueShape::Tuple(&[decimal(0, 100, 2), text(1, WORD_CHARS_MAX)]),
        0,
        GRADES_MAX,
    ),
    "Pairs of percentage and letter, best first. \
     Default: [[90, A], [80, B], [70, C], [60, D], [0, F]].",
)]);

const PROCTORING: ValueShape = ValueShape::Record(&[
    optional(
        "enabled",
        ValueShape::Flag,
        "Default: true if `proctoring` is present.",
    ),
    optional(
        "heartbeat_seconds",
        whole(1, 300),
        "Interval of a client's heartbeats. Default: 10.",
    ),
    optional(
        "keep_days",
        or_null!(whole(1, 3_650)),
        "Days for which events are kept. Default: the installation's setting.",
    ),
    optional(
        "rules",
        list(&RULE, 0, RULES_MAX),
        "Rules that events are judged by.",
    ),
]);

const RULE: ValueShape = ValueShape::Record(&[
    required(
        "kind",
        EVENT_KIND,
        "Event kind of the protocol, a detection of the engine, or x-...",
    ),
    optional(
        "severity",
        ValueShape::Word(EventSeverity::NAMES),
        "Severity of each such event. Default: medium.",
    ),
    optional(
        "limit",
        whole(1, 1_000),
        "Number of events at which the rule acts. Default: 1.",
    ),
    optional(
        "within_seconds",
        or_null!(whole(1, 86_400)),
        "Window in which events are counted. Default: the whole attempt.",
    ),
    optional(
        "then",
        ValueShape::Word(RuleConsequence::NAMES),
        "Consequence; heartbeat_lost never does more than warn. Default: note.",
    ),
]);

const SECTION: ValueShape = ValueShape::Record(&[
    required("id", ID, "Unique within the exam."),
    optional("title", text(0, TITLE_CHARS_MAX), "Shown to people."),
    optional(
        "time_limit_minutes",
        or_null!(whole(1, MINUTES_MAX)),
        "Sections with a limit run one after the other.",
    ),
    required(
        "questions",
        list(&question::QUESTION, 1, QUESTIONS_MAX),
        "The section's questions, in order.",
    ),
]);
