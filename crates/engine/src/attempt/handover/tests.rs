//! Releases to other nodes, and the time owed for a dead one.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::attempt::fixture::{
    NOW, enter_session, entered_attempt, exam_content, new_attempt, perform, submit_command,
};
use invigil_protocol::code::CloseCode;

fn join_by(resume: Option<(&str, u64)>, asked_at: Option<Timestamp>) -> JoinRequest {
    JoinRequest {
        resume: resume.map(|(session, next)| (session.into(), next)),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        asked_at,
    }
}

/// Asks for a release; the connection's request was at `connected_at`.
fn request_release(
    handover: &mut Handover,
    attempt: &Attempt,
    connected_at: Option<Timestamp>,
    join: &JoinRequest,
) -> (bool, oneshot::Receiver<ReleaseOutcome>) {
    let (reply, released) = oneshot::channel();
    let begun = handover.begin_release(attempt, NOW, (0, connected_at), join, reply);
    (begun, released)
}

#[test]
fn a_release_waits_until_everything_is_written() {
    let attempt = entered_attempt(json!({}));
    let mut handover = Handover::new(&attempt, None);
    assert!(!handover.is_awaited());
    let join = join_by(Some(("s1", 1)), None);
    let (begun, mut released) = request_release(&mut handover, &attempt, None, &join);
    assert!(begun && handover.is_awaited());
    assert!(matches!(released.try_recv(), Err(TryRecvError::Empty)));
    handover.confirm_release();
    assert!(matches!(released.try_recv(), Ok(ReleaseOutcome::Released)));
    assert!(!handover.is_awaited());
}

#[test]
fn who_comes_back_here_cancels_the_release() {
    let attempt = entered_attempt(json!({}));
    let mut handover = Handover::new(&attempt, None);
    let (_, mut released) = request_release(&mut handover, &attempt, None, &join_by(None, None));
    handover.cancel_release();
    assert!(!handover.is_awaited());
    assert!(matches!(released.try_recv(), Err(TryRecvError::Closed)));
}

#[test]
fn a_request_from_before_the_connection_gets_no_answer() {
    let attempt = entered_attempt(json!({}));
    let mut handover = Handover::new(&attempt, None);
    let earlier = Timestamp::from_ms(NOW.as_ms() - 1);
    let mut ask = |asked_at| {
        let join = join_by(Some(("s1", 1)), asked_at);
        let (begun, mut released) = request_release(&mut handover, &attempt, Some(NOW), &join);
        let dropped = matches!(released.try_recv(), Err(TryRecvError::Closed));
        (begun, dropped)
    };
    assert_eq!(ask(Some(earlier)), (false, true));
    assert_eq!(ask(Some(NOW)), (true, false));
    // A node of an earlier release does not say when it was asked.
    assert_eq!(ask(None), (true, false));
}

#[test]
fn a_second_device_is_refused_without_ending_the_first_connection() {
    let attempt = entered_attempt(json!({ "session_policy": "reject" }));
    let mut handover = Handover::new(&attempt, None);
    let other = join_by(None, None);
    let (begun, mut released) = request_release(&mut handover, &attempt, None, &other);
    assert!(!begun && !handover.is_awaited());
    let Ok(ReleaseOutcome::Refused(closing)) = released.try_recv() else {
        panic!("the second device is not refused");
    };
    assert_eq!(closing.code, CloseCode::Forbidden);
    assert_eq!(closing.detail.as_deref(), Some("another_device"));
    let own = join_by(Some(("s1", 1)), None);
    assert!(request_release(&mut handover, &attempt, None, &own).0);
}

#[test]
fn a_session_with_a_receipt_to_fetch_may_move() {
    let mut attempt = entered_attempt(json!({}));
    perform(&mut attempt, NOW, &submit_command(1)).unwrap();
    let mut handover = Handover::new(&attempt, None);
    let own = join_by(Some(("s1", 2)), None);
    assert!(request_release(&mut handover, &attempt, None, &own).0);
    let other = join_by(None, None);
    assert!(!request_release(&mut handover, &attempt, None, &other).0);
}

#[test]
fn time_with_a_dead_node_is_owed_up_to_four_heartbeats() {
    let content = exam_content(json!({}));
    let mut attempt = new_attempt(&content);
    enter_session(&mut attempt, NOW, "s1").unwrap();
    let second = Duration::from_secs(1);
    let mut handover = Handover::new(&attempt, Some(NOW));
    // Another caller comes first; less than the minimum stays owed.
    let soon = NOW + second;
    assert_eq!(handover.take_owed_outage(soon, 2 * second), None);
    let early = NOW + 15 * second;
    let owed = handover.take_owed_outage(early, 2 * second);
    assert_eq!(owed, Some((NOW, early)));
    // The candidate, on return, gets the rest.
    let (late, end) = (NOW + 100 * second, NOW + 40 * second);
    let owed = handover.take_owed_outage(late, 2 * second);
    assert_eq!(owed, Some((early, end)));
    assert_eq!(handover.take_owed_outage(late, 2 * second), None);
    let mut unharmed = Handover::new(&attempt, None);
    assert_eq!(unharmed.take_owed_outage(late, 2 * second), None);
}
