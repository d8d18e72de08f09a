//! Connections that open, replace each other and end.

use futures_util::FutureExt;

use super::*;
use crate::commit::outbox::OutboxItem;

fn opened(connection: &mut CandidateConnection) -> (ConnectionId, Arc<Outbox>) {
    let outbox = Arc::new(Outbox::default());
    let id = connection.open(Instant::now(), Arc::clone(&outbox), None);
    (id, outbox)
}

/// Everything that waits in the outbox: the number of messages, and the closing.
fn drain_outbox(outbox: &Outbox) -> (usize, Option<CloseCode>) {
    let mut messages = 0;
    while let Some(item) = outbox.next().now_or_never() {
        match item {
            OutboxItem::Message(_) => messages += 1,
            OutboxItem::Close(reason) => return (messages, Some(reason.code)),
        }
    }
    (messages, None)
}

fn pulse(n: u64) -> CandidatePulse {
    CandidatePulse {
        n,
        now_at: 0,
        remaining_ms: 0,
        saved_seq: 0,
        section: None,
    }
}

#[test]
fn the_next_connection_replaces_the_present_one() {
    let mut connection = CandidateConnection::new(Instant::now());
    let (first, old) = opened(&mut connection);
    let (second, _new) = opened(&mut connection);
    assert_eq!(drain_outbox(&old), (0, Some(CloseCode::Superseded)));
    assert!(!connection.is_current(first) && connection.is_current(second));
    assert!(!connection.end(first), "a late report of the old one's end");
    assert!(connection.is_open());
    assert!(connection.end(second));
    assert!(!connection.is_open());
}

#[test]
fn an_actor_that_is_dropped_closes_its_connection() {
    let mut connection = CandidateConnection::new(Instant::now());
    let (_, outbox) = opened(&mut connection);
    drop(connection);
    assert_eq!(drain_outbox(&outbox), (0, Some(CloseCode::InternalError)));
}

#[test]
fn a_candidate_is_away_only_after_a_connection() {
    let mut connection = CandidateConnection::new(Instant::now());
    assert_eq!(connection.away_since(), None, "never connected");
    opened(&mut connection);
    assert_eq!(connection.away_since(), None, "connected");
    let closed = Instant::now() + Duration::from_secs(5);
    connection.close(closed, CloseReason::new(CloseCode::Moved));
    assert_eq!(connection.away_since(), Some(closed));
    let later = closed + Duration::from_secs(5);
    connection.close(later, CloseReason::new(CloseCode::Moved));
    assert_eq!(connection.idle_since(), closed, "nothing was open any more");
    connection.mark_idle(later);
    assert_eq!(connection.idle_since(), later);
}

#[test]
fn a_heartbeat_is_answered_once_a_second() {
    let begin = Instant::now();
    let mut connection = CandidateConnection::new(begin);
    connection.send_pulse(begin, pulse(0));
    let (_, outbox) = opened(&mut connection);
    connection.send_pulse(begin, pulse(1));
    connection.send_pulse(begin + Duration::from_millis(999), pulse(2));
    assert_eq!(drain_outbox(&outbox), (1, None));
    connection.send_pulse(begin + Duration::from_secs(1), pulse(3));
    assert_eq!(drain_outbox(&outbox), (1, None));
    // Another connection is answered at once.
    let (_, outbox) = opened(&mut connection);
    connection.send_pulse(begin + Duration::from_secs(1), pulse(1));
    assert_eq!(drain_outbox(&outbox), (1, None));
}

#[test]
fn fifty_events_a_second_are_stored() {
    let begin = Instant::now();
    let mut connection = CandidateConnection::new(begin);
    let mut spend = |count, after| {
        let now = begin + Duration::from_millis(after);
        (0..count).filter(|_| connection.spend_event(now)).count()
    };
    assert_eq!(spend(60, 0), 50);
    assert_eq!(spend(1, 999), 0);
    assert_eq!(spend(60, 1_000), 50);
}
