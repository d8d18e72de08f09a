//! Routes of course categories.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::dto::{CourseCategoryBody, CourseCategoryView};
use crate::web::{
    extract::{Json, Path, Query},
    manage::{IfMatch, ManagementAccess, PageOf, PageQuery, TaggedRow},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    courses::CourseCategoryResource, ids::CourseCategoryId, resource::ColumnFilter,
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(list, create))
        .add(RouteAccess::Manager, routes!(read, change, delete))
}

/// Filter of categories.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CourseCategoryQuery {
    /// Organisation of the categories.
    organization_id: Option<i64>,
    /// Category right above them.
    parent_id: Option<i64>,
}

impl CourseCategoryQuery {
    fn filters(&self) -> Vec<ColumnFilter> {
        let number = |column, id: Option<i64>| id.map(|id| ColumnFilter::Is(column, json!(id)));
        number("organization_id", self.organization_id)
            .into_iter()
            .chain(number("parent_id", self.parent_id))
            .collect()
    }
}

#[utoipa::path(
    get, path = "/api/v1/manage/course-categories", tag = "courses",
    params(PageQuery, CourseCategoryQuery),
    responses(
        (status = 200, body = PageOf<CourseCategoryView>),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list(
    manager: ManagementAccess,
    Query(page): Query<PageQuery>,
    Query(query): Query<CourseCategoryQuery>,
) -> Result<Json<PageOf<CourseCategoryView>>, Problem> {
    manager
        .list_rows::<CourseCategoryResource>(&page, &query.filters())
        .await
}

#[utoipa::path(
    post, path = "/api/v1/manage/course-categories", tag = "courses",
    request_body = CourseCategoryBody,
    responses(
        (status = 201, body = CourseCategoryView),
        (status = 409, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn create(
    manager: ManagementAccess,
    Json(body): Json<Value>,
) -> Result<TaggedRow<CourseCategoryView>, Problem> {
    manager.create_row::<CourseCategoryResource>(body).await
}

#[utoipa::path(
    get, path = "/api/v1/manage/course-categories/{id}", tag = "courses",
    params(("id" = i64, Path, description = "Its number")),
    responses(
        (status = 200, body = CourseCategoryView),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn read(
    manager: ManagementAccess,
    Path(id): Path<CourseCategoryId>,
) -> Result<TaggedRow<CourseCategoryView>, Problem> {
    manager.read_row::<CourseCategoryResource>(id).await
}

/// Changes by a merge patch (RFC 7396).
#[utoipa::path(
    patch, path = "/api/v1/manage/course-categories/{id}", tag = "courses", request_body = Object,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = CourseCategoryView),
        (status = 412, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn change(
    manager: ManagementAccess,
    Path(id): Path<CourseCategoryId>,
    revision: IfMatch,
    Json(patch): Json<Value>,
) -> Result<TaggedRow<CourseCategoryView>, Problem> {
    manager
        .change_row::<CourseCategoryResource>(id, revision, &patch)
        .await
}

#[utoipa::path(
    delete, path = "/api/v1/manage/course-categories/{id}", tag = "courses",
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
    Path(id): Path<CourseCategoryId>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    manager
        .delete_row::<CourseCategoryResource>(id, revision)
        .await
}
