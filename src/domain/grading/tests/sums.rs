//! Totals: floor, late penalty, rounding, pass and grade.

use super::*;

/// Right, wrong and partly right answers of known worth: `n` of `of` blanks.
fn blanks(id: &str, points: &str, of: usize) -> Question {
    let blanks = vec![texts(&["x"]); of];
    partial(question(id, points, fill_blank(blanks)))
}

fn right(count: usize) -> String {
    serde_json::to_string(&vec!["x"; count]).unwrap()
}

#[test]
fn the_sum_is_exact_and_rounded_once() {
    let exam = exam(vec![
        blanks("q1", "1", 3),
        blanks("q2", "1", 3),
        blanks("q3", "1", 3),
    ]);
    let third = right(1);
    let grading = grade(
        &exam,
        &[("q1", &third), ("q2", &third), ("q3", &third)],
        false,
    );
    // Three times 0.33 would be 0.99.
    assert_eq!(grading.totals.score, decimal("1.00"));
    assert_eq!(grading.totals.percentage, decimal("33.33"));
    let shown: Vec<_> = grading.rows.iter().map(|row| row.points_earned).collect();
    assert_eq!(shown, [Some(decimal("0.33")); 3]);
}

#[test]
fn halves_round_away_from_zero() {
    let eighth = blanks("q1", "0.25", 2);
    assert_eq!(
        grade_question(&eighth, Some(&right(1))).points(),
        Some(decimal("0.13"))
    );
    let lost = negative(question("q", "0.25", single_choice("a b c", "a")));
    assert_eq!(
        grade_question(&lost, Some(r#""b""#)).points(),
        Some(decimal("-0.13"))
    );
}

#[test]
fn the_total_is_never_under_zero() {
    let exam = exam(vec![
        negative(question("q1", "3", single_choice("a b c", "a"))),
        negative(question("q2", "1", single_choice("a b c", "a"))),
    ]);
    let grading = grade(&exam, &[("q1", r#""b""#), ("q2", r#""a""#)], true);
    assert_eq!(grading.marks[0].points(), Some(decimal("-1.50")));
    assert_eq!(grading.marks[1].points(), Some(decimal("1.00")));
    assert_eq!(grading.totals.score, Decimal::ZERO);
    assert_eq!(grading.totals.penalty, Decimal::ZERO);
    assert_eq!(grading.totals.passed, Some(false));
    assert_eq!(grading.totals.grade.as_deref(), Some("F"));
}

#[test]
fn a_late_hand_in_loses_its_fraction_after_the_floor() {
    let exam = exam(vec![blanks("q1", "10", 3), blanks("q2", "5", 1)]);
    let answers = [("q1", right(2)), ("q2", right(1))];
    let answers = answers.each_ref().map(|(id, value)| (*id, value.as_str()));
    let on_time = grade(&exam, &answers, false).totals;
    assert_eq!(on_time.score, decimal("11.67"));
    assert_eq!(on_time.penalty, Decimal::ZERO);
    let late = grade(&exam, &answers, true).totals;
    // 11.6666... less a tenth of it: 10.5 exactly, not 11.67 - 1.17.
    assert_eq!(late.score, decimal("10.50"));
    assert_eq!(late.penalty, decimal("1.17"));
    assert_eq!(late.percentage, decimal("70.00"));
    assert_eq!(late.grade.as_deref(), Some("C"));
}

#[test]
fn the_exact_percentage_decides_on_pass_and_grade() {
    let mut exam = exam(vec![blanks("q1", "1", 3)]);
    exam.passing_score = decimal("66.67");
    exam.grade_scale = vec![(decimal("66.67"), "P".into()), (decimal("0"), "F".into())];
    let totals = grade(&exam, &[("q1", &right(2))], false).totals;
    assert_eq!(totals.percentage, decimal("66.67"));
    assert_eq!(totals.passed, Some(false));
    assert_eq!(totals.grade.as_deref(), Some("F"));
    exam.passing_score = decimal("66.66");
    assert_eq!(
        grade(&exam, &[("q1", &right(2))], false).totals.passed,
        Some(true)
    );
}

#[test]
fn bounds_are_inclusive_and_a_scale_may_be_missing() {
    let mut exam = exam(vec![blanks("q1", "10", 10)]);
    for (count, letter, passed) in [
        (10, "A", true),
        (9, "A", true),
        (8, "B", true),
        (6, "D", true),
        (5, "F", false),
        (0, "F", false),
    ] {
        let totals = grade(&exam, &[("q1", &right(count))], false).totals;
        assert_eq!(totals.grade.as_deref(), Some(letter), "{count} right");
        assert_eq!(totals.passed, Some(passed), "{count} right");
    }
    exam.grade_scale = Vec::new();
    assert_eq!(grade(&exam, &[], false).totals.grade, None);
    exam.grade_scale = vec![(decimal("50"), "P".into())];
    assert_eq!(grade(&exam, &[], false).totals.grade, None);
}

#[test]
fn what_waits_for_a_person_leaves_pass_and_grade_open() {
    let exam = exam(vec![blanks("q1", "1", 1), question("q2", "1", essay())]);
    let mut grading = grade(&exam, &[("q1", &right(1)), ("q2", r#""text""#)], false);
    assert_eq!(grading.totals.score, decimal("1.00"));
    assert_eq!(grading.totals.max_score, decimal("2.00"));
    assert_eq!(grading.totals.percentage, decimal("50.00"));
    assert_eq!(grading.totals.passed, None);
    assert_eq!(grading.totals.grade, None);
    assert!(grading.totals.needs_marking);
    assert_eq!(grading.rows[1].points_earned, None);

    grading.marks[1] = Mark::Graded(from_decimal(decimal("0.5")));
    let marked = totals(&exam, &grading.marks, false);
    assert_eq!(marked.score, decimal("1.50"));
    assert_eq!(marked.grade.as_deref(), Some("C"));
    assert_eq!(marked.passed, Some(true));
}

#[test]
fn an_unanswered_essay_waits_for_nobody() {
    let exam = exam(vec![blanks("q1", "1", 1), question("q2", "1", essay())]);
    let grading = grade(&exam, &[("q1", &right(1))], false);
    assert!(!grading.totals.needs_marking);
    assert_eq!(grading.totals.passed, Some(false));
    assert_eq!(grading.rows.len(), 1);
    assert_eq!(grading.marks.len(), 2);
}

#[test]
fn amounts_beyond_any_exam_saturate() {
    let largest = Decimal::MAX.to_string();
    let exam = exam(vec![blanks("q1", &largest, 1), blanks("q2", &largest, 1)]);
    let totals = grade(&exam, &[("q1", &right(1))], false).totals;
    assert_eq!(totals.max_score, Decimal::MAX);
    assert_eq!(totals.percentage, decimal("50.00"));
}
