//! Routes of media files of questions.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::{body::Bytes, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{ManagementAccess, PageOf, PageQuery, bank::FileView};
use crate::web::{
    AppState,
    extract::{Json, Path, Query},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    ManagementError, bank,
    ids::{BankQuestionId, MediaFileId},
    media, resource,
};
use invigil_objects::media::Error;

pub(super) fn routes(bytes_max: usize) -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(list, add))
        .add(RouteAccess::Manager, routes!(remove))
        .limit_bodies(bytes_max)
}

/// Description of a media file.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AltTextQuery {
    /// Text for people who cannot see the file.
    #[serde(default)]
    alt: String,
}

/// Adds a picture, sound, film or PDF to a question; its content determines its type. The
/// question's `image` may then name the `address` in the response.
#[utoipa::path(
    post, path = "/api/v1/manage/questions/{id}/media", tag = "bank",
    params(("id" = i64, Path, description = "The question"), AltTextQuery),
    request_body(content = Vec<u8>, description = "The file", content_type = "*/*"),
    responses(
        (status = 201, body = FileView),
        (status = 413, description = "Over `media.file_bytes`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 422, description = "The type is not allowed", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn add(
    State(app): State<AppState>,
    manager: ManagementAccess,
    Path(id): Path<BankQuestionId>,
    Query(query): Query<AltTextQuery>,
    body: Bytes,
) -> Result<(StatusCode, Json<FileView>), Problem> {
    // Before the file is stored: callers who may not see the question fill no disk.
    manager
        .work(async |work| resource::get_row::<bank::QuestionResource>(work, id).await)
        .await?;
    let management = app.management.as_ref().ok_or(Problem::ServersOnly)?;
    let kept = management
        .media()
        .store_file(body)
        .await
        .map_err(|error| match error {
            Error::WrongType => ManagementError::invalid_field("", error.to_string()),
            Error::Storage(_) => ManagementError::internal(error),
        })?;
    let file = manager
        .work(async |work| media::add_file(work, id, &kept, &query.alt).await)
        .await?;
    Ok((StatusCode::CREATED, Json(file.into())))
}

/// Media files of a question.
#[utoipa::path(
    get, path = "/api/v1/manage/questions/{id}/media", tag = "bank",
    params(("id" = i64, Path, description = "The question"), PageQuery),
    responses(
        (status = 200, body = PageOf<FileView>),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list(
    manager: ManagementAccess,
    Path(id): Path<BankQuestionId>,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageOf<FileView>>, Problem> {
    let page = manager
        .work(async |work| media::list_files(work, id, (&page).into()).await)
        .await?;
    Ok(Json(page.into()))
}

/// Removes a file that no version of a question shows.
#[utoipa::path(
    delete, path = "/api/v1/manage/questions/{id}/media/{file}", tag = "bank",
    params(
        ("id" = i64, Path, description = "The question"),
        ("file" = i64, Path, description = "The file's number"),
    ),
    responses(
        (status = 204, description = "Gone"),
        (status = 409, description = "`in_use`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn remove(
    manager: ManagementAccess,
    Path((id, file)): Path<(BankQuestionId, MediaFileId)>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| media::remove_file(work, id, file).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
