//! The exam file, key by key: what the check and the JSON Schema are made of.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Consequence, ExamKind, SessionPolicy, Severity,
    limits::{
        ACCEPTED_CHARS_MAX, ACCEPTED_MAX, ATTEMPTS_MAX, BLANKS_MAX, CODE_CHARS_MAX,
        CONTENT_CHARS_MAX, CORNERS_MAX, GRADES_MAX, ID_CHARS_MAX, IMAGE_CHARS_MAX,
        INSTRUCTIONS_CHARS_MAX, LANGUAGES_MAX, MINUTES_MAX, NETWORKS_MAX, OPTION_CHARS_MAX,
        OPTIONS_MAX, POINTS_MAX, QUESTIONS_MAX, REGIONS_MAX, RULES_MAX, SECTIONS_MAX,
        TITLE_CHARS_MAX, WORD_CHARS_MAX,
    },
    shape::{Field, Rule, Shape},
};
use crate::domain::time::Timestamp;

/// A shape or `null`. A macro, since a function's argument cannot become static.
macro_rules! or_null {
    ($shape:expr) => {
        Shape::Either(&[$shape, Shape::Nothing])
    };
}

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
        "rules",
        list(&RULE, 0, RULES_MAX),
        "What follows from which events.",
    ),
]);

const RULE: Shape = Shape::Record(&[
    required("kind", EVENT_KIND, "Event kind of the protocol, or x-..."),
    optional(
        "severity",
        Shape::Word(Severity::NAMES),
        "How bad one is. Default: medium.",
    ),
    optional(
        "limit",
        whole(1, 10_000),
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
        "What follows. Default: note.",
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
        list(&QUESTION, 1, QUESTIONS_MAX),
        "The section's questions, in order.",
    ),
]);

const QUESTION: Shape = Shape::Variants {
    tag: "type",
    common: &[
        required("id", ID, "Unique within the exam."),
        required(
            "content",
            text(1, CONTENT_CHARS_MAX),
            "Markdown with LaTeX between $.",
        ),
        optional("points", POINTS, "Default: 1."),
        optional(
            "partial_credit",
            Shape::Flag,
            "Part of the points for a part. Default: false.",
        ),
        optional(
            "negative_marking",
            Shape::Flag,
            "single_choice only. Default: false.",
        ),
        optional(
            "explanation",
            or_null!(text(1, CONTENT_CHARS_MAX)),
            "Shown with right answers.",
        ),
    ],
    own: &[
        (
            "single_choice",
            &[
                required(
                    "options",
                    list(&CHOICE, 2, OPTIONS_MAX),
                    "What to choose from.",
                ),
                required("answer", ID, "The right option's id."),
            ],
        ),
        (
            "multiple_choice",
            &[
                required(
                    "options",
                    list(&CHOICE, 1, OPTIONS_MAX),
                    "What to choose from.",
                ),
                required(
                    "answer",
                    list(&ID, 1, OPTIONS_MAX),
                    "The right options' ids.",
                ),
            ],
        ),
        (
            "true_false",
            &[required("answer", Shape::Flag, "Whether it is true.")],
        ),
        (
            "fill_blank",
            &[
                required("answer", list(&BLANK, 1, BLANKS_MAX), "One entry a blank."),
                CASE_SENSITIVE,
            ],
        ),
        (
            "short_answer",
            &[
                optional(
                    "answer",
                    Shape::Either(&[list(&ACCEPTED, 1, ACCEPTED_MAX), Shape::Nothing]),
                    "Accepted answers; null or absent: a person marks it.",
                ),
                CASE_SENSITIVE,
                RUBRIC,
            ],
        ),
        ("essay", &[NO_KEY, RUBRIC]),
        (
            "coding",
            &[
                NO_KEY,
                RUBRIC,
                optional(
                    "languages",
                    list(&text(1, WORD_CHARS_MAX), 0, LANGUAGES_MAX),
                    "Languages to choose from. Default: any.",
                ),
            ],
        ),
        (
            "matching",
            &[
                required("left", list(&CHOICE, 1, OPTIONS_MAX), "What to match."),
                required(
                    "right",
                    list(&CHOICE, 1, OPTIONS_MAX),
                    "What to match it with.",
                ),
                required(
                    "answer",
                    Shape::Lookup {
                        of: &ID,
                        max: OPTIONS_MAX,
                    },
                    "The right id for each left id.",
                ),
            ],
        ),
        (
            "ordering",
            &[
                required(
                    "items",
                    list(&CHOICE, 2, OPTIONS_MAX),
                    "What to put in order.",
                ),
                required(
                    "answer",
                    list(&ID, 2, OPTIONS_MAX),
                    "The ids in the right order.",
                ),
            ],
        ),
        (
            "hotspot",
            &[
                required(
                    "image",
                    IMAGE,
                    "Address of the picture, or an inline data: picture.",
                ),
                required(
                    "answer",
                    list(&REGION, 1, REGIONS_MAX),
                    "The regions to hit.",
                ),
                optional(
                    "multiple",
                    Shape::Flag,
                    "Whether several points may be set. Default: where there are several regions.",
                ),
            ],
        ),
    ],
};

const CASE_SENSITIVE: Field = optional("case_sensitive", Shape::Flag, "Default: false.");
const RUBRIC: Field = optional(
    "rubric",
    or_null!(text(1, CONTENT_CHARS_MAX)),
    "For the person who marks it.",
);
const NO_KEY: Field = optional("answer", Shape::Nothing, "A person marks it.");

const CHOICE: Shape = Shape::Record(&[
    required("id", ID, "Unique within its list."),
    required(
        "text",
        text(1, OPTION_CHARS_MAX),
        "Markdown with LaTeX between $.",
    ),
]);

const POINTS: Shape = Shape::Decimal {
    min: 0,
    max: POINTS_MAX,
    over: true,
    decimals: 2,
};

/// A number of an answer. The bound and the decimals keep all arithmetic exact.
const NUMBER: Shape = Shape::Decimal {
    min: -1_000_000_000_000,
    max: 1_000_000_000_000,
    over: false,
    decimals: 15,
};

const ACCEPTED_NUMBER: Shape = Shape::Record(&[
    required("number", NUMBER, "The right number."),
    optional(
        "tolerance",
        decimal(0, 1_000_000_000_000, 15),
        "Inclusive. Default: 0.",
    ),
]);

const ACCEPTED: Shape = Shape::Either(&[text(1, ACCEPTED_CHARS_MAX), ACCEPTED_NUMBER]);

const BLANK: Shape = Shape::Either(&[list(&ACCEPTED, 1, ACCEPTED_MAX), ACCEPTED_NUMBER]);

const FRACTION: Shape = decimal(0, 1, 17);

const REGION: Shape = Shape::Variants {
    tag: "shape",
    common: &[],
    own: &[
        (
            "rect",
            &[required(
                "coords",
                Shape::Tuple(&[FRACTION, FRACTION, FRACTION, FRACTION]),
                "[x1, y1, x2, y2] in fractions of the picture.",
            )],
        ),
        (
            "circle",
            &[required(
                "coords",
                Shape::Tuple(&[FRACTION, FRACTION, FRACTION]),
                "[cx, cy, r] in fractions of the picture.",
            )],
        ),
        (
            "polygon",
            &[required(
                "coords",
                list(&Shape::Tuple(&[FRACTION, FRACTION]), 3, CORNERS_MAX),
                "[[x, y], ...] in fractions of the picture.",
            )],
        ),
    ],
};

const CODE: Shape = Shape::Text {
    min: 1,
    max: CODE_CHARS_MAX,
    rule: &CODE_RULE,
};

/// What an exam's code looks like; rosters name exams by it too.
pub(super) const CODE_RULE: Rule = Rule {
    says: "must be letters A-Z and a-z, digits, _ and -",
    holds: |text| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    },
    pattern: "^[A-Za-z0-9_-]*$",
    format: "",
};

const ID: Shape = Shape::Text {
    min: 1,
    max: ID_CHARS_MAX,
    rule: &Rule {
        says: "must not hold blanks or control characters",
        holds: |text| !text.contains(|one: char| one.is_whitespace() || one.is_control()),
        pattern: r"^[^\s\u0000-\u001f\u007f-\u009f]*$",
        format: "",
    },
};

const IMAGE: Shape = Shape::Text {
    min: 1,
    max: IMAGE_CHARS_MAX,
    rule: &Rule {
        says: "must be an http, https or data:image address, or a path",
        holds: |text| {
            ["http://", "https://", "data:image/"]
                .iter()
                .any(|start| text.len() > start.len() && text.starts_with(start))
                || !text.contains(':')
        },
        pattern: r"^(https?://[\s\S]+|data:image/[\s\S]+|[^:]*)$",
        format: "",
    },
};

const INSTANT: Shape = Shape::Text {
    min: 1,
    max: WORD_CHARS_MAX,
    rule: &Rule {
        says: "must be an instant of RFC 3339, such as 2026-11-23T08:00:00Z",
        holds: |text| instant(text).is_some(),
        pattern: "",
        format: "date-time",
    },
};

const NETWORK: Shape = Shape::Text {
    min: 1,
    max: WORD_CHARS_MAX,
    rule: &Rule {
        says: "must be a network such as 10.0.0.0/8, or an address",
        holds: |text| network(text).is_some(),
        pattern: "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$",
        format: "",
    },
};

const EVENT_KIND: Shape = Shape::Text {
    min: 1,
    max: WORD_CHARS_MAX,
    rule: &Rule {
        says: "must be an event kind of the protocol, or begin with x-",
        holds: |text| EVENT_KINDS.contains(&text) || text.starts_with("x-"),
        pattern: "^(x-[\\s\\S]*|focus_lost|focus_gained|page_hidden|page_visible|fullscreen_exit\
                  |copy|cut|paste|context_menu|print|screenshot|devtools|second_screen|offline\
                  |face_absent|face_multiple|face_mismatch|voice|phone|virtual_machine\
                  |screen_share_stopped)$",
        format: "",
    },
};

/// The kinds of event that the protocol names.
pub(super) const EVENT_KINDS: [&str; 21] = [
    "focus_lost",
    "focus_gained",
    "page_hidden",
    "page_visible",
    "fullscreen_exit",
    "copy",
    "cut",
    "paste",
    "context_menu",
    "print",
    "screenshot",
    "devtools",
    "second_screen",
    "offline",
    "face_absent",
    "face_multiple",
    "face_mismatch",
    "voice",
    "phone",
    "virtual_machine",
    "screen_share_stopped",
];

/// Reads an instant of RFC 3339, whole milliseconds.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let instant = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(Timestamp::from_ms(instant.timestamp_millis()))
}

/// Reads a network; an address alone is a network of one.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .ok()
        .map(|network| network.trunc())
}

const fn required(key: &'static str, shape: Shape, about: &'static str) -> Field {
    Field {
        key,
        required: true,
        shape,
        about,
    }
}

const fn optional(key: &'static str, shape: Shape, about: &'static str) -> Field {
    Field {
        key,
        required: false,
        shape,
        about,
    }
}

const fn text(min: usize, max: usize) -> Shape {
    const ANY: Rule = Rule {
        says: "",
        holds: |_| true,
        pattern: "",
        format: "",
    };
    Shape::Text {
        min,
        max,
        rule: &ANY,
    }
}

const fn whole(min: i64, max: i64) -> Shape {
    Shape::Whole { min, max }
}

const fn decimal(min: i64, max: i64, decimals: u32) -> Shape {
    Shape::Decimal {
        min,
        max,
        over: false,
        decimals,
    }
}

const fn list(of: &'static Shape, min: usize, max: usize) -> Shape {
    Shape::List { of, min, max }
}
