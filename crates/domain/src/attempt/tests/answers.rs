//! Answers, flags, hand-ins.

use std::fmt::Write as _;

use expect_test::expect;

use super::transcript::{check_transcript, run_line};
use crate::{
    attempt::{
        AttemptCommand, CommandRefusal, DomainEvent,
        command::CandidateCommand,
        fixture::{
            AttemptDriver, answer_command, at_minute, enter_command, hour_exam, span_of_minutes,
        },
    },
    exam::Exam,
    time::Timestamp,
};

#[test]
fn an_answer_over_a_newer_one_is_a_conflict_that_shows_both() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            0 answer 1 q1@0 "a"
            > 1: q1 is "a"
            0 answer 2 q1@0 "b"
            > 2: refused conflict, stored is "a" rev 1, kept "b"
            0 flag 3 q1 on
            > 3: q1 flagged: true
            0 answer 4 q1@1 "b"
            > 4: q1 is "b"
            0 answer 5 q1@1 null
            > 5: refused conflict, stored is "b" rev 2, kept null
            0 answer 6 q1 null
            > 6: q1 is nothing
            0 answer 7 q1@2 "a"
            > 7: refused conflict, stored is nothing rev 3, kept "a"
            0 answer 8 q1@9 "a"
            > 8: q1 is "a"
            0 flag 9 q2 on
            > 9: q2 flagged: true
            0 answer 10 q2@0 "text"
            > 10: q2 is "text"
        "#]],
    );
}

#[test]
fn what_cannot_be_an_answer_is_void_and_uses_its_number() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            0 answer 1 q9 "a"
            > 1: refused unknown_question
            0 answer 2 q1 "z"
            > 2: refused bad_value
            0 answer 3 q1 7
            > 3: refused bad_value
            0 answer 4 q2 "123456789012345678"
            > 4: q2 is "123456789012345678"
            0 answer 5 q2 "1234567890123456789"
            > 5: refused too_large
            0 flag 6 q9 on
            > 6: refused unknown_question
            0 answer 7 q1 "a"
            > 7: q1 is "a"
        "#]],
    );
}

#[test]
fn an_answer_with_a_field_of_the_wrong_form_is_void() {
    let mut driver = AttemptDriver::new(hour_exam());
    driver.send_command(&enter_command("one", None)).unwrap();
    let cases = [(None, None), (Some("a".into()), Some("spent_ms"))];
    for (seq, (value, bad_field)) in (1..).zip(cases) {
        let what = CandidateCommand::Answer {
            question: "q1".into(),
            value,
            base_rev: None,
            spent: span_of_minutes(0),
            bad_field,
        };
        let events = driver
            .send_command(&AttemptCommand::Numbered { seq, what })
            .unwrap();
        assert!(
            matches!(
                events[..],
                [DomainEvent::Refused {
                    code: CommandRefusal::BadValue,
                    kept: None,
                    ..
                }]
            ),
            "{events:?}"
        );
    }
    assert!(driver.attempt.answers().is_empty());
}

#[test]
fn what_comes_when_it_may_not_is_kept_for_staff() {
    let exam = Exam {
        grace_period: span_of_minutes(5),
        ..hour_exam()
    };
    check_transcript(
        exam,
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 staff c1 pause
            > paused
            > c1 done
            2 answer 1 q1 "a"
            > 1: refused paused, kept "a"
            2 submit 2
            > 2: refused paused
            2 flag 3 q1 on
            > 3: refused paused
            3 staff c2 resume
            > goes on
            > c2 done
            66:59.999 answer 4 q1 "b"
            > 4: q1 is "b", late
            67 answer 5 q1 "a"
            > handed in 67:00 by time: graded, late
            > 5: refused time_over, kept "a"
            67 flag 6 q1 on
            > 6: refused time_over
            67 submit 7
            > 7: refused time_over
        "#]],
    );
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 staff c1 cancel
            > cancelled 1:00
            > c1 done
            1 answer 1 q1 "a"
            > 1: refused closed, kept "a"
            1 submit 2
            > 2: refused closed
            70 look
            > cancelled, deadline 60:00, 0:00 left
        "#]],
    );
}

#[test]
fn a_timer_that_sleeps_lends_nobody_time() {
    let mut driver = AttemptDriver::new(hour_exam());
    driver.send_command(&enter_command("one", None)).unwrap();
    let answer = answer_command(1, "q1", None, "a".into());
    let decide = |at| driver.attempt.decide(at, &answer).unwrap();
    let last = Timestamp::from_ms(at_minute(60).as_ms() - 1);
    assert!(matches!(decide(last)[..], [DomainEvent::Answered { .. }]));
    let refused = decide(at_minute(60));
    assert!(
        matches!(
            refused[..],
            [DomainEvent::Refused {
                code: CommandRefusal::TimeOver,
                ..
            }]
        ),
        "{refused:?}"
    );
}

#[test]
fn the_final_status_tells_whether_a_person_has_to_mark() {
    let answers = [r#"1 q1 "a""#, r#"1 q2 "text""#, "1 q2 null"];
    let ends = ["1 submit 2", "1 staff c1 submit", "60 tick"];
    let mut table = String::new();
    for answer in answers {
        for end in ends {
            let status = |mark: &str| {
                let mut driver = AttemptDriver::new(hour_exam());
                let answer = format!("0 answer {answer}");
                for line in ["0 enter one", &answer, mark, end] {
                    run_line(&mut driver, line);
                }
                driver.attempt.status().as_str()
            };
            let (plain, flagged) = (status("0 staff c2 unflag"), status("0 staff c2 flag"));
            writeln!(table, "{answer}, {end}: {plain}, {flagged}").unwrap();
        }
    }
    expect![[r#"
        1 q1 "a", 1 submit 2: graded, flagged
        1 q1 "a", 1 staff c1 submit: graded, flagged
        1 q1 "a", 60 tick: graded, flagged
        1 q2 "text", 1 submit 2: submitted, flagged
        1 q2 "text", 1 staff c1 submit: submitted, flagged
        1 q2 "text", 60 tick: auto_submitted, flagged
        1 q2 null, 1 submit 2: graded, flagged
        1 q2 null, 1 staff c1 submit: graded, flagged
        1 q2 null, 60 tick: graded, flagged
    "#]]
    .assert_eq(&table);
}
