//! Limits on the size of an exam.
//!
//! Every limit is far above the needs of a real exam. The limits make a hostile or
//! damaged file cheap to refuse, and bound the size of values derived from an exam
//! (orders in frames, sums in columns). Text is counted in characters (Unicode
//! scalar values).

/// Bytes of an exam file.
pub const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Values in an exam file, those repeated by YAML aliases counted again.
/// [`QUESTIONS_MAX`] questions of a hundred values each fit.
pub const FILE_VALUES_MAX: usize = 500_000;
/// Values in an exam file that YAML aliases repeat.
pub const FILE_REPEATED_MAX: usize = 100_000;
/// Nesting of an exam file; the format itself needs 10.
pub const FILE_DEPTH_MAX: usize = 32;
/// Sections of an exam.
pub const SECTIONS_MAX: usize = 200;
/// Questions of an exam, over all sections.
pub const QUESTIONS_MAX: usize = 5_000;
/// Options, items, left or right sides of a question.
pub const OPTIONS_MAX: usize = 100;
/// Blanks of a question.
pub const BLANKS_MAX: usize = 100;
/// Accepted answers to a blank.
pub const ACCEPTED_MAX: usize = 100;
/// Regions of a hotspot.
pub const REGIONS_MAX: usize = 100;
/// Corners of a region.
pub const CORNERS_MAX: usize = 200;
/// Languages of a coding question.
pub const LANGUAGES_MAX: usize = 50;
/// Integrity rules of an exam.
pub const RULES_MAX: usize = 100;
/// Letters of a grade scale.
pub const GRADES_MAX: usize = 50;
/// Networks that an exam may be taken from.
pub const NETWORKS_MAX: usize = 1_000;

/// Characters of an id within an exam.
pub const ID_CHARS_MAX: usize = 64;
/// Characters of the exam's code.
pub const CODE_CHARS_MAX: usize = 50;
/// Characters of a title.
pub const TITLE_CHARS_MAX: usize = 255;
/// Characters of the instructions. They travel in `welcome`, whose frame has
/// to stay under 64 KiB in every script.
pub const INSTRUCTIONS_CHARS_MAX: usize = 10_000;
/// Characters of a question's content, explanation or rubric.
pub const CONTENT_CHARS_MAX: usize = 100_000;
/// Characters of an option.
pub const OPTION_CHARS_MAX: usize = 10_000;
/// Characters of an accepted answer.
pub const ACCEPTED_CHARS_MAX: usize = 1_000;
/// Characters of a picture's address, an inline `data:` picture included.
pub const IMAGE_CHARS_MAX: usize = 4_000_000;
/// Characters of other short texts: passwords, languages, letters, event kinds.
pub const WORD_CHARS_MAX: usize = 100;

/// Minutes of any duration: one day.
pub const MINUTES_MAX: i64 = 1_440;
/// Attempts of one person at one exam.
pub const ATTEMPTS_MAX: i64 = 10;
/// Points of a question.
pub const POINTS_MAX: i64 = 1_000;
/// Points of a whole exam, in hundredths: the capacity of a sum's column (8 digits).
pub const SCORE_HUNDREDTHS_MAX: i64 = 99_999_999;
