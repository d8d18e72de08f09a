//! Totals: floor, late penalty, rounding, pass and grade.

use super::*;

/// A question with `of` blanks, each worth the same part of the points.
fn blanks_question(id: &str, points: &str, of: usize) -> Question {
    let blanks = vec![accepted_texts(&["x"]); of];
    with_partial_credit(make_question(id, points, fill_blank_body(blanks)))
}

fn right_blanks(count: usize) -> String {
    serde_json::to_string(&vec!["x"; count]).unwrap()
}

#[test]
fn the_sum_is_exact_and_rounded_once() {
    let exam = exam_of(vec![
        blanks_question("q1", "1", 3),
        blanks_question("q2", "1", 3),
        blanks_question("q3", "1", 3),
    ]);
    let third = right_blanks(1);
    let grading = grade_answers(
        &exam,
        &[("q1", &third), ("q2", &third), ("q3", &third)],
        false,
    );
    // Three times 0.33 would be 0.99.
    assert_eq!(grading.totals.score, parse_decimal("1.00"));
    assert_eq!(grading.totals.percentage, parse_decimal("33.33"));
    let shown: Vec<_> = grading.rows.iter().map(|row| row.points_earned).collect();
    assert_eq!(shown, [Some(parse_decimal("0.33")); 3]);
}

#[test]
fn halves_round_away_from_zero() {
    let eighth = blanks_question("q1", "0.25", 2);
    assert_eq!(
        grade_question(&eighth, Some(&right_blanks(1))).rounded_points(),
        Some(parse_decimal("0.13"))
    );
    let lost = with_negative_marking(make_question("q", "0.25", single_choice_body("a b c", "a")));
    assert_eq!(
        grade_question(&lost, Some(r#""b""#)).rounded_points(),
        Some(parse_decimal("-0.13"))
    );
}

#[test]
fn the_total_is_never_under_zero() {
    let exam = exam_of(vec![
        with_negative_marking(make_question("q1", "3", single_choice_body("a b c", "a"))),
        with_negative_marking(make_question("q2", "1", single_choice_body("a b c", "a"))),
    ]);
    let grading = grade_answers(&exam, &[("q1", r#""b""#), ("q2", r#""a""#)], true);
    assert_eq!(
        grading.marks[0].rounded_points(),
        Some(parse_decimal("-1.50"))
    );
    assert_eq!(
        grading.marks[1].rounded_points(),
        Some(parse_decimal("1.00"))
    );
    assert_eq!(grading.totals.score, Decimal::ZERO);
    assert_eq!(grading.totals.penalty, Decimal::ZERO);
    assert_eq!(grading.totals.passed, Some(false));
    assert_eq!(grading.totals.grade.as_deref(), Some("F"));
}

#[test]
fn a_late_hand_in_loses_its_fraction_after_the_floor() {
    let exam = exam_of(vec![
        blanks_question("q1", "10", 3),
        blanks_question("q2", "5", 1),
    ]);
    let answers = [("q1", right_blanks(2)), ("q2", right_blanks(1))];
    let answers = answers.each_ref().map(|(id, value)| (*id, value.as_str()));
    let on_time = grade_answers(&exam, &answers, false).totals;
    assert_eq!(on_time.score, parse_decimal("11.67"));
    assert_eq!(on_time.penalty, Decimal::ZERO);
    let late = grade_answers(&exam, &answers, true).totals;
    // 11.6666... less a tenth: exactly 10.5, not 11.67 - 1.17 rounded.
    assert_eq!(late.score, parse_decimal("10.50"));
    assert_eq!(late.penalty, parse_decimal("1.17"));
    assert_eq!(late.percentage, parse_decimal("70.00"));
    assert_eq!(late.grade.as_deref(), Some("C"));
}

#[test]
fn the_exact_percentage_decides_on_pass_and_grade() {
    let mut exam = exam_of(vec![blanks_question("q1", "1", 3)]);
    exam.passing_score = parse_decimal("66.67");
    exam.grade_scale = vec![
        (parse_decimal("66.67"), "P".into()),
        (parse_decimal("0"), "F".into()),
    ];
    let totals = grade_answers(&exam, &[("q1", &right_blanks(2))], false).totals;
    assert_eq!(totals.percentage, parse_decimal("66.67"));
    assert_eq!(totals.passed, Some(false));
    assert_eq!(totals.grade.as_deref(), Some("F"));
    exam.passing_score = parse_decimal("66.66");
    assert_eq!(
        grade_answers(&exam, &[("q1", &right_blanks(2))], false)
            .totals
            .passed,
        Some(true)
    );
}

#[test]
fn bounds_are_inclusive_and_a_scale_may_be_missing() {
    let mut exam = exam_of(vec![blanks_question("q1", "10", 10)]);
    for (count, letter, passed) in [
        (10, "A", true),
        (9, "A", true),
        (8, "B", true),
        (6, "D", true),
        (5, "F", false),
        (0, "F", false),
    ] {
        let totals = grade_answers(&exam, &[("q1", &right_blanks(count))], false).totals;
        assert_eq!(totals.grade.as_deref(), Some(letter), "{count} right");
        assert_eq!(totals.passed, Some(passed), "{count} right");
    }
    exam.grade_scale = Vec::new();
    assert_eq!(grade_answers(&exam, &[], false).totals.grade, None);
    exam.grade_scale = vec![(parse_decimal("50"), "P".into())];
    assert_eq!(grade_answers(&exam, &[], false).totals.grade, None);
}

#[test]
fn what_waits_for_a_person_leaves_pass_and_grade_open() {
    let exam = exam_of(vec![
        blanks_question("q1", "1", 1),
        make_question("q2", "1", essay_body()),
    ]);
    let mut grading = grade_answers(
        &exam,
        &[("q1", &right_blanks(1)), ("q2", r#""text""#)],
        false,
    );
    assert_eq!(grading.totals.score, parse_decimal("1.00"));
    assert_eq!(grading.totals.max_score, parse_decimal("2.00"));
    assert_eq!(grading.totals.percentage, parse_decimal("50.00"));
    assert_eq!(grading.totals.passed, None);
    assert_eq!(grading.totals.grade, None);
    assert!(grading.totals.needs_marking);
    assert_eq!(grading.rows[1].points_earned, None);

    grading.marks[1] = AnswerMark::Graded(from_decimal(parse_decimal("0.5")));
    let marked = sum_marks(&exam, &grading.marks, false);
    assert_eq!(marked.score, parse_decimal("1.50"));
    assert_eq!(marked.grade.as_deref(), Some("C"));
    assert_eq!(marked.passed, Some(true));
}

#[test]
fn points_of_a_person_stand_when_the_key_grades_again() {
    let exam = exam_of(vec![
        make_question("essay", "10", essay_body()),
        make_question("choice", "2", single_choice_body("a b", "a")),
        make_question("marked", "2", single_choice_body("a b", "a")),
    ]);
    let standing = |question: &QuestionId| match question.as_str() {
        "essay" => StandingAnswer {
            value: Some("\"text\""),
            by_hand: Some(parse_decimal("7.5")),
        },
        "choice" => StandingAnswer {
            value: Some("\"a\""),
            by_hand: None,
        },
        // The points stand although the key would give 0.
        _ => StandingAnswer {
            value: Some("\"b\""),
            by_hand: Some(parse_decimal("1")),
        },
    };
    let graded = regrade_attempt(&exam, standing, false);
    assert_eq!(graded.totals.score, parse_decimal("10.5"));
    assert!(!graded.totals.needs_marking);
    let rows: Vec<&str> = graded
        .rows
        .iter()
        .map(|row| row.question.as_str())
        .collect();
    assert_eq!(rows, ["choice"]);
}

#[test]
fn an_unanswered_essay_waits_for_nobody() {
    let exam = exam_of(vec![
        blanks_question("q1", "1", 1),
        make_question("q2", "1", essay_body()),
    ]);
    let grading = grade_answers(&exam, &[("q1", &right_blanks(1))], false);
    assert!(!grading.totals.needs_marking);
    assert_eq!(grading.totals.passed, Some(false));
    assert_eq!(grading.rows.len(), 1);
    assert_eq!(grading.marks.len(), 2);
}

#[test]
fn amounts_beyond_any_exam_saturate() {
    let largest = Decimal::MAX.to_string();
    let exam = exam_of(vec![
        blanks_question("q1", &largest, 1),
        blanks_question("q2", &largest, 1),
    ]);
    let totals = grade_answers(&exam, &[("q1", &right_blanks(1))], false).totals;
    assert_eq!(totals.max_score, Decimal::MAX);
    assert_eq!(totals.percentage, parse_decimal("50.00"));
}
