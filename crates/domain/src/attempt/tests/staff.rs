//! Actions of staff.

use expect_test::expect;

use super::transcript::check_transcript;
use crate::{
    attempt::fixture::{at_minute, hour_exam},
    exam::Exam,
};

#[test]
fn a_pause_stops_the_clock_and_is_given_back() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            10 staff c1 resume
            > not paused
            10 staff c2 pause
            > paused
            > c2 done
            11 staff c3 pause
            > already paused
            30 look
            > paused, deadline 80:00, 50:00 left
            40 leave
            > away
            40 crash
            90 look
            > paused, deadline 140:00, 50:00 left
            90 staff c4 resume
            > goes on
            > c4 done
            90 look
            > in_progress, deadline 140:00, 50:00 left, next 140:00
            90 staff c5 pause
            > paused
            > c5 done
            95 staff c6 extend 10
            > extended 10:00
            > c6 done
            95 look
            > paused, deadline 155:00, 60:00 left
            100 staff c7 resume
            > goes on
            > c7 done
            159:59.999 look
            > in_progress, deadline 160:00, 0:00.001 left, next 160:00
            160 look
            > handed in 160:00 by time: graded
            > graded, deadline 160:00, 0:00 left
        "#]],
    );
}

#[test]
fn a_command_is_done_once() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 staff c1 extend 5
            > extended 5:00
            > c1 done
            2 staff c1 extend 5
            2 crash
            3 staff c1 cancel
            3 look
            > in_progress, deadline 65:00, 62:00 left, next 65:00
            4 staff c2 cancel
            > cancelled 4:00
            > c2 done
            5 staff c2 cancel
            5 staff c3 resume
            > after the hand-in
        "#]],
    );
}

#[test]
fn a_hand_in_by_staff_keeps_the_pause_in_the_books() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            10 answer 1 q2 "text"
            > 1: q2 is "text"
            10 staff c1 pause
            > paused
            > c1 done
            100 staff c2 submit
            > handed in 100:00 by staff: submitted
            > c2 done
            100 look
            > submitted, deadline 150:00, 50:00 left
            101 staff c3 flag
            > after the hand-in
            101 staff c4 message hello
            > after the hand-in
        "#]],
    );
}

#[test]
fn before_the_clock_runs_staff_can_end_mark_and_tell() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 staff c1 extend 5
            > not started
            0 staff c2 pause
            > not started
            0 staff c3 message hello
            > notice hello
            > c3 done
            0 staff c4 flag
            > flagged
            > incident flagged
            > c4 done
            0 staff c5 submit
            > handed in 0:00 by staff: flagged
            > c5 done
            0 look
            > flagged, i4 flagged x1 high flag
        "#]],
    );
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 staff c1 flag
            > flagged
            > incident flagged
            > c1 done
            0 staff c2 unflag
            > unflagged
            > c2 done
            0 staff c3 cancel
            > cancelled 0:00
            > c3 done
            0 enter one
            > closed
        "#]],
    );
}

#[test]
fn an_extension_passes_the_windows_end() {
    let exam = Exam {
        available_until: Some(at_minute(30)),
        ..hour_exam()
    };
    check_transcript(
        exam,
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            0 look
            > in_progress, deadline 30:00, 30:00 left, next 30:00
            1 staff c1 extend 5
            > extended 5:00
            > c1 done
            1 look
            > in_progress, deadline 35:00, 34:00 left, next 35:00
            2 staff c2 pause
            > paused
            > c2 done
            12 staff c3 resume
            > goes on
            > c3 done
            12 look
            > in_progress, deadline 35:00, 23:00 left, next 35:00
        "#]],
    );
}
