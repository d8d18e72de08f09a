//! Valid, tolerated and bad frames of a candidate, in both encodings.

use serde_json::{Value, json};

use super::*;
use crate::candidate::{
    AnswerCommand, CandidateHeartbeat, CandidateHello, ReportedEvent, WireValue,
};

fn from_json(text: &str) -> Result<ClientMessage, DecodeError> {
    decode_client(Encoding::Json, text.as_bytes())
}

/// Decodes the same map in both encodings and asserts the same result.
fn decode_both(message: &Value) -> Result<ClientMessage, DecodeError> {
    let json = decode_client(Encoding::Json, &serde_json::to_vec(message).unwrap());
    let bytes = rmp_serde::to_vec_named(message).unwrap();
    let msgpack = decode_client(Encoding::MessagePack, &bytes);
    match (&json, &msgpack) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => {
            assert_eq!(std::mem::discriminant(one), std::mem::discriminant(other));
        }
        (one, other) => panic!("{message}: {one:?}, but {other:?}"),
    }
    json
}

fn answer_of(message: Result<ClientMessage, DecodeError>) -> AnswerCommand {
    match message {
        Ok(ClientMessage::Answer(answer)) => answer,
        other => panic!("not an answer: {other:?}"),
    }
}

fn event_of(message: &Value) -> ReportedEvent {
    match decode_both(message) {
        Ok(ClientMessage::Event(event)) => event,
        other => panic!("not an event: {other:?}"),
    }
}

fn is_bad(message: &Result<ClientMessage, DecodeError>) -> bool {
    matches!(message, Err(DecodeError::BadMessage(_)))
}

/// Returns a MessagePack answer with these bytes as its value.
fn answer_with(value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x84, 0xa1, b't', 0xa6];
    bytes.extend(b"answer");
    bytes.extend([0xa3, b's', b'e', b'q', 1, 0xa1, b'q', 0xa1, b'a', 0xa5]);
    bytes.extend(b"value");
    bytes.extend(value);
    bytes
}

fn msgpack_value(value: &[u8]) -> WireValue {
    answer_of(decode_client(Encoding::MessagePack, &answer_with(value))).value
}

#[test]
fn the_first_known_subprotocol_is_chosen_and_none_means_json() {
    let cases = [
        (None, Ok((Encoding::Json, false))),
        (Some(""), Ok((Encoding::Json, false))),
        (Some("invigil.v1.json"), Ok((Encoding::Json, true))),
        (
            Some("invigil.v1.msgpack, invigil.v1.json"),
            Ok((Encoding::MessagePack, true)),
        ),
        (
            Some("invigil.v2.json ,invigil.v1.json"),
            Ok((Encoding::Json, true)),
        ),
        (Some("chat"), Err(UnsupportedSubprotocol)),
        (Some("INVIGIL.V1.JSON"), Err(UnsupportedSubprotocol)),
    ];
    for (offered, expected) in cases {
        assert_eq!(Encoding::negotiate(offered), expected, "{offered:?}");
    }
}

#[test]
fn an_unknown_type_is_not_a_bad_message() {
    let unknown = Err(DecodeError::UnknownMessage("wave".to_owned()));
    assert_eq!(decode_both(&json!({"t": "wave", "seq": "x"})), unknown);
    assert!(decode_both(&json!({"t": "welcome"})).is_err());
    for bad in [
        json!({}),
        json!({"t": null}),
        json!({"t": 1}),
        json!([]),
        json!("hello"),
    ] {
        assert!(is_bad(&decode_both(&bad)), "{bad}");
    }
}

#[test]
fn numbers_of_commands_are_integers_from_1_on() {
    for seq in [json!(1), json!(1_u64 << 40), json!(i64::MAX)] {
        assert!(
            decode_both(&json!({"t": "submit", "seq": seq})).is_ok(),
            "{seq}"
        );
    }
    for seq in [
        json!(0),
        json!(-1),
        json!(1.0),
        json!("1"),
        json!(null),
        json!(u64::MAX),
    ] {
        assert!(
            is_bad(&decode_both(&json!({"t": "submit", "seq": seq}))),
            "{seq}"
        );
        assert!(
            is_bad(&decode_both(
                &json!({"t": "event", "n": seq, "kind": "copy", "at": 1})
            )),
            "{seq}"
        );
    }
    assert!(is_bad(&decode_both(&json!({"t": "submit"}))));
    for text in ["1e0", "01", "+1", "1.0", " 1 2"] {
        assert!(
            is_bad(&from_json(&format!(r#"{{"t":"submit","seq":{text}}}"#))),
            "{text}"
        );
    }
}

#[test]
fn a_wrong_envelope_is_bad() {
    let bad = [
        json!({"t": "answer", "seq": 1, "q": 7, "value": 1}),
        json!({"t": "answer", "seq": 1, "value": 1}),
        json!({"t": "answer", "q": "a", "value": 1}),
        json!({"t": "flag", "seq": 1, "q": "a"}),
        json!({"t": "flag", "seq": 1, "q": "a", "on": 1}),
        json!({"t": "flag", "seq": 1, "q": "a", "on": "true"}),
        json!({"t": "heartbeat"}),
        json!({"t": "heartbeat", "n": 1, "q": 7}),
        json!({"t": "notice_ack", "id": 7}),
        json!({"t": "hello", "token": "a", "resume": "s"}),
        json!({"t": "hello", "token": "a", "resume": {"session": "s"}}),
        json!({"t": "hello", "token": "a", "resume": {"session": "s", "next_seq": 0}}),
        json!({"t": "hello", "token": "a",
            "resume": {"session": "s", "next_seq": 1, "next_event": "x"}}),
    ];
    for message in bad {
        assert!(is_bad(&decode_both(&message)), "{message}");
    }
}

#[test]
fn what_is_around_a_message_makes_it_bad() {
    for text in [
        "",
        " ",
        "{",
        r#"{"t":"submit","seq":1}x"#,
        r#"{"t":"submit","seq":1}{}"#,
        "\u{feff}{}",
    ] {
        assert!(is_bad(&from_json(text)), "{text:?}");
    }
    assert!(from_json(" {\"t\" : \"submit\",\n\"seq\" : 1 } ").is_ok());
    assert!(is_bad(&decode_client(
        Encoding::Json,
        b"{\"t\":\"submit\",\"seq\":1,\"x\":\"\xff\"}"
    )));
    let mut bytes = answer_with(&[0xc0]);
    assert!(decode_client(Encoding::MessagePack, &bytes).is_ok());
    bytes.push(0xc0);
    assert!(is_bad(&decode_client(Encoding::MessagePack, &bytes)));
    bytes.truncate(bytes.len() - 2);
    assert!(is_bad(&decode_client(Encoding::MessagePack, &bytes)));
    // A map of 4,294,967,295 fields in five bytes.
    assert!(is_bad(&decode_client(
        Encoding::MessagePack,
        &[0xdf, 0xff, 0xff, 0xff, 0xff]
    )));
}

#[test]
fn of_two_fields_with_one_name_the_last_counts() {
    let message = from_json(r#"{"t":"submit","seq":1,"seq":2}"#).unwrap();
    assert_eq!(message.seq(), Some(2));
    assert!(is_bad(&from_json(r#"{"t":"submit","seq":2,"seq":"x"}"#)));
}

#[test]
fn unknown_fields_and_escaped_names_are_no_matter() {
    let message = r#"{"\u0074":"sub\u006dit","seq":1,"later":{"deep":[null]},"seq2":"x"}"#;
    assert_eq!(from_json(message).unwrap().seq(), Some(1));
    assert!(decode_both(&json!({"t": "submit", "seq": 1, "t2": 1.5, "value": "\0"})).is_ok());
}

#[test]
fn a_value_that_cannot_be_kept_is_malformed_and_the_frame_is_not_bad() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let hidden = r#"{"$serde_json::private::RawValue":"\"\u005cu0000\""}"#.to_owned();
    let values = [
        r#""\ud800""#.to_owned(),
        r#"["a","\udc00x"]"#.to_owned(),
        r#"{"\ud800":1}"#.to_owned(),
        r#""a\u0000b""#.to_owned(),
        r#"{"a":{"b\u0000":1}}"#.to_owned(),
        "1e999".to_owned(),
        deep(128),
        deep(5_000),
        hidden,
    ];
    for value in values {
        let frame = format!(r#"{{"t":"answer","seq":3,"q":"a","value":{value}}}"#);
        let answer = answer_of(from_json(&frame));
        assert_eq!(
            (answer.seq, answer.value),
            (3, WireValue::Malformed),
            "{value:.40}"
        );
    }
    for value in [r#""\ud83d\ude00""#, r#""a\\u0000b""#, "null", &deep(127)] {
        let frame = format!(r#"{{"t":"answer","seq":3,"q":"a","value":{value}}}"#);
        let answer = answer_of(from_json(&frame));
        assert_eq!(
            answer.value,
            WireValue::Json(serde_json::from_str(value).unwrap())
        );
    }
    let missing = answer_of(decode_both(&json!({"t": "answer", "seq": 1, "q": "a"})));
    assert_eq!(missing.value, WireValue::Malformed);
    let cleared = answer_of(decode_both(
        &json!({"t": "answer", "seq": 1, "q": "a", "value": null}),
    ));
    assert_eq!(cleared.value, WireValue::Json(Value::Null));
}

#[test]
fn a_messagepack_value_that_json_has_no_word_for_is_malformed() {
    let nested = |levels: usize| {
        let mut bytes = vec![0x91; levels];
        bytes.push(0xc0);
        bytes
    };
    let malformed: [&[u8]; 10] = [
        &[0xc4, 1, b'a'],                               // binary
        &[0x91, 0xc4, 1, b'a'],                         // binary in an array
        &[0xd4, 1, 0],                                  // an extension
        &[0xc7, 2, 1, 0, 0],                            // a longer one
        &[0x81, 1, 1],                                  // a key that is a number
        &[0x81, 0xc4, 1, b'a', 1],                      // a key that is binary
        &[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],          // NaN
        &[0xca, 0xff, 0x80, 0, 0],                      // minus infinity
        &[0xa2, b'a', 0],                               // NUL
        &[0x92, 1, 0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], // infinity in an array
    ];
    for value in malformed {
        assert_eq!(msgpack_value(value), WireValue::Malformed, "{value:x?}");
    }
    assert_eq!(msgpack_value(&nested(128)), WireValue::Malformed);
    assert_eq!(msgpack_value(&nested(5_000)), WireValue::Malformed);
    assert!(!msgpack_value(&nested(127)).is_malformed());
    assert_eq!(
        msgpack_value(&[0xca, 0x3f, 0, 0, 0]),
        WireValue::Json(json!(0.5))
    );
    assert_eq!(
        msgpack_value(&[0xd1, 0xff, 0]),
        WireValue::Json(json!(-256))
    );
}

#[test]
fn messagepack_text_that_is_not_utf8_is_bad_wherever_it_stands() {
    for value in [
        &[0xa1, 0xff][..],
        &[0x81, 0xa1, 0xff, 1],
        &[0x91, 0xd9, 2, 0xc3, 0x28],
    ] {
        let message = decode_client(Encoding::MessagePack, &answer_with(value));
        assert!(is_bad(&message), "{value:x?}");
    }
    // Also in an unknown field; and a key that is no string.
    assert!(is_bad(&decode_client(
        Encoding::MessagePack,
        &[0x81, 0xa1, b'x', 0xa1, 0xff]
    )));
    assert!(is_bad(&decode_client(Encoding::MessagePack, &[0x81, 1, 1])));
    assert!(is_bad(&decode_client(
        Encoding::MessagePack,
        &[0x81, 0xc4, 1, b't', 0xa1, b'x']
    )));
}

#[test]
fn messagepack_integers_of_any_width_are_numbers_and_floats_are_not() {
    let submit = |seq: &[u8]| {
        let mut bytes = vec![0x82, 0xa1, b't', 0xa6];
        bytes.extend(b"submit\xa3seq");
        bytes.extend(seq);
        decode_client(Encoding::MessagePack, &bytes)
    };
    for seq in [
        &[7][..],
        &[0xcc, 7],
        &[0xcd, 0, 7],
        &[0xd3, 0, 0, 0, 0, 0, 0, 0, 7],
    ] {
        assert_eq!(submit(seq).unwrap().seq(), Some(7), "{seq:x?}");
    }
    assert!(is_bad(&submit(&[0xca, 0x3f, 0x80, 0, 0])), "1.0");
    assert!(is_bad(&submit(&[
        0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
    ])));
}

#[test]
fn a_wrong_optional_field_of_an_answer_is_named() {
    let answer = |fields: Value| {
        let mut message = json!({"t": "answer", "seq": 1, "q": "a", "value": "x"});
        message
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        answer_of(decode_both(&message))
    };
    assert_eq!(
        answer(json!({"base_rev": 0, "spent_ms": 5})).bad_field,
        None
    );
    assert_eq!(
        answer(json!({"base_rev": null, "spent_ms": null})).bad_field,
        None
    );
    for rev in [
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(1_u64 << 32),
        json!([]),
    ] {
        assert_eq!(
            answer(json!({"base_rev": rev, "spent_ms": 5})).bad_field,
            Some("base_rev")
        );
    }
    for spent in [json!(-1), json!(1.5), json!("1"), json!({})] {
        assert_eq!(
            answer(json!({"spent_ms": spent})).bad_field,
            Some("spent_ms")
        );
    }
}

#[test]
fn a_wrong_event_keeps_its_number_and_names_the_field() {
    let event = |fields: Value| {
        let mut message = json!({"t": "event", "n": 2, "kind": "copy", "at": 5});
        message
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        event_of(&message)
    };
    assert_eq!(event(json!({"data": {"a": [1, "b"]}})).bad_field, None);
    assert_eq!(event(json!({"data": null})).bad_field, None);
    let large = "x".repeat(EVENT_DATA_BYTES_MAX);
    let cases = [
        (json!({"kind": 1}), "kind"),
        (json!({"kind": "nonsense"}), "kind"),
        (json!({"kind": "x-", "at": "x"}), "kind"),
        (json!({"at": "now"}), "at"),
        (json!({"at": 1.5}), "at"),
        (json!({"at": null}), "at"),
        (json!({"data": []}), "data"),
        (json!({"data": {"a": "\0"}}), "data"),
        (json!({"data": {"a": large}}), "data"),
    ];
    for (fields, bad) in cases {
        let event = event(fields);
        assert_eq!((event.n, event.bad_field), (2, Some(bad)));
        assert_eq!(event.data, None);
    }
}

#[test]
fn what_only_informs_is_ignored_where_it_is_wrong() {
    let message = json!({"t": "heartbeat", "n": 1, "visible": 1, "focused": "yes", "rtt_ms": -4,
        "fullscreen": null, "q": null});
    let bare = CandidateHeartbeat {
        n: 1,
        ..CandidateHeartbeat::default()
    };
    assert_eq!(decode_both(&message), Ok(ClientMessage::Heartbeat(bare)));
    let bare = CandidateHello {
        token: "a".to_owned(),
        resume: None,
        client: None,
    };
    for client in [
        json!(1),
        json!({}),
        json!({"name": 1}),
        json!({"name": "x".repeat(65)}),
    ] {
        let message = json!({"t": "hello", "token": "a", "resume": null, "client": client});
        assert_eq!(
            decode_both(&message),
            Ok(ClientMessage::Hello(bare.clone())),
            "{client}"
        );
    }
}

#[test]
fn an_exchange_reads_its_messages_as_a_socket_does() {
    let exchange = |body: Value| decode_exchange(&serde_json::to_vec(&body).unwrap());
    let answer = r#"{"commands":[{"t":"answer","seq":1,"q":"a","value":"\ud800"}]}"#;
    let request = decode_exchange(answer.as_bytes()).unwrap();
    assert_eq!(
        answer_of(Ok(request.commands[0].clone())).value,
        WireValue::Malformed
    );
    let nothing = exchange(json!({"session": null, "commands": null, "more": 1})).unwrap();
    assert_eq!(nothing, exchange::ExchangeRequest::default());
    for bad in [
        json!([]),
        json!({"session": 1}),
        json!({"next_seq": 0}),
        json!({"commands": {}}),
        json!({"commands": [1]}),
        json!({"commands": [{"t": "submit"}]}),
        json!({"commands": [{"t": "heartbeat", "n": 1}]}),
        json!({"signals": [{"t": "submit", "seq": 1}]}),
        json!({"signals": [{"t": "hello", "token": "a"}]}),
    ] {
        assert!(
            matches!(exchange(bad.clone()), Err(DecodeError::BadMessage(_))),
            "{bad}"
        );
    }
    let unknown = Err(DecodeError::UnknownMessage("wave".to_owned()));
    assert_eq!(exchange(json!({"signals": [{"t": "wave"}]})), unknown);
}

#[test]
fn a_client_tells_what_it_does_not_know_from_what_is_broken() {
    let unknown = Err(DecodeError::UnknownMessage("wave".to_owned()));
    assert_eq!(decode_server(Encoding::Json, br#"{"t":"wave"}"#), unknown);
    let broken = decode_server(Encoding::Json, br#"{"t":"saved"}"#);
    assert!(matches!(broken, Err(DecodeError::BadMessage(_))));
    let more = decode_server(Encoding::Json, br#"{"t":"saved","seq":1,"later":[]}"#);
    assert!(more.is_ok());
}
