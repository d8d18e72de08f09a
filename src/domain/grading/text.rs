//! Whether what a candidate wrote is one of the accepted answers.

use num_traits::Signed;
use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;

use super::exact::{from_decimal, parse};
use crate::domain::exam::Accepted;

/// Whether `given` is one of `accepted`. Text is compared in Unicode NFC,
/// trimmed, runs of blanks as one, and with Unicode case folding unless
/// `case_sensitive`; numbers by value, the tolerance inclusive.
pub(super) fn is_accepted(given: &str, accepted: &[Accepted], case_sensitive: bool) -> bool {
    let text = normal(given, case_sensitive);
    let value = parse(given);
    accepted.iter().any(|accepted| match accepted {
        Accepted::Text(right) => normal(right, case_sensitive) == text,
        Accepted::Number { number, tolerance } => value
            .as_ref()
            .is_some_and(|value| (value - from_decimal(*number)).abs() <= from_decimal(*tolerance)),
    })
}

/// The form in which two texts that count as the same are the same.
fn normal(text: &str, case_sensitive: bool) -> String {
    let composed: String = text.nfc().collect();
    let words: Vec<&str> = composed.split_whitespace().collect();
    let spaced = words.join(" ");
    if case_sensitive {
        return spaced;
    }
    // Folding may take a composed letter apart.
    UniCase::new(spaced).to_folded_case().nfc().collect()
}
