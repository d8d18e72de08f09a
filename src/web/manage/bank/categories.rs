//! Routes of question categories.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::dto::{QuestionCategoryBody, QuestionCategoryView};
use crate::web::{
    extract::{Json, Path, Query},
    manage::{IfMatch, ManagementAccess, PageOf, PageQuery, TaggedRow},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    bank::QuestionCategoryResource, ids::QuestionCategoryId, resource::ColumnFilter,
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(list, create))
        .add(RouteAccess::Manager, routes!(read, change, delete))
}

/// Filter of categories.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct QuestionCategoryQuery {
    /// Organisation of the categories.
    organization_id: Option<i64>,
    /// Category right above them.
    parent_id: Option<i64>,
}

impl QuestionCategoryQuery {
    fn filters(&self) -> Vec<ColumnFilter> {
        let organization = self.organization_id.map(|id| ("organization_id", id));
        let parent = self.parent_id.map(|id| ("parent_id", id));
        let given = organization.into_iter().chain(parent);
        given
            .map(|(column, id)| ColumnFilter::Is(column, json!(id)))
            .collect()
    }
}

#[utoipa::path(
    get, path = "/api/v1/manage/question-categories", tag = "bank",
    params(PageQuery, QuestionCategoryQuery),
    responses(
        (status = 200, body = PageOf<QuestionCategoryView>),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list(
    manager: ManagementAccess,
    Query(page): Query<PageQuery>,
    Query(query): Query<QuestionCategoryQuery>,
) -> Result<Json<PageOf<QuestionCategoryView>>, Problem> {
    manager
        .list_rows::<QuestionCategoryResource>(&page, &query.filters())
        .await
}

#[utoipa::path(
    post, path = "/api/v1/manage/question-categories", tag = "bank",
    request_body = QuestionCategoryBody,
    responses(
        (status = 201, body = QuestionCategoryView),
        (status = 409, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn create(
    manager: ManagementAccess,
    Json(body): Json<Value>,
) -> Result<TaggedRow<QuestionCategoryView>, Problem> {
    manager.create_row::<QuestionCategoryResource>(body).await
}

#[utoipa::path(
    get, path = "/api/v1/manage/question-categories/{id}", tag = "bank",
    params(("id" = i64, Path, description = "Its number")),
    responses(
        (status = 200, body = QuestionCategoryView),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn read(
    manager: ManagementAccess,
    Path(id): Path<QuestionCategoryId>,
) -> Result<TaggedRow<QuestionCategoryView>, Problem> {
    manager.read_row::<QuestionCategoryResource>(id).await
}

/// Changes by a merge patch (RFC 7396).
#[utoipa::path(
    patch, path = "/api/v1/manage/question-categories/{id}", tag = "bank", request_body = Object,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = QuestionCategoryView),
        (status = 412, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn change(
    manager: ManagementAccess,
    Path(id): Path<QuestionCategoryId>,
    revision: IfMatch,
    Json(patch): Json<Value>,
) -> Result<TaggedRow<QuestionCategoryView>, Problem> {
    manager
        .change_row::<QuestionCategoryResource>(id, revision, &patch)
        .await
}

#[utoipa::path(
    delete, path = "/api/v1/manage/question-categories/{id}", tag = "bank",
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
    Path(id): Path<QuestionCategoryId>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    manager
        .delete_row::<QuestionCategoryResource>(id, revision)
        .await
}
