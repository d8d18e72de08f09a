//! The route of a person's roles.

use utoipa_axum::routes;

use super::dto::{PersonView, RolesBody};
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
    GuardedRoutes::new().add(RouteAccess::Administrator, routes!(set_roles))
}

/// Replaces the roles of a person in one organisation.
#[utoipa::path(
    put, path = "/api/v1/manage/people/{id}/roles", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    request_body = RolesBody,
    responses((status = 200, body = PersonView), (status = 403, body = problem::ProblemDetails,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_roles(
    manager: ManagementAccess,
    Path(id): Path<UserId>,
    Json(body): Json<RolesBody>,
) -> Result<TaggedRow<PersonView>, Problem> {
    let row = manager
        .work(async |work| {
            people::set_roles(work, id, &body.try_into()?).await?;
            resource::get_row::<PersonResource>(work, id).await
        })
        .await?;
    Ok(TaggedRow::ok(row.revision, row.into()))
}
