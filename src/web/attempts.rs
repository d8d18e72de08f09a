//! One attempt: how it stands, its answers, the exchange without a socket, and
//! after the hand-in its result and receipt.

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::header,
    response::IntoResponse,
};
use invigil_protocol::codec;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState,
    access::Standing,
    auth::Caller,
    client::ClientAddress,
    extract::{Json, Path, Query},
    problem::{self, Problem},
};
use crate::{
    domain::{grading::Key, id::AttemptId, release::is_released},
    engine::ExchangeRefusal,
    store::TimelineRow,
};

/// Entries of a timeline in one answer, where the request does not say, and at most.
const TIMELINE_DEFAULT: u32 = 100;
const TIMELINE_MAX: u32 = 1000;

pub(super) fn routes(answer_bytes: usize) -> OpenApiRouter<AppState> {
    let exchange = OpenApiRouter::new()
        .routes(routes!(exchange))
        .layer(DefaultBodyLimit::max(answer_bytes.saturating_mul(4)));
    OpenApiRouter::new()
        .routes(routes!(view))
        .routes(routes!(answers))
        .routes(routes!(result))
        .routes(routes!(receipt))
        .routes(routes!(receipt_key))
        .routes(routes!(timeline))
        .merge(exchange)
}

/// How an attempt stands.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, body = ref("#/components/schemas/AttemptView")),
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn view(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AttemptId>,
) -> Result<impl IntoResponse, Problem> {
    app.attempt(&caller, id).await?;
    app.engine
        .view(id)
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
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn answers(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AttemptId>,
) -> Result<impl IntoResponse, Problem> {
    match app.attempt(&caller, id).await?.0 {
        Standing::Owner | Standing::Teacher => app
            .engine
            .answers(id)
            .await?
            .map(Json)
            .ok_or(Problem::NotFound),
        Standing::Proctor => Err(Problem::Forbidden),
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
        (status = 403, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 409, description = "`superseded`: another session owns the attempt",
            body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 413, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = [])),
)]
async fn exchange(
    State(app): State<AppState>,
    caller: Caller,
    ClientAddress(address): ClientAddress,
    Path(id): Path<AttemptId>,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Problem> {
    app.own_attempt(&caller, id).await?;
    let body = body?;
    let request =
        codec::decode_exchange(&body).map_err(|error| Problem::BadRequest(error.to_string()))?;
    // What was decoded as JSON is text.
    let json = str::from_utf8(&body).unwrap_or_default();
    Ok(Json(app.engine.exchange(id, request, json, address).await?))
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

/// Score, grade and each question's points, for the candidate where the exam
/// shows them, and for teachers.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/result", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, body = ref("#/components/schemas/ResultView")),
        (status = 403, description = "`not_released`, or `forbidden` for proctors",
            body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 404, description = "`not_found`, or `not_handed_in`",
            body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn result(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AttemptId>,
) -> Result<impl IntoResponse, Problem> {
    let (standing, summary) = app.attempt(&caller, id).await?;
    let exam = app
        .engine
        .exam_version(&summary.identity.exam_version)
        .await?;
    let key = match standing {
        Standing::Proctor => return Err(Problem::Forbidden),
        Standing::Owner
            if !is_released(
                &exam,
                summary.control.status,
                summary.released,
                app.engine.now(),
            ) =>
        {
            return Err(Problem::NotReleased);
        }
        Standing::Owner => Key::for_candidate(&exam),
        Standing::Teacher => Key::Shown,
    };
    let result = app.engine.result(id, key).await?;
    result.map(Json).ok_or(Problem::NotHandedIn)
}

/// The signed hand-in receipt, byte for byte as it was signed.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/receipt", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, description = "See `docs/receipts.md`", body = serde_json::Value),
        (status = 404, description = "`not_found`, or `not_handed_in`",
            body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn receipt(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AttemptId>,
) -> Result<impl IntoResponse, Problem> {
    app.attempt(&caller, id).await?;
    let receipt = app.engine.receipt(id).await?.ok_or(Problem::NotHandedIn)?;
    Ok((
        [(header::CONTENT_TYPE, "application/json")],
        receipt.to_string(),
    ))
}

/// The key that receipts of this installation are verified with.
#[derive(Serialize, ToSchema)]
struct ReceiptKey {
    /// `Ed25519`.
    alg: &'static str,
    /// 32 bytes, standard base64 with padding.
    public_key: String,
}

/// The public key of receipts. It is no secret, and the same for good.
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

/// A part of a timeline.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TimelineQuery {
    /// The cursor: only entries after this number.
    #[serde(default)]
    after: u64,
    /// How many, at most 1000; 100 where it is missing.
    limit: Option<u32>,
}

/// Entries of a timeline, oldest first.
#[derive(Serialize, ToSchema)]
struct Timeline {
    events: Vec<TimelineEvent>,
    /// The `after` of the rest; null where there is none yet.
    next: Option<u64>,
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
struct TimelineEvent {
    /// Rising within the attempt.
    number: u64,
    /// Milliseconds since the Unix epoch, by the engine's clock.
    at: i64,
    /// Such as `answer`, `connected`, `refused`, `focus_lost`.
    kind: String,
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl TimelineEvent {
    fn new(row: TimelineRow) -> Self {
        // The store holds objects only; null would show that it does not.
        let data = RawValue::from_string(row.data.to_string()).unwrap_or_default();
        Self {
            number: row.number,
            at: row.at.as_ms(),
            kind: row.kind,
            data,
        }
    }
}

/// Everything that happened to an attempt, for staff. Proctors see when which question
/// was answered, and not what.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/timeline", tag = "attempts",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, body = Timeline),
        (status = 403, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn timeline(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AttemptId>,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<Timeline>, Problem> {
    let standing = app.attempt(&caller, id).await?.0;
    if standing == Standing::Owner {
        return Err(Problem::Forbidden);
    }
    let limit = query
        .limit
        .unwrap_or(TIMELINE_DEFAULT)
        .clamp(1, TIMELINE_MAX);
    let mut rows = app.engine.timeline(id, query.after, limit).await?;
    if standing == Standing::Proctor {
        for row in &mut rows {
            *row = row.without_answer().into_owned();
        }
    }
    let full = rows.len() >= limit as usize;
    let next = rows.last().map(|row| row.number).filter(|_| full);
    Ok(Json(Timeline {
        events: rows.into_iter().map(TimelineEvent::new).collect(),
        next,
    }))
}
