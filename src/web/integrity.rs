//! What proctoring found in a whole exam: incidents, and what clients noticed.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::extract::State;
use invigil_protocol::proctor::IncidentInfo;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema, openapi};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState,
    access::{Standing, require_staff},
    auth::SignedIn,
    extract::{Json, Path, Query},
    problem::{self, Problem},
};
use crate::{
    domain::{exam::Severity, id::ExamCode, time::Timestamp},
    engine::FoundIncident,
    store::records::{EventFilter, Record},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(incidents))
        .routes(routes!(events))
}

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;

/// A place in a list that goes from new to old: a time, and what tells apart those
/// of the same time.
struct Cursor {
    at: Timestamp,
    id: String,
}

impl Cursor {
    fn read(text: &str) -> Option<Self> {
        let (at, id) = text.split_once('.')?;
        Some(Self {
            at: Timestamp::from_ms(at.parse().ok()?),
            id: id.to_owned(),
        })
    }

    fn write(at: Timestamp, id: &str) -> String {
        format!("{}.{id}", at.as_ms())
    }

    fn parse(text: Option<&str>) -> Result<Option<Self>, Problem> {
        let wrong = || Problem::BadRequest("`before` is no cursor".to_owned());
        text.map(|text| Self::read(text).ok_or_else(wrong))
            .transpose()
    }
}

fn limit(wanted: Option<u32>) -> u32 {
    wanted.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
}

/// Which incidents.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct IncidentsQuery {
    /// Only those that wait for a person.
    #[serde(default)]
    open: bool,
    /// The cursor: the `next` of the page before.
    before: Option<String>,
    /// How many, at most 1000; 100 where it is missing.
    limit: Option<u32>,
}

/// Incidents of an exam, the one with the newest event first.
#[derive(Serialize, ToSchema)]
struct ExamIncidents {
    incidents: Vec<ExamIncident>,
    /// The `before` of the rest; null where there is none.
    next: Option<String>,
}

/// An incident, and whose it is.
#[derive(Serialize, ToSchema)]
struct ExamIncident {
    attempt: String,
    /// The candidate's id.
    candidate: String,
    /// The candidate's name.
    name: String,
    #[schema(schema_with = incident_schema)]
    incident: IncidentInfo,
}

fn incident_schema() -> openapi::Ref {
    openapi::Ref::from_schema_name("IncidentInfo")
}

impl From<FoundIncident> for ExamIncident {
    fn from(found: FoundIncident) -> Self {
        Self {
            attempt: found.attempt.to_string(),
            candidate: found.candidate.to_string(),
            name: found.name,
            incident: found.incident,
        }
    }
}

/// Incidents of an exam, as the attempts have them: of the candidates that the
/// caller sees.
#[utoipa::path(
    get, path = "/api/v1/exams/{code}/incidents", tag = "exams",
    params(("code" = String, Path, description = "The exam"), IncidentsQuery),
    responses(
        (status = 200, body = ExamIncidents),
        (status = 403, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn incidents(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Path(code): Path<ExamCode>,
    Query(query): Query<IncidentsQuery>,
) -> Result<Json<ExamIncidents>, Problem> {
    require_staff(&person, &code, Standing::Proctor)?;
    let before = Cursor::parse(query.before.as_deref())?;
    let limit = limit(query.limit) as usize;
    let mut found = app.engine.incidents(&code, &person.candidates()).await?;
    let place = |one: &FoundIncident| {
        let id = format!("{}:{}", one.attempt, one.incident.id);
        (one.incident.last_at, id)
    };
    found.retain(|one| {
        let before = before.as_ref();
        (one.incident.open || !query.open)
            && before.is_none_or(|before| place(one) < (before.at.as_ms(), before.id.clone()))
    });
    found.sort_by_cached_key(|one| std::cmp::Reverse(place(one)));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| {
        let (at, id) = place(last);
        Cursor::write(Timestamp::from_ms(at), &id)
    });
    let incidents = found.into_iter().map(ExamIncident::from).collect();
    Ok(Json(ExamIncidents { incidents, next }))
}

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Only of this kind, such as `focus_lost`.
    kind: Option<String>,
    /// Only as grave as this, or graver: `low`, `medium`, `high` or `critical`.
    severity: Option<String>,
    /// The cursor: the `next` of the page before.
    before: Option<String>,
    /// How many, at most 1000; 100 where it is missing.
    limit: Option<u32>,
}

/// What clients noticed in an exam, newest first.
#[derive(Serialize, ToSchema)]
struct ExamEvents {
    events: Vec<ExamEvent>,
    /// The `before` of the rest; null where there is none.
    next: Option<String>,
}

/// Something that a client noticed.
#[derive(Serialize, ToSchema)]
struct ExamEvent {
    attempt: String,
    /// Milliseconds since the Unix epoch, by the engine's clock.
    at: i64,
    kind: String,
    /// By the rules of then; null: no rule is about it.
    severity: Option<&'static str>,
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl From<Record> for ExamEvent {
    fn from(record: Record) -> Self {
        Self {
            attempt: record.attempt.to_string(),
            at: record.at.as_ms(),
            kind: record.kind,
            severity: record.severity.map(Severity::as_str),
            // The store holds objects only; null would show that it does not.
            data: RawValue::from_string(record.data.to_string()).unwrap_or_default(),
        }
    }
}

/// What clients noticed in an exam, out of the store of records: those of the
/// candidates that the caller sees. Where no store is configured, events are in the
/// timelines of attempts alone, and this is 404.
#[utoipa::path(
    get, path = "/api/v1/exams/{code}/events", tag = "exams",
    params(("code" = String, Path, description = "The exam"), EventsQuery),
    responses(
        (status = 200, body = ExamEvents),
        (status = 403, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn events(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    Path(code): Path<ExamCode>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<ExamEvents>, Problem> {
    require_staff(&person, &code, Standing::Proctor)?;
    let wrong = || Problem::BadRequest("`severity` is none that there is".to_owned());
    let severity = query.severity.as_deref();
    let least = severity.map(|name| Severity::from_name(name).ok_or_else(wrong));
    let before = Cursor::parse(query.before.as_deref())?;
    let limit = limit(query.limit);
    let wanted = EventFilter {
        exam: code,
        kind: query.kind,
        least: least.transpose()?,
        attempts: None,
        before: before.map(|before| (before.at, before.id)),
        limit,
    };
    let events = app.engine.events(wanted, &person.candidates()).await?;
    let events = events.ok_or(Problem::NotFound)?;
    let full = events.len() >= limit as usize;
    let next = events.last().filter(|_| full);
    let next = next.map(|last| Cursor::write(last.at, &last.id));
    let events = events.into_iter().map(ExamEvent::from).collect();
    Ok(Json(ExamEvents { events, next }))
}
