//! Every golden message matches the types, in both encodings and by schema.

use std::collections::BTreeSet;

use invigil_protocol::{
    Encoding,
    candidate::{ClientMessage, ServerMessage},
    proctor::{ProctorClientMessage, ProctorServerMessage},
    schema,
};
use serde_json::Value;

use crate::golden::{GoldenMessage, MessageReader};

fn parse_value(encoding: Encoding, bytes: &[u8]) -> Value {
    match encoding {
        Encoding::Json => serde_json::from_slice(bytes).unwrap(),
        Encoding::MessagePack => rmp_serde::from_slice(bytes).unwrap(),
    }
}

#[test]
fn golden_messages_come_through_both_codecs_unchanged() {
    for golden in GoldenMessage::load_all() {
        for encoding in golden.reader().encodings() {
            let bytes = golden
                .reader()
                .decode_and_encode(*encoding, &golden.encoded_bytes(*encoding));
            let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", golden.name));
            assert_eq!(
                parse_value(*encoding, &bytes),
                golden.message,
                "{} {encoding:?}",
                golden.name
            );
        }
    }
}

#[test]
fn there_is_a_golden_message_of_every_type() {
    let goldens = GoldenMessage::load_all();
    let groups: [(MessageReader, &[&str]); 4] = [
        (MessageReader::Engine, &ClientMessage::TAGS),
        (MessageReader::Candidate, &ServerMessage::TAGS),
        (MessageReader::EngineOfProctor, &ProctorClientMessage::TAGS),
        (MessageReader::Console, &ProctorServerMessage::TAGS),
    ];
    for (reader, tags) in groups {
        let of_group = goldens.iter().filter(|golden| golden.reader() == reader);
        let mut found = BTreeSet::new();
        for golden in of_group {
            let tag = golden.message["t"].as_str().unwrap();
            assert_eq!(golden.name.split('.').nth(2), Some(tag));
            found.insert(tag);
        }
        assert_eq!(found, tags.iter().copied().collect());
    }
}

/// Returns all properties and the required ones of a schema, its `$ref` followed.
fn schema_properties(document: &Value, schema: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut all: BTreeSet<String> = BTreeSet::new();
    let mut required: BTreeSet<String> = BTreeSet::new();
    if let Some(properties) = schema["properties"].as_object() {
        all.extend(properties.keys().cloned());
    }
    if let Some(names) = schema["required"].as_array() {
        required.extend(names.iter().map(|name| name.as_str().unwrap().to_owned()));
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(&reference[1..]).unwrap();
        let (more, more_required) = schema_properties(document, target);
        all.extend(more);
        required.extend(more_required);
    }
    (all, required)
}

#[test]
fn the_schema_knows_every_field_of_the_golden_messages() {
    let document = schema::asyncapi_document();
    let mut checked = 0;
    for golden in GoldenMessage::load_all() {
        let Some(tag) = golden.message["t"].as_str() else {
            continue;
        };
        let channel = golden.name.split('.').next().unwrap();
        let message = &document["components"]["messages"][format!("{channel}.{tag}")];
        let (all, required) = schema_properties(&document, &message["payload"]);
        let fields: BTreeSet<String> = golden
            .message
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert!(
            fields.is_subset(&all),
            "{}: {fields:?}, not {all:?}",
            golden.name
        );
        assert!(required.is_subset(&fields), "{}: {required:?}", golden.name);
        checked += 1;
    }
    assert!(checked > 50);
}
