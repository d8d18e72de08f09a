//! Schemas of the protocol for other languages, made from the types.
//!
//! The engine serves [`asyncapi_document`] at `/asyncapi.json`: both sockets, both
//! directions. [`json_schema`] has the same messages and the documents fetched over
//! HTTP.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{
    candidate::{ClientMessage, ServerMessage},
    code::{CloseCode, ErrorCode, EventKind, RefusalCode},
    codec::Encoding,
    exchange,
    paper::{OpenPaper, RecordedAnswers, SealedPaper},
    proctor::{ProctorClientMessage, ProctorServerMessage},
    rest,
};

/// Returns the `AsyncAPI` 3 document of both sockets.
pub fn asyncapi_document() -> Value {
    let mut generator = schema_generator("/components/schemas");
    let candidate = SocketChannel {
        name: "candidate",
        address: "/ws/v1/attempt",
        title: "A candidate, one attempt a socket",
        received: message_schemas::<ClientMessage>(&mut generator),
        sent: message_schemas::<ServerMessage>(&mut generator),
    };
    let proctor = SocketChannel {
        name: "proctor",
        address: "/ws/v1/proctor",
        title: "A proctor's console, many exams a socket",
        received: message_schemas::<ProctorClientMessage>(&mut generator),
        sent: message_schemas::<ProctorServerMessage>(&mut generator),
    };
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut components = Map::new();
    for channel in [candidate, proctor] {
        channels.insert(channel.name.to_owned(), channel.channel_document());
        operations.insert(
            format!("{}_receives", channel.name),
            channel.operation_document("receive", &channel.received),
        );
        operations.insert(
            format!("{}_sends", channel.name),
            channel.operation_document("send", &channel.sent),
        );
        for (tag, payload) in channel.received.iter().chain(&channel.sent) {
            let message = json!({ "name": tag, "payload": payload });
            components.insert(channel.component_name(tag), message);
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

/// Returns the JSON Schema (2020-12) of every message and of the documents over HTTP.
pub fn json_schema() -> Value {
    let mut generator = schema_generator("/$defs");
    generator.subschema_for::<ClientMessage>();
    generator.subschema_for::<ServerMessage>();
    generator.subschema_for::<ProctorClientMessage>();
    generator.subschema_for::<ProctorServerMessage>();
    generator.subschema_for::<exchange::ExchangeRequest>();
    generator.subschema_for::<exchange::ExchangeResponse>();
    generator.subschema_for::<OpenPaper>();
    generator.subschema_for::<SealedPaper>();
    generator.subschema_for::<RecordedAnswers>();
    generator.subschema_for::<rest::LoginRequest>();
    generator.subschema_for::<rest::LoginReply>();
    generator.subschema_for::<rest::AttemptStart>();
    generator.subschema_for::<rest::AttemptStartReply>();
    generator.subschema_for::<rest::AttemptView>();
    generator.subschema_for::<rest::AttemptScore>();
    generator.subschema_for::<rest::ProblemReply>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Invigil live protocol, version 1",
        "$defs": generator.take_definitions(true),
    })
}

/// A socket of the `AsyncAPI` document.
struct SocketChannel {
    name: &'static str,
    address: &'static str,
    title: &'static str,
    /// Messages that the engine receives: `t` and schema.
    received: Vec<(String, Value)>,
    /// Messages that the engine sends.
    sent: Vec<(String, Value)>,
}

impl SocketChannel {
    fn component_name(&self, tag: &str) -> String {
        format!("{}.{tag}", self.name)
    }

    fn channel_document(&self) -> Value {
        let messages: Map<String, Value> = self
            .received
            .iter()
            .chain(&self.sent)
            .map(|(tag, _)| {
                let component = self.component_name(tag);
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
            "x-refusal-codes":
                describe_codes(RefusalCode::ALL, RefusalCode::as_str, RefusalCode::meaning),
            "x-error-codes": describe_codes(ErrorCode::ALL, ErrorCode::as_str, ErrorCode::meaning),
            "x-event-kinds": describe_codes(EventKind::ALL, EventKind::as_str, EventKind::meaning),
        })
    }

    fn operation_document(&self, action: &str, messages: &[(String, Value)]) -> Value {
        let path = format!("#/channels/{}", self.name);
        let messages: Vec<Value> = messages
            .iter()
            .map(|(tag, _)| json!({ "$ref": format!("{path}/messages/{tag}") }))
            .collect();
        json!({ "action": action, "channel": { "$ref": path }, "messages": messages })
    }
}

fn schema_generator(definitions: &'static str) -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = definitions.into())
        .into_generator()
}

/// Returns the variants of a message enum, each with its `t`.
fn message_schemas<T: JsonSchema>(generator: &mut SchemaGenerator) -> Vec<(String, Value)> {
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
                "reconnect": code.allows_reconnect(),
                "description": code.meaning(),
            })
        })
        .collect()
}

fn describe_codes<T: Copy>(
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

    /// Collects every `$ref` of a document.
    fn collect_references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    found.push(reference.clone());
                }
                map.values()
                    .for_each(|inner| collect_references(inner, found));
            }
            Value::Array(items) => items
                .iter()
                .for_each(|inner| collect_references(inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn check_references(document: &Value) {
        let mut found = Vec::new();
        collect_references(document, &mut found);
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
        let document = asyncapi_document();
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
            ProctorClientMessage::TAGS
        );
        assert_eq!(
            operation_tags(&document, "proctor_sends"),
            ProctorServerMessage::TAGS
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
        let document = asyncapi_document();
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
        for document in [asyncapi_document(), json_schema()] {
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
