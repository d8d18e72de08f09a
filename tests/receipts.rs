//! Receipts against the world outside: a golden one, and the ways of checking
//! that `docs/receipts.md` shows, run as they stand there.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests are tests, and a skipped check is said aloud"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use ed25519_dalek::SigningKey;
use invigil_domain::{
    attempt::HandedInBy,
    receipt::{
        FinalAnswer, Receipt, ReceiptContent, ReceiptFormat, describe_receipt, sign_receipt,
        verify_receipt,
    },
    time::Timestamp,
};
use serde_json::Value;

const GOLDEN: &str = include_str!("fixtures/receipt.json");
const DOCS: &str = include_str!("../docs/receipts.md");

/// A hand-in with all values that are hard to write canonically.
fn receipt() -> Receipt {
    let program = r#"{"language":"python","source":"print(\"\\n\")\n"}"#;
    let essay = format!("\"{}\"", "\u{5149}\u{5408}\u{4f5c}\u{7528}".repeat(100));
    let content = ReceiptContent {
        answers: vec![
            FinalAnswer::new("q1".into(), 3, Some(r#""b""#)),
            FinalAnswer::new("q2".into(), 2, None),
            FinalAnswer::new("q3".into(), 1, Some("[[0.1,0.25],[1e-7,1.0]]")),
            FinalAnswer::new("q4".into(), 1, Some(program)),
            FinalAnswer::new("q5".into(), 12, Some(&essay)),
            FinalAnswer::new("q6".into(), 1, Some("\"\u{1f600} <&> \u{2028} e\u{301}\"")),
        ],
        attempt: "9007199254740993".into(),
        candidate: "stu/1 \"\u{5b89}\" \\ \t\u{1f}".into(),
        deadline_at: Some(Timestamp::from_ms(1_795_424_400_000)),
        entered_at: Some(Timestamp::from_ms(1_795_420_800_000)),
        exam: "HIST-101".into(),
        exam_version: format!("sha256:{}", "ab".repeat(32)).into(),
        format: ReceiptFormat::V1,
        handed_in: HandedInBy::Time,
        late: true,
        paper_version: format!("sha256:{}", "cd".repeat(32)).into(),
        started_at: Timestamp::from_ms(1_795_420_000_000),
        submitted_at: Timestamp::from_ms(1_795_424_400_007),
    };
    sign_receipt(content, &SigningKey::from_bytes(&[7; 32]))
}

/// Returns the first fenced block of a language in the documentation.
fn documented(language: &str) -> &'static str {
    let start = format!("\n```{language}\n");
    let (_, rest) = DOCS.split_once(&start).expect("the block is documented");
    rest.split_once("\n```").expect("the block has an end").0
}

/// Returns true if a program runs; a missing one is reported.
fn have(program: &str, args: &[&str]) -> bool {
    let found = Command::new(program)
        .args(args)
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: `{program} {}` does not run here", args.join(" "));
    }
    found
}

fn run_in(dir: &Path, program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).output().unwrap()
}

/// Receipts that must not pass: a changed answer, with and without a fresh hash
/// to match, and the signature of another key.
fn forgeries() -> Vec<String> {
    let mut changed = receipt();
    changed.content.late = false;
    let mut rehashed = changed.clone();
    rehashed.sha256 =
        sign_receipt(rehashed.content.clone(), &SigningKey::from_bytes(&[8; 32])).sha256;
    let mut stolen = receipt();
    stolen.signature =
        sign_receipt(stolen.content.clone(), &SigningKey::from_bytes(&[8; 32])).signature;
    [changed, rehashed, stolen]
        .map(|receipt| receipt.to_json())
        .into()
}

#[test]
fn the_format_does_not_drift() {
    assert_eq!(receipt().to_json(), GOLDEN.trim_end());
    let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
    let verified = verify_receipt(GOLDEN, Some(&key)).unwrap();
    assert_eq!(verified.content, receipt().content);
    assert!(describe_receipt(&verified).starts_with("Genuine. Attempt 9007199254740993 of "));
    for forgery in forgeries() {
        assert!(verify_receipt(&forgery, None).is_err());
    }
}

#[test]
fn the_documented_example_names_the_fields_there_are() {
    let fields =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let example: Value = serde_json::from_str(documented("json")).unwrap();
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(fields(&example), fields(&golden));
    assert_eq!(fields(&example["content"]), fields(&golden["content"]));
    let answers = [
        "/content/answers/0",
        "/content/answers/1",
        "/content/answers/2",
    ];
    for answer in answers.map(|pointer| example.pointer(pointer).unwrap()) {
        assert_eq!(fields(answer), fields(&golden["content"]["answers"][0]));
    }
}

#[test]
fn the_documented_shell_commands_tell_true_from_forged() {
    if !have("openssl", &["version"]) || !have("jq", &["--version"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = documented("sh");
    let run = |text: &str| {
        fs::write(dir.path().join("receipt.json"), text).unwrap();
        run_in(dir.path(), "sh", &["-e", "-c", script])
    };
    let genuine = run(GOLDEN);
    let said = String::from_utf8_lossy(&genuine.stdout);
    assert!(genuine.status.success(), "{genuine:?}");
    assert!(said.contains("Signature Verified Successfully"), "{said}");
    let sums: Vec<&str> = said
        .lines()
        .take(2)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(sums, [receipt().sha256.as_str(); 2]);
    for forgery in forgeries() {
        let output = run(&forgery);
        assert!(!output.status.success(), "{output:?}");
    }
}

#[test]
fn the_documented_python_tells_true_from_forged() {
    if !have("python3", &["-c", "import cryptography"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = documented("python");
    let run = |text: &str, key: &str| {
        fs::write(dir.path().join("receipt.json"), text).unwrap();
        run_in(dir.path(), "python3", &["-c", script, "receipt.json", key])
    };
    let key = receipt().public_key;
    let genuine = run(GOLDEN, &key);
    assert!(genuine.status.success(), "{genuine:?}");
    let pretty: Value = serde_json::from_str(GOLDEN).unwrap();
    assert!(run(&format!("{pretty:#}"), &key).status.success());
    for forgery in forgeries() {
        assert!(!run(&forgery, &key).status.success(), "{forgery}");
    }
    let other = SigningKey::from_bytes(&[8; 32]);
    let other = sign_receipt(receipt().content, &other).public_key;
    assert!(!run(GOLDEN, &other).status.success());
}
