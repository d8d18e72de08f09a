//! Routes of papers. They are immutable within a version, so that browsers cache
//! them, and compressed once for all candidates.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use utoipa_axum::routes;

use super::{
    AppState,
    auth::Caller,
    extract::Path,
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_domain::id::AttemptId;
use invigil_engine::PaperBody;
use invigil_management::PrincipalScope;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Owner, routes!(paper))
        .add(RouteAccess::Owner, routes!(own_paper))
}

/// The paper of the token's attempt, sealed before the exam opens.
#[utoipa::path(
    get, path = "/api/v1/papers/{version}", tag = "attempts",
    params(("version" = String, Path,
        description = "As in `welcome.paper`, with a hyphen or a colon after `sha256`")),
    responses(
        (status = 200, description = "Before the exam opens a `SealedPaper`",
            body = ref("#/components/schemas/Paper")),
        (status = 403, description = "The attempt token is asked for",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, description = "Not the paper of this attempt",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = [])),
)]
async fn paper(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let PrincipalScope::Attempt(attempt) = caller.scope else {
        return Err(Problem::Forbidden);
    };
    let version = version.replacen("sha256-", "sha256:", 1);
    let paper = app
        .engine
        .paper_by_version(&version, attempt)
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
    // Clients request a sealed paper again after the exam has opened.
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

/// The candidate's paper, with the order of questions and options.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/paper", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, description = "`{version, sections, order}`, or sealed",
            body = serde_json::Value),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn own_paper(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<AttemptId>,
) -> Result<impl IntoResponse, Problem> {
    app.require_owner(&caller, id).await?;
    let paper = app.engine.own_paper(id).await?.ok_or(Problem::NotFound)?;
    Ok((
        [(header::CONTENT_TYPE, "application/json")],
        paper.json.to_string(),
    ))
}
