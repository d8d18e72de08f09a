//! Decoding of a candidate's messages, and its tolerance for invalid fields.
//!
//! The envelope (`t`, `seq`, `q`, `on`, `n`, and all of `hello`) must be valid,
//! or the frame is bad. An answer's `value` never makes a frame bad. An invalid
//! optional field is named in `bad_field`, or ignored if it is informational.

use std::borrow::Cow;

use super::{
    DecodeError, EVENT_DATA_BYTES_MAX,
    fields::{FrameFields, RawField},
};
use crate::{
    candidate::{
        AnswerCommand, CandidateHeartbeat, CandidateHello, ClientDescription, ClientMessage,
        FlagCommand, NoticeAck, ReportedEvent, SessionResume, SubmitCommand, WireValue,
    },
    code::EventKind,
    exchange,
};

/// Longest name, version and device of a client; longer ones are ignored.
const CLIENT_TEXT_BYTES_MAX: usize = 64;

/// Reads the message of one frame.
pub(super) fn read_message(fields: &FrameFields<'_>) -> Result<ClientMessage, DecodeError> {
    let tag = fields.tag()?;
    match &*tag {
        "hello" => read_hello(fields).map(ClientMessage::Hello),
        "answer" => read_answer(fields).map(ClientMessage::Answer),
        "flag" => read_flag(fields).map(ClientMessage::Flag),
        "submit" => Ok(ClientMessage::Submit(SubmitCommand {
            seq: fields.required_number("seq")?,
        })),
        "heartbeat" => read_heartbeat(fields).map(ClientMessage::Heartbeat),
        "event" => read_event(fields).map(ClientMessage::Event),
        "notice_ack" => Ok(ClientMessage::NoticeAck(NoticeAck {
            id: fields.required_text("id")?.into_owned(),
        })),
        _ => Err(DecodeError::UnknownMessage(tag.into_owned())),
    }
}

/// Reads the request from the body of an exchange.
pub(super) fn read_exchange(
    fields: &FrameFields<'_>,
) -> Result<exchange::ExchangeRequest, DecodeError> {
    let request = exchange::ExchangeRequest {
        session: fields.optional_text("session")?,
        next_seq: fields.optional_number("next_seq")?,
        commands: read_messages(fields, "commands")?,
        signals: read_messages(fields, "signals")?,
    };
    if request
        .commands
        .iter()
        .any(|message| message.seq().is_none())
    {
        return Err(DecodeError::bad_message(
            "`commands` may hold only commands",
        ));
    }
    for signal in &request.signals {
        match signal {
            ClientMessage::Heartbeat(_) | ClientMessage::Event(_) | ClientMessage::NoticeAck(_) => {
            }
            ClientMessage::Hello(_)
            | ClientMessage::Answer(_)
            | ClientMessage::Flag(_)
            | ClientMessage::Submit(_) => {
                return Err(DecodeError::bad_message("`signals` may hold only signals"));
            }
        }
    }
    Ok(request)
}

fn read_messages(fields: &FrameFields<'_>, name: &str) -> Result<Vec<ClientMessage>, DecodeError> {
    let Some(raw) = fields.get_present(name) else {
        return Ok(Vec::new());
    };
    let Some(list) = raw.as_field_list() else {
        return Err(DecodeError::bad_message(format!(
            "`{name}` must be a list of messages"
        )));
    };
    list.iter().map(read_message).collect()
}

fn read_hello(fields: &FrameFields<'_>) -> Result<CandidateHello, DecodeError> {
    let resume = match fields.get_present("resume") {
        None => None,
        Some(raw) => {
            let Some(inner) = raw.as_fields() else {
                return Err(DecodeError::bad_message("`resume` must be a map"));
            };
            Some(SessionResume {
                session: inner.required_text("session")?.into_owned(),
                next_seq: inner.required_number("next_seq")?,
                next_event: inner.optional_number("next_event")?,
            })
        }
    };
    // A missing or non-text token becomes an empty one, which the engine refuses.
    let token = fields.get_present("token").and_then(RawField::as_text);
    let token = token.map(Cow::into_owned).unwrap_or_default();
    let client = fields
        .get_present("client")
        .and_then(RawField::as_fields)
        .and_then(|inner| read_client(&inner));
    Ok(CandidateHello {
        token,
        resume,
        client,
    })
}

fn read_client(fields: &FrameFields<'_>) -> Option<ClientDescription> {
    let short = |name| {
        let text = fields.get_present(name)?.as_text()?;
        (text.len() <= CLIENT_TEXT_BYTES_MAX && !text.contains('\0')).then(|| text.into_owned())
    };
    Some(ClientDescription {
        name: short("name")?,
        version: short("version").unwrap_or_default(),
        device: short("device"),
    })
}

fn read_answer(fields: &FrameFields<'_>) -> Result<AnswerCommand, DecodeError> {
    let mut bad_field = None;
    let base_rev = read_optional(fields, "base_rev", &mut bad_field, |raw| {
        raw.as_integer().and_then(|rev| u32::try_from(rev).ok())
    });
    let spent_ms = read_optional(fields, "spent_ms", &mut bad_field, |raw| {
        raw.as_integer().filter(|spent| *spent >= 0)
    });
    Ok(AnswerCommand {
        seq: fields.required_number("seq")?,
        q: fields.required_text("q")?.into_owned(),
        value: fields
            .get_or_null("value")
            .map_or(WireValue::Malformed, RawField::to_wire_value),
        base_rev,
        spent_ms,
        bad_field,
    })
}

fn read_flag(fields: &FrameFields<'_>) -> Result<FlagCommand, DecodeError> {
    Ok(FlagCommand {
        seq: fields.required_number("seq")?,
        q: fields.required_text("q")?.into_owned(),
        on: fields.required_boolean("on")?,
    })
}

fn read_heartbeat(fields: &FrameFields<'_>) -> Result<CandidateHeartbeat, DecodeError> {
    let boolean = |name| fields.get_present(name).and_then(RawField::as_boolean);
    Ok(CandidateHeartbeat {
        n: fields.required_number("n")?,
        q: fields.optional_text("q")?,
        visible: boolean("visible"),
        focused: boolean("focused"),
        fullscreen: boolean("fullscreen"),
        rtt_ms: fields
            .get_present("rtt_ms")
            .and_then(RawField::as_integer)
            .filter(|rtt| *rtt >= 0),
    })
}

fn read_event(fields: &FrameFields<'_>) -> Result<ReportedEvent, DecodeError> {
    let n = fields.required_number("n")?;
    let mut bad_field = None;
    let kind = fields
        .get_present("kind")
        .and_then(RawField::as_text)
        .filter(|kind| EventKind::is_allowed(kind));
    let at = fields.get_present("at").and_then(RawField::as_integer);
    if kind.is_none() {
        bad_field = Some("kind");
    } else if at.is_none() {
        bad_field = Some("at");
    }
    let data = read_optional(fields, "data", &mut bad_field, |raw| {
        if raw.byte_len() <= EVENT_DATA_BYTES_MAX {
            raw.as_object()
        } else {
            None
        }
    });
    let kind = kind.map_or_else(String::new, Cow::into_owned);
    Ok(ReportedEvent {
        n,
        kind,
        at: at.unwrap_or(0),
        data,
        bad_field,
    })
}

/// Reads a field that may be absent or null; names the first invalid one in `bad_field`.
fn read_optional<'a, T>(
    fields: &FrameFields<'a>,
    name: &'static str,
    bad_field: &mut Option<&'static str>,
    read: impl FnOnce(RawField<'a>) -> Option<T>,
) -> Option<T> {
    let value = read(fields.get_present(name)?);
    if value.is_none() {
        bad_field.get_or_insert(name);
    }
    value
}
