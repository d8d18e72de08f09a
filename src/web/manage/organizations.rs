//! Routes of organisations.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

mod dto;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::routes;

use self::dto::{OrganizationBody, OrganizationView};
use crate::web::{
    extract::{Json, Path, Query},
    manage::{IfMatch, ManagementAccess, PageOf, PageQuery, TaggedRow},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    ids::OrganizationId, organizations::OrganizationResource, resource::ColumnFilter,
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(list, create))
        .add(RouteAccess::Manager, routes!(read, change, delete))
}

/// Filter of organisations.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OrganizationQuery {
    /// Organisation right above them.
    parent_id: Option<i64>,
}

impl OrganizationQuery {
    fn filters(&self) -> Vec<ColumnFilter> {
        self.parent_id
            .map(|id| ColumnFilter::Is("parent_id", json!(id)))
            .into_iter()
            .collect()
    }
}

#[utoipa::path(
    get, path = "/api/v1/manage/organizations", tag = "organisations",
    params(PageQuery, OrganizationQuery),
    responses(
        (status = 200, body = PageOf<OrganizationView>),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list(
    manager: ManagementAccess,
    Query(page): Query<PageQuery>,
    Query(query): Query<OrganizationQuery>,
) -> Result<Json<PageOf<OrganizationView>>, Problem> {
    manager
        .list_rows::<OrganizationResource>(&page, &query.filters())
        .await
}

#[utoipa::path(
    post, path = "/api/v1/manage/organizations", tag = "organisations",
    request_body = OrganizationBody,
    responses(
        (status = 201, body = OrganizationView),
        (status = 409, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn create(
    manager: ManagementAccess,
    Json(body): Json<Value>,
) -> Result<TaggedRow<OrganizationView>, Problem> {
    manager.create_row::<OrganizationResource>(body).await
}

#[utoipa::path(
    get, path = "/api/v1/manage/organizations/{id}", tag = "organisations",
    params(("id" = i64, Path, description = "Its number")),
    responses(
        (status = 200, body = OrganizationView),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn read(
    manager: ManagementAccess,
    Path(id): Path<OrganizationId>,
) -> Result<TaggedRow<OrganizationView>, Problem> {
    manager.read_row::<OrganizationResource>(id).await
}

/// Changes by a merge patch (RFC 7396).
#[utoipa::path(
    patch, path = "/api/v1/manage/organizations/{id}", tag = "organisations", request_body = Object,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = OrganizationView),
        (status = 412, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn change(
    manager: ManagementAccess,
    Path(id): Path<OrganizationId>,
    revision: IfMatch,
    Json(patch): Json<Value>,
) -> Result<TaggedRow<OrganizationView>, Problem> {
    manager
        .change_row::<OrganizationResource>(id, revision, &patch)
        .await
}

#[utoipa::path(
    delete, path = "/api/v1/manage/organizations/{id}", tag = "organisations",
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 204, description = "Gone"),
        (status = 409, description = "`in_use`",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 412, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn delete(
    manager: ManagementAccess,
    Path(id): Path<OrganizationId>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    manager
        .delete_row::<OrganizationResource>(id, revision)
        .await
}
