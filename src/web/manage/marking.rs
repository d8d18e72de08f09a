//! Attempts, marking, statistics and logs.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{IfMatch, Manager, Tagged};
use crate::{
    management::{
        insight::{self, Attempts, AuditSearch, Handling, Statistics},
        marking::{
            self, AttemptReview, NewMark, Release, Released, Settled, Waiting,
            correction::{self, NewKey, Regraded},
        },
        resource,
    },
    web::{
        AppState,
        extract::{Json, JsonOrDefault, Path, Query},
        problem::{self, Problem},
    },
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(attempts))
        .routes(routes!(statistics))
        .routes(routes!(queue))
        .routes(routes!(claim))
        .routes(routes!(mark))
        .routes(routes!(review_attempt))
        .routes(routes!(correct))
        .routes(routes!(release))
        .routes(routes!(proctor_log))
        .routes(routes!(audit))
        .routes(routes!(security_events))
        .routes(routes!(handle))
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
            correction::correct(work, id, &key, query.preview).await
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

/// What proctors did to the attempts of an exam, newest first.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/proctor-log", tag = "marking",
    params(("id" = i64, Path, description = "The exam"), AttemptQuery),
    responses((status = 200, body = Log)),
    security(("token" = []), ("cookie" = [])),
)]
async fn proctor_log(
    manager: Manager,
    Path(id): Path<i64>,
    Query(query): Query<AttemptQuery>,
) -> Result<Json<Log>, Problem> {
    let items = manager
        .work(async |work| insight::proctor_log(work, id, query.limit).await)
        .await?;
    Ok(Json(Log { items }))
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
