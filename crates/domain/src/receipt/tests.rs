//! Receipts: the signed content, and the detection of every change.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn sample_content() -> ReceiptContent {
    ReceiptContent {
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
        format: ReceiptFormat::V1,
        handed_in: HandedInBy::Candidate,
        late: false,
        paper_version: "sha256:bb".into(),
        started_at: Timestamp::from_ms(1_795_420_000_000),
        submitted_at: Timestamp::from_ms(1_795_424_123_456),
    }
}

/// A receipt as JSON with one place changed.
fn edited_receipt(pointer: &str, value: Value) -> String {
    let mut receipt: Value =
        serde_json::from_str(&sign_receipt(sample_content(), &signing_key(7)).to_json()).unwrap();
    *receipt.pointer_mut(pointer).unwrap() = value;
    receipt.to_string()
}

#[test]
fn a_signed_receipt_verifies() {
    let text = sign_receipt(sample_content(), &signing_key(7)).to_json();
    let expected = signing_key(7).verifying_key();
    let verified = verify_receipt(&text, Some(&expected)).unwrap();
    assert_eq!(verified.content, sample_content());
    assert!(verified.key_expected);
    assert!(!verify_receipt(&text, None).unwrap().key_expected);
}

#[test]
fn signing_again_gives_the_same_receipt() {
    assert_eq!(
        sign_receipt(sample_content(), &signing_key(7)),
        sign_receipt(sample_content(), &signing_key(7))
    );
    assert_eq!(
        canonical_json(&sample_content()),
        canonical_json(&sample_content())
    );
}

#[test]
fn blanks_and_the_order_of_keys_do_not_matter() {
    let receipt = sign_receipt(sample_content(), &signing_key(7));
    let Value::Object(fields) = serde_json::to_value(&receipt).unwrap() else {
        panic!("a receipt is an object");
    };
    let lines: Vec<String> = fields
        .iter()
        .rev()
        .map(|(name, value)| format!("  {name:?} :\t{value:#}"))
        .collect();
    let text = format!("{{\r\n{}\n}}\n", lines.join(",\n"));
    assert_eq!(
        verify_receipt(&text, None).unwrap().content,
        sample_content()
    );
}

#[test]
fn the_signed_bytes_are_canonical() {
    fn check_numbers(value: &Value) {
        match value {
            Value::Object(fields) => fields.values().for_each(check_numbers),
            Value::Array(entries) => entries.iter().for_each(check_numbers),
            Value::Number(number) => assert!(number.is_i64() || number.is_u64()),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    let text = sign_receipt(sample_content(), &signing_key(7)).to_json();
    let value: Value = serde_json::from_str(&text).unwrap();
    check_numbers(&value);
    // A `Value` sorts its keys and is written without blanks.
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
    let other = sign_receipt(sample_content(), &signing_key(8));
    let resigned = json!(other.signature);
    let cases = [
        (
            "{",
            "This is no receipt: it is not JSON (EOF while parsing an object at line 1 column 1).",
        ),
        ("[]", "This is no receipt of a known format: it names \"\"."),
        ("{}", "This is no receipt of a known format: it names \"\"."),
        (
            &edited_receipt("/content/format", json!("invigil-receipt-2\u{1b}")),
            r#"This is no receipt of a known format: it names "invigil-receipt-2"."#,
        ),
        (
            &edited_receipt("/alg", json!("none")),
            r#"This receipt is signed by the algorithm "none"; only Ed25519 is known."#,
        ),
        (
            &edited_receipt("/content/late", json!("no")),
            "This is no receipt: invalid type: string \"no\", expected a boolean at line 1 \
             column 458.",
        ),
        (
            &edited_receipt("/public_key", json!("AAAA")),
            "The public key is not the base64 of an Ed25519 key.",
        ),
        (
            &edited_receipt("/signature", json!("AAAA")),
            "The signature is not the base64 of an Ed25519 signature.",
        ),
        (
            &edited_receipt("/content/answers/0/value", json!(r#""c""#)),
            "The receipt was changed: its content does not have the SHA-256 that it names.",
        ),
        (
            &edited_receipt("/sha256", json!("00")),
            "The receipt was changed: its content does not have the SHA-256 that it names.",
        ),
        (
            &edited_receipt("/signature", resigned),
            "The receipt is forged or was changed: its signature is not that of its content.",
        ),
        (
            &other.to_json(),
            "The receipt is signed with another key than the one expected: \
             \"E5j2LG0aRXxRumpLXz29L2n8qTIWIY3ImX5Ba9F9k8o=\".",
        ),
    ];
    let expected = signing_key(7).verifying_key();
    for (text, sentence) in cases {
        let fault = verify_receipt(text, Some(&expected)).unwrap_err();
        assert_eq!(fault.to_string(), sentence);
    }
    let huge = " ".repeat(SIZE_MAX + 1);
    assert_eq!(verify_receipt(&huge, None), Err(ReceiptError::TooLarge));
}

#[test]
fn a_changed_content_with_a_fresh_hash_is_forged() {
    let mut receipt = sign_receipt(sample_content(), &signing_key(7));
    receipt.content.late = true;
    receipt.sha256 = format!("{:x}", Sha256::digest(canonical_json(&receipt.content)));
    assert_eq!(
        verify_receipt(&receipt.to_json(), None),
        Err(ReceiptError::Forged)
    );
}

#[test]
fn what_is_not_signed_cannot_ride_along() {
    let text = sign_receipt(sample_content(), &signing_key(7)).to_json();
    let start = text.strip_suffix('}').unwrap();
    for more in [
        r#","grade":"A"}"#,
        r#","alg":"Ed25519"}"#,
        r#","content":{"format":"invigil-receipt-1"}}"#,
    ] {
        let fault = verify_receipt(&format!("{start}{more}"), None);
        assert!(matches!(fault, Err(ReceiptError::NotReceipt(_))), "{more}");
    }
}

#[test]
fn lists_do_not_stand_for_objects() {
    let answer = edited_receipt("/content/answers/0", json!(["q1", 3, r#""b""#]));
    let sentence = "This is no receipt: a list stands for an object.";
    assert_eq!(
        verify_receipt(&answer, None).unwrap_err().to_string(),
        sentence
    );
}

#[test]
fn no_single_byte_can_be_changed() {
    let text = sign_receipt(sample_content(), &signing_key(7)).to_json();
    for index in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[index] ^= 1;
        if let Ok(changed) = String::from_utf8(bytes) {
            assert!(
                verify_receipt(&changed, None).is_err(),
                "at {index}: {changed}"
            );
        }
    }
}

#[test]
fn a_genuine_receipt_is_told_in_words() {
    let text = sign_receipt(sample_content(), &signing_key(7)).to_json();
    let expected = signing_key(7).verifying_key();
    let words = |expected| describe_receipt(&verify_receipt(&text, expected).unwrap());
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
    let content = ReceiptContent {
        submitted_at: Timestamp::from_ms(i64::MAX),
        ..sample_content()
    };
    let verified = verify_receipt(&sign_receipt(content, &signing_key(7)).to_json(), None).unwrap();
    assert!(describe_receipt(&verified).contains(" at 9223372036854775807 ms, "));
}

proptest! {
    // Unoptimized signatures are slow.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        prop_assert!(verify_receipt(&text, None).is_err());
        prop_assert!(parse_public_key(&text).is_err());
    }

    #[test]
    fn every_content_survives_signing(
        candidate in any::<String>(),
        value in proptest::option::of(any::<String>()),
        rev in any::<u32>(),
        at in any::<i64>(),
    ) {
        let content = ReceiptContent {
            answers: vec![FinalAnswer::new("q".into(), rev, value.as_deref())],
            candidate: candidate.into(),
            submitted_at: Timestamp::from_ms(at),
            entered_at: None,
            ..sample_content()
        };
        let text = sign_receipt(content.clone(), &signing_key(7)).to_json();
        prop_assert_eq!(verify_receipt(&text, None).unwrap().content, content);
    }
}
