//! The keys of a question, type by type.

use super::parts::{ID, IMAGE, decimal, list, optional, or_null, required, text};
use crate::domain::exam::{
    limits::{
        ACCEPTED_CHARS_MAX, ACCEPTED_MAX, BLANKS_MAX, CONTENT_CHARS_MAX, CORNERS_MAX,
        LANGUAGES_MAX, OPTION_CHARS_MAX, OPTIONS_MAX, POINTS_MAX, REGIONS_MAX, WORD_CHARS_MAX,
    },
    shape::{Field, Shape},
};

/// A question, by type.
pub(super) const QUESTION: Shape = Shape::Variants {
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
