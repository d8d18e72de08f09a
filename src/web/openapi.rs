//! What the interfaces say of themselves: OpenAPI with a page to read it, the
//! live protocol as AsyncAPI, the exam file as JSON Schema. All of it is made
//! from the types.

use axum::{Json, Router, routing::get};
use invigil_protocol::schema;
use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::AppState;
use crate::domain::exam::exam_schema;

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
    ),
    modifiers(&Security),
)]
struct Description;

struct Security;

impl Modify for Security {
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

/// The routes, and their description.
pub(super) fn split(routes: OpenApiRouter<AppState>) -> (Router<AppState>, openapi::OpenApi) {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(routes)
        .split_for_parts()
}

/// The addresses at which descriptions can be read.
pub(super) fn documents(description: openapi::OpenApi) -> Router<AppState> {
    let description = complete(description);
    let page = Config::from("/api/openapi.json").validator_url("none");
    Router::new()
        .route("/api/openapi.json", get(async move || Json(description)))
        .route("/asyncapi.json", get(async || Json(schema::asyncapi())))
        .route("/schemas/exam.json", get(async || Json(exam_schema())))
        .merge(SwaggerUi::new("/api/docs").config(page))
}

fn complete(description: openapi::OpenApi) -> Value {
    serde_json::to_value(description).expect("a description is plain JSON")
}
