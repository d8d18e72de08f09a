//! Routes of attempts, marking, statistics and logs.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{IfMatch, ManagementAccess, TaggedRow};
use crate::web::{
    extract::{Json, JsonOrDefault, Path, Query},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    insight::{self, AttemptPage, AuditSearch, ExamStatistics, SecurityEventUpdate},
    marking::{
        self, AttemptReview, GradingQueueItem, MarkingOutcome, NewMark, ReleasedResults,
        ResultRelease,
        correction::{self, KeyCorrection, RegradeReport},
    },
    resource,
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(attempts))
        .add(RouteAccess::Manager, routes!(statistics))
        .add(RouteAccess::Manager, routes!(queue))
        .add(RouteAccess::Manager, routes!(claim))
        .add(RouteAccess::Manager, routes!(mark))
        .add(RouteAccess::Manager, routes!(review_attempt))
        .add(RouteAccess::Manager, routes!(correct))
        .add(RouteAccess::Manager, routes!(release))
        .add(RouteAccess::Manager, routes!(proctor_log))
        .add(RouteAccess::Administrator, routes!(audit))
        .add(RouteAccess::Administrator, routes!(security_events))
        .add(RouteAccess::Administrator, routes!(handle))
}

/// Page of attempts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AttemptQuery {
    /// The `next` of the previous page.
    before: Option<String>,
    /// Most rows in the page, 1 to 500.
    #[serde(default = "super::page")]
    limit: i64,
}

/// Attempts of an exam, newest first, with ranks.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/attempts", tag = "marking",
    params(("id" = i64, Path, description = "The exam"), AttemptQuery),
    responses((status = 200, body = AttemptPage)),
    security(("token" = []), ("cookie" = [])),
)]
async fn attempts(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    Query(query): Query<AttemptQuery>,
) -> Result<Json<AttemptPage>, Problem> {
    let before = query.before.as_deref();
    let page = manager
        .work(async |work| insight::list_attempts(work, id, before, query.limit).await)
        .await?;
    Ok(Json(page))
}

/// Statistics of an exam and its questions, as of the last refresh.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/statistics", tag = "marking",
    params(("id" = i64, Path, description = "The exam")),
    responses((status = 200, body = ExamStatistics)),
    security(("token" = []), ("cookie" = [])),
)]
async fn statistics(
    manager: ManagementAccess,
    Path(id): Path<i64>,
) -> Result<Json<ExamStatistics>, Problem> {
    let statistics = manager
        .work(async |work| insight::exam_statistics(work, id).await)
        .await?;
    Ok(Json(statistics))
}

/// Filter of answers to mark.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct MarkingQueueQuery {
    /// Id of the question within the exam.
    question: Option<String>,
    /// Most answers, 1 to 500.
    #[serde(default = "super::page")]
    limit: i64,
}

/// Answers that wait for a mark, without their candidates.
#[derive(Serialize, ToSchema)]
#[schema(as = Queue)]
struct MarkingQueue {
    items: Vec<GradingQueueItem>,
}

/// Answers that wait for a mark, question by question.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/marking", tag = "marking",
    params(("id" = i64, Path, description = "The exam"), MarkingQueueQuery),
    responses((status = 200, body = MarkingQueue)),
    security(("token" = []), ("cookie" = [])),
)]
async fn queue(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    Query(query): Query<MarkingQueueQuery>,
) -> Result<Json<MarkingQueue>, Problem> {
    let question = query.question.as_deref();
    let items = manager
        .work(async |work| marking::list_queue(work, id, question, query.limit).await)
        .await?;
    Ok(Json(MarkingQueue { items }))
}

/// Filter of the answer to mark.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Claim)]
struct ClaimRequest {
    /// Id of the question within the exam; none: any question.
    question: Option<String>,
}

/// Assigns the next unassigned answer to the caller, for an hour.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/marking/claim", tag = "marking",
    request_body = Option<ClaimRequest>,
    params(("id" = i64, Path, description = "The exam")),
    responses(
        (status = 200, description = "Null: no answer waits", body = Option<GradingQueueItem>),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn claim(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    JsonOrDefault(claim): JsonOrDefault<ClaimRequest>,
) -> Result<Json<Option<GradingQueueItem>>, Problem> {
    let waiting = manager
        .work(async |work| marking::claim_next(work, id, claim.question.as_deref()).await)
        .await?;
    Ok(Json(waiting))
}

/// Marks an answer, or changes the caller's mark.
#[utoipa::path(
    put, path = "/api/v1/manage/attempts/{attempt}/marks/{question}", tag = "marking",
    request_body = NewMark,
    params(
        ("attempt" = i64, Path, description = "The attempt"),
        ("question" = String, Path, description = "The question's id within the exam"),
    ),
    responses(
        (status = 200, body = MarkingOutcome),
        (status = 409, description = "`wrong_state`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn mark(
    manager: ManagementAccess,
    Path((attempt, question)): Path<(i64, String)>,
    Json(body): Json<Value>,
) -> Result<Json<MarkingOutcome>, Problem> {
    let settled = manager
        .work(async |work| {
            let new: NewMark = resource::parse_draft(body)?;
            marking::mark_answer(work, attempt, &question, &new).await
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
        (status = 200, body = MarkingOutcome),
        (status = 409, description = "`wrong_state`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn review_attempt(
    manager: ManagementAccess,
    Path(attempt): Path<i64>,
    Json(review): Json<AttemptReview>,
) -> Result<Json<MarkingOutcome>, Problem> {
    let settled = manager
        .work(async |work| marking::review_attempt(work, attempt, &review).await)
        .await?;
    Ok(Json(settled))
}

/// Mode of a correction.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CorrectionQuery {
    /// True for a preview, which lists the changed results and stores nothing.
    #[serde(default)]
    preview: bool,
}

/// Corrects the key of a question, and grades all attempts again.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/corrections", tag = "marking",
    request_body = KeyCorrection,
    params(("id" = i64, Path, description = "The exam"), CorrectionQuery),
    responses(
        (status = 200, body = RegradeReport),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn correct(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    Query(query): Query<CorrectionQuery>,
    Json(key): Json<KeyCorrection>,
) -> Result<Json<RegradeReport>, Problem> {
    let regraded = manager
        .work(async |work| {
            work.dry_run = query.preview;
            correction::correct_key(work, id, &key, query.preview).await
        })
        .await?;
    Ok(Json(regraded))
}

/// Releases results to their candidates.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/release", tag = "marking",
    request_body = Option<ResultRelease>,
    params(("id" = i64, Path, description = "The exam")),
    responses(
        (status = 200, body = ReleasedResults),
        (status = 409, description = "`wrong_state`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn release(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    JsonOrDefault(release): JsonOrDefault<ResultRelease>,
) -> Result<Json<ReleasedResults>, Problem> {
    let released = manager
        .work(async |work| marking::release_results(work, id, &release).await)
        .await?;
    Ok(Json(released))
}

/// Actions of proctors on the attempts of an exam, newest first.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/proctor-log", tag = "marking",
    params(("id" = i64, Path, description = "The exam"), AttemptQuery),
    responses((status = 200, body = LogRows)),
    security(("token" = []), ("cookie" = [])),
)]
async fn proctor_log(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    Query(query): Query<AttemptQuery>,
) -> Result<Json<LogRows>, Problem> {
    let items = manager
        .work(async |work| insight::proctor_log(work, id, query.limit).await)
        .await?;
    Ok(Json(LogRows { items }))
}

/// Filter of the audit trail.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Table of the changed rows.
    table: Option<String>,
    /// Id of the changed row.
    record: Option<String>,
    /// Person who made the changes.
    user_id: Option<i64>,
    /// Number that the entries are below.
    before: Option<i64>,
    /// Most entries, 1 to 500.
    #[serde(default = "super::page")]
    limit: i64,
}

/// Rows of a log, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Log)]
struct LogRows {
    #[schema(value_type = Vec<Object>)]
    items: Vec<Value>,
}

/// The audit trail: all changes, with their authors.
#[utoipa::path(
    get, path = "/api/v1/manage/audit", tag = "security", params(AuditQuery),
    responses((status = 200, body = LogRows)),
    security(("token" = []), ("cookie" = [])),
)]
async fn audit(
    manager: ManagementAccess,
    Query(query): Query<AuditQuery>,
) -> Result<Json<LogRows>, Problem> {
    let search = AuditSearch {
        table: query.table,
        record: query.record,
        user_id: query.user_id,
        before: query.before,
        limit: query.limit,
    };
    let items = manager
        .work(async |work| insight::search_audit(work, &search).await)
        .await?;
    Ok(Json(LogRows { items }))
}

/// Filter of security events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SecurityEventQuery {
    /// Status: `new`, `investigating`, `resolved` or `false_positive`.
    status: Option<String>,
    /// Most events, 1 to 500.
    #[serde(default = "super::page")]
    limit: i64,
}

/// Security events: possible attacks.
#[utoipa::path(
    get, path = "/api/v1/manage/security-events", tag = "security", params(SecurityEventQuery),
    responses((status = 200, body = LogRows)),
    security(("token" = []), ("cookie" = [])),
)]
async fn security_events(
    manager: ManagementAccess,
    Query(query): Query<SecurityEventQuery>,
) -> Result<Json<LogRows>, Problem> {
    let status = query.status.as_deref();
    let items = manager
        .work(async |work| insight::security_events(work, status, query.limit).await)
        .await?;
    Ok(Json(LogRows { items }))
}

/// Assigns or resolves a security event.
#[utoipa::path(
    put, path = "/api/v1/manage/security-events/{id}", tag = "security",
    request_body = SecurityEventUpdate,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "Its revision in quotes"),
    ),
    responses((status = 200, body = Object), (status = 412, body = problem::ProblemDetails,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn handle(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(handling): Json<SecurityEventUpdate>,
) -> Result<TaggedRow<Value>, Problem> {
    let row = manager
        .work(async |work| insight::update_security_event(work, id, revision, &handling).await)
        .await?;
    Ok(TaggedRow::ok(revision + 1, row))
}
