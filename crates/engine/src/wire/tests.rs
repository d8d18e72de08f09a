//! Messages to candidates, as the engine's state makes them.

use serde_json::json;

use super::*;
use crate::attempt::fixture::{
    NOW, answer_command, enter_session, entered_attempt, exam_content, installation_keys,
    new_attempt, perform, submit_command,
};

const LIMITS: ConnectionLimits = ConnectionLimits {
    frame_bytes: 1,
    answer_bytes: 2,
    commands_per_second: 3,
    burst: 4,
    unsaved: 5,
};

fn welcome(attempt: &Attempt, content: &ExamContent) -> CandidateWelcome {
    let facts = WelcomeFacts {
        resumed: false,
        saved_seq: 0,
        health_level: 10,
        paper: content.paper_ref(attempt.identity(), NOW),
        limits: LIMITS,
    };
    wire_welcome(attempt, NOW, facts)
}

#[test]
fn a_candidate_who_waits_is_told_the_opening_and_the_deadline_from_there() {
    // 10 minutes after the begin of the test's time.
    let content = exam_content(json!({ "available_from": "2023-11-14T22:23:20Z" }));
    let mut attempt = new_attempt(&content);
    enter_session(&mut attempt, NOW, "s1").unwrap();
    let waiting = welcome(&attempt, &content);
    let opens = NOW + Duration::from_mins(10);
    assert_eq!(waiting.attempt.opens_at, Some(opens.as_ms()));
    let deadline = opens + Duration::from_hours(1);
    assert_eq!(waiting.attempt.deadline_at, deadline.as_ms());
    assert_eq!(waiting.attempt.status, AttemptStatus::Started);
    let content = exam_content(json!({}));
    let mut attempt = new_attempt(&content);
    enter_session(&mut attempt, NOW, "s1").unwrap();
    let running = welcome(&attempt, &content);
    assert_eq!(running.attempt.opens_at, None);
    assert_eq!(running.attempt.remaining_ms, 3_600_000);
    assert_eq!(running.session, "s1");
    assert_eq!(running.limits.unsaved, 5);
}

#[test]
fn heartbeats_are_stretched_while_events_are_held_back() {
    let second = Duration::from_secs(1);
    assert_eq!(wire_health(5, second).heartbeat_ms, 1_000);
    assert_eq!(wire_health(4, second).heartbeat_ms, 3_000);
}

#[test]
fn the_hand_in_comes_with_receipt_and_result() {
    let content = exam_content(json!({}));
    let keys = installation_keys();
    let mut attempt = new_attempt(&content);
    enter_session(&mut attempt, NOW, "s1").unwrap();
    perform(&mut attempt, NOW, &answer_command(1, "q0")).unwrap();
    assert!(wire_hand_in(&attempt, &content, &keys).is_none());
    perform(&mut attempt, NOW, &submit_command(2)).unwrap();
    let submitted = wire_hand_in(&attempt, &content, &keys).unwrap();
    assert_eq!(submitted.handed_in, SubmittedBy::Candidate);
    assert_eq!(submitted.receipt["content"]["answers"][0]["q"], "q0");
    assert!(submitted.result.is_some());
}

#[test]
fn a_result_that_the_exam_keeps_back_is_not_sent() {
    let content = exam_content(json!({ "show_results_immediately": false }));
    let mut attempt = new_attempt(&content);
    enter_session(&mut attempt, NOW, "s1").unwrap();
    perform(&mut attempt, NOW, &submit_command(1)).unwrap();
    let submitted = wire_hand_in(&attempt, &content, &installation_keys()).unwrap();
    assert_eq!(submitted.result, None);
}

#[test]
fn a_conflict_is_refused_with_the_stored_answer() {
    let mut attempt = entered_attempt(json!({}));
    perform(&mut attempt, NOW, &answer_command(1, "q0")).unwrap();
    let stale = invigil_domain::attempt::AttemptCommand::Numbered {
        seq: 2,
        what: invigil_domain::attempt::command::CandidateCommand::Answer {
            question: "q0".into(),
            value: Some(json!(false)),
            base_rev: Some(0),
            spent: Duration::ZERO,
            bad_field: None,
        },
    };
    let events = attempt.decide(NOW, &stale).unwrap();
    let refused = serde_json::to_value(wire_refused(&events[0]).unwrap()).unwrap();
    assert_eq!(refused["seq"], 2);
    assert_eq!(refused["code"], "conflict");
    assert_eq!(refused["detail"]["value"], true);
    let unknown = attempt.decide(NOW, &answer_command(2, "q99")).unwrap();
    let refused = serde_json::to_value(wire_refused(&unknown[0]).unwrap()).unwrap();
    assert_eq!(refused["code"], "unknown_question");
    assert_eq!(
        refused["detail"]["reason"],
        "no such question in this paper"
    );
    let answered = attempt.decide(NOW, &answer_command(2, "q1")).unwrap();
    assert!(wire_refused(&answered[0]).is_none());
}

#[test]
fn the_end_of_the_last_limited_section_names_the_one_after_it() {
    let section = |id: &str, minutes: Option<u64>| {
        let mut section = json!({
            "id": id,
            "questions": [{
                "id": format!("{id}q"), "type": "true_false", "content": "?", "answer": true,
            }],
        });
        if let Some(minutes) = minutes {
            section["time_limit_minutes"] = minutes.into();
        }
        section
    };
    let sections = json!([section("a", Some(10)), section("b", None)]);
    let content = exam_content(json!({ "sections": sections }));
    let mut attempt = new_attempt(&content);
    enter_session(&mut attempt, NOW, "s1").unwrap();
    let running = wire_section_change(&attempt, NOW);
    assert_eq!(running.section.as_deref(), Some("a"));
    let over = NOW + Duration::from_mins(11);
    let next = wire_section_change(&attempt, over);
    assert_eq!(next.section.as_deref(), Some("b"));
}
