//! Descriptions of the interfaces: OpenAPI with a page to read it, the live
//! protocol as AsyncAPI, the exam file as JSON Schema. All are generated from the
//! types.

mod browser;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::HeaderMap,
    routing::{MethodRouter, get},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use invigil_protocol::{exchange, paper, proctor, rest, schema};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    AppState,
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_domain::exam::exam_schema;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Invigil",
        description = "Everything but the live protocol, which is described at /asyncapi.json. \
            Errors are `application/problem+json` with a stable `code`."
    ),
    tags(
        (name = "people", description = "Signing in and out"),
        (name = "exams", description = "Exams, for candidates and staff"),
        (name = "attempts", description = "One attempt"),
        (name = "evidence", description = "Files that a proctoring client uploads"),
    ),
    modifiers(&SecuritySchemes),
)]
struct ApiDescription;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, description: &mut openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token of a log-in, or of an attempt"))
            .build();
        let cookie = ApiKey::Cookie(ApiKeyValue::new("invigil_session"));
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
    }
}

/// Splits the routes from their description.
pub(super) fn split_routes(routes: GuardedRoutes) -> (Router<AppState>, openapi::OpenApi) {
    routes.split(ApiDescription::openapi())
}

/// Returns the routes of the descriptions.
pub(super) fn document_routes(description: openapi::OpenApi) -> GuardedRoutes {
    GuardedRoutes::new()
        .add_undescribed(
            RouteAccess::Public,
            "/api/openapi.json",
            serve_document(&add_protocol_schemas(description)),
        )
        .add_undescribed(
            RouteAccess::Public,
            "/asyncapi.json",
            serve_document(&schema::asyncapi_document()),
        )
        .add_undescribed(
            RouteAccess::Public,
            "/schemas/exam.json",
            serve_document(&exam_schema()),
        )
}

/// Returns the page that shows the description, which everybody may read.
pub(super) fn documentation_page() -> Router<AppState> {
    browser::routes()
}

fn serve_document(content: &Value) -> MethodRouter<AppState> {
    let content: Arc<str> = content.to_string().into();
    let name: Arc<str> = URL_SAFE_NO_PAD
        .encode(&Sha256::digest(&*content)[..12])
        .into();
    get(
        async move |State(app): State<AppState>, headers: HeaderMap| {
            let content = content.as_bytes();
            app.compressed
                .respond(&headers, &name, "application/json", content)
        },
    )
}

/// Adds the types of the protocol, which have schemas of their own.
fn add_protocol_schemas(description: openapi::OpenApi) -> Value {
    let mut description = serde_json::to_value(description).expect("a description is plain JSON");
    let schemas = description
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
        .expect("a description has schemas");
    schemas.extend(protocol_schemas());
    description
}

fn protocol_schemas() -> Map<String, Value> {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    generator.subschema_for::<exchange::ExchangeRequest>();
    generator.subschema_for::<exchange::ExchangeResponse>();
    generator.subschema_for::<paper::OpenPaper>();
    generator.subschema_for::<paper::SealedPaper>();
    generator.subschema_for::<paper::RecordedAnswers>();
    generator.subschema_for::<proctor::ProctorCommand>();
    generator.subschema_for::<proctor::CommandResult>();
    generator.subschema_for::<proctor::IncidentView>();
    generator.subschema_for::<rest::AttemptView>();
    generator.subschema_for::<rest::AttemptScore>();
    generator.take_definitions(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::expect_file;

    use super::*;

    fn handler_description() -> openapi::OpenApi {
        split_routes(crate::web::api_routes(1, 1)).1
    }

    fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values()
                    .for_each(|value| collect_references(value, found));
            }
            Value::Array(list) => list
                .iter()
                .for_each(|value| collect_references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let description = add_protocol_schemas(handler_description());
        let mut found = BTreeSet::new();
        collect_references(&description, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn no_type_hides_another_of_the_same_name() {
        let own = handler_description().components.unwrap().schemas;
        let protocol = protocol_schemas();
        let twice: Vec<_> = own
            .keys()
            .filter(|&name| protocol.contains_key(name))
            .collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn every_call_of_the_interface_is_described() {
        let description = serde_json::to_value(handler_description()).unwrap();
        let calls: Vec<String> = description["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                item.as_object()
                    .unwrap()
                    .keys()
                    .map(move |method| format!("{method} {path}"))
            })
            .collect();
        expect_file!["openapi/calls.txt"].assert_eq(&(calls.join("\n") + "\n"));
    }
}
