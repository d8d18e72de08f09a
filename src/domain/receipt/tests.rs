//! Receipts: what is signed, and that every change shows.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn content() -> Content {
    Content {
        answers: vec![
            FinalAnswer::new("q1".into(), 3, Some(r#""b""#)),
            FinalAnswer::new("q2".into(), 2, None),
            FinalAnswer::new("q3".into(), 1, Some("[[0.1,0.25]]")),
            FinalAnswer::new("q4".into(), 1, Some(&format!("\"{}\"", "x".repeat(2_000)))),
        ],
        attempt: "42".into(),
        candidate: "anna \u{5149}\u{7}".into(),
        deadline_at: Some(Timestamp::from_ms(1_795_424_400_000)),
        entered_at: Some(Timestamp::from_ms(1_795_420_800_000)),
        exam: "HIST-101".into(),
        exam_version: "sha256:aa".into(),
        format: Format::V1,
        handed_in: HandedInBy::Candidate,
        late: false,
        paper_version: "sha256:bb".into(),
        started_at: Timestamp::from_ms(1_795_420_000_000),
        submitted_at: Timestamp::from_ms(1_795_424_123_456),
    }
}

/// A receipt as JSON with one place changed.
fn edited(pointer: &str, value: Value) -> String {
    let mut receipt: Value = serde_json::from_str(&sign(content(), &key(7)).to_json()).unwrap();
    *receipt.pointer_mut(pointer).unwrap() = value;
    receipt.to_string()
}

#[test]
fn a_signed_receipt_verifies() {
    let text = sign(content(), &key(7)).to_json();
    let expected = key(7).verifying_key();
    let verified = verify(&text, Some(&expected)).unwrap();
    assert_eq!(verified.content, content());
    assert!(verified.key_expected);
    assert!(!verify(&text, None).unwrap().key_expected);
}

#[test]
fn signing_again_gives_the_same_receipt() {
    assert_eq!(sign(content(), &key(7)), sign(content(), &key(7)));
    assert_eq!(canonical(&content()), canonical(&content()));
}

#[test]
fn blanks_and_the_order_of_keys_do_not_matter() {
    let receipt = sign(content(), &key(7));
    let Value::Object(fields) = serde_json::to_value(&receipt).unwrap() else {
        panic!("a receipt is an object");
    };
    let lines: Vec<String> = fields
        .iter()
        .rev()
        .map(|(name, value)| format!("  {name:?} :\t{value:#}"))
        .collect();
    let text = format!("{{\r\n{}\n}}\n", lines.join(",\n"));
    assert_eq!(verify(&text, None).unwrap().content, content());
}

#[test]
fn the_signed_bytes_are_canonical() {
    fn check(value: &Value) {
        match value {
            Value::Object(fields) => fields.values().for_each(check),
            Value::Array(entries) => entries.iter().for_each(check),
            Value::Number(number) => assert!(number.is_i64() || number.is_u64()),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    let text = sign(content(), &key(7)).to_json();
    let value: Value = serde_json::from_str(&text).unwrap();
    check(&value);
    // A `Value` keeps its keys sorted and writes no blanks.
    assert!(value.as_object().unwrap().keys().is_sorted());
    assert!(value["content"].as_object().unwrap().keys().is_sorted());
    assert_eq!(value.to_string(), text);
    assert!(text.contains("\u{5149}\\u0007"));
}

#[test]
fn long_answers_stand_as_their_hash() {
    let at_most = "x".repeat(VALUE_SIZE_MAX);
    let short = FinalAnswer::new("q".into(), 1, Some(&at_most));
    assert_eq!(short.value.as_deref(), Some(at_most.as_str()));
    let long = FinalAnswer::new("q".into(), 1, Some(&(at_most + "x")));
    assert_eq!(long.value.unwrap().len(), "sha256:".len() + 64);
}

#[test]
fn every_way_to_be_wrong_has_its_sentence() {
    let other = sign(content(), &key(8));
    let resigned = json!(other.signature);
    let cases = [
        (
            "{",
            "This is no receipt: it is not JSON (EOF while parsing an object at line 1 column 1).",
        ),
        ("[]", "This is no receipt of a known format: it names \"\"."),
        ("{}", "This is no receipt of a known format: it names \"\"."),
        (
            &edited("/content/format", json!("invigil-receipt-2\u{1b}")),
            r#"This is no receipt of a known format: it names "invigil-receipt-2"."#,
        ),
        (
            &edited("/alg", json!("none")),
            r#"This receipt is signed by the algorithm "none"; only Ed25519 is known."#,
        ),
        (
            &edited("/content/late", json!("no")),
            "This is no receipt: invalid type: string \"no\", expected a boolean at line 1 \
             column 458.",
        ),
        (
            &edited("/public_key", json!("AAAA")),
            "The public key is not the base64 of an Ed25519 key.",
        ),
        (
            &edited("/signature", json!("AAAA")),
            "The signature is not the base64 of an Ed25519 signature.",
        ),
        (
            &edited("/content/answers/0/value", json!(r#""c""#)),
            "The receipt was changed: its content does not have the SHA-256 that it names.",
        ),
        (
            &edited("/sha256", json!("00")),
            "The receipt was changed: its content does not have the SHA-256 that it names.",
        ),
        (
            &edited("/signature", resigned),
            "The receipt is forged or was changed: its signature is not that of its content.",
        ),
        (
            &other.to_json(),
            "The receipt is signed with another key than the one expected: \
             \"E5j2LG0aRXxRumpLXz29L2n8qTIWIY3ImX5Ba9F9k8o=\".",
        ),
    ];
    let expected = key(7).verifying_key();
    for (text, sentence) in cases {
        let fault = verify(text, Some(&expected)).unwrap_err();
        assert_eq!(fault.to_string(), sentence);
    }
    let huge = " ".repeat(SIZE_MAX + 1);
    assert_eq!(verify(&huge, None), Err(Fault::TooLarge));
}

#[test]
fn a_changed_content_with_a_fresh_hash_is_forged() {
    let mut receipt = sign(content(), &key(7));
    receipt.content.late = true;
    receipt.sha256 = format!("{:x}", Sha256::digest(canonical(&receipt.content)));
    assert_eq!(verify(&receipt.to_json(), None), Err(Fault::Forged));
}

#[test]
fn what_is_not_signed_cannot_ride_along() {
    let text = sign(content(), &key(7)).to_json();
    let start = text.strip_suffix('}').unwrap();
    for more in [
        r#","grade":"A"}"#,
        r#","alg":"Ed25519"}"#,
        r#","content":{"format":"invigil-receipt-1"}}"#,
    ] {
        let fault = verify(&format!("{start}{more}"), None);
        assert!(matches!(fault, Err(Fault::NotReceipt(_))), "{more}");
    }
}

#[test]
fn lists_do_not_stand_for_objects() {
    let answer = edited("/content/answers/0", json!(["q1", 3, r#""b""#]));
    let sentence = "This is no receipt: a list stands for an object.";
    assert_eq!(verify(&answer, None).unwrap_err().to_string(), sentence);
}

#[test]
fn no_single_byte_can_be_changed() {
    let text = sign(content(), &key(7)).to_json();
    for index in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[index] ^= 1;
        if let Ok(changed) = String::from_utf8(bytes) {
            assert!(verify(&changed, None).is_err(), "at {index}: {changed}");
        }
    }
}

#[test]
fn a_genuine_receipt_is_told_in_words() {
    let text = sign(content(), &key(7)).to_json();
    let expected = key(7).verifying_key();
    let words = |expected| describe(&verify(&text, expected).unwrap());
    let start = "Genuine. Attempt 42 of anna \u{5149}\\u{7} at HIST-101 was handed in by the \
                 candidate at 2026-11-23T08:55:23.456Z, in time, with 3 answers. Signed with ";
    let base64 = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
    assert_eq!(
        words(Some(&expected)),
        format!("{start}the expected key: {base64}")
    );
    assert_eq!(
        words(None),
        format!(
            "{start}a key that proves nothing until it is compared with the engine's: {base64}"
        )
    );
}

#[test]
fn instants_beyond_the_calendar_are_told_as_numbers() {
    let content = Content {
        submitted_at: Timestamp::from_ms(i64::MAX),
        ..content()
    };
    let verified = verify(&sign(content, &key(7)).to_json(), None).unwrap();
    assert!(describe(&verified).contains(" at 9223372036854775807 ms, "));
}

proptest! {
    // Unoptimized signatures are slow.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        prop_assert!(verify(&text, None).is_err());
        prop_assert!(parse_key(&text).is_err());
    }

    #[test]
    fn every_content_survives_signing(
        candidate in any::<String>(),
        value in proptest::option::of(any::<String>()),
        rev in any::<u32>(),
        at in any::<i64>(),
    ) {
        let content = Content {
            answers: vec![FinalAnswer::new("q".into(), rev, value.as_deref())],
            candidate: candidate.into(),
            submitted_at: Timestamp::from_ms(at),
            entered_at: None,
            ..content()
        };
        let text = sign(content.clone(), &key(7)).to_json();
        prop_assert_eq!(verify(&text, None).unwrap().content, content);
    }
}
