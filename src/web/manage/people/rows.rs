//! Routes that list, create, read, change and delete people.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::dto::{PersonBody, PersonView};
use crate::web::{
    extract::{Json, Path, Query},
    manage::{IfMatch, ManagementAccess, PageOf, PageQuery, TaggedRow},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{ids::UserId, people::PersonResource, resource::ColumnFilter};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(list, create))
        .add(RouteAccess::Manager, routes!(read, change, delete))
}

/// Filter of people.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PeopleQuery {
    /// Organisation of the people.
    organization_id: Option<i64>,
    /// Prefix of the name to sign in with.
    username: Option<String>,
    /// Prefix of the name.
    name: Option<String>,
}

impl PeopleQuery {
    fn filters(&self) -> Vec<ColumnFilter> {
        let organization = self
            .organization_id
            .map(|id| ColumnFilter::Is("organization_id", json!(id)));
        let username = self.username.clone();
        let name = self.name.clone();
        organization
            .into_iter()
            .chain(username.map(|text| ColumnFilter::Begins("username", text)))
            .chain(name.map(|text| ColumnFilter::Begins("name", text)))
            .collect()
    }
}

#[utoipa::path(
    get, path = "/api/v1/manage/people", tag = "people", params(PageQuery, PeopleQuery),
    responses(
        (status = 200, body = PageOf<PersonView>),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list(
    manager: ManagementAccess,
    Query(page): Query<PageQuery>,
    Query(query): Query<PeopleQuery>,
) -> Result<Json<PageOf<PersonView>>, Problem> {
    manager
        .list_rows::<PersonResource>(&page, &query.filters())
        .await
}

#[utoipa::path(
    post, path = "/api/v1/manage/people", tag = "people", request_body = PersonBody,
    responses(
        (status = 201, body = PersonView),
        (status = 409, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn create(
    manager: ManagementAccess,
    Json(body): Json<Value>,
) -> Result<TaggedRow<PersonView>, Problem> {
    manager.create_row::<PersonResource>(body).await
}

#[utoipa::path(
    get, path = "/api/v1/manage/people/{id}", tag = "people",
    params(("id" = i64, Path, description = "Its number")),
    responses(
        (status = 200, body = PersonView),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn read(
    manager: ManagementAccess,
    Path(id): Path<UserId>,
) -> Result<TaggedRow<PersonView>, Problem> {
    manager.read_row::<PersonResource>(id).await
}

/// Changes by a merge patch (RFC 7396).
#[utoipa::path(
    patch, path = "/api/v1/manage/people/{id}", tag = "people", request_body = Object,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = PersonView),
        (status = 412, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn change(
    manager: ManagementAccess,
    Path(id): Path<UserId>,
    revision: IfMatch,
    Json(patch): Json<Value>,
) -> Result<TaggedRow<PersonView>, Problem> {
    manager
        .change_row::<PersonResource>(id, revision, &patch)
        .await
}

#[utoipa::path(
    delete, path = "/api/v1/manage/people/{id}", tag = "people",
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
    Path(id): Path<UserId>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    manager.delete_row::<PersonResource>(id, revision).await
}
