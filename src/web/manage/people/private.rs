//! Routes of personal data that is stored sealed.

use utoipa_axum::routes;

use super::dto::{PersonView, PrivateBody, PrivateView};
use crate::web::{
    extract::{Json, Path},
    manage::{ManagementAccess, TaggedRow},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    ids::UserId,
    people::{self, PersonResource},
    resource,
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new().add(
        RouteAccess::Administrator,
        routes!(read_private, set_private),
    )
}

/// Reads the private data of a person, in clear; the access is logged.
#[utoipa::path(
    get, path = "/api/v1/manage/people/{id}/private", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    responses((status = 200, body = Object), (status = 404, body = problem::ProblemDetails,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn read_private(
    manager: ManagementAccess,
    Path(id): Path<UserId>,
) -> Result<Json<PrivateView>, Problem> {
    let keys = manager.keys()?;
    let private = manager
        .work(async |work| people::read_private_fields(work, &keys, id).await)
        .await?;
    Ok(Json(private.into()))
}

/// Seals a telephone number or the number of an identity card; null removes it.
#[utoipa::path(
    put, path = "/api/v1/manage/people/{id}/private", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    request_body = PrivateBody,
    responses((status = 200, body = PersonView), (status = 422, body = problem::ProblemDetails,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_private(
    manager: ManagementAccess,
    Path(id): Path<UserId>,
    Json(body): Json<PrivateBody>,
) -> Result<TaggedRow<PersonView>, Problem> {
    let keys = manager.keys()?;
    let change = body.into();
    let row = manager
        .work(async |work| {
            people::set_private_fields(work, &keys, id, &change).await?;
            resource::get_row::<PersonResource>(work, id).await
        })
        .await?;
    Ok(TaggedRow::ok(row.revision, row.into()))
}
