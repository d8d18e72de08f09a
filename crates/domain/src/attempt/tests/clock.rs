//! The clock: openings, deadlines, grace, interruptions.

use expect_test::expect;

use super::transcript::check_transcript;
use crate::{
    attempt::fixture::{at_minute, hour_exam, span_of_minutes},
    exam::Exam,
};

fn windowed_exam() -> Exam {
    Exam {
        available_from: Some(at_minute(10)),
        available_until: Some(at_minute(100)),
        ..hour_exam()
    }
}

fn graced_exam() -> Exam {
    Exam {
        grace_period: span_of_minutes(5),
        ..hour_exam()
    }
}

fn compensating_exam() -> Exam {
    Exam {
        compensate_up_to: Some(span_of_minutes(10)),
        ..hour_exam()
    }
}

#[test]
fn who_waits_in_the_lobby_begins_at_the_opening() {
    check_transcript(
        windowed_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            1 answer 1 q1 "a"
            > 1: refused not_open
            1 submit 2
            > 2: refused not_open
            1 staff c1 pause
            > not started
            1 staff c2 extend 5
            > not started
            1 staff c3 resume
            > not paused
            1 look
            > started, next 10:00
            9:59.999 answer 3 q1 "a"
            > 3: refused not_open
            10:00.700 tick
            > clock starts 10:00
            10:01 answer 4 q1 "a"
            > 4: q1 is "a"
            11 look
            > in_progress, deadline 70:00, 59:00 left, next 70:00
        "#]],
    );
}

#[test]
fn an_opening_that_the_engine_slept_through_costs_nobody_time() {
    check_transcript(
        windowed_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            10:01.001 tick
            > clock starts 10:01.001
            11 look
            > in_progress, deadline 70:01.001, 59:01.001 left, next 70:01.001
        "#]],
    );
}

#[test]
fn who_left_the_lobby_begins_with_the_return() {
    check_transcript(
        windowed_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            1 leave
            > away
            10 look
            > started, next 100:00
            12 enter two one
            > session resumes
            > clock starts 12:00
            12 look
            > in_progress, deadline 72:00, 60:00 left, next 72:00
        "#]],
    );
}

#[test]
fn the_window_ends_the_attempt_of_who_never_came() {
    check_transcript(
        windowed_exam(),
        &expect![[r#"
            99 look
            > started, next 100:00
            101 look
            > handed in 100:00 by time: graded
            > graded
            101 enter one
            > closed
        "#]],
    );
}

#[test]
fn the_window_cuts_a_late_start_unless_the_exam_grants_it_whole() {
    check_transcript(
        windowed_exam(),
        &expect![[r#"
            90 enter one
            > session one opens
            > clock starts 90:00
            90 look
            > in_progress, deadline 100:00, 10:00 left, next 100:00
            100 tick
            > handed in 100:00 by time: graded
        "#]],
    );
    let exam = Exam {
        full_duration_after_close: true,
        ..windowed_exam()
    };
    check_transcript(
        exam,
        &expect![[r#"
            90 enter one
            > session one opens
            > clock starts 90:00
            90 look
            > in_progress, deadline 150:00, 60:00 left, next 150:00
            150 tick
            > handed in 150:00 by time: graded
        "#]],
    );
}

#[test]
fn time_hands_in_whether_or_not_anyone_is_there() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            59:59.999 answer 1 q1 "a"
            > 1: q1 is "a"
            60 answer 2 q1 "b"
            > handed in 60:00 by time: graded
            > 2: refused time_over, kept "b"
        "#]],
    );
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 leave
            > away
            1 crash
            75 look
            > handed in 60:00 by time: graded
            > graded, deadline 60:00, 0:00 left
        "#]],
    );
}

#[test]
fn in_the_grace_answers_and_the_hand_in_are_late() {
    check_transcript(
        graced_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            60 answer 1 q1 "a"
            > 1: q1 is "a"
            60:00.001 flag 2 q1 on
            > 2: q1 flagged: true
            65 tick
            > handed in 65:00 by time: graded
        "#]],
    );
    check_transcript(
        graced_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            60:00.001 answer 1 q1 "a"
            > 1: q1 is "a", late
            61 look
            > in_progress, deadline 60:00, 0:00 left, next 65:00
            65 tick
            > handed in 65:00 by time: graded, late
        "#]],
    );
    check_transcript(
        graced_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            60 submit 1
            > handed in 60:00 by candidate: graded
        "#]],
    );
    check_transcript(
        graced_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            61 submit 1
            > handed in 61:00 by candidate: graded, late
        "#]],
    );
    check_transcript(
        graced_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            61 staff c1 submit
            > handed in 61:00 by staff: graded
            > c1 done
        "#]],
    );
}

#[test]
fn an_extension_makes_a_late_answer_timely() {
    check_transcript(
        graced_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            61 answer 1 q1 "a"
            > 1: q1 is "a", late
            62 staff c1 extend 10
            > extended 10:00
            > c1 done
            63 submit 2
            > handed in 63:00 by candidate: graded
        "#]],
    );
}

#[test]
fn time_away_is_given_back_up_to_the_ceiling() {
    check_transcript(
        compensating_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            10 leave
            > away
            14 enter two one
            > session resumes
            > Network from 10:00: 4:00 back
            14 look
            > in_progress, deadline 64:00, 50:00 left, next 64:00
            20 leave
            > away
            40 enter two one
            > session resumes
            > Network from 20:00: 6:00 back
            40 look
            > in_progress, deadline 70:00, 30:00 left, next 70:00
            50 leave
            > away
            51 enter two one
            > session resumes
            51 look
            > in_progress, deadline 70:00, 19:00 left, next 70:00
        "#]],
    );
}

#[test]
fn who_is_away_at_the_deadline_is_handed_in_once_the_ceiling_is_reached() {
    check_transcript(
        compensating_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            58 leave
            > away
            58 look
            > in_progress, deadline 60:00, 2:00 left, next 70:00
            69:59.999 look
            > in_progress, deadline 60:00, 0:00 left, next 70:00
            70 look
            > handed in 70:00 by time: graded
            > graded, deadline 60:00, 0:00 left
        "#]],
    );
    check_transcript(
        compensating_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            58 leave
            > away
            65 enter two one
            > session resumes
            > Network from 58:00: 7:00 back
            65 look
            > in_progress, deadline 67:00, 2:00 left, next 67:00
        "#]],
    );
}

#[test]
fn where_the_exam_does_not_compensate_the_clock_runs_on() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            10 leave
            > away
            30 enter two one
            > session resumes
            30 look
            > in_progress, deadline 60:00, 30:00 left, next 60:00
        "#]],
    );
}

#[test]
fn time_away_before_a_pause_is_given_back_too() {
    let returns_after = expect![[r#"
        0 enter one
        > session one opens
        > clock starts 0:00
        10 leave
        > away
        14 staff c1 pause
        > paused
        > c1 done
        20 staff c2 resume
        > goes on
        > c2 done
        23 enter two one
        > session resumes
        > Network from 10:00: 7:00 back
        23 look
        > in_progress, deadline 73:00, 50:00 left, next 73:00
    "#]];
    check_transcript(compensating_exam(), &returns_after);
    let returns_during = expect![[r#"
        0 enter one
        > session one opens
        > clock starts 0:00
        10 leave
        > away
        14 staff c1 pause
        > paused
        > c1 done
        18 enter two one
        > session resumes
        > Network from 10:00: 4:00 back
        20 staff c2 resume
        > goes on
        > c2 done
        20 look
        > in_progress, deadline 70:00, 50:00 left, next 70:00
    "#]];
    check_transcript(compensating_exam(), &returns_during);
    let leaves_during = expect![[r#"
        0 enter one
        > session one opens
        > clock starts 0:00
        14 staff c1 pause
        > paused
        > c1 done
        16 leave
        > away
        20 staff c2 resume
        > goes on
        > c2 done
        23 enter two one
        > session resumes
        > Network from 16:00: 3:00 back
        23 look
        > in_progress, deadline 69:00, 46:00 left, next 69:00
    "#]];
    check_transcript(compensating_exam(), &leaves_during);
}

#[test]
fn an_outage_is_given_back_once() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 outage 0 1
            2 enter one
            > session one opens
            > clock starts 2:00
            30 crash
            40 outage 30 40
            > Outage from 30:00: 10:00 back
            40 outage 30 40
            40 look
            > in_progress, deadline 72:00, 32:00 left, next 72:00
            41 crash
            41 outage 0 1
            41 outage 30 40
            41 enter two one
            > session resumes
            41 look
            > in_progress, deadline 72:00, 31:00 left, next 72:00
        "#]],
    );
}

#[test]
fn an_outage_while_the_candidate_is_away_is_not_given_back_twice() {
    check_transcript(
        compensating_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            10 leave
            > away
            12 crash
            16 outage 12 16
            > Outage from 12:00: 4:00 back
            17 enter two one
            > session resumes
            > Network from 10:00: 3:00 back
            17 look
            > in_progress, deadline 67:00, 50:00 left, next 67:00
        "#]],
    );
}

#[test]
fn an_outage_in_a_pause_is_part_of_the_pause() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            10 staff c1 pause
            > paused
            > c1 done
            12 crash
            16 outage 12 16
            20 staff c2 resume
            > goes on
            > c2 done
            20 crash
            20 outage 12 16
            20 look
            > in_progress, deadline 70:00, 50:00 left, next 70:00
        "#]],
    );
}

#[test]
fn an_outage_over_the_deadline_leaves_what_was_left() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            50 crash
            90 outage 50 90
            > Outage from 50:00: 40:00 back
            90 look
            > in_progress, deadline 100:00, 10:00 left, next 100:00
            101 outage 100 101
        "#]],
    );
}
