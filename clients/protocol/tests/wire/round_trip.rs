//! Messages that are made up come through both codecs; bytes that are made up
//! never panic.

use invigil_protocol::{
    Encoding,
    candidate::{
        Answer, ClientMessage, Event, Flag, Heartbeat, Hello, NoticeAck, Pulse, Refused, Resume,
        Saved, SectionClock, ServerMessage, Submit, WireValue,
    },
    code::{EventKind, RefusalCode},
    codec::{
        decode_client, decode_console, decode_exchange, decode_proctor, decode_server, encode,
        encode_client,
    },
    exchange,
};
use proptest::{collection, option, prelude::*, sample};
use serde_json::{Map, Number, Value};

/// Text of any characters but NUL, which a value may not hold.
fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,12}"
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("JSON has finite numbers", |number| {
            Number::from_f64(number).map(Value::Number)
        }),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            collection::hash_map(text(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    collection::hash_map(text(), value(), 0..4).prop_map(|map| map.into_iter().collect())
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![1..1_000_u64, 1..i64::MAX.unsigned_abs()]
}

fn command() -> impl Strategy<Value = ClientMessage> {
    let wire_value =
        prop_oneof![9 => value().prop_map(WireValue::Json), 1 => Just(WireValue::Malformed)];
    let answer = (
        count(),
        text(),
        wire_value,
        option::of(any::<u32>()),
        option::of(0..i64::MAX),
    );
    prop_oneof![
        answer.prop_map(|(seq, q, value, base_rev, spent_ms)| {
            ClientMessage::Answer(Answer {
                seq,
                q,
                value,
                base_rev,
                spent_ms,
                bad_field: None,
            })
        }),
        (count(), text(), any::<bool>()).prop_map(|(seq, q, on)| ClientMessage::Flag(Flag {
            seq,
            q,
            on
        })),
        count().prop_map(|seq| ClientMessage::Submit(Submit { seq })),
    ]
}

fn signal() -> impl Strategy<Value = ClientMessage> {
    let kind = prop_oneof![
        sample::select(EventKind::ALL).prop_map(|kind| kind.as_str().to_owned()),
        "x-[a-z]{1,20}",
    ];
    let flags = [
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
    ];
    prop_oneof![
        (count(), kind, any::<i64>(), option::of(object())).prop_map(|(n, kind, at, data)| {
            ClientMessage::Event(Event {
                n,
                kind,
                at,
                data,
                bad_field: None,
            })
        }),
        text().prop_map(|id| ClientMessage::NoticeAck(NoticeAck { id })),
        (count(), option::of(text()), flags, option::of(0..i64::MAX)).prop_map(
            |(n, q, [visible, focused, fullscreen], rtt_ms)| {
                ClientMessage::Heartbeat(Heartbeat {
                    n,
                    q,
                    visible,
                    focused,
                    fullscreen,
                    rtt_ms,
                })
            }
        ),
    ]
}

fn hello() -> impl Strategy<Value = ClientMessage> {
    let resume = (text(), count(), option::of(count()));
    (text(), option::of(resume)).prop_map(|(token, resume)| {
        let resume = resume.map(|(session, next_seq, next_event)| Resume {
            session,
            next_seq,
            next_event,
        });
        ClientMessage::Hello(Hello {
            token,
            resume,
            client: None,
        })
    })
}

fn engine_message() -> impl Strategy<Value = ServerMessage> {
    let section = option::of((text(), any::<i64>()));
    prop_oneof![
        any::<u64>().prop_map(|seq| ServerMessage::Saved(Saved { seq })),
        (
            any::<u64>(),
            sample::select(RefusalCode::ALL),
            object(),
            option::of(text())
        )
            .prop_map(|(seq, code, detail, q)| ServerMessage::Refused(Refused {
                seq,
                code,
                detail,
                q
            })),
        (any::<[u64; 2]>(), any::<[i64; 2]>(), section).prop_map(
            |([n, saved_seq], [now_at, remaining_ms], section)| {
                let section = section.map(|(id, remaining_ms)| SectionClock { id, remaining_ms });
                ServerMessage::Pulse(Pulse {
                    n,
                    now_at,
                    remaining_ms,
                    saved_seq,
                    section,
                })
            }
        ),
    ]
}

proptest! {
    #[test]
    fn messages_of_clients_round_trip(message in prop_oneof![hello(), command(), signal()]) {
        for encoding in Encoding::ALL {
            let bytes = encode_client(encoding, &message);
            prop_assert_eq!(decode_client(encoding, &bytes), Ok(message.clone()));
        }
    }

    #[test]
    fn messages_of_the_engine_round_trip(message in engine_message()) {
        for encoding in Encoding::ALL {
            let bytes = encode(encoding, &message);
            prop_assert_eq!(decode_server(encoding, &bytes), Ok(message.clone()));
        }
    }

    #[test]
    fn exchanges_round_trip(
        session in option::of(text()),
        next_seq in option::of(count()),
        commands in collection::vec(command(), 0..5),
        signals in collection::vec(signal(), 0..5),
    ) {
        let request = exchange::Request { session, next_seq, commands, signals };
        let bytes = serde_json::to_vec(&request).unwrap();
        prop_assert_eq!(decode_exchange(&bytes), Ok(request));
    }

    #[test]
    fn any_bytes_are_refused_or_understood(bytes in collection::vec(any::<u8>(), 0..200)) {
        for encoding in Encoding::ALL {
            decode_client(encoding, &bytes).ok();
            decode_server(encoding, &bytes).ok();
            decode_proctor(encoding, &bytes).ok();
            decode_console(encoding, &bytes).ok();
        }
        decode_exchange(&bytes).ok();
    }

    #[test]
    fn any_value_in_a_frame_leaves_the_envelope_readable(value in value()) {
        let frame = serde_json::json!({"t": "answer", "seq": 1, "q": "a", "value": value});
        let bytes = rmp_serde::to_vec_named(&frame).unwrap();
        let message = decode_client(Encoding::MessagePack, &bytes).unwrap();
        prop_assert_eq!(message.seq(), Some(1));
    }
}
