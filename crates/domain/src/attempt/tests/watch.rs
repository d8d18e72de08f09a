//! Judgements of rules about events, and decisions of staff about incidents.

use std::time::Duration;

use expect_test::expect;

use super::transcript::check_transcript;
use crate::{
    attempt::fixture::{at_minute, hour_exam},
    exam::{EventSeverity, Exam, IntegrityRule, RuleConsequence},
};

fn make_rule(
    kind: &str,
    limit: u32,
    within_minutes: Option<u64>,
    then: RuleConsequence,
) -> IntegrityRule {
    IntegrityRule {
        kind: kind.to_owned(),
        severity: EventSeverity::Medium,
        limit,
        within: within_minutes.map(|minutes| Duration::from_secs(60 * minutes)),
        then,
    }
}

fn watched_exam(rules: Vec<IntegrityRule>) -> Exam {
    let mut exam = hour_exam();
    exam.proctoring.enabled = true;
    exam.proctoring.rules = rules;
    exam
}

#[test]
fn a_rule_acts_at_its_limit_within_its_window_and_then_counts_anew() {
    check_transcript(
        watched_exam(vec![make_rule(
            "focus_lost",
            3,
            Some(10),
            RuleConsequence::Warn,
        )]),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            0 event 1 focus_lost
            > event 1 focus_lost
            1 event 2 focus_lost
            > event 2 focus_lost
            11 event 3 focus_lost
            > event 3 focus_lost
            12 event 4 focus_lost
            > event 4 focus_lost
            12 look
            > in_progress, deadline 60:00, 48:00 left, next 60:00, risk 25 [("focus_lost", 26)]
            13 event 5 focus_lost
            > event 5 focus_lost
            > incident focus_lost
            > notice A rule of this exam applies: the exam's page was left. Please follow the exam's rules.
            13 look
            > in_progress, deadline 60:00, 47:00 left, next 60:00, risk 33 [("focus_lost", 34)], i8 focus_lost x3 medium warn
            14 event 6 focus_lost
            > event 6 focus_lost
            15 event 7 focus_lost
            > event 7 focus_lost
            16 event 7 focus_lost
            16 crash
            16 event 8 focus_lost
            > event 8 focus_lost
            > incident focus_lost
            > notice A rule of this exam applies: the exam's page was left. Please follow the exam's rules.
            16 look
            > in_progress, deadline 60:00, 44:00 left, next 60:00, risk 53 [("focus_lost", 54)], i8 focus_lost x6 medium warn
            200 look
            > handed in 60:00 by time: graded
            > graded, deadline 60:00, 0:00 left, i8 focus_lost x6 medium warn
        "#]],
    );
}

#[test]
fn every_consequence_is_carried_out_once_and_tells_the_candidate() {
    check_transcript(
        watched_exam(vec![
            make_rule("copy", 2, None, RuleConsequence::Note),
            make_rule("phone", 1, None, RuleConsequence::Flag),
            make_rule("face_absent", 1, None, RuleConsequence::Pause),
            make_rule("x-gone", 1, None, RuleConsequence::Cancel),
        ]),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 event 1 copy
            > event 1 copy
            2 event 2 copy
            > event 2 copy
            > incident copy
            3 event 3 phone
            > event 3 phone
            > incident phone
            > notice A rule of this exam applies: a telephone was seen. A person will review it.
            > flagged
            4 event 4 phone
            > event 4 phone
            > incident phone
            > notice A rule of this exam applies: a telephone was seen. A person will review it.
            5 event 5 face_absent
            > event 5 face_absent
            > incident face_absent
            > notice A rule of this exam applies: no face was seen. The exam is paused, and your time with it. Please wait for a proctor.
            > paused
            6 event 6 face_absent
            > event 6 face_absent
            6 look
            > paused, deadline 61:00, 55:00 left, risk 36 [("phone", 15), ("copy", 14), ("face_absent", 8)], i5 copy x2 medium note, i7 phone x2 medium flag, i14 face_absent x1 medium pause
            7 staff c1 resume
            > goes on
            > c1 done
            8 event 7 x-unknown
            > event 7 x-unknown
            9 event 8 x-gone
            > event 8 x-gone
            > incident x-gone
            > cancelled 9:00
            10 event 9 phone
            > event 9 phone
            10 look
            > cancelled, deadline 62:00, 52:00 left, risk 38 [("phone", 13), ("copy", 12), ("x-gone", 8), ("face_absent", 7)], i5 copy x2 medium note, i7 phone x2 medium flag, i14 face_absent x1 medium pause, i22 x-gone x1 medium cancel
        "#]],
    );
}

#[test]
fn nobody_is_blamed_before_the_start_in_a_pause_or_after_the_end() {
    check_transcript(
        Exam {
            available_from: Some(at_minute(5)),
            ..watched_exam(vec![make_rule(
                "focus_lost",
                1,
                None,
                RuleConsequence::Cancel,
            )])
        },
        &expect![[r#"
            0 enter one
            > session one opens
            1 event 1 focus_lost
            > event 1 focus_lost
            6 staff c1 pause
            > clock starts 6:00
            > paused
            > c1 done
            7 event 2 focus_lost
            > event 2 focus_lost
            8 staff c2 resume
            > goes on
            > c2 done
            9 submit 1
            > handed in 9:00 by candidate: graded
            10 event 3 focus_lost
            > event 3 focus_lost
            10 look
            > graded, deadline 68:00, 58:00 left
        "#]],
    );
}

#[test]
fn an_exam_that_is_not_proctored_judges_nothing() {
    check_transcript(
        hour_exam(),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 event 1 phone
            > event 1 phone
            2 detect device_shared
            3 arrive 10.0.0.1
            4 enter two
            > session two opens
            4 look
            > in_progress, deadline 60:00, 56:00 left, next 60:00
        "#]],
    );
}

#[test]
fn the_engine_notices_by_itself_and_a_lost_heartbeat_only_warns() {
    check_transcript(
        watched_exam(vec![make_rule(
            "heartbeat_lost",
            1,
            None,
            RuleConsequence::Cancel,
        )]),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            0 arrive 10.0.0.1 laptop
            > from 10.0.0.1
            1 enter two
            > detected session_taken_over
            > incident session_taken_over
            > session two opens
            1 arrive 10.0.0.2
            > detected address_changed
            > incident address_changed
            > from 10.0.0.2
            2 arrive 10.0.0.2
            3 leave
            > away
            4 detect heartbeat_lost
            > detected heartbeat_lost
            > incident heartbeat_lost
            > notice A rule of this exam applies: the connection was lost. Please follow the exam's rules.
            5 enter one
            > session one opens
            6 detect clock_skewed
            > detected clock_skewed
            > incident clock_skewed
            7 detect answer_too_fast
            > detected answer_too_fast
            > incident answer_too_fast
            8 detect device_shared
            > detected device_shared
            > incident device_shared
            8 look
            > in_progress, deadline 60:00, 52:00 left, next 60:00, risk 46 [("device_shared", 25), ("clock_skewed", 8), ("address_changed", 7), ("session_taken_over", 7), ("answer_too_fast", 2)], i5 session_taken_over x1 medium note, i8 address_changed x1 medium note, i12 heartbeat_lost x1 medium warn, i16 clock_skewed x1 medium note, i18 answer_too_fast x1 low note, i20 device_shared x1 high note
        "#]],
    );
}

#[test]
fn incidents_are_assigned_and_closed_also_after_the_hand_in() {
    check_transcript(
        watched_exam(vec![make_rule(
            "focus_lost",
            1,
            None,
            RuleConsequence::Note,
        )]),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 event 1 focus_lost
            > event 1 focus_lost
            > incident focus_lost
            2 event 2 focus_lost
            > event 2 focus_lost
            > incident focus_lost
            2 staff c1 assign i5 pat
            > unknown incident
            3 staff c2 resolve i4 dismissed
            > i4 dismissed
            > c2 done
            3 staff c3 resolve i9 dismissed
            > unknown incident
            3 look
            > in_progress, deadline 60:00, 57:00 left, next 60:00, i4 focus_lost x2 medium note dismissed
            4 event 3 focus_lost
            > event 3 focus_lost
            > incident focus_lost
            5 staff c4 flag
            > flagged
            > incident flagged
            > c4 done
            6 submit 1
            > handed in 6:00 by candidate: flagged
            7 staff c5 resolve i4 confirmed
            > i4 confirmed
            > c5 done
            7 staff c6 message hello
            > after the hand-in
            7 look
            > flagged, deadline 60:00, 53:00 left, risk 7 [("focus_lost", 8)], i4 focus_lost x2 medium note confirmed, i10 focus_lost x1 medium note, i12 flagged x1 high flag
        "#]],
    );
}

#[test]
fn what_is_held_counts_in_the_end_or_does_not() {
    check_transcript(
        watched_exam(Vec::new()),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 staff c1 flag
            > flagged
            > incident flagged
            > c1 done
            2 submit 1
            > handed in 2:00 by candidate: flagged
            3 staff c2 extend 5
            > after the hand-in
            3 staff c3 unflag
            > unflagged
            > c3 done
            3 staff c3 unflag
            4 staff c4 unflag
            > after the hand-in
            4 staff c5 cancel
            > after the hand-in
            4 look
            > graded, deadline 60:00, 56:00 left, i4 flagged x1 high flag
        "#]],
    );
    check_transcript(
        watched_exam(Vec::new()),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 staff c1 flag
            > flagged
            > incident flagged
            > c1 done
            2 submit 1
            > handed in 2:00 by candidate: flagged
            3 staff c2 cancel
            > cancelled 3:00
            > c2 done
            4 staff c3 unflag
            > after the hand-in
            4 look
            > cancelled, deadline 60:00, 56:00 left, i4 flagged x1 high flag
        "#]],
    );
}

#[test]
fn an_event_that_is_repeated_in_another_session_is_judged_once() {
    check_transcript(
        watched_exam(vec![make_rule("copy", 2, None, RuleConsequence::Cancel)]),
        &expect![[r#"
            0 enter one
            > session one opens
            > clock starts 0:00
            1 event 1 copy
            > event 1 copy
            1 leave
            > away
            1 enter two
            > session two opens
            1 event 1 copy
            > event 1 copy
            2 event 2 copy
            > event 2 copy
            > incident copy
            > cancelled 2:00
        "#]],
    );
}
