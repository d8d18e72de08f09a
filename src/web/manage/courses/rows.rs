//! Routes that list, create, read, change and delete courses.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::dto::{CourseBody, CourseView};
use crate::web::{
    extract::{Json, Path, Query},
    manage::{IfMatch, ManagementAccess, PageOf, PageQuery, TaggedRow},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{courses::CourseResource, ids::CourseId, resource::ColumnFilter};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(list, create))
        .add(RouteAccess::Manager, routes!(read, change, delete))
}

/// Filter of courses.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CourseQuery {
    /// Organisation of the courses.
    organization_id: Option<i64>,
    /// Code of the course.
    code: Option<String>,
    /// Status of the courses.
    status: Option<String>,
}

impl CourseQuery {
    fn filters(&self) -> Vec<ColumnFilter> {
        let organization = self
            .organization_id
            .map(|id| ColumnFilter::Is("organization_id", json!(id)));
        let text = |column, value: &Option<String>| {
            value
                .clone()
                .map(|value| ColumnFilter::Is(column, Value::String(value)))
        };
        organization
            .into_iter()
            .chain(text("code", &self.code))
            .chain(text("status", &self.status))
            .collect()
    }
}

#[utoipa::path(
    get, path = "/api/v1/manage/courses", tag = "courses", params(PageQuery, CourseQuery),
    responses(
        (status = 200, body = PageOf<CourseView>),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list(
    manager: ManagementAccess,
    Query(page): Query<PageQuery>,
    Query(query): Query<CourseQuery>,
) -> Result<Json<PageOf<CourseView>>, Problem> {
    manager
        .list_rows::<CourseResource>(&page, &query.filters())
        .await
}

#[utoipa::path(
    post, path = "/api/v1/manage/courses", tag = "courses", request_body = CourseBody,
    responses(
        (status = 201, body = CourseView),
        (status = 409, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn create(
    manager: ManagementAccess,
    Json(body): Json<Value>,
) -> Result<TaggedRow<CourseView>, Problem> {
    manager.create_row::<CourseResource>(body).await
}

#[utoipa::path(
    get, path = "/api/v1/manage/courses/{id}", tag = "courses",
    params(("id" = i64, Path, description = "Its number")),
    responses(
        (status = 200, body = CourseView),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn read(
    manager: ManagementAccess,
    Path(id): Path<CourseId>,
) -> Result<TaggedRow<CourseView>, Problem> {
    manager.read_row::<CourseResource>(id).await
}

/// Changes by a merge patch (RFC 7396).
#[utoipa::path(
    patch, path = "/api/v1/manage/courses/{id}", tag = "courses", request_body = Object,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = CourseView),
        (status = 412, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn change(
    manager: ManagementAccess,
    Path(id): Path<CourseId>,
    revision: IfMatch,
    Json(patch): Json<Value>,
) -> Result<TaggedRow<CourseView>, Problem> {
    manager
        .change_row::<CourseResource>(id, revision, &patch)
        .await
}

#[utoipa::path(
    delete, path = "/api/v1/manage/courses/{id}", tag = "courses",
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
    Path(id): Path<CourseId>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    manager.delete_row::<CourseResource>(id, revision).await
}
