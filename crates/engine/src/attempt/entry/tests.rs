//! Terms of joining.

use std::net::Ipv4Addr;

use serde_json::json;

use super::*;
use crate::attempt::fixture::{
    NOW, answer_command, entered_attempt, perform, staff_command, submit_command,
};
use invigil_domain::attempt::command::StaffAction;

fn join_from(address: [u8; 4], resume: Option<(&str, u64)>) -> JoinRequest {
    JoinRequest {
        resume: resume.map(|(session, next)| (session.into(), next)),
        address: IpAddr::V4(Ipv4Addr::from(address)),
        asked_at: None,
    }
}

/// The session to resume, or the code and detail of the refusal.
fn admitted(
    attempt: &Attempt,
    join: &JoinRequest,
    saved_seq: u64,
) -> Result<(Option<String>, bool), (CloseCode, Option<String>)> {
    match admit_join(attempt, NOW, join, saved_seq) {
        Ok(terms) => Ok((terms.resume.map(|id| id.to_string()), terms.over)),
        Err(ConnectRefusal(closing)) => Err((closing.code, closing.detail)),
    }
}

const HERE: [u8; 4] = [127, 0, 0, 1];

#[test]
fn the_present_session_is_resumed_and_no_other() {
    let attempt = entered_attempt(json!({}));
    let own = join_from(HERE, Some(("s1", 1)));
    assert_eq!(
        admitted(&attempt, &own, 0),
        Ok((Some("s1".to_owned()), false))
    );
    let other = join_from(HERE, Some(("s0", 1)));
    assert_eq!(admitted(&attempt, &other, 0), Ok((None, false)));
}

#[test]
fn a_client_that_would_reuse_saved_numbers_is_refused() {
    let mut attempt = entered_attempt(json!({}));
    perform(&mut attempt, NOW, &answer_command(1, "q0")).unwrap();
    let refusal = admitted(&attempt, &join_from(HERE, Some(("s1", 1))), 1).unwrap_err();
    assert_eq!(refusal.0, CloseCode::BadMessage);
    let next = join_from(HERE, Some(("s1", 2)));
    assert!(admitted(&attempt, &next, 1).is_ok());
}

#[test]
fn an_address_outside_the_exam_is_refused_until_the_end() {
    let mut attempt = entered_attempt(json!({ "ip_restrictions": ["10.0.0.0/8"] }));
    let (outside, inside) = (join_from(HERE, None), join_from([10, 1, 1, 1], None));
    let refusal = admitted(&attempt, &outside, 0).unwrap_err();
    assert_eq!(refusal.0, CloseCode::Forbidden);
    assert!(admitted(&attempt, &inside, 0).is_ok());
    perform(&mut attempt, NOW, &submit_command(1)).unwrap();
    // The attempt's own reason comes first now.
    let refusal = admitted(&attempt, &outside, 0).unwrap_err();
    assert_eq!(refusal, (CloseCode::Closed, None));
}

#[test]
fn only_the_own_session_learns_of_the_hand_in() {
    let mut attempt = entered_attempt(json!({}));
    perform(&mut attempt, NOW, &submit_command(1)).unwrap();
    let own = join_from(HERE, Some(("s1", 2)));
    assert_eq!(
        admitted(&attempt, &own, 1),
        Ok((Some("s1".to_owned()), true))
    );
    assert!(check_join(&attempt, NOW, &own, 1).is_ok());
    let other = join_from(HERE, None);
    assert_eq!(
        admitted(&attempt, &other, 1),
        Err((CloseCode::Closed, None))
    );
}

#[test]
fn a_void_attempt_lets_nobody_in() {
    let mut attempt = entered_attempt(json!({}));
    let cancel = staff_command(StaffAction::Cancel { reason: None });
    perform(&mut attempt, NOW, &cancel).unwrap();
    let own = join_from(HERE, Some(("s1", 1)));
    assert_eq!(admitted(&attempt, &own, 0), Err((CloseCode::Closed, None)));
}

#[test]
fn a_second_device_is_checked_without_entering() {
    let attempt = entered_attempt(json!({ "session_policy": "reject" }));
    let refusal = check_join(&attempt, NOW, &join_from(HERE, None), 0).unwrap_err();
    assert_eq!(refusal, EnterRefusal::AnotherDevice.into());
    let attempt = entered_attempt(json!({ "session_policy": "takeover" }));
    assert!(check_join(&attempt, NOW, &join_from(HERE, None), 0).is_ok());
}
