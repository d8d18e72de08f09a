//! Comparison of a candidate's text with the accepted answers.

use num_traits::Signed;
use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;

use super::exact::{from_decimal, parse_number};
use crate::exam::AcceptedAnswer;

/// Returns true if `given` is one of `accepted`. Text is compared in Unicode NFC,
/// trimmed, with runs of blanks as one, and with Unicode case folding unless
/// `case_sensitive`; numbers are compared by value, tolerance included.
pub(super) fn is_accepted(given: &str, accepted: &[AcceptedAnswer], case_sensitive: bool) -> bool {
    let text = normalize_text(given, case_sensitive);
    let value = parse_number(given);
    accepted.iter().any(|accepted| match accepted {
        AcceptedAnswer::Text(right) => normalize_text(right, case_sensitive) == text,
        AcceptedAnswer::Number { number, tolerance } => value
            .as_ref()
            .is_some_and(|value| (value - from_decimal(*number)).abs() <= from_decimal(*tolerance)),
    })
}

/// Returns the normal form, in which equivalent texts are equal.
fn normalize_text(text: &str, case_sensitive: bool) -> String {
    let composed: String = text.nfc().collect();
    let words: Vec<&str> = composed.split_whitespace().collect();
    let spaced = words.join(" ");
    if case_sensitive {
        return spaced;
    }
    // Folding may decompose a composed letter.
    UniCase::new(spaced).to_folded_case().nfc().collect()
}
