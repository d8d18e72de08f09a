//! Sessions, numbers, connections.

use expect_test::expect;

use super::transcript::check_transcript;
use crate::{
    attempt::fixture::hour_exam,
    exam::{Exam, SessionPolicy},
};

#[test]
fn numbers_are_used_one_by_one_and_none_twice() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 answer 1 q1 "a"
            > closed
            0 enter one
            > session one opens
            > clock starts 0:00
            1 answer 2 q1 "a"
            > gap: 1 is due
            1 answer 1 q1 "a"
            > 1: q1 is "a"
            1 answer 1 q1 "b"
            1 answer 0 q1 "b"
            2 answer 2 q1 "c"
            > 2: refused bad_value
            2 answer 2 q1 "b"
            2 answer 3 q1 "b"
            > 3: q1 is "b"
            2 submit 5
            > gap: 4 is due
            2 submit 4
            > handed in 2:00 by candidate: graded
            2 submit 4
            2 answer 5 q1 "a"
            > 5: refused closed, kept "a"
            2 answer 7 q1 "a"
            > gap: 6 is due
        "#]],
    );
}

#[test]
fn who_resumes_goes_on_counting_and_who_does_not_begins_anew() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            0 answer 1 q1 "a"
            > 1: q1 is "a"
            0 event 4 focus_lost
            > event 4 focus_lost
            0 event 3 focus_lost
            1 leave
            > away
            1 leave
            2 enter two one
            > session resumes
            2 answer 1 q1 "b"
            2 answer 2 q1 "b"
            > 2: q1 is "b"
            3 crash
            4 enter two one
            > session resumes
            4 answer 3 q1 "a"
            > 3: q1 is "a"
            5 enter two
            > session two opens
            5 answer 3 q1 "b"
            > gap: 1 is due
            5 answer 1 q1@3 "b"
            > 1: q1 is "b"
            5 event 1 copy
            > event 1 copy
            6 enter three one
            > session three opens
            6 answer 1 q1@3 "a"
            > 1: refused conflict, stored is "b" rev 4, kept "a"
        "#]],
    );
}

#[test]
fn a_second_device_waits_for_a_release_where_the_exam_says_so() {
    let exam = Exam {
        session_policy: SessionPolicy::Reject,
        ..hour_exam()
    };
    check_transcript(
        exam,
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 enter two
            > another device
            1 leave
            > away
            2 enter two
            > another device
            2 enter two one
            > session resumes
            3 staff c1 release
            > released
            > c1 done
            3 crash
            4 enter two
            > session two opens
            4 enter three
            > another device
            4 enter three one
            > another device
            4 enter three two
            > session resumes
        "#]],
    );
}

#[test]
fn what_is_over_lets_nobody_in() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 submit 1
            > handed in 1:00 by candidate: graded
            1 event 1 focus_lost
            > event 1 focus_lost
            2 leave
            > away
            2 enter two one
            > closed
            2 enter two
            > closed
        "#]],
    );
}

#[test]
fn a_notice_stays_until_it_is_seen() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 staff c1 message hello ack
            > notice hello
            > c1 done
            0 enter one
            > session one opens
            > clock starts 0:00
            0 seen n2
            0 seen n1
            > notice n1 seen
            0 crash
            0 seen n1
        "#]],
    );
}
