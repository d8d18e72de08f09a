//! What is sent, in which order, and to whom it is sent no more.

use futures_util::FutureExt;
use invigil_protocol::candidate::{Pulse, Refused};

use super::*;

fn refused(seq: u64) -> ServerMessage {
    ServerMessage::Refused(Refused::gap(seq, 1, None))
}

fn pulse(n: u64) -> ServerMessage {
    ServerMessage::Pulse(Pulse {
        n,
        now_at: 0,
        remaining_ms: 0,
        saved_seq: 0,
        section: None,
    })
}

/// Everything that waits, in short words.
fn drained(outbox: &Outbox) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(outgoing) = outbox.next().now_or_never() {
        said.push(match outgoing {
            Outgoing::Message(ServerMessage::Refused(refused)) => {
                format!("refused {}", refused.seq)
            }
            Outgoing::Message(ServerMessage::Saved(saved)) => format!("saved {}", saved.seq),
            Outgoing::Message(ServerMessage::EventAck(ack)) => {
                format!("events {} without {:?}", ack.n, ack.dropped)
            }
            Outgoing::Message(ServerMessage::Pulse(pulse)) => format!("pulse {}", pulse.n),
            Outgoing::Message(other) => panic!("{other:?}"),
            Outgoing::Close(closing) => format!("close {}", closing.code.number()),
        });
    }
    said
}

#[test]
fn refusals_come_before_the_saved_that_covers_them() {
    let outbox = Outbox::default();
    outbox.send(pulse(1));
    outbox.events_stored(4, 0);
    outbox.saved(2);
    outbox.acknowledge(refused(3));
    outbox.saved(3);
    let expected = ["refused 3", "saved 3", "events 4 without None", "pulse 1"];
    assert_eq!(drained(&outbox), expected);
}

#[test]
fn dropped_events_add_up_until_they_are_told() {
    let outbox = Outbox::default();
    outbox.events_stored(5, 2);
    outbox.events_stored(9, 1);
    assert_eq!(drained(&outbox), ["events 9 without Some(3)"]);
    outbox.events_stored(10, 0);
    assert_eq!(drained(&outbox), ["events 10 without None"]);
}

#[test]
fn who_reads_nothing_is_closed_whatever_waits() {
    type Fill = fn(&Outbox);
    let notice: Fill = |outbox| outbox.send(pulse(1));
    let acknowledgement: Fill = |outbox| outbox.acknowledge(refused(1));
    for (room, fill) in [(REST_MAX, notice), (ACKNOWLEDGEMENTS_MAX, acknowledgement)] {
        let outbox = Outbox::default();
        (0..room).for_each(|_| fill(&outbox));
        assert_eq!(drained(&outbox).len(), room, "all of this fits");
        (0..=room).for_each(|_| fill(&outbox));
        assert_eq!(drained(&outbox), ["close 4430"]);
    }
}

#[test]
fn notices_and_acknowledgements_do_not_take_each_others_room() {
    let outbox = Outbox::default();
    (0..REST_MAX).for_each(|_| outbox.send(pulse(1)));
    (0..ACKNOWLEDGEMENTS_MAX).for_each(|_| outbox.acknowledge(refused(1)));
    assert_eq!(drained(&outbox).len(), REST_MAX + ACKNOWLEDGEMENTS_MAX);
}

#[test]
fn a_closing_comes_last_and_the_first_one_counts() {
    let outbox = Outbox::default();
    outbox.close(Closing::new(CloseCode::Superseded));
    outbox.close(Closing::new(CloseCode::InternalError));
    outbox.saved(1);
    assert_eq!(drained(&outbox), ["saved 1", "close 4509"]);
    outbox.saved(2);
    assert!(drained(&outbox).is_empty(), "nothing follows a closing");
}
