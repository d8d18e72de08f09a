//! Routes of one attempt: status, answers, the exchange without a socket, and
//! after the hand-in result and receipt.

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::header,
    response::IntoResponse,
};
use invigil_protocol::codec;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    AppState,
    access::AccessRole,
    auth::Caller,
    client::ClientAddress,
    extract::{Json, Path, Query},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_domain::{grading::KeyVisibility, id::AttemptId, release::is_result_visible};
use invigil_engine::ExchangeRefusal;
use invigil_store::TimelineRow;

/// Entries in one page of a timeline: the default, and the most.
const TIMELINE_DEFAULT: u32 = 100;
const TIMELINE_MAX: u32 = 1000;

pub(super) fn routes(answer_bytes: usize) -> GuardedRoutes {
    let exchange = GuardedRoutes::new()
        .add(RouteAccess::Owner, routes!(exchange))
        .limit_bodies(answer_bytes.saturating_mul(4));
    GuardedRoutes::new()
        .add(RouteAccess::Attempt, routes!(view))
        .add(RouteAccess::Attempt, routes!(answers))
        .add(RouteAccess::Attempt, routes!(result))
        .add(RouteAccess::Attempt, routes!(receipt))
        .add(RouteAccess::Public, routes!(receipt_key))
        .add(RouteAccess::ExamStaff, routes!(timeline))
        .merge(exchange)
}

/// Status of an attempt.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, body = ref("#/components/schemas/AttemptView")),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn view(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<AttemptId>,
) -> Result<impl IntoResponse, Problem> {
    app.visible_attempt(&caller, id).await?;
    app.engine
        .attempt_view(id)
        .await?
        .map(Json)
        .ok_or(Problem::NotFound)
}

/// The stored answers, for the candidate and for teachers.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/answers", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, body = ref("#/components/schemas/StoredAnswers")),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn answers(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<AttemptId>,
) -> Result<impl IntoResponse, Problem> {
    match app.visible_attempt(&caller, id).await?.0 {
        AccessRole::Owner | AccessRole::Teacher => app
            .engine
            .current_answers(id)
            .await?
            .map(Json)
            .ok_or(Problem::NotFound),
        AccessRole::Proctor => Err(Problem::Forbidden),
    }
}

/// Commands and signals without a socket.
#[utoipa::path(
    post, path = "/api/v1/attempts/{id}/exchange", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    request_body(content = ref("#/components/schemas/ExchangeRequest")),
    responses(
        (status = 200, description = "The commands are durable",
            body = ref("#/components/schemas/ExchangeReply")),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 409, description = "`superseded`: another session owns the attempt",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 413, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = [])),
)]
async fn exchange(
    State(app): State<AppState>,
    Caller(caller): Caller,
    ClientAddress(address): ClientAddress,
    Path(id): Path<AttemptId>,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Problem> {
    app.require_owner(&caller, id).await?;
    let body = body?;
    let request =
        codec::decode_exchange(&body).map_err(|error| Problem::BadRequest(error.to_string()))?;
    // The body was decoded as JSON, so it is text.
    let json = str::from_utf8(&body).unwrap_or_default();
    Ok(Json(
        app.engine.run_exchange(id, request, json, address).await?,
    ))
}

impl From<ExchangeRefusal> for Problem {
    fn from(refusal: ExchangeRefusal) -> Self {
        match refusal {
            ExchangeRefusal::Superseded => Self::Superseded,
            ExchangeRefusal::Closed => Self::Closed,
            ExchangeRefusal::AnotherDevice => Self::AnotherDevice,
            ExchangeRefusal::Forbidden(refusal) => refusal.into(),
            ExchangeRefusal::Unavailable => Self::Unavailable,
        }
    }
}

/// Score, grade and each question's points, for teachers, and for the candidate
/// if the exam shows them.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/result", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, body = ref("#/components/schemas/ResultView")),
        (status = 403, description = "`not_released`, or `forbidden` for proctors",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, description = "`not_found`, or `not_handed_in`",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn result(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<AttemptId>,
) -> Result<impl IntoResponse, Problem> {
    let (standing, summary) = app.visible_attempt(&caller, id).await?;
    let exam = app
        .engine
        .exam_version(&summary.identity.exam_version)
        .await?;
    let key = match standing {
        AccessRole::Proctor => return Err(Problem::Forbidden),
        AccessRole::Owner
            if !is_result_visible(
                &exam,
                summary.control.status,
                summary.released,
                app.engine.now(),
            ) =>
        {
            return Err(Problem::NotReleased);
        }
        AccessRole::Owner => KeyVisibility::for_candidate(&exam),
        AccessRole::Teacher => KeyVisibility::Shown,
    };
    let result = app.engine.attempt_result(id, key).await?;
    result.map(Json).ok_or(Problem::NotHandedIn)
}

/// The signed hand-in receipt, byte for byte as it was signed.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/receipt", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, description = "See `docs/receipts.md`", body = serde_json::Value),
        (status = 404, description = "`not_found`, or `not_handed_in`",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn receipt(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<AttemptId>,
) -> Result<impl IntoResponse, Problem> {
    app.visible_attempt(&caller, id).await?;
    let receipt = app.engine.receipt(id).await?.ok_or(Problem::NotHandedIn)?;
    Ok((
        [(header::CONTENT_TYPE, "application/json")],
        receipt.to_string(),
    ))
}

/// The key that verifies receipts of this installation.
#[derive(Serialize, ToSchema)]
struct ReceiptKey {
    /// `Ed25519`.
    alg: &'static str,
    /// 32 bytes, standard base64 with padding.
    public_key: String,
}

/// The public key of receipts, which never changes.
#[utoipa::path(
    get, path = "/api/v1/receipts/key", tag = "attempts",
    responses((status = 200, body = ReceiptKey)),
)]
async fn receipt_key(State(app): State<AppState>) -> Json<ReceiptKey> {
    Json(ReceiptKey {
        alg: "Ed25519",
        public_key: app.engine.receipt_key(),
    })
}

/// Page of a timeline.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TimelineQuery {
    /// Number of the entry before the page; the `next` of the previous page.
    #[serde(default)]
    after: u64,
    /// Entries in the page, at most 1000; the default is 100.
    limit: Option<u32>,
}

/// Entries of a timeline, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Timeline)]
struct TimelinePage {
    events: Vec<TimelineItem>,
    /// `after` of the next page; null at the end.
    next: Option<u64>,
}

/// An entry of a timeline.
#[derive(Serialize, ToSchema)]
#[schema(as = TimelineEvent)]
struct TimelineItem {
    /// Number of the entry, rising within the attempt.
    number: u64,
    /// Instant in milliseconds since the Unix epoch, by the engine's clock.
    at: i64,
    /// Kind of the entry, such as `answer`, `connected`, `refused`, `focus_lost`.
    kind: String,
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl TimelineItem {
    fn new(row: TimelineRow) -> Self {
        // The store holds JSON objects only; null shows a damaged entry.
        let data = RawValue::from_string(row.data.to_string()).unwrap_or_default();
        Self {
            number: row.number,
            at: row.at.as_ms(),
            kind: row.kind,
            data,
        }
    }
}

/// Timeline of an attempt, for staff. Proctors see which question was answered and when,
/// but not the answer.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/timeline", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, body = TimelinePage),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn timeline(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<AttemptId>,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<TimelinePage>, Problem> {
    let standing = app.visible_attempt(&caller, id).await?.0;
    if standing == AccessRole::Owner {
        return Err(Problem::Forbidden);
    }
    let limit = query
        .limit
        .unwrap_or(TIMELINE_DEFAULT)
        .clamp(1, TIMELINE_MAX);
    let mut rows = app.engine.timeline(id, query.after, limit).await?;
    if standing == AccessRole::Proctor {
        for row in &mut rows {
            *row = row.without_answer().into_owned();
        }
    }
    let full = rows.len() >= limit as usize;
    let next = rows.last().map(|row| row.number).filter(|_| full);
    Ok(Json(TimelinePage {
        events: rows.into_iter().map(TimelineItem::new).collect(),
        next,
    }))
}
