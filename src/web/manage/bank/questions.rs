//! Routes of questions and their review.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::dto::{BankQuestionBody, QuestionHitView, QuestionView, ReviewBody};
use crate::web::{
    extract::{Json, Path, Query},
    manage::{IfMatch, ManagementAccess, PageOf, TaggedRow, WireResource as _, patched_draft},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    bank::{self, QuestionResource},
    ids::{BankQuestionId, OrganizationId, QuestionCategoryId},
    resource,
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(search, create_question))
        .add(
            RouteAccess::Manager,
            routes!(read_question, change_question),
        )
        .add(RouteAccess::Manager, routes!(review_question))
}

/// Filter of a search.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct QuestionSearchQuery {
    /// Words in any language; `"in quotes"` together, `-not`, `or`.
    q: Option<String>,
    /// Category of the questions, with the categories below it.
    category_id: Option<i64>,
    /// Type of the questions.
    r#type: Option<String>,
    /// Difficulty of the questions.
    difficulty: Option<String>,
    /// Status of the questions.
    status: Option<String>,
    /// Labels that the questions have, separated by commas.
    tags: Option<String>,
    /// Organisation of the questions.
    organization_id: Option<i64>,
    /// The `next` of the previous page.
    #[serde(default)]
    after: i64,
    /// Most questions in the page, 1 to 100.
    #[serde(default = "crate::web::manage::page")]
    limit: i64,
}

/// Searches the question bank: the best match first, or without words the newest.
#[utoipa::path(
    get, path = "/api/v1/manage/questions", tag = "bank", params(QuestionSearchQuery),
    responses((status = 200, body = PageOf<QuestionHitView>)),
    security(("token" = []), ("cookie" = [])),
)]
async fn search(
    manager: ManagementAccess,
    Query(query): Query<QuestionSearchQuery>,
) -> Result<Json<PageOf<QuestionHitView>>, Problem> {
    let words = query.q.filter(|words| !words.trim().is_empty());
    let tags = query.tags.unwrap_or_default();
    let search = bank::QuestionSearch {
        text: words,
        category_id: query.category_id.map(QuestionCategoryId),
        kind: query.r#type,
        difficulty: query.difficulty,
        status: query.status,
        tags: tags
            .split(',')
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect(),
        organization_id: query.organization_id.map(OrganizationId),
        offset: query.after,
        limit: query.limit,
    };
    let page = manager
        .work(async |work| bank::search_questions(work, &search).await)
        .await?;
    Ok(Json(page.into()))
}

/// Creates a draft of a question.
#[utoipa::path(
    post, path = "/api/v1/manage/questions", tag = "bank", request_body = BankQuestionBody,
    responses(
        (status = 201, body = QuestionView),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn create_question(
    manager: ManagementAccess,
    Json(body): Json<Value>,
) -> Result<TaggedRow<QuestionView>, Problem> {
    let row = manager
        .work(async |work| {
            let draft = QuestionResource::into_draft(resource::parse_draft(body)?)?;
            bank::create_question(work, &draft).await
        })
        .await?;
    Ok(TaggedRow::created(row.revision, row.into()))
}

/// A version of a question.
#[utoipa::path(
    get, path = "/api/v1/manage/questions/{id}", tag = "bank",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = QuestionView)),
    security(("token" = []), ("cookie" = [])),
)]
async fn read_question(
    manager: ManagementAccess,
    Path(id): Path<BankQuestionId>,
) -> Result<TaggedRow<QuestionView>, Problem> {
    manager.read_row::<QuestionResource>(id).await
}

/// Changes a question by a merge patch: an unused draft in place, others by a new
/// version.
#[utoipa::path(
    patch, path = "/api/v1/manage/questions/{id}", tag = "bank", request_body = Object,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, description = "The same, or its next version", body = QuestionView),
        (status = 412, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn change_question(
    manager: ManagementAccess,
    Path(id): Path<BankQuestionId>,
    IfMatch(revision): IfMatch,
    Json(patch): Json<Value>,
) -> Result<TaggedRow<QuestionView>, Problem> {
    let row = manager
        .work(async |work| {
            let draft = patched_draft::<QuestionResource>(work, id, &patch).await?;
            bank::change_question(work, id, revision, &draft).await
        })
        .await?;
    Ok(TaggedRow::ok(row.revision, row.into()))
}

/// Moves a question through its review.
#[utoipa::path(
    post, path = "/api/v1/manage/questions/{id}/review", tag = "bank",
    request_body = ReviewBody,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = QuestionView),
        (status = 409, description = "`wrong_state`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn review_question(
    manager: ManagementAccess,
    Path(id): Path<BankQuestionId>,
    IfMatch(revision): IfMatch,
    Json(body): Json<ReviewBody>,
) -> Result<TaggedRow<QuestionView>, Problem> {
    let row = manager
        .work(async |work| bank::review_question(work, id, revision, &body.try_into()?).await)
        .await?;
    Ok(TaggedRow::ok(row.revision, row.into()))
}
