//! The question bank, exams, marking, statistics and logs.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{IfMatch, Manager, PageOf, Tagged, resource_routes};
use crate::{
    management::{
        bank::{
            self, Categories, Category, CategoryDraft, Found, Question, QuestionDraft, Questions,
            Review,
        },
        exams::{self, Accommodation, Checked, Composition, Draw, Drawn, Exam, ExamDraft, Exams},
        insight::{self, Attempts, AuditSearch, Handling, Statistics},
        marking::{
            self, AttemptReview, NewKey, NewMark, Regraded, Release, Released, Settled, Waiting,
        },
        resource::{self, Filter},
    },
    web::{
        AppState,
        extract::{Json, JsonOrDefault, Path, Query},
        problem::{self, Problem},
    },
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(categories::routes())
        .routes(routes!(search, create_question))
        .routes(routes!(read_question, change_question))
        .routes(routes!(review_question))
        .routes(routes!(list_exams, create_exam))
        .routes(routes!(read_exam, change_exam, delete_exam))
        .routes(routes!(composition, compose))
        .routes(routes!(draw))
        .routes(routes!(check))
        .routes(routes!(publish))
        .routes(routes!(set_status))
        .routes(routes!(set_password))
        .routes(routes!(accommodate))
        .routes(routes!(attempts))
        .routes(routes!(statistics))
        .routes(routes!(queue))
        .routes(routes!(claim))
        .routes(routes!(mark))
        .routes(routes!(review_attempt))
        .routes(routes!(correct))
        .routes(routes!(release))
        .routes(routes!(audit))
        .routes(routes!(security_events))
        .routes(routes!(handle))
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

/// Which exams.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExamQuery {
    /// With this code.
    code: Option<String>,
    /// Of this course.
    course_id: Option<i64>,
    /// In this status.
    status: Option<String>,
    /// The `next` of the page before.
    #[serde(default)]
    after: i64,
    /// At most so many, 1 to 500.
    #[serde(default = "super::page")]
    limit: i64,
}

/// Exams that the person manages.
#[utoipa::path(
    get, path = "/api/v1/manage/exams", tag = "exams as written", params(ExamQuery),
    responses((status = 200, body = PageOf<Exam>)),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_exams(
    manager: Manager,
    Query(query): Query<ExamQuery>,
) -> Result<Json<PageOf<Exam>>, Problem> {
    let cursor = resource::Cursor {
        after: query.after,
        limit: query.limit,
    };
    let code = query.code.map(|code| Filter::Is("code", json!(code)));
    let course = query.course_id.map(|id| Filter::Is("course_id", json!(id)));
    let status = query
        .status
        .map(|status| Filter::Is("status", json!(status)));
    let filters: Vec<Filter> = code.into_iter().chain(course).chain(status).collect();
    let page = manager
        .work(async |work| resource::list::<Exams>(work, cursor, &filters).await)
        .await?;
    Ok(Json(page.into()))
}

/// Makes an exam, without questions yet.
#[utoipa::path(
    post, path = "/api/v1/manage/exams", tag = "exams as written", request_body = ExamDraft,
    responses(
        (status = 201, body = Exam),
        (status = 409, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn create_exam(manager: Manager, Json(body): Json<Value>) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| exams::create(work, &resource::draft(body)?).await)
        .await?;
    Ok(Tagged::created(row.revision, row))
}

/// An exam's settings.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}", tag = "exams as written",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Exam)),
    security(("token" = []), ("cookie" = [])),
)]
async fn read_exam(manager: Manager, Path(id): Path<i64>) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| resource::get::<Exams>(work, id).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// Changes an exam's settings by a merge patch; for attempts that begin after
/// the next publication.
#[utoipa::path(
    patch, path = "/api/v1/manage/exams/{id}", tag = "exams as written", request_body = Object,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = Exam),
        (status = 412, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn change_exam(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(patch): Json<Value>,
) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| resource::change::<Exams>(work, id, revision, &patch).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
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
        (status = 409, description = "`in_use`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn delete_exam(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| resource::delete::<Exams>(work, id, revision).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What an exam is made of.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/composition", tag = "exams as written",
    params(("id" = i64, Path, description = "The exam")),
    responses((status = 200, body = Composition)),
    security(("token" = []), ("cookie" = [])),
)]
async fn composition(
    manager: Manager,
    Path(id): Path<i64>,
) -> Result<Tagged<Composition>, Problem> {
    let (revision, composition) = manager
        .work(async |work| {
            let exam = resource::get::<Exams>(work, id).await?;
            Ok((exam.revision, exams::composition(work, id).await?))
        })
        .await?;
    Ok(Tagged::ok(revision, composition))
}

/// Replaces what an exam is made of.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/composition", tag = "exams as written",
    request_body = Composition,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The exam's ETag"),
    ),
    responses(
        (status = 200, body = Exam),
        (status = 412, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn compose(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(body): Json<Value>,
) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| exams::compose(work, id, revision, &resource::draft(body)?).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// Draws questions at random from the bank and adds them.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/draw", tag = "exams as written", request_body = Draw,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The exam's ETag"),
    ),
    responses(
        (status = 200, body = Drawn),
        (status = 422, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn draw(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(body): Json<Value>,
) -> Result<Tagged<Drawn>, Problem> {
    let drawn = manager
        .work(async |work| exams::draw(work, id, revision, &resource::draft(body)?).await)
        .await?;
    Ok(Tagged::ok(revision + 1, drawn))
}

/// Says what stands against publishing an exam.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/check", tag = "exams as written",
    params(("id" = i64, Path, description = "The exam")),
    responses((status = 200, body = Checked)),
    security(("token" = []), ("cookie" = [])),
)]
async fn check(manager: Manager, Path(id): Path<i64>) -> Result<Json<Checked>, Problem> {
    let checked = manager
        .work(async |work| exams::check(work, id).await)
        .await?;
    Ok(Json(checked))
}

/// Freezes an exam as it stands and opens it to its candidates.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/publish", tag = "exams as written",
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = Exam),
        (status = 422, description = "Everything that stands against it", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn publish(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| exams::publish(work, id, revision).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// A step of an exam's life.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStatus {
    /// `draft`, `review`, `published`, `active`, `completed` or `archived`.
    status: String,
}

/// Ends an exam, opens it again, or puts it away.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/status", tag = "exams as written",
    request_body = NewStatus,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = Exam),
        (status = 409, description = "`wrong_state`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_status(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(new): Json<NewStatus>,
) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| exams::set_status(work, id, revision, &new.status).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// A password that starting asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// Null: none.
    password: Option<String>,
}

/// Sets the password that starting asks for, from the next publication on.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/password", tag = "exams as written",
    request_body = NewPassword,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses((status = 200, body = Exam)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_password(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(new): Json<NewPassword>,
) -> Result<Tagged<Exam>, Problem> {
    let password = new.password.as_deref();
    let row = manager
        .work(async |work| exams::set_password(work, id, revision, password).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// Gives a candidate more time at one exam, from the next start on.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/accommodations/{username}", tag = "exams as written",
    request_body = Accommodation,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("username" = String, Path, description = "The candidate"),
    ),
    responses((status = 204, description = "Granted"), (status = 404, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn accommodate(
    manager: Manager,
    Path((id, username)): Path<(i64, String)>,
    Json(wanted): Json<Accommodation>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| exams::accommodate(work, id, &username, &wanted).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which attempts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AttemptQuery {
    /// The `next` of the page before.
    before: Option<String>,
    /// At most so many, 1 to 500.
    #[serde(default = "super::page")]
    limit: i64,
}

/// Attempts of an exam, newest first, with ranks.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/attempts", tag = "marking",
    params(("id" = i64, Path, description = "The exam"), AttemptQuery),
    responses((status = 200, body = Attempts)),
    security(("token" = []), ("cookie" = [])),
)]
async fn attempts(
    manager: Manager,
    Path(id): Path<i64>,
    Query(query): Query<AttemptQuery>,
) -> Result<Json<Attempts>, Problem> {
    let before = query.before.as_deref();
    let page = manager
        .work(async |work| insight::attempts(work, id, before, query.limit).await)
        .await?;
    Ok(Json(page))
}

/// Statistics of an exam and its questions, as of the last refresh.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/statistics", tag = "marking",
    params(("id" = i64, Path, description = "The exam")),
    responses((status = 200, body = Statistics)),
    security(("token" = []), ("cookie" = [])),
)]
async fn statistics(manager: Manager, Path(id): Path<i64>) -> Result<Json<Statistics>, Problem> {
    let statistics = manager
        .work(async |work| insight::statistics(work, id).await)
        .await?;
    Ok(Json(statistics))
}

/// Which answers.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct QueueQuery {
    /// To this question, by its id within the exam.
    question: Option<String>,
    /// At most so many, 1 to 500.
    #[serde(default = "super::page")]
    limit: i64,
}

/// Answers that wait for a person, without whose they are.
#[derive(Serialize, ToSchema)]
struct Queue {
    items: Vec<Waiting>,
}

/// What waits to be marked, question by question.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/marking", tag = "marking",
    params(("id" = i64, Path, description = "The exam"), QueueQuery),
    responses((status = 200, body = Queue)),
    security(("token" = []), ("cookie" = [])),
)]
async fn queue(
    manager: Manager,
    Path(id): Path<i64>,
    Query(query): Query<QueueQuery>,
) -> Result<Json<Queue>, Problem> {
    let question = query.question.as_deref();
    let items = manager
        .work(async |work| marking::queue(work, id, question, query.limit).await)
        .await?;
    Ok(Json(Queue { items }))
}

/// Which answer is wanted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Claim {
    /// To this question, by its id within the exam; none: to any.
    question: Option<String>,
}

/// Gives the caller the next answer that nobody has in hand, for an hour.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/marking/claim", tag = "marking",
    request_body = Option<Claim>,
    params(("id" = i64, Path, description = "The exam")),
    responses(
        (status = 200, description = "Null: nothing waits", body = Option<Waiting>),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn claim(
    manager: Manager,
    Path(id): Path<i64>,
    JsonOrDefault(claim): JsonOrDefault<Claim>,
) -> Result<Json<Option<Waiting>>, Problem> {
    let waiting = manager
        .work(async |work| marking::claim(work, id, claim.question.as_deref()).await)
        .await?;
    Ok(Json(waiting))
}

/// Marks an answer, or changes the caller's mark of it.
#[utoipa::path(
    put, path = "/api/v1/manage/attempts/{attempt}/marks/{question}", tag = "marking",
    request_body = NewMark,
    params(
        ("attempt" = i64, Path, description = "The attempt"),
        ("question" = String, Path, description = "The question's id within the exam"),
    ),
    responses(
        (status = 200, body = Settled),
        (status = 409, description = "`wrong_state`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn mark(
    manager: Manager,
    Path((attempt, question)): Path<(i64, String)>,
    Json(body): Json<Value>,
) -> Result<Json<Settled>, Problem> {
    let settled = manager
        .work(async |work| {
            let new: NewMark = resource::draft(body)?;
            marking::mark(work, attempt, &question, &new).await
        })
        .await?;
    Ok(Json(settled))
}

/// Ends the review of an attempt.
#[utoipa::path(
    post, path = "/api/v1/manage/attempts/{attempt}/review", tag = "marking",
    request_body = AttemptReview,
    params(("attempt" = i64, Path, description = "The attempt")),
    responses(
        (status = 200, body = Settled),
        (status = 409, description = "`wrong_state`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn review_attempt(
    manager: Manager,
    Path(attempt): Path<i64>,
    Json(review): Json<AttemptReview>,
) -> Result<Json<Settled>, Problem> {
    let settled = manager
        .work(async |work| marking::review(work, attempt, &review).await)
        .await?;
    Ok(Json(settled))
}

/// Whether a correction is only tried.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CorrectionQuery {
    /// True: says who would change, and changes nothing.
    #[serde(default)]
    preview: bool,
}

/// Corrects a key that was wrong, and grades all attempts again.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/corrections", tag = "marking", request_body = NewKey,
    params(("id" = i64, Path, description = "The exam"), CorrectionQuery),
    responses(
        (status = 200, body = Regraded),
        (status = 422, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn correct(
    manager: Manager,
    Path(id): Path<i64>,
    Query(query): Query<CorrectionQuery>,
    Json(key): Json<NewKey>,
) -> Result<Json<Regraded>, Problem> {
    let regraded = manager
        .work(async |work| {
            work.undo = query.preview;
            marking::correct(work, id, &key, query.preview).await
        })
        .await?;
    Ok(Json(regraded))
}

/// Releases results to their candidates.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/release", tag = "marking",
    request_body = Option<Release>,
    params(("id" = i64, Path, description = "The exam")),
    responses(
        (status = 200, body = Released),
        (status = 409, description = "`wrong_state`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn release(
    manager: Manager,
    Path(id): Path<i64>,
    JsonOrDefault(release): JsonOrDefault<Release>,
) -> Result<Json<Released>, Problem> {
    let released = manager
        .work(async |work| marking::release(work, id, &release).await)
        .await?;
    Ok(Json(released))
}

/// What is looked for in the audit trail.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Of this table.
    table: Option<String>,
    /// Of this row.
    record: Option<String>,
    /// By this person.
    user_id: Option<i64>,
    /// With a lower number.
    before: Option<i64>,
    /// At most so many, 1 to 500.
    #[serde(default = "super::page")]
    limit: i64,
}

/// Rows of a log, newest first.
#[derive(Serialize, ToSchema)]
struct Log {
    #[schema(value_type = Vec<Object>)]
    items: Vec<Value>,
}

/// The audit trail: who changed what.
#[utoipa::path(
    get, path = "/api/v1/manage/audit", tag = "security", params(AuditQuery),
    responses((status = 200, body = Log)),
    security(("token" = []), ("cookie" = [])),
)]
async fn audit(manager: Manager, Query(query): Query<AuditQuery>) -> Result<Json<Log>, Problem> {
    let search = AuditSearch {
        table: query.table,
        record: query.record,
        user_id: query.user_id,
        before: query.before,
        limit: query.limit,
    };
    let items = manager
        .work(async |work| insight::audit(work, &search).await)
        .await?;
    Ok(Json(Log { items }))
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventQuery {
    /// `new`, `investigating`, `resolved` or `false_positive`.
    status: Option<String>,
    /// At most so many, 1 to 500.
    #[serde(default = "super::page")]
    limit: i64,
}

/// What looks like an attack.
#[utoipa::path(
    get, path = "/api/v1/manage/security-events", tag = "security", params(EventQuery),
    responses((status = 200, body = Log)),
    security(("token" = []), ("cookie" = [])),
)]
async fn security_events(
    manager: Manager,
    Query(query): Query<EventQuery>,
) -> Result<Json<Log>, Problem> {
    let status = query.status.as_deref();
    let items = manager
        .work(async |work| insight::security_events(work, status, query.limit).await)
        .await?;
    Ok(Json(Log { items }))
}

/// Assigns or resolves a security event.
#[utoipa::path(
    put, path = "/api/v1/manage/security-events/{id}", tag = "security", request_body = Handling,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "Its revision in quotes"),
    ),
    responses((status = 200, body = Object), (status = 412, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn handle(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(handling): Json<Handling>,
) -> Result<Tagged<Value>, Problem> {
    let row = manager
        .work(async |work| insight::handle(work, id, revision, &handling).await)
        .await?;
    Ok(Tagged::ok(revision + 1, row))
}
