//! The protocol described for other languages, made from the types.
//!
//! [`asyncapi`] is what the engine serves at `/asyncapi.json`: both sockets,
//! both directions. [`json_schema`] holds the same messages and besides them
//! what travels over HTTP.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    candidate::{ClientMessage, ServerMessage},
    code::{CloseCode, ErrorCode, EventKind, RefusalCode},
    codec::Encoding,
    exchange,
    paper::{Paper, SealedPaper, StoredAnswers},
    proctor::{ConsoleMessage, ProctorMessage},
    rest,
};

/// The `AsyncAPI` 3 document of both sockets.
pub fn asyncapi() -> Value {
    let mut generator = generator("/components/schemas");
    let candidate = Channel {
        name: "candidate",
        address: "/ws/v1/attempt",
        title: "A candidate, one attempt a socket",
        received: messages::<ClientMessage>(&mut generator),
        sent: messages::<ServerMessage>(&mut generator),
    };
    let proctor = Channel {
        name: "proctor",
        address: "/ws/v1/proctor",
        title: "A proctor's console, many exams a socket",
        received: messages::<ProctorMessage>(&mut generator),
        sent: messages::<ConsoleMessage>(&mut generator),
    };
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut components = Map::new();
    for channel in [candidate, proctor] {
        channels.insert(channel.name.to_owned(), channel.document());
        operations.insert(
            format!("{}_receives", channel.name),
            channel.operation("receive", &channel.received),
        );
        operations.insert(
            format!("{}_sends", channel.name),
            channel.operation("send", &channel.sent),
        );
        for (tag, payload) in channel.received.iter().chain(&channel.sent) {
            let message = json!({ "name": tag, "payload": payload });
            components.insert(channel.component(tag), message);
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Invigil live protocol",
            "version": "1",
            "license": { "name": "Apache-2.0" },
            "description": "A frame is one message: a map whose field `t` names its type. \
                Unknown fields are ignored. Times end in `_at`: milliseconds since the Unix \
                epoch. Durations end in `_ms`. The first frame is `hello`.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": components,
            "schemas": generator.take_definitions(true),
        },
    })
}

/// JSON Schema (2020-12) of every message, and of what travels over HTTP.
pub fn json_schema() -> Value {
    let mut generator = generator("/$defs");
    generator.subschema_for::<ClientMessage>();
    generator.subschema_for::<ServerMessage>();
    generator.subschema_for::<ProctorMessage>();
    generator.subschema_for::<ConsoleMessage>();
    generator.subschema_for::<exchange::Request>();
    generator.subschema_for::<exchange::Reply>();
    generator.subschema_for::<Paper>();
    generator.subschema_for::<SealedPaper>();
    generator.subschema_for::<StoredAnswers>();
    generator.subschema_for::<rest::LoginRequest>();
    generator.subschema_for::<rest::LoginReply>();
    generator.subschema_for::<rest::StartRequest>();
    generator.subschema_for::<rest::StartReply>();
    generator.subschema_for::<rest::AttemptView>();
    generator.subschema_for::<rest::ResultView>();
    generator.subschema_for::<rest::Problem>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Invigil live protocol, version 1",
        "$defs": generator.take_definitions(true),
    })
}

/// One socket.
struct Channel {
    name: &'static str,
    address: &'static str,
    title: &'static str,
    /// What the engine receives: `t` and schema.
    received: Vec<(String, Value)>,
    /// What the engine sends.
    sent: Vec<(String, Value)>,
}

impl Channel {
    fn component(&self, tag: &str) -> String {
        format!("{}.{tag}", self.name)
    }

    fn document(&self) -> Value {
        let messages: Map<String, Value> = self
            .received
            .iter()
            .chain(&self.sent)
            .map(|(tag, _)| {
                let component = self.component(tag);
                (
                    tag.clone(),
                    json!({ "$ref": format!("#/components/messages/{component}") }),
                )
            })
            .collect();
        let subprotocols = Encoding::ALL.map(Encoding::subprotocol);
        json!({
            "address": self.address,
            "title": self.title,
            "messages": messages,
            "bindings": { "ws": {
                "method": "GET",
                "headers": {
                    "type": "object",
                    "properties": {
                        "Sec-WebSocket-Protocol": { "type": "string", "enum": subprotocols },
                    },
                },
                "bindingVersion": "0.1.0",
            } },
            "x-close-codes": close_codes(),
            "x-refusal-codes": names(RefusalCode::ALL, RefusalCode::as_str, RefusalCode::meaning),
            "x-error-codes": names(ErrorCode::ALL, ErrorCode::as_str, ErrorCode::meaning),
            "x-event-kinds": names(EventKind::ALL, EventKind::as_str, EventKind::meaning),
        })
    }

    fn operation(&self, action: &str, messages: &[(String, Value)]) -> Value {
        let path = format!("#/channels/{}", self.name);
        let messages: Vec<Value> = messages
            .iter()
            .map(|(tag, _)| json!({ "$ref": format!("{path}/messages/{tag}") }))
            .collect();
        json!({ "action": action, "channel": { "$ref": path }, "messages": messages })
    }
}

fn generator(definitions: &'static str) -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = definitions.into())
        .into_generator()
}

/// The variants of a message enum, each with the `t` that names it.
fn messages<T: JsonSchema>(generator: &mut SchemaGenerator) -> Vec<(String, Value)> {
    let schema = T::json_schema(generator).to_value();
    let variants = schema["oneOf"].as_array().cloned().unwrap_or_default();
    variants
        .into_iter()
        .map(|variant| {
            let tag = &variant["properties"]["t"]["const"];
            (tag.as_str().unwrap_or_default().to_owned(), variant)
        })
        .collect()
}

fn close_codes() -> Vec<Value> {
    CloseCode::ALL
        .iter()
        .map(|code| {
            json!({
                "code": code.number(),
                "bye": code.bye_code(),
                "reconnect": code.reconnects(),
                "description": code.meaning(),
            })
        })
        .collect()
}

fn names<T: Copy>(
    all: &[T],
    name: fn(T) -> &'static str,
    meaning: fn(T) -> &'static str,
) -> Map<String, Value> {
    all.iter()
        .map(|item| (name(*item).to_owned(), meaning(*item).into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` of a document, wherever it stands.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    found.push(reference.clone());
                }
                map.values().for_each(|inner| references(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn check_references(document: &Value) {
        let mut found = Vec::new();
        references(document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference
                .strip_prefix('#')
                .expect("a reference within the document");
            assert!(
                document.pointer(pointer).is_some(),
                "{reference} leads nowhere"
            );
        }
    }

    fn operation_tags(document: &Value, operation: &str) -> Vec<String> {
        document["operations"][operation]["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| {
                let reference = message["$ref"].as_str().unwrap();
                reference.rsplit('/').next().unwrap().to_owned()
            })
            .collect()
    }

    #[test]
    fn asyncapi_names_every_message_of_both_sockets_and_directions() {
        let document = asyncapi();
        assert_eq!(document["asyncapi"], "3.0.0");
        assert_eq!(
            operation_tags(&document, "candidate_receives"),
            ClientMessage::TAGS
        );
        assert_eq!(
            operation_tags(&document, "candidate_sends"),
            ServerMessage::TAGS
        );
        assert_eq!(
            operation_tags(&document, "proctor_receives"),
            ProctorMessage::TAGS
        );
        assert_eq!(
            operation_tags(&document, "proctor_sends"),
            ConsoleMessage::TAGS
        );
        for (operation, action) in [("candidate_receives", "receive"), ("proctor_sends", "send")] {
            assert_eq!(document["operations"][operation]["action"], action);
        }
        for message in document["components"]["messages"]
            .as_object()
            .unwrap()
            .values()
        {
            assert!(message["payload"]["description"].is_string(), "{message}");
            assert_eq!(
                message["payload"]["properties"]["t"]["const"],
                message["name"]
            );
        }
    }

    #[test]
    fn asyncapi_lists_close_codes_and_subprotocols_of_each_channel() {
        let document = asyncapi();
        for (name, address) in [
            ("candidate", "/ws/v1/attempt"),
            ("proctor", "/ws/v1/proctor"),
        ] {
            let channel = &document["channels"][name];
            assert_eq!(channel["address"], address);
            assert_eq!(
                channel["x-close-codes"].as_array().unwrap().len(),
                CloseCode::ALL.len()
            );
            let headers = &channel["bindings"]["ws"]["headers"];
            assert_eq!(
                headers["properties"]["Sec-WebSocket-Protocol"]["enum"],
                json!(["invigil.v1.json", "invigil.v1.msgpack"])
            );
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_no_two_types_share_a_name() {
        for document in [asyncapi(), json_schema()] {
            check_references(&document);
            let schemas = document
                .pointer("/components/schemas")
                .or_else(|| document.pointer("/$defs"));
            for name in schemas.unwrap().as_object().unwrap().keys() {
                let numbered = name.ends_with(|last: char| last.is_ascii_digit());
                assert!(!numbered, "{name}: two types have one name");
            }
        }
    }
}
