//! Order of messages, and the end of a connection.

use futures_util::FutureExt;
use invigil_protocol::candidate::{CandidatePulse, CommandRefused};

use super::*;

fn refusal(seq: u64) -> ServerMessage {
    ServerMessage::Refused(CommandRefused::for_gap(seq, 1, None))
}

fn pulse(n: u64) -> ServerMessage {
    ServerMessage::Pulse(CandidatePulse {
        n,
        now_at: 0,
        remaining_ms: 0,
        saved_seq: 0,
        section: None,
    })
}

/// All waiting messages, as short texts.
fn drain_texts(outbox: &Outbox) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(outgoing) = outbox.next().now_or_never() {
        said.push(match outgoing {
            OutboxItem::Message(ServerMessage::Refused(refused)) => {
                format!("refused {}", refused.seq)
            }
            OutboxItem::Message(ServerMessage::Saved(saved)) => format!("saved {}", saved.seq),
            OutboxItem::Message(ServerMessage::EventAck(ack)) => {
                format!("events {} without {:?}", ack.n, ack.dropped)
            }
            OutboxItem::Message(ServerMessage::Pulse(pulse)) => format!("pulse {}", pulse.n),
            OutboxItem::Message(other) => panic!("{other:?}"),
            OutboxItem::Close(closing) => format!("close {}", closing.code.number()),
        });
    }
    said
}

#[test]
fn refusals_come_before_the_saved_that_covers_them() {
    let outbox = Outbox::default();
    outbox.send(pulse(1));
    outbox.report_events_stored(4, 0);
    outbox.report_saved(2);
    outbox.send_acknowledgement(refusal(3));
    outbox.report_saved(3);
    let expected = ["refused 3", "saved 3", "events 4 without None", "pulse 1"];
    assert_eq!(drain_texts(&outbox), expected);
}

#[test]
fn dropped_events_add_up_until_they_are_told() {
    let outbox = Outbox::default();
    outbox.report_events_stored(5, 2);
    outbox.report_events_stored(9, 1);
    assert_eq!(drain_texts(&outbox), ["events 9 without Some(3)"]);
    outbox.report_events_stored(10, 0);
    assert_eq!(drain_texts(&outbox), ["events 10 without None"]);
}

#[test]
fn who_reads_nothing_is_closed_whatever_waits() {
    type Fill = fn(&Outbox);
    let notice: Fill = |outbox| outbox.send(pulse(1));
    let acknowledgement: Fill = |outbox| outbox.send_acknowledgement(refusal(1));
    for (room, fill) in [
        (MESSAGES_MAX, notice),
        (ACKNOWLEDGEMENTS_MAX, acknowledgement),
    ] {
        let outbox = Outbox::default();
        (0..room).for_each(|_| fill(&outbox));
        assert_eq!(drain_texts(&outbox).len(), room, "all of this fits");
        (0..=room).for_each(|_| fill(&outbox));
        assert_eq!(drain_texts(&outbox), ["close 4430"]);
    }
}

#[test]
fn notices_and_acknowledgements_do_not_take_each_others_room() {
    let outbox = Outbox::default();
    (0..MESSAGES_MAX).for_each(|_| outbox.send(pulse(1)));
    (0..ACKNOWLEDGEMENTS_MAX).for_each(|_| outbox.send_acknowledgement(refusal(1)));
    assert_eq!(
        drain_texts(&outbox).len(),
        MESSAGES_MAX + ACKNOWLEDGEMENTS_MAX
    );
}

#[test]
fn a_closing_comes_last_and_the_first_one_counts() {
    let outbox = Outbox::default();
    outbox.close(CloseReason::new(CloseCode::Superseded));
    outbox.close(CloseReason::new(CloseCode::InternalError));
    outbox.report_saved(1);
    assert_eq!(drain_texts(&outbox), ["saved 1", "close 4509"]);
    outbox.report_saved(2);
    assert!(drain_texts(&outbox).is_empty(), "nothing follows a closing");
}
