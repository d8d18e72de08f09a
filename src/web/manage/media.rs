//! Files that questions show.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Manager, PageOf, PageQuery};
use crate::{
    management::{
        Fault, bank,
        media::{self, File},
        resource,
    },
    media::Error,
    web::{
        AppState,
        extract::{Json, Path, Query},
        problem::{self, Problem},
    },
};

pub(super) fn routes(bytes_max: usize) -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
        .layer(DefaultBodyLimit::max(bytes_max))
}

/// What a file shows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AltQuery {
    /// For those who do not see it.
    #[serde(default)]
    alt: String,
}

/// Adds a picture, sound, film or PDF to a question; its type is told from its content. The
/// answer's `address` is what the question's `image` may then name.
#[utoipa::path(
    post, path = "/api/v1/manage/questions/{id}/media", tag = "bank",
    params(("id" = i64, Path, description = "The question"), AltQuery),
    request_body(content = Vec<u8>, description = "The file", content_type = "*/*"),
    responses(
        (status = 201, body = File),
        (status = 413, description = "Over `media.file_bytes`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 422, description = "No type that is taken", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn add(
    State(app): State<AppState>,
    manager: Manager,
    Path(id): Path<i64>,
    Query(query): Query<AltQuery>,
    body: Bytes,
) -> Result<(StatusCode, Json<File>), Problem> {
    // Whoever may not see the question fills no disk.
    manager
        .work(async |work| resource::get::<bank::Questions>(work, id).await)
        .await?;
    let management = app.management.as_ref().ok_or(Problem::ServersOnly)?;
    let kept = management
        .media()
        .keep(body)
        .await
        .map_err(|error| match error {
            Error::Kind => Fault::field("", error.to_string()),
            Error::Store(_) => Fault::internal(error),
        })?;
    let file = manager
        .work(async |work| media::add(work, id, &kept, &query.alt).await)
        .await?;
    Ok((StatusCode::CREATED, Json(file)))
}

/// The files of a question.
#[utoipa::path(
    get, path = "/api/v1/manage/questions/{id}/media", tag = "bank",
    params(("id" = i64, Path, description = "The question"), PageQuery),
    responses((status = 200, body = PageOf<File>), (status = 404, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn list(
    manager: Manager,
    Path(id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageOf<File>>, Problem> {
    let page = manager
        .work(async |work| media::list(work, id, (&page).into()).await)
        .await?;
    Ok(Json(page.into()))
}

/// Forgets a file that no version of a question shows.
#[utoipa::path(
    delete, path = "/api/v1/manage/questions/{id}/media/{file}", tag = "bank",
    params(
        ("id" = i64, Path, description = "The question"),
        ("file" = i64, Path, description = "The file's number"),
    ),
    responses(
        (status = 204, description = "Gone"),
        (status = 409, description = "`in_use`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn remove(
    manager: Manager,
    Path((id, file)): Path<(i64, i64)>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| media::remove(work, id, file).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
