//! Observations, and the detections that follow from them.

use super::*;
use crate::attempt::fixture::{NOW, answer_command, entered_attempt, perform, submit_command};

const PROCTORED: &str = r#"{ "proctoring": { "enabled": true } }"#;

fn proctored_attempt() -> Attempt {
    entered_attempt(serde_json::from_str(PROCTORED).unwrap())
}

fn heartbeat_on(q: Option<&str>, visible: bool) -> CandidateHeartbeat {
    CandidateHeartbeat {
        n: 1,
        q: q.map(str::to_owned),
        visible: Some(visible),
        focused: None,
        fullscreen: None,
        rtt_ms: Some(20),
    }
}

/// Answers a question, `after` the begin.
fn answer_at(
    monitor: &mut Monitor,
    attempt: &mut Attempt,
    (seq, question): (u64, &str),
    after: Duration,
) {
    for event in attempt
        .decide(NOW + after, &answer_command(seq, question))
        .unwrap()
    {
        attempt.apply(&event);
        monitor.inspect_answer(attempt, &event);
    }
}

fn detected(monitor: &mut Monitor) -> Vec<Detection> {
    let found = monitor.take_detections();
    found.into_iter().map(|(what, _)| what).collect()
}

#[test]
fn a_heartbeat_is_recorded_where_it_changes_something() {
    let attempt = entered_attempt(json!({}));
    let mut monitor = Monitor::default();
    let mut seen = |q, visible, after| {
        let now = NOW + Duration::from_secs(after);
        let heartbeat = heartbeat_on(q, visible);
        let found = monitor.inspect_heartbeat(&attempt, now, &heartbeat);
        found.into_iter().map(|one| one.kind).collect::<Vec<_>>()
    };
    assert_eq!(seen(Some("q1"), true, 0), ["question_shown", "heartbeat"]);
    assert_eq!(seen(Some("q1"), true, 59), [""; 0]);
    assert_eq!(seen(Some("q1"), false, 59), ["heartbeat"]);
    assert_eq!(seen(Some("q2"), false, 60), ["question_shown"]);
    assert_eq!(seen(None, false, 118), [""; 0]);
    assert_eq!(seen(None, false, 119), ["heartbeat"]);
    // A question that the exam does not have is not shown.
    assert_eq!(seen(Some("q99"), false, 120), [""; 0]);
    assert_eq!(monitor.readings().shown_question, None);
    assert_eq!(monitor.readings().rtt_ms, Some(20));
}

#[test]
fn fast_first_answers_are_detected_where_the_exam_is_proctored() {
    let (mut plain, mut proctored) = (entered_attempt(json!({})), proctored_attempt());
    for (attempt, expected) in [
        (&mut plain, vec![]),
        (&mut proctored, vec![Detection::AnswerTooFast]),
    ] {
        let mut monitor = Monitor::default();
        for number in 0..5 {
            let question = format!("q{number}");
            let after = Duration::from_millis(number);
            answer_at(&mut monitor, attempt, (number + 1, &question), after);
        }
        assert_eq!(detected(&mut monitor), expected);
        assert_eq!(monitor.readings().answered_count, 5);
    }
}

#[test]
fn changed_answers_need_no_reading() {
    let mut attempt = proctored_attempt();
    let mut monitor = Monitor::default();
    for seq in 1..=9 {
        answer_at(&mut monitor, &mut attempt, (seq, "q0"), Duration::ZERO);
    }
    assert_eq!(detected(&mut monitor), []);
}

#[test]
fn a_clock_that_jumps_is_detected_once() {
    let mut monitor = Monitor::default();
    monitor.inspect_clock(NOW, NOW.as_ms());
    monitor.inspect_clock(NOW, NOW.as_ms() + 90_000);
    let found = monitor.take_detections();
    assert_eq!(found, [(Detection::ClockSkewed, json!({ "ms": 90_000 }))]);
    assert_eq!(detected(&mut monitor), []);
    // Another session may be another device.
    monitor.reset_client_clock();
    monitor.inspect_clock(NOW, NOW.as_ms());
    assert_eq!(detected(&mut monitor), []);
}

#[test]
fn an_absence_is_detected_once_until_the_candidate_returns() {
    let mut attempt = proctored_attempt();
    let mut monitor = Monitor::default();
    let since = Instant::now();
    let limit = since + Duration::from_secs(30);
    assert_eq!(monitor.absence_at(&attempt, Some(since)), Some(limit));
    assert_eq!(monitor.absence_at(&attempt, None), None);
    let early = limit.checked_sub(Duration::from_millis(1)).unwrap();
    assert!(!monitor.inspect_absence(&attempt, Some(since), early));
    assert!(monitor.inspect_absence(&attempt, Some(since), limit));
    assert_eq!(
        monitor.take_detections(),
        [(Detection::HeartbeatLost, json!({ "ms": 30_000 }))]
    );
    assert!(!monitor.inspect_absence(&attempt, Some(since), limit));
    assert_eq!(monitor.absence_at(&attempt, Some(since)), None);
    monitor.note_return();
    assert_eq!(monitor.absence_at(&attempt, Some(since)), Some(limit));
    // After the hand-in, a candidate may go.
    perform(&mut attempt, NOW, &submit_command(1)).unwrap();
    assert_eq!(monitor.absence_at(&attempt, Some(since)), None);
    let plain = entered_attempt(json!({}));
    assert_eq!(monitor.absence_at(&plain, Some(since)), None);
}

#[test]
fn a_device_without_a_name_is_the_known_one() {
    let mut attempt = proctored_attempt();
    let origin = connection_origin(&attempt, "10.0.0.1".to_owned(), Some("tablet"));
    let arrive = invigil_domain::attempt::AttemptCommand::Arrive { origin };
    perform(&mut attempt, NOW, &arrive).unwrap();
    let later = connection_origin(&attempt, "10.0.0.2".to_owned(), None);
    assert_eq!(later.device.as_deref(), Some("tablet"));
    assert_eq!(inspectable_device(Some("")), None);
    assert_eq!(inspectable_device(Some(&"x".repeat(101))), None);
    assert_eq!(inspectable_device(Some("tablet")), Some("tablet"));
}
