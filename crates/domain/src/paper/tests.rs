//! Papers, orders and seals.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use aes_gcm::{Aes256Gcm, KeyInit, aead::Aead};
use base64::{Engine, engine::general_purpose::STANDARD};
use expect_test::expect;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    OrderedSection, Paper, PaperOrder,
    draw::{DrawStream, arrangeable, key_order},
    draw_order,
    seal::{seal_key, seal_nonce, seal_sections, sealed_document},
};
use crate::{
    exam::{
        Exam,
        definition::{FileFormat, parse_exam},
        fixture::{DEMO_QUIZ, demo_all, demo_all_tree, parse_sample},
    },
    id::OptionId,
};

fn document_of(exam: &Exam) -> Value {
    serde_json::from_str(Paper::from_exam(exam).document()).unwrap()
}

#[test]
fn the_document_has_what_a_page_needs_and_nothing_else() {
    let document = document_of(&demo_all());
    assert_eq!(document.as_object().unwrap().len(), 2);
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for section in document["sections"].as_array().unwrap() {
        for question in section["questions"].as_array().unwrap() {
            let kind = question["type"].as_str().unwrap().to_owned();
            let common = ["id", "type", "content", "points"];
            let own = question.as_object().unwrap().keys();
            let own = own.filter(|key| !common.contains(&key.as_str()));
            keys.insert(kind, own.cloned().collect());
        }
    }
    expect![[r#"
        {
            "coding": [
                "languages",
            ],
            "essay": [],
            "fill_blank": [
                "blanks",
            ],
            "hotspot": [
                "image",
                "multiple",
            ],
            "matching": [
                "left",
                "right",
            ],
            "multiple_choice": [
                "options",
            ],
            "ordering": [
                "items",
            ],
            "short_answer": [],
            "single_choice": [
                "options",
            ],
            "true_false": [],
        }
    "#]]
    .assert_debug_eq(&keys);
    let questions = &document["sections"][1]["questions"];
    assert_eq!(questions[0]["blanks"], 2);
    assert_eq!(questions[3]["languages"][0], "python");
    assert_eq!(document["sections"][0]["questions"][0]["points"], 2);
    assert_eq!(document["sections"][0].get("time_limit_ms"), None);
}

#[test]
fn points_and_time_limits_are_plain_numbers() {
    let mut tree = demo_all_tree();
    tree["sections"][0]["questions"][0]["points"] = json!(2.50);
    tree["sections"][0]["time_limit_minutes"] = json!(5);
    let document = document_of(
        &parse_exam(&tree.to_string(), FileFormat::Json)
            .unwrap()
            .exam,
    );
    assert_eq!(
        document["sections"][0]["questions"][0]["points"],
        json!(2.5)
    );
    assert_eq!(document["sections"][0]["time_limit_ms"], json!(300_000));
}

#[test]
fn no_secret_of_the_exam_is_in_the_document() {
    // Every text of the key gets a unique mark, and every rule a unique value.
    let mut tree = demo_all_tree();
    tree["password"] = "SECRET-password".into();
    let mut marks = 0;
    for section in tree["sections"].as_array_mut().unwrap() {
        for question in section["questions"].as_array_mut().unwrap() {
            question["explanation"] = "SECRET-explanation".into();
            match question["type"].as_str().unwrap() {
                "essay" | "coding" => question["rubric"] = "SECRET-rubric".into(),
                "short_answer" => question["answer"] = json!(["SECRET-short"]),
                "fill_blank" => {
                    question["answer"] = json!([["SECRET-blank"], {"number": 987_654_321}]);
                }
                _ => continue,
            }
            marks += 1;
        }
    }
    assert_eq!(marks, 4);
    let exam = parse_exam(&tree.to_string(), FileFormat::Json)
        .unwrap()
        .exam;
    let paper = Paper::from_exam(&exam);
    for secret in [
        "SECRET",
        "987654321",
        "\"answer\"",
        "explanation",
        "rubric",
        "tolerance",
        "case_sensitive",
        "partial_credit",
        "negative_marking",
        "coords",
    ] {
        assert!(!paper.document().contains(secret), "{secret}");
    }
}

#[test]
fn the_document_depends_on_no_key() {
    let exam = demo_all();
    let before = document_of(&exam);
    let mut tree = demo_all_tree();
    for (section, question, answer) in [
        (0, 0, json!("a")),
        (0, 1, json!(["b"])),
        (0, 2, json!(false)),
        (1, 0, json!([["other"], ["other"]])),
        (1, 1, json!(null)),
        (
            2,
            2,
            json!([{"shape": "circle", "coords": [0.1, 0.1, 0.1]}]),
        ),
    ] {
        tree["sections"][section]["questions"][question]["answer"] = answer;
    }
    let other = parse_exam(&tree.to_string(), FileFormat::Json)
        .unwrap()
        .exam;
    assert_ne!(other.version, exam.version);
    assert_eq!(document_of(&other), before);
}

#[test]
fn the_version_is_the_hash_of_the_sections() {
    let paper = Paper::from_exam(&demo_all());
    let whole: Value = serde_json::from_str(paper.document()).unwrap();
    let sections: Value = serde_json::from_str(paper.sections_json()).unwrap();
    assert_eq!(whole["sections"], sections);
    assert_eq!(whole["version"], paper.version());
    assert_eq!(sections.to_string(), paper.sections_json(), "canonical");
    let mut exam = demo_all();
    exam.title = "Another title".to_owned();
    assert_eq!(Paper::from_exam(&exam).version(), paper.version());
    exam.sections[0].questions[0].content.push('!');
    assert_ne!(Paper::from_exam(&exam).version(), paper.version());
}

/// Returns true if ids have the order of a key of two or more.
fn shows_key(ids: &[OptionId], key: &[OptionId]) -> bool {
    let shown: Vec<&OptionId> = ids.iter().filter(|id| key.contains(id)).collect();
    key.len() >= 2 && shown == key.iter().collect::<Vec<_>>()
}

#[test]
fn items_and_right_sides_never_stand_in_the_key_s_order_in_the_document() {
    let mut seen = BTreeSet::new();
    for name in 0..200 {
        let mut exam = demo_all();
        exam.code = format!("E{name}").into();
        let document = document_of(&exam);
        for (question, list) in [(0, "right"), (1, "items")] {
            let public = &document["sections"][2]["questions"][question];
            let ids: Vec<OptionId> = public[list]
                .as_array()
                .unwrap()
                .iter()
                .map(|choice| choice["id"].as_str().unwrap().into())
                .collect();
            let body = &exam.sections[2].questions[question].body;
            assert_eq!(ids.len(), arrangeable(body).len());
            assert!(!shows_key(&ids, &key_order(body)), "{ids:?}");
            seen.insert(ids);
        }
    }
    // 23 orders of four items, 20 of four right sides of which three are used.
    assert_eq!(seen.len(), 43);
}

#[test]
fn an_order_has_the_form_of_the_protocol() {
    let mut exam = demo_all();
    exam.sections.truncate(1);
    exam.shuffle_options = false;
    let order = serde_json::to_value(draw_order(&exam, 0)).unwrap();
    let expected = json!([{"section": "choose", "questions": [
        {"q": "q1", "options": ["a", "b", "c", "d"]},
        {"q": "q2", "options": ["a", "b", "c", "d", "e"]},
        {"q": "q3"},
    ]}]);
    assert_eq!(order, expected);
}

/// A line for each section: `s1: q1 q2(b a)`.
fn compact_order(order: &PaperOrder) -> String {
    let section = |section: &OrderedSection| {
        let mut line = format!("{}:", section.section);
        for question in &section.questions {
            let options: Vec<&str> = question.options.iter().map(OptionId::as_str).collect();
            match options.as_slice() {
                [] => write!(line, " {}", question.q).unwrap(),
                options => write!(line, " {}({})", question.q, options.join(" ")).unwrap(),
            }
        }
        line
    };
    let lines: Vec<String> = order.sections.iter().map(section).collect();
    lines.join("\n")
}

#[test]
fn orders_of_known_seeds_stay_the_same_for_good() {
    expect![[r#"
        s1: u1 u3(au ly nm um mm) u2(b a d c)
        s2: m2(a d c b) m1"#]]
    .assert_eq(&compact_order(&draw_order(
        &parse_sample(DEMO_QUIZ).exam,
        20_261_123,
    )));
    expect![[r#"
        choose: q1(a c b d) q2(c a e b d) q3
        write: q4 q5 q6 q7
        arrange: q8(osl nbo hel lim) q9(x w y z) q10"#]]
    .assert_eq(&compact_order(&draw_order(&demo_all(), 0)));
    let mut list: Vec<u32> = (0..20).collect();
    DrawStream::from_label(&[b"test"]).shuffle(&mut list);
    expect!["[9, 4, 7, 13, 10, 5, 1, 11, 8, 19, 0, 17, 15, 2, 18, 14, 3, 6, 12, 16]"]
        .assert_eq(&format!("{list:?}"));
}

#[test]
fn an_exam_that_does_not_shuffle_keeps_its_order_except_the_key_s() {
    let mut exam = demo_all();
    exam.shuffle_options = false;
    let order = draw_order(&exam, 1);
    assert_eq!(order, draw_order(&exam, 2));
    let document = document_of(&exam);
    let all = order.sections.iter().zip(&exam.sections);
    for (drawn, section) in all {
        for (drawn, question) in drawn.questions.iter().zip(&section.questions) {
            assert_eq!(drawn.q, question.id);
            let key = key_order(&question.body);
            let plain: Vec<_> = arrangeable(&question.body)
                .iter()
                .map(|it| it.id.clone())
                .collect();
            if key.is_empty() {
                assert_eq!(drawn.options, plain);
            } else {
                assert!(!shows_key(&drawn.options, &key));
            }
        }
    }
    let items = &document["sections"][2]["questions"][1]["items"];
    let shown: Vec<&str> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    let drawn: Vec<&str> = order.sections[2].questions[1]
        .options
        .iter()
        .map(OptionId::as_str)
        .collect();
    assert_eq!(drawn, shown);
}

#[test]
fn every_place_is_as_likely_as_any_other() {
    let mut counts = [[0_u32; 5]; 5];
    for seed in 0..5_000_u64 {
        let mut list = [0, 1, 2, 3, 4];
        DrawStream::from_label(&[&seed.to_le_bytes()]).shuffle(&mut list);
        for (place, item) in list.into_iter().enumerate() {
            counts[item][place] += 1;
        }
    }
    // 1,000 expected; 5 standard deviations are 141.
    assert!(
        counts
            .iter()
            .flatten()
            .all(|count| count.abs_diff(1_000) < 142),
        "{counts:?}"
    );
}

/// Asserts that an order has all parts of the exam, each once.
fn assert_permutation(exam: &Exam, order: &PaperOrder) {
    assert_eq!(order.sections.len(), exam.sections.len());
    for (drawn, section) in order.sections.iter().zip(&exam.sections) {
        assert_eq!(drawn.section, section.id);
        assert_eq!(drawn.questions.len(), section.questions.len());
        for question in &section.questions {
            let drawn = drawn
                .questions
                .iter()
                .find(|it| it.q == question.id)
                .unwrap();
            let mut ids: Vec<_> = arrangeable(&question.body)
                .iter()
                .map(|it| &it.id)
                .collect();
            let mut options: Vec<_> = drawn.options.iter().collect();
            assert!(!shows_key(&drawn.options, &key_order(&question.body)));
            ids.sort();
            options.sort();
            assert_eq!(options, ids);
        }
    }
}

#[test]
fn papers_of_public_question_sets_hold_every_question() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/exams");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: there is no ../shared/data/exams");
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "json") {
            let exam = parse_exam(&fs::read_to_string(path).unwrap(), FileFormat::Json)
                .unwrap()
                .exam;
            assert_permutation(&exam, &draw_order(&exam, 7));
            let paper = Paper::from_exam(&exam);
            assert!(!paper.document().contains("\"answer\""));
        }
    }
}

#[test]
fn a_sealed_paper_opens_with_its_key_alone() {
    let paper = Paper::from_exam(&demo_all());
    let code = "DEMO-ALL".into();
    let sealed: Value = serde_json::from_str(&sealed_document(&paper, &[7; 32], &code)).unwrap();
    assert_eq!(sealed["version"], paper.version());
    assert_eq!(sealed["alg"], "A256GCM");
    assert_eq!(sealed.as_object().unwrap().len(), 4);
    let decode = |key: &str| STANDARD.decode(sealed[key].as_str().unwrap()).unwrap();
    let (nonce, data) = (decode("nonce"), decode("data"));
    assert_eq!(data.len(), paper.sections_json().len() + 16);
    let open = |key: [u8; 32]| {
        Aes256Gcm::new(&key.into()).decrypt(nonce.as_slice().into(), data.as_slice())
    };
    let key = seal_key(&[7; 32], &code, paper.version());
    assert_eq!(open(key).unwrap(), paper.sections_json().as_bytes());
    assert!(open(seal_key(&[8; 32], &code, paper.version())).is_err());
}

#[test]
fn keys_belong_to_one_exam_and_paper_version() {
    let secret = [7; 32];
    let key = seal_key(&secret, &"A".into(), "sha256:1");
    assert_eq!(key, seal_key(&secret, &"A".into(), "sha256:1"));
    assert_ne!(key, seal_key(&secret, &"B".into(), "sha256:1"));
    assert_ne!(key, seal_key(&secret, &"A".into(), "sha256:2"));
    assert_ne!(key[..12], seal_nonce(&secret, &"A".into(), "sha256:1"));
}

#[test]
fn sealing_is_aes_256_gcm_with_the_tag_at_the_end() {
    // Test case 14 of the GCM specification: key, nonce and plaintext all zero.
    let parts = seal_sections(&[0; 16], &[0; 32], [0; 12]);
    let data = STANDARD.decode(&parts.data).unwrap();
    let expected = [
        0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d,
        0x18, 0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a,
        0xb9, 0x19,
    ];
    assert_eq!(data, expected);
    assert_eq!(parts.nonce, "AAAAAAAAAAAAAAAA");
}

proptest! {
    #[test]
    fn every_order_is_a_permutation_and_repeats(seed in any::<u64>(), quiz in any::<bool>()) {
        let exam = if quiz { parse_sample(DEMO_QUIZ).exam } else { demo_all() };
        let order = draw_order(&exam, seed);
        assert_permutation(&exam, &order);
        prop_assert_eq!(&draw_order(&exam, seed), &order);
    }
}
