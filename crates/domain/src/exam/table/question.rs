//! The keys of a question, type by type.

use super::parts::{ID, IMAGE, decimal, list, optional, or_null, required, text};
use crate::exam::{
    limits::{
        ACCEPTED_CHARS_MAX, ACCEPTED_MAX, BLANKS_MAX, CONTENT_CHARS_MAX, CORNERS_MAX,
        LANGUAGES_MAX, OPTION_CHARS_MAX, OPTIONS_MAX, POINTS_MAX, REGIONS_MAX, WORD_CHARS_MAX,
    },
    shape::{ShapeField, ValueShape},
};

/// A question, by type.
pub(super) const QUESTION: ValueShape = ValueShape::Variants {
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
            ValueShape::Flag,
            "Partial points for a partly right answer. Default: false.",
        ),
        optional(
            "negative_marking",
            ValueShape::Flag,
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
                    "Options to choose from.",
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
                    "Options to choose from.",
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
            &[required(
                "answer",
                ValueShape::Flag,
                "True if the statement is true.",
            )],
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
                    ValueShape::Either(&[list(&ACCEPTED, 1, ACCEPTED_MAX), ValueShape::Nothing]),
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
                required("left", list(&CHOICE, 1, OPTIONS_MAX), "Items to match."),
                required(
                    "right",
                    list(&CHOICE, 1, OPTIONS_MAX),
                    "Items to match them with.",
                ),
                required(
                    "answer",
                    ValueShape::Lookup {
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
                    "Items to put in order.",
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
                    ValueShape::Flag,
                    "True if several points may be set. Default: true for several regions.",
                ),
            ],
        ),
    ],
};

const CASE_SENSITIVE: ShapeField = optional("case_sensitive", ValueShape::Flag, "Default: false.");
const RUBRIC: ShapeField = optional(
    "rubric",
    or_null!(text(1, CONTENT_CHARS_MAX)),
    "Guidance for the person who marks the answer.",
);
const NO_KEY: ShapeField = optional("answer", ValueShape::Nothing, "A person marks it.");

const CHOICE: ValueShape = ValueShape::Record(&[
    required("id", ID, "Unique within its list."),
    required(
        "text",
        text(1, OPTION_CHARS_MAX),
        "Markdown with LaTeX between $.",
    ),
]);

const POINTS: ValueShape = ValueShape::Decimal {
    min: 0,
    max: POINTS_MAX,
    over: true,
    decimals: 2,
};

/// A number in an answer key. Its range and decimals keep all arithmetic exact.
const NUMBER: ValueShape = ValueShape::Decimal {
    min: -1_000_000_000_000,
    max: 1_000_000_000_000,
    over: false,
    decimals: 15,
};

const ACCEPTED_NUMBER: ValueShape = ValueShape::Record(&[
    required("number", NUMBER, "The right number."),
    optional(
        "tolerance",
        decimal(0, 1_000_000_000_000, 15),
        "Inclusive. Default: 0.",
    ),
]);

const ACCEPTED: ValueShape = ValueShape::Either(&[text(1, ACCEPTED_CHARS_MAX), ACCEPTED_NUMBER]);

const BLANK: ValueShape = ValueShape::Either(&[list(&ACCEPTED, 1, ACCEPTED_MAX), ACCEPTED_NUMBER]);

const FRACTION: ValueShape = decimal(0, 1, 17);

const REGION: ValueShape = ValueShape::Variants {
    tag: "shape",
    common: &[],
    own: &[
        (
            "rect",
            &[required(
                "coords",
                ValueShape::Tuple(&[FRACTION, FRACTION, FRACTION, FRACTION]),
                "[x1, y1, x2, y2] in fractions of the picture.",
            )],
        ),
        (
            "circle",
            &[required(
                "coords",
                ValueShape::Tuple(&[FRACTION, FRACTION, FRACTION]),
                "[cx, cy, r] in fractions of the picture.",
            )],
        ),
        (
            "polygon",
            &[required(
                "coords",
                list(&ValueShape::Tuple(&[FRACTION, FRACTION]), 3, CORNERS_MAX),
                "[[x, y], ...] in fractions of the picture.",
            )],
        ),
    ],
};
