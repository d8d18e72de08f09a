//! The exam file, key by key: what the check and the JSON Schema are made of.

mod parts;
mod question;

#[cfg(test)]
pub(super) use self::parts::EVENT_KINDS;
use self::parts::{
    CODE, EVENT_KIND, ID, INSTANT, NETWORK, decimal, list, optional, or_null, required, text, whole,
};
pub(super) use self::parts::{CODE_RULE, instant, network};
use super::{
    Consequence, ExamKind, SessionPolicy, Severity,
    limits::{
        ATTEMPTS_MAX, GRADES_MAX, INSTRUCTIONS_CHARS_MAX, MINUTES_MAX, NETWORKS_MAX, QUESTIONS_MAX,
        RULES_MAX, SECTIONS_MAX, TITLE_CHARS_MAX, WORD_CHARS_MAX,
    },
    shape::Shape,
};

/// The whole file.
pub(super) const EXAM: Shape = Shape::Record(&[
    required("code", CODE, "Unique among exams; part of addresses."),
    required("title", text(1, TITLE_CHARS_MAX), "Shown to people."),
    optional(
        "instructions",
        text(0, INSTRUCTIONS_CHARS_MAX),
        "Markdown, shown to candidates.",
    ),
    optional(
        "type",
        Shape::Word(ExamKind::NAMES),
        "What the exam is for. Default: quiz.",
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
        "How often one may take it. Default: 1.",
    ),
    optional(
        "available_from",
        or_null!(INSTANT),
        "Nobody starts answering before. RFC 3339.",
    ),
    optional(
        "available_until",
        or_null!(INSTANT),
        "Nobody enters after. RFC 3339.",
    ),
    optional(
        "lobby_minutes",
        whole(0, MINUTES_MAX),
        "May enter so early and wait. Default: 15.",
    ),
    optional(
        "grace_period_minutes",
        whole(0, MINUTES_MAX),
        "Late answers count. Default: 0.",
    ),
    optional(
        "late_submission_penalty",
        decimal(0, 1, 4),
        "Fraction taken off a late hand-in. Default: 0.",
    ),
    optional(
        "full_duration_after_close",
        Shape::Flag,
        "May a late starter run past available_until. Default: false.",
    ),
    optional(
        "shuffle_questions",
        Shape::Flag,
        "Own order for each candidate. Default: false.",
    ),
    optional(
        "shuffle_options",
        Shape::Flag,
        "Own order for each candidate. Default: false.",
    ),
    optional(
        "show_results_immediately",
        Shape::Flag,
        "With the hand-in. Default: true.",
    ),
    optional(
        "allow_review",
        Shape::Flag,
        "May the own result be seen later. Default: true.",
    ),
    optional(
        "show_correct_answers",
        Shape::Flag,
        "In the result. Default: false.",
    ),
    optional(
        "password",
        or_null!(text(1, WORD_CHARS_MAX)),
        "Asked for at the start.",
    ),
    optional(
        "ip_restrictions",
        list(&NETWORK, 0, NETWORKS_MAX),
        "Networks that it may be taken from. Default: any.",
    ),
    optional(
        "session_policy",
        Shape::Word(SessionPolicy::NAMES),
        "What a second device does. Default: takeover.",
    ),
    optional(
        "on_disconnect",
        ON_DISCONNECT,
        "Whether lost time is given back.",
    ),
    optional("grading", GRADING, "Letter grades."),
    optional(
        "proctoring",
        PROCTORING,
        "How attempts are watched. Default: not at all.",
    ),
    required(
        "sections",
        list(&SECTION, 1, SECTIONS_MAX),
        "The exam's parts, in order.",
    ),
]);

const ON_DISCONNECT: Shape = Shape::Either(&[
    Shape::Word(&["keep_running"]),
    Shape::Record(&[required(
        "compensate_up_to_minutes",
        whole(1, MINUTES_MAX),
        "Ceiling of the time given back.",
    )]),
]);

const GRADING: Shape = Shape::Record(&[required(
    "scale",
    list(
        &Shape::Tuple(&[decimal(0, 100, 2), text(1, WORD_CHARS_MAX)]),
        0,
        GRADES_MAX,
    ),
    "Pairs of percentage and letter, best first. \
     Default: [[90, A], [80, B], [70, C], [60, D], [0, F]].",
)]);

const PROCTORING: Shape = Shape::Record(&[
    optional(
        "enabled",
        Shape::Flag,
        "Default: true where `proctoring` stands.",
    ),
    optional(
        "heartbeat_seconds",
        whole(1, 300),
        "How often a client reports. Default: 10.",
    ),
    optional(
        "keep_days",
        or_null!(whole(1, 3_650)),
        "How long events are kept. Default: as the installation does.",
    ),
    optional(
        "rules",
        list(&RULE, 0, RULES_MAX),
        "What follows from which events.",
    ),
]);

const RULE: Shape = Shape::Record(&[
    required(
        "kind",
        EVENT_KIND,
        "Event kind of the protocol, something that the engine notices, or x-...",
    ),
    optional(
        "severity",
        Shape::Word(Severity::NAMES),
        "How bad one is. Default: medium.",
    ),
    optional(
        "limit",
        whole(1, 1_000),
        "The event that makes this many acts. Default: 1.",
    ),
    optional(
        "within_seconds",
        or_null!(whole(1, 86_400)),
        "Events are counted over this time. Default: the whole attempt.",
    ),
    optional(
        "then",
        Shape::Word(Consequence::NAMES),
        "What follows; heartbeat_lost never more than warn. Default: note.",
    ),
]);

const SECTION: Shape = Shape::Record(&[
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
