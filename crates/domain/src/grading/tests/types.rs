//! Tables of answers by question type.

use super::*;
use crate::exam::HotspotRegion;

#[test]
fn single_choice_is_all_or_nothing() {
    let question = with_partial_credit(make_question("q", "2", single_choice_body("a b c", "b")));
    check_marks(
        &question,
        &[
            (r#""b""#, "2"),
            (r#""a""#, "0"),
            (r#""z""#, "0"),
            (r#""B""#, "0"),
            (r#"["b"]"#, "0"),
            ("1", "0"),
            ("null", "0"),
        ],
    );
}

#[test]
fn negative_marking_takes_the_share_of_a_guess_for_a_wrong_option() {
    let four = with_negative_marking(make_question("q", "2", single_choice_body("a b c d", "b")));
    check_marks(&four, &[(r#""b""#, "2"), (r#""a""#, "-0.67")]);
    let two = with_negative_marking(make_question("q", "2", single_choice_body("a b", "b")));
    check_marks(&two, &[(r#""b""#, "2"), (r#""a""#, "-2")]);
}

#[test]
fn negative_marking_leaves_alone_what_is_no_wrong_option() {
    let question = with_negative_marking(make_question("q", "2", single_choice_body("a b c", "b")));
    assert_eq!(
        grade_question(&question, None).rounded_points(),
        Some(Decimal::ZERO)
    );
    check_marks(&question, &[(r#""z""#, "0"), ("{}", "0"), ("", "0")]);
}

#[test]
fn negative_marking_is_for_single_choice_only() {
    let wrong = [
        (multiple_choice_body("a b c", "a"), r#"["b"]"#),
        (QuestionBody::TrueFalse { answer: true }, "false"),
        (fill_blank_body(vec![accepted_texts(&["x"])]), r#"["y"]"#),
        (matching_body("l1 r1 l2 r2"), r#"{"l1":"r2"}"#),
        (ordering_body("1 2 3"), r#"["3","2","1"]"#),
    ];
    for (body, value) in wrong {
        check_marks(
            &with_partial_credit(with_negative_marking(make_question("q", "2", body))),
            &[(value, "0")],
        );
    }
}

#[test]
fn multiple_choice_earns_right_less_wrong() {
    let question = with_partial_credit(make_question(
        "q",
        "3",
        multiple_choice_body("a b c d e", "a b c"),
    ));
    check_marks(
        &question,
        &[
            (r#"["a","b","c"]"#, "3"),
            (r#"["c","b","a"]"#, "3"),
            (r#"["a","b"]"#, "2"),
            (r#"["a"]"#, "1"),
            (r#"["a","b","d"]"#, "1"),
            (r#"["a","b","c","d"]"#, "2"),
            (r#"["a","b","c","d","e"]"#, "1"),
            (r#"["a","d"]"#, "0"),
            (r#"["d","e"]"#, "0"),
            ("[]", "0"),
            (r#"["a","a","b","c"]"#, "0"),
            (r#"["a","b","c","z"]"#, "0"),
        ],
    );
}

#[test]
fn without_partial_credit_it_is_all_or_nothing() {
    check_marks(
        &make_question("q", "3", multiple_choice_body("a b c d", "a b")),
        &[
            (r#"["b","a"]"#, "3"),
            (r#"["a"]"#, "0"),
            (r#"["a","b","c"]"#, "0"),
        ],
    );
    check_marks(
        &make_question("q", "3", matching_body("l1 r1 l2 r2")),
        &[(r#"{"l1":"r1","l2":"r2"}"#, "3"), (r#"{"l1":"r1"}"#, "0")],
    );
    check_marks(
        &make_question("q", "3", ordering_body("1 2 3 4")),
        &[(r#"["1","2","3","4"]"#, "3"), (r#"["2","3","4","1"]"#, "0")],
    );
    check_marks(
        &make_question(
            "q",
            "3",
            fill_blank_body(vec![accepted_texts(&["x"]), accepted_texts(&["y"])]),
        ),
        &[(r#"["x","y"]"#, "3"), (r#"["x"]"#, "0")],
    );
}

#[test]
fn true_false_knows_two_values() {
    let question = make_question("q", "1", QuestionBody::TrueFalse { answer: false });
    check_marks(
        &question,
        &[
            ("false", "1"),
            ("true", "0"),
            ("0", "0"),
            (r#""false""#, "0"),
        ],
    );
}

#[test]
fn matching_earns_the_share_of_right_pairs() {
    let question = with_partial_credit(make_question("q", "2", matching_body("l1 r1 l2 r2 l3 r3")));
    check_marks(
        &question,
        &[
            (r#"{"l1":"r1","l2":"r2","l3":"r3"}"#, "2"),
            (r#"{"l1":"r1","l2":"r2"}"#, "1.33"),
            (r#"{"l1":"r1","l2":"r3","l3":"r2"}"#, "0.67"),
            (r#"{"l1":"r1","l2":"r1","l3":"r1"}"#, "0.67"),
            ("{}", "0"),
            (r#"{"l1":"r1","z":"r2"}"#, "0"),
            (r#"{"l1":"r1","l2":"z"}"#, "0"),
            (r#"["r1","r2","r3"]"#, "0"),
        ],
    );
}

#[test]
fn ordering_earns_the_share_of_kept_neighbors() {
    let question = with_partial_credit(make_question("q", "3", ordering_body("1 2 3 4")));
    check_marks(
        &question,
        &[
            (r#"["1","2","3","4"]"#, "3"),
            (r#"["1","3","2","4"]"#, "0"),
            (r#"["2","3","4","1"]"#, "2"),
            (r#"["4","1","2","3"]"#, "2"),
            (r#"["3","4","1","2"]"#, "2"),
            (r#"["2","1","3","4"]"#, "1"),
            (r#"["4","3","2","1"]"#, "0"),
            (r#"["1","2"]"#, "1"),
            (r#"["1","3","4"]"#, "1"),
            ("[]", "0"),
            (r#"["1","2","3","4","1"]"#, "0"),
            (r#"["1","2","3","4","z"]"#, "0"),
        ],
    );
}

#[test]
fn a_single_item_is_in_order_or_missing() {
    let question = with_partial_credit(make_question("q", "3", ordering_body("1")));
    check_marks(&question, &[(r#"["1"]"#, "3"), ("[]", "0")]);
}

#[test]
fn blanks_earn_their_share() {
    let blanks = vec![
        accepted_texts(&["Paris", "Lutetia"]),
        accepted_texts(&["1789"]),
        accepted_texts(&["x"]),
    ];
    let question = with_partial_credit(make_question("q", "1", fill_blank_body(blanks)));
    check_marks(
        &question,
        &[
            (r#"["paris","1789","x"]"#, "1"),
            (r#"["LUTETIA","1789"]"#, "0.67"),
            (r#"["","1789",""]"#, "0.33"),
            (r#"["1789","Paris","x"]"#, "0.33"),
            ("[]", "0"),
            (r#"["paris","1789","x","more"]"#, "0"),
            (r#"["paris",1789,"x"]"#, "0"),
        ],
    );
}

#[test]
fn text_is_compared_without_regard_to_form() {
    let same = [
        ("New  York", "\"\\tnew\\u00a0york \""),
        ("caf\u{e9}", "\"CAFE\u{301}\""),
        ("stra\u{df}e", "\"STRASSE\""),
        ("\u{1f0}", "\"J\u{30c}\""),
        ("\u{3a3}\u{391}\u{3a3}", "\"\u{3c3}\u{3b1}\u{3c2}\""),
        ("\u{5149}\u{5408}", "\"\u{3000}\u{5149}\u{5408}\""),
    ];
    for (accepted, given) in same {
        let question = make_question("q", "1", short_answer(accepted_texts(&[accepted])));
        check_marks(&question, &[(given, "1")]);
    }
    let other = [
        ("New York", "newyork"),
        ("i", "\u{131}"),
        ("a", "a."),
        ("resume", "r\u{e9}sum\u{e9}"),
    ];
    for (accepted, given) in other {
        let question = make_question("q", "1", short_answer(accepted_texts(&[accepted])));
        check_marks(&question, &[(&format!("\"{given}\""), "0")]);
    }
}

#[test]
fn case_counts_where_the_exam_says_so() {
    let body = QuestionBody::ShortAnswer {
        accepted: Some(accepted_texts(&["NaCl", "caf\u{e9}"])),
        case_sensitive: true,
        rubric: None,
    };
    check_marks(
        &make_question("q", "1", body),
        &[
            (r#"" NaCl ""#, "1"),
            (r#""NACL""#, "0"),
            ("\"cafe\u{301}\"", "1"),
            ("\"Cafe\u{301}\"", "0"),
        ],
    );
}

#[test]
fn numbers_are_compared_by_value_with_an_inclusive_tolerance() {
    let number = AcceptedAnswer::Number {
        number: parse_decimal("3.14"),
        tolerance: parse_decimal("0.01"),
    };
    let right = [
        "3.14", "3,14", " 3.140 ", "+3.14", "3.15", "3.13", "314e-2", "0.0314E2", "0,314e+1",
        "3.1500",
    ];
    let wrong = [
        "3.1500000000000000000001",
        "3.12",
        "-3.14",
        "3.14.",
        "3 .14",
        "3..14",
        "3,1,4",
        "",
        ".",
        "e",
        "3.14e",
        "e1",
        "pi",
        "3.14 m",
        "NaN",
        "inf",
        "0x3",
        "--3.14",
        "3_14e-2",
    ];
    let question = make_question("q", "1", short_answer(vec![number]));
    for given in right {
        check_marks(&question, &[(&format!("\"{given}\""), "1")]);
    }
    for given in wrong {
        check_marks(&question, &[(&format!("\"{given}\""), "0")]);
    }
}

#[test]
fn numbers_may_be_whole_large_or_bare() {
    let cases = [
        ("1000", "0", "1e3", "1"),
        ("1000", "0", "1,000", "0"),
        ("0.5", "0", ".5", "1"),
        ("5", "0", "5.", "1"),
        ("-2.5", "0", "-2,5", "1"),
        ("0", "0", "-0", "1"),
        ("0", "0.1", "1e-900", "1"),
        ("0", "0", "0e999999999999", "0"),
        ("0", "0", "0e2000000000", "0"),
        ("0", "0", "1e-2147483648", "0"),
    ];
    for (key, tolerance, given, points) in cases {
        let number = AcceptedAnswer::Number {
            number: parse_decimal(key),
            tolerance: parse_decimal(tolerance),
        };
        let question = make_question("q", "1", fill_blank_body(vec![vec![number]]));
        check_marks(&question, &[(&format!("[\"{given}\"]"), points)]);
    }
}

#[test]
fn a_megabyte_of_digits_is_no_number() {
    let zero = AcceptedAnswer::Number {
        number: parse_decimal("0"),
        tolerance: parse_decimal("1"),
    };
    let question = make_question("q", "1", short_answer(vec![zero]));
    let given = format!("\"{}\"", "0".repeat(1 << 20));
    check_marks(&question, &[(&given, "0")]);
}

#[test]
fn people_mark_what_is_answered_and_only_that() {
    let by_hand = [
        essay_body(),
        QuestionBody::Coding {
            languages: Vec::new(),
            rubric: None,
        },
        QuestionBody::ShortAnswer {
            accepted: None,
            case_sensitive: false,
            rubric: None,
        },
    ];
    for body in by_hand {
        let question = make_question("q", "5", body);
        assert_eq!(
            grade_question(&question, None).rounded_points(),
            Some(Decimal::ZERO)
        );
        check_marks(&question, &[(r#""text""#, "?"), (r#""""#, "?")]);
    }
}

#[test]
fn edges_of_regions_are_inside() {
    let rect = HotspotRegion::Rect {
        x1: 0.1,
        y1: 0.2,
        x2: 0.3,
        y2: 0.7,
    };
    let circle = HotspotRegion::Circle {
        cx: 0.3,
        cy: 0.5,
        r: 0.1,
    };
    let polygon = HotspotRegion::Polygon {
        points: vec![(0.1, 0.1), (0.7, 0.1), (0.7, 0.7), (0.4, 0.3), (0.1, 0.7)],
    };
    let cases = [
        (&rect, "[0.1,0.2]", true),
        (&rect, "[0.3,0.7]", true),
        (&rect, "[0.2,0.5]", true),
        (&rect, "[0.300000000000001,0.5]", false),
        (&rect, "[0.2,0.199999999999999]", false),
        // In doubles, 0.4 - 0.3 is more than 0.1.
        (&circle, "[0.4,0.5]", true),
        (&circle, "[0.36,0.58]", true),
        (&circle, "[0.400000000000001,0.5]", false),
        (&circle, "[0.38,0.58]", false),
        (&polygon, "[0.1,0.1]", true),
        (&polygon, "[0.4,0.1]", true),
        (&polygon, "[0.7,0.4]", true),
        (&polygon, "[0.4,0.3]", true),
        (&polygon, "[0.55,0.5]", true),
        (&polygon, "[0.2,0.3]", true),
        (&polygon, "[0.4,0.300000000000001]", false),
        (&polygon, "[0.0,0.1]", false),
        (&polygon, "[0.8,0.7]", false),
        (&polygon, "[0.0,0.7]", false),
        (&polygon, "[0.05,0.3]", false),
        (&polygon, "[1e300,-1e300]", false),
    ];
    for (region, point, inside) in cases {
        let question = make_question("q", "1", hotspot_body(vec![region.clone()]));
        let points = if inside { "1" } else { "0" };
        check_marks(&question, &[(&format!("[{point}]"), points)]);
    }
}

#[test]
fn hotspots_earn_regions_hit_less_strays() {
    let square = |x: f64| HotspotRegion::Rect {
        x1: x,
        y1: 0.0,
        x2: x + 0.1,
        y2: 0.1,
    };
    let regions = vec![square(0.0), square(0.2), square(0.4), square(0.6)];
    let question = with_partial_credit(make_question("q", "4", hotspot_body(regions)));
    check_marks(
        &question,
        &[
            ("[[0.05,0],[0.25,0],[0.45,0],[0.65,0]]", "4"),
            ("[[0.05,0],[0.25,0]]", "2"),
            ("[[0.05,0],[0.01,0]]", "1"),
            ("[[0.05,0],[0.25,0],[0.9,0.9]]", "1"),
            ("[[0.05,0],[0.9,0.9],[0.9,0.9]]", "0"),
            ("[]", "0"),
            ("[[0.05]]", "0"),
            ("[[0.05,0,0]]", "0"),
            ("[[\"0.05\",0]]", "0"),
            ("[0.05,0]", "0"),
        ],
    );
}

fn hotspot_body(answer: Vec<HotspotRegion>) -> QuestionBody {
    QuestionBody::Hotspot {
        image: "map.png".into(),
        multiple: answer.len() > 1,
        answer,
    }
}

fn short_answer(accepted: Vec<AcceptedAnswer>) -> QuestionBody {
    QuestionBody::ShortAnswer {
        accepted: Some(accepted),
        case_sensitive: false,
        rubric: None,
    }
}
