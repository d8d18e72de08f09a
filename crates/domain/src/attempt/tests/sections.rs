//! Sections with a time limit.

use expect_test::expect;

use super::transcript::check_transcript;
use crate::{
    attempt::fixture::{at_minute, sectioned_exam, span_of_minutes},
    exam::Exam,
};

#[test]
fn sections_run_one_after_the_other_and_the_rest_is_open_throughout() {
    check_transcript(
        sectioned_exam(&[Some(20), None, Some(30)]),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            > section s1
            0 look
            > in_progress, deadline 60:00, 60:00 left, s1 has 20:00, next 20:00
            19:59.999 answer 1 q1 "a"
            > 1: q1 is "a"
            19:59.999 answer 2 q3 "a"
            > 2: refused locked
            19:59.999 answer 3 q2 "a"
            > 3: q2 is "a"
            20 answer 4 q1 "a"
            > section s3
            > 4: refused locked
            20 answer 5 q3 "a"
            > 5: q3 is "a"
            20 flag 6 q1 on
            > 6: refused locked
            50 look
            > no section
            > in_progress, deadline 60:00, 10:00 left, next 60:00
            50 answer 7 q3 "b"
            > 7: refused locked
            50 answer 8 q2 "b"
            > 8: q2 is "b"
            60 tick
            > handed in 60:00 by time: graded
        "#]],
    );
}

#[test]
fn a_section_is_not_announced_to_nobody() {
    check_transcript(
        sectioned_exam(&[Some(20), Some(30)]),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            > section s1
            1 leave
            > away
            1 look
            > in_progress, deadline 60:00, 59:00 left, s1 has 19:00, next 60:00
            30 enter two one
            > session resumes
            30 tick
            > section s2
            30 look
            > in_progress, deadline 60:00, 30:00 left, s2 has 20:00, next 50:00
        "#]],
    );
}

#[test]
fn time_given_back_belongs_to_the_section_that_it_was_lost_in() {
    check_transcript(
        sectioned_exam(&[Some(20), Some(40)]),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            > section s1
            10 staff c1 pause
            > paused
            > c1 done
            15 look
            > paused, deadline 65:00, 50:00 left, s1 has 10:00
            25 staff c2 resume
            > goes on
            > c2 done
            25 look
            > in_progress, deadline 75:00, 50:00 left, s1 has 10:00, next 35:00
            36 staff c3 extend 5
            > section s2
            > extended 5:00
            > c3 done
            36 look
            > in_progress, deadline 80:00, 44:00 left, s2 has 44:00, next 80:00
            50 crash
            52 outage 50 52
            > Outage from 50:00: 2:00 back
            52 look
            > in_progress, deadline 82:00, 30:00 left, s2 has 30:00, next 82:00
            52 enter two one
            > session resumes
            81:59.999 answer 1 q2 "a"
            > 1: q2 is "a"
            82 answer 2 q2 "b"
            > handed in 82:00 by time: graded
            > 2: refused time_over, kept "b"
        "#]],
    );
}

#[test]
fn the_grace_counts_in_the_section_that_the_deadline_falls_in() {
    let exam = Exam {
        grace_period: span_of_minutes(5),
        ..sectioned_exam(&[Some(30), Some(30)])
    };
    check_transcript(
        exam,
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            > section s1
            30 tick
            > section s2
            59 look
            > in_progress, deadline 60:00, 1:00 left, s2 has 1:00, next 65:00
            61 look
            > in_progress, deadline 60:00, 0:00 left, s2 has 0:00, next 65:00
            61 answer 1 q2 "a"
            > 1: q2 is "a", late
            61 answer 2 q1 "a"
            > 2: refused locked
            62 staff c1 extend 10
            > extended 10:00
            > c1 done
            63 answer 3 q2 "b"
            > 3: q2 is "b"
            63 look
            > in_progress, deadline 70:00, 7:00 left, s2 has 7:00, next 75:00
            74 answer 4 q2 "a"
            > 4: q2 is "a", late
            75 answer 5 q2 "b"
            > handed in 75:00 by time: graded, late
            > 5: refused time_over, kept "b"
        "#]],
    );
}

#[test]
fn no_section_begins_in_the_grace() {
    let exam = Exam {
        grace_period: span_of_minutes(30),
        available_until: Some(at_minute(20)),
        ..sectioned_exam(&[Some(30), Some(30)])
    };
    check_transcript(
        exam,
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            > section s1
            20 look
            > in_progress, deadline 20:00, 0:00 left, s1 has 0:00, next 50:00
            35 look
            > in_progress, deadline 20:00, 0:00 left, s1 has 0:00, next 50:00
            35 answer 1 q2 "a"
            > 1: refused locked
            35 answer 2 q1 "a"
            > 2: q1 is "a", late
            50 tick
            > handed in 50:00 by time: graded, late
        "#]],
    );
}
