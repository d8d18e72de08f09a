//! What makes a candidate's message, and how far a wrong one is forgiven.
//!
//! The envelope (`t`, `seq`, `q`, `on`, `n`, and all of `hello`) must be right,
//! or the frame is bad. An answer's `value` never makes a frame bad. A wrong
//! optional field is named in `bad_field`, or ignored where it only informs.

use std::borrow::Cow;

use super::{
    DecodeError, EVENT_DATA_BYTES_MAX,
    fields::{Fields, Raw},
};
use crate::{
    candidate::{
        Answer, ClientInfo, ClientMessage, Event, Flag, Heartbeat, Hello, NoticeAck, Resume,
        Submit, WireValue,
    },
    code::EventKind,
    exchange,
};

/// Longest name and version of a client; longer ones are ignored.
const CLIENT_TEXT_BYTES_MAX: usize = 64;

/// Makes the message of one frame.
pub(super) fn message(fields: &Fields<'_>) -> Result<ClientMessage, DecodeError> {
    let tag = fields.tag()?;
    match &*tag {
        "hello" => hello(fields).map(ClientMessage::Hello),
        "answer" => answer(fields).map(ClientMessage::Answer),
        "flag" => flag(fields).map(ClientMessage::Flag),
        "submit" => Ok(ClientMessage::Submit(Submit {
            seq: fields.number("seq")?,
        })),
        "heartbeat" => heartbeat(fields).map(ClientMessage::Heartbeat),
        "event" => event(fields).map(ClientMessage::Event),
        "notice_ack" => Ok(ClientMessage::NoticeAck(NoticeAck {
            id: fields.text("id")?.into_owned(),
        })),
        _ => Err(DecodeError::UnknownMessage(tag.into_owned())),
    }
}

/// Makes the request of an exchange's body.
pub(super) fn exchange(fields: &Fields<'_>) -> Result<exchange::Request, DecodeError> {
    let request = exchange::Request {
        session: fields.optional_text("session")?,
        next_seq: fields.optional_number("next_seq")?,
        commands: messages(fields, "commands")?,
        signals: messages(fields, "signals")?,
    };
    if request
        .commands
        .iter()
        .any(|message| message.seq().is_none())
    {
        return Err(DecodeError::bad("`commands` holds what is no command"));
    }
    for signal in &request.signals {
        match signal {
            ClientMessage::Heartbeat(_) | ClientMessage::Event(_) | ClientMessage::NoticeAck(_) => {
            }
            ClientMessage::Hello(_)
            | ClientMessage::Answer(_)
            | ClientMessage::Flag(_)
            | ClientMessage::Submit(_) => {
                return Err(DecodeError::bad("`signals` holds what is no signal"));
            }
        }
    }
    Ok(request)
}

fn messages(fields: &Fields<'_>, name: &str) -> Result<Vec<ClientMessage>, DecodeError> {
    let Some(raw) = fields.get(name) else {
        return Ok(Vec::new());
    };
    let Some(list) = raw.list_of_fields() else {
        return Err(DecodeError::bad(format!(
            "`{name}` must be a list of messages"
        )));
    };
    list.iter().map(message).collect()
}

fn hello(fields: &Fields<'_>) -> Result<Hello, DecodeError> {
    let resume = match fields.get("resume") {
        None => None,
        Some(raw) => {
            let Some(inner) = raw.fields() else {
                return Err(DecodeError::bad("`resume` must be a map"));
            };
            Some(Resume {
                session: inner.text("session")?.into_owned(),
                next_seq: inner.number("next_seq")?,
                next_event: inner.optional_number("next_event")?,
            })
        }
    };
    // No token, or one that is no text, opens nothing: the engine says so.
    let token = fields.get("token").and_then(Raw::text);
    let token = token.map(Cow::into_owned).unwrap_or_default();
    let client = fields
        .get("client")
        .and_then(Raw::fields)
        .and_then(|inner| client(&inner));
    Ok(Hello {
        token,
        resume,
        client,
    })
}

fn client(fields: &Fields<'_>) -> Option<ClientInfo> {
    let short = |name| {
        let text = fields.get(name)?.text()?;
        (text.len() <= CLIENT_TEXT_BYTES_MAX && !text.contains('\0')).then(|| text.into_owned())
    };
    Some(ClientInfo {
        name: short("name")?,
        version: short("version").unwrap_or_default(),
        device: short("device"),
    })
}

fn answer(fields: &Fields<'_>) -> Result<Answer, DecodeError> {
    let mut bad_field = None;
    let base_rev = optional(fields, "base_rev", &mut bad_field, |raw| {
        raw.integer().and_then(|rev| u32::try_from(rev).ok())
    });
    let spent_ms = optional(fields, "spent_ms", &mut bad_field, |raw| {
        raw.integer().filter(|spent| *spent >= 0)
    });
    Ok(Answer {
        seq: fields.number("seq")?,
        q: fields.text("q")?.into_owned(),
        value: fields
            .get_or_null("value")
            .map_or(WireValue::Malformed, Raw::value),
        base_rev,
        spent_ms,
        bad_field,
    })
}

fn flag(fields: &Fields<'_>) -> Result<Flag, DecodeError> {
    Ok(Flag {
        seq: fields.number("seq")?,
        q: fields.text("q")?.into_owned(),
        on: fields.boolean("on")?,
    })
}

fn heartbeat(fields: &Fields<'_>) -> Result<Heartbeat, DecodeError> {
    let boolean = |name| fields.get(name).and_then(Raw::boolean);
    Ok(Heartbeat {
        n: fields.number("n")?,
        q: fields.optional_text("q")?,
        visible: boolean("visible"),
        focused: boolean("focused"),
        fullscreen: boolean("fullscreen"),
        rtt_ms: fields
            .get("rtt_ms")
            .and_then(Raw::integer)
            .filter(|rtt| *rtt >= 0),
    })
}

fn event(fields: &Fields<'_>) -> Result<Event, DecodeError> {
    let n = fields.number("n")?;
    let mut bad_field = None;
    let kind = fields
        .get("kind")
        .and_then(Raw::text)
        .filter(|kind| EventKind::is_allowed(kind));
    let at = fields.get("at").and_then(Raw::integer);
    if kind.is_none() {
        bad_field = Some("kind");
    } else if at.is_none() {
        bad_field = Some("at");
    }
    let data = optional(fields, "data", &mut bad_field, |raw| {
        if raw.size() <= EVENT_DATA_BYTES_MAX {
            raw.object()
        } else {
            None
        }
    });
    let kind = kind.map_or_else(String::new, Cow::into_owned);
    Ok(Event {
        n,
        kind,
        at: at.unwrap_or(0),
        data,
        bad_field,
    })
}

/// A field that may be absent or null. The first wrong one of a message is named.
fn optional<'a, T>(
    fields: &Fields<'a>,
    name: &'static str,
    bad_field: &mut Option<&'static str>,
    read: impl FnOnce(Raw<'a>) -> Option<T>,
) -> Option<T> {
    let value = read(fields.get(name)?);
    if value.is_none() {
        bad_field.get_or_insert(name);
    }
    value
}
