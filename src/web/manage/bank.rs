//! The question bank.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{IfMatch, Manager, PageOf, Tagged, resource_routes};
use crate::{
    management::{
        bank::{
            self, Categories, Category, CategoryDraft, Found, Question, QuestionDraft, Questions,
            Review,
        },
        resource::{self, Filter},
    },
    web::{
        AppState,
        extract::{Json, Path, Query},
        problem::{self, Problem},
    },
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(categories::routes())
        .routes(routes!(search, create_question))
        .routes(routes!(read_question, change_question))
        .routes(routes!(review_question))
}

/// Which categories.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CategoryQuery {
    /// Of this organisation.
    organization_id: Option<i64>,
    /// Right below this one.
    parent_id: Option<i64>,
}

impl CategoryQuery {
    fn filters(&self) -> Vec<Filter> {
        let organization = self.organization_id.map(|id| ("organization_id", id));
        let parent = self.parent_id.map(|id| ("parent_id", id));
        let given = organization.into_iter().chain(parent);
        given
            .map(|(column, id)| Filter::Is(column, json!(id)))
            .collect()
    }
}

resource_routes!(
    categories,
    Categories,
    Category,
    CategoryDraft,
    CategoryQuery,
    "bank",
    "/api/v1/manage/question-categories",
    "/api/v1/manage/question-categories/{id}"
);

/// What is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SearchQuery {
    /// Words in any language; `"in quotes"` together, `-not`, `or`.
    q: Option<String>,
    /// In this category, or one below it.
    category_id: Option<i64>,
    /// Of this type.
    r#type: Option<String>,
    /// As hard as this.
    difficulty: Option<String>,
    /// In this status.
    status: Option<String>,
    /// With all of these labels, separated by commas.
    tags: Option<String>,
    /// Of this organisation.
    organization_id: Option<i64>,
    /// The `next` of the page before.
    #[serde(default)]
    after: i64,
    /// At most so many, 1 to 100.
    #[serde(default = "super::page")]
    limit: i64,
}

/// Searches the question bank; the best fit first, the newest where no words are
/// given.
#[utoipa::path(
    get, path = "/api/v1/manage/questions", tag = "bank", params(SearchQuery),
    responses((status = 200, body = PageOf<Found>)),
    security(("token" = []), ("cookie" = [])),
)]
async fn search(
    manager: Manager,
    Query(query): Query<SearchQuery>,
) -> Result<Json<PageOf<Found>>, Problem> {
    let words = query.q.filter(|words| !words.trim().is_empty());
    let tags = query.tags.unwrap_or_default();
    let search = bank::Search {
        text: words,
        category_id: query.category_id,
        kind: query.r#type,
        difficulty: query.difficulty,
        status: query.status,
        tags: tags
            .split(',')
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect(),
        organization_id: query.organization_id,
        offset: query.after,
        limit: query.limit,
    };
    let page = manager
        .work(async |work| bank::search(work, &search).await)
        .await?;
    Ok(Json(page.into()))
}

/// Drafts a question.
#[utoipa::path(
    post, path = "/api/v1/manage/questions", tag = "bank", request_body = QuestionDraft,
    responses(
        (status = 201, body = Question),
        (status = 422, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn create_question(
    manager: Manager,
    Json(body): Json<Value>,
) -> Result<Tagged<Question>, Problem> {
    let row = manager
        .work(async |work| bank::create(work, &resource::draft(body)?).await)
        .await?;
    Ok(Tagged::created(row.revision, row))
}

/// One version of a question.
#[utoipa::path(
    get, path = "/api/v1/manage/questions/{id}", tag = "bank",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Question)),
    security(("token" = []), ("cookie" = [])),
)]
async fn read_question(manager: Manager, Path(id): Path<i64>) -> Result<Tagged<Question>, Problem> {
    let row = manager
        .work(async |work| resource::get::<Questions>(work, id).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// Changes a question by a merge patch: an unused draft in place, anything else
/// by a new version.
#[utoipa::path(
    patch, path = "/api/v1/manage/questions/{id}", tag = "bank", request_body = Object,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, description = "The same, or its next version", body = Question),
        (status = 412, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn change_question(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(patch): Json<Value>,
) -> Result<Tagged<Question>, Problem> {
    let row = manager
        .work(async |work| bank::change(work, id, revision, &patch).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// Moves a question through its review.
#[utoipa::path(
    post, path = "/api/v1/manage/questions/{id}/review", tag = "bank", request_body = Review,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = Question),
        (status = 409, description = "`wrong_state`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn review_question(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(review): Json<Review>,
) -> Result<Tagged<Question>, Problem> {
    let row = manager
        .work(async |work| bank::review(work, id, revision, &review).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}
