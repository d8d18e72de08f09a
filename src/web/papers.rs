//! The documents that candidates answer: immutable for their version, so that
//! browsers keep them; compressed once for everyone.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState,
    auth::Caller,
    extract::Path,
    problem::{self, Problem},
};
use crate::{domain::id::AttemptId, engine::PaperBody};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(paper))
        .routes(routes!(own_paper))
}

/// The paper of the attempt whose token is sent; sealed before the exam opens.
#[utoipa::path(
    get, path = "/api/v1/papers/{version}", tag = "attempts",
    params(("version" = String, Path,
        description = "As in `welcome.paper`, with a hyphen or a colon after `sha256`")),
    responses(
        (status = 200, description = "Before the exam opens a `SealedPaper`",
            body = ref("#/components/schemas/Paper")),
        (status = 403, description = "The attempt token is asked for", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 404, description = "Not the paper of this attempt", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = [])),
)]
async fn paper(
    State(app): State<AppState>,
    caller: Caller,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Caller::Attempt(token) = caller else {
        return Err(Problem::Forbidden);
    };
    let version = version.replacen("sha256-", "sha256:", 1);
    let paper = app
        .engine
        .paper(&version, token.attempt)
        .await?
        .ok_or(Problem::NotFound)?;
    let PaperBody { json, sealed } = paper;
    let name = if sealed {
        format!("{version}-sealed")
    } else {
        version
    };
    let mut response = app
        .compressed
        .respond(&headers, &name, "application/json", json.as_bytes());
    // A sealed paper is asked for again after the opening, when it is open.
    let caching = if sealed {
        "private, no-cache"
    } else {
        "private, max-age=31536000, immutable"
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.append(header::VARY, HeaderValue::from_name(header::AUTHORIZATION));
    Ok(response)
}

/// The candidate's own paper, with the order of questions and options.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/paper", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, description = "`{version, sections, order}`, or sealed",
            body = serde_json::Value),
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn own_paper(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AttemptId>,
) -> Result<impl IntoResponse, Problem> {
    app.own_attempt(&caller, id).await?;
    let paper = app.engine.own_paper(id).await?.ok_or(Problem::NotFound)?;
    Ok((
        [(header::CONTENT_TYPE, "application/json")],
        paper.json.to_string(),
    ))
}
