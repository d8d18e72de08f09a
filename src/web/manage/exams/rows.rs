//! Routes that list, create, read, change and delete exams.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::dto::{ExamBody, ManagedExamView};
use crate::web::{
    extract::{Json, Path, Query},
    manage::{self, IfMatch, ManagementAccess, PageOf, PageQuery, TaggedRow, WireResource},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    exams::{self, ExamResource},
    ids::ExamId,
    resource::{self, ColumnFilter},
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(list_exams, create_exam))
        .add(
            RouteAccess::Manager,
            routes!(read_exam, change_exam, delete_exam),
        )
}

/// Filter and page of exams.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExamQuery {
    /// Code of the exam.
    code: Option<String>,
    /// Course of the exams.
    course_id: Option<i64>,
    /// Status of the exams.
    status: Option<String>,
    /// The `next` of the previous page.
    #[serde(default)]
    after: i64,
    /// Most exams in the page, 1 to 500.
    #[serde(default = "manage::page")]
    limit: i64,
}

impl ExamQuery {
    fn page(&self) -> PageQuery {
        PageQuery {
            after: self.after,
            limit: self.limit,
        }
    }

    fn filters(&self) -> Vec<ColumnFilter> {
        let code = self.code.as_ref().map(|code| ("code", json!(code)));
        let course = self.course_id.map(|id| ("course_id", json!(id)));
        let status = self.status.as_ref().map(|name| ("status", json!(name)));
        let given = code.into_iter().chain(course).chain(status);
        given
            .map(|(column, value)| ColumnFilter::Is(column, value))
            .collect()
    }
}

/// Exams that the caller manages.
#[utoipa::path(
    get, path = "/api/v1/manage/exams", tag = "exams as written", params(ExamQuery),
    responses((status = 200, body = PageOf<ManagedExamView>)),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_exams(
    manager: ManagementAccess,
    Query(query): Query<ExamQuery>,
) -> Result<Json<PageOf<ManagedExamView>>, Problem> {
    manager
        .list_rows::<ExamResource>(&query.page(), &query.filters())
        .await
}

/// Creates an exam without questions.
#[utoipa::path(
    post, path = "/api/v1/manage/exams", tag = "exams as written", request_body = ExamBody,
    responses(
        (status = 201, body = ManagedExamView),
        (status = 409, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn create_exam(
    manager: ManagementAccess,
    Json(body): Json<Value>,
) -> Result<TaggedRow<ManagedExamView>, Problem> {
    let row = manager
        .work(async |work| {
            let draft = ExamResource::into_draft(resource::parse_draft(body)?)?;
            exams::create_exam(work, &draft).await
        })
        .await?;
    Ok(TaggedRow::created(row.revision, row.into()))
}

/// Settings of an exam.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}", tag = "exams as written",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = ManagedExamView)),
    security(("token" = []), ("cookie" = [])),
)]
async fn read_exam(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
) -> Result<TaggedRow<ManagedExamView>, Problem> {
    manager.read_row::<ExamResource>(id).await
}

/// Changes an exam's settings by a merge patch, for attempts that start after the
/// next publication.
#[utoipa::path(
    patch, path = "/api/v1/manage/exams/{id}", tag = "exams as written", request_body = Object,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = ManagedExamView),
        (status = 412, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn change_exam(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    revision: IfMatch,
    Json(patch): Json<Value>,
) -> Result<TaggedRow<ManagedExamView>, Problem> {
    manager
        .change_row::<ExamResource>(id, revision, &patch)
        .await
}

/// Deletes an exam that was never published.
#[utoipa::path(
    delete, path = "/api/v1/manage/exams/{id}", tag = "exams as written",
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 204, description = "Gone"),
        (status = 409, description = "`in_use`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn delete_exam(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    revision: IfMatch,
) -> Result<StatusCode, Problem> {
    manager.delete_row::<ExamResource>(id, revision).await
}
