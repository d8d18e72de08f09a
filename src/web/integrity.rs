//! Routes of an exam's integrity: incidents, and events of clients.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::extract::State;
use invigil_protocol::proctor::IncidentView;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema, openapi};
use utoipa_axum::routes;

use super::{
    AppState,
    access::{AccessRole, require_staff},
    auth::CurrentPerson,
    extract::{Json, Path, Query},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_domain::{exam::EventSeverity, id::ExamCode, time::Timestamp};
use invigil_engine::CandidateIncident;
use invigil_store::records::{EventFilter, TimelineRecord};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::ExamStaff, routes!(incidents))
        .add(RouteAccess::ExamStaff, routes!(events))
}

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;

/// A position in a list from new to old: an instant, and an id to order those of the
/// same instant.
struct TimeCursor {
    at: Timestamp,
    id: String,
}

impl TimeCursor {
    fn from_text(text: &str) -> Option<Self> {
        let (at, id) = text.split_once('.')?;
        Some(Self {
            at: Timestamp::from_ms(at.parse().ok()?),
            id: id.to_owned(),
        })
    }

    fn to_text(at: Timestamp, id: &str) -> String {
        format!("{}.{id}", at.as_ms())
    }

    fn from_query(text: Option<&str>) -> Result<Option<Self>, Problem> {
        let wrong = || Problem::BadRequest("`before` must be the `next` of a page".to_owned());
        text.map(|text| Self::from_text(text).ok_or_else(wrong))
            .transpose()
    }
}

fn page_limit(wanted: Option<u32>) -> u32 {
    wanted.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
}

/// Filter and page of incidents.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct IncidentsQuery {
    /// Only incidents that wait for a verdict.
    #[serde(default)]
    open: bool,
    /// The `next` of the previous page.
    before: Option<String>,
    /// Items in the page, at most 1000; the default is 100.
    limit: Option<u32>,
}

/// Incidents of an exam, the one with the newest event first.
#[derive(Serialize, ToSchema)]
struct ExamIncidents {
    incidents: Vec<ExamIncident>,
    /// `before` of the next page; null at the end.
    next: Option<String>,
}

/// An incident with its candidate.
#[derive(Serialize, ToSchema)]
struct ExamIncident {
    attempt: String,
    /// The candidate's id.
    candidate: String,
    /// The candidate's name.
    name: String,
    #[schema(schema_with = incident_schema)]
    incident: IncidentView,
}

fn incident_schema() -> openapi::Ref {
    openapi::Ref::from_schema_name("IncidentInfo")
}

impl From<CandidateIncident> for ExamIncident {
    fn from(found: CandidateIncident) -> Self {
        Self {
            attempt: found.attempt.to_string(),
            candidate: found.candidate.to_string(),
            name: found.name,
            incident: found.incident,
        }
    }
}

/// Incidents of an exam, from its attempts, of the candidates that the caller may
/// see.
#[utoipa::path(
    get, path = "/api/v1/exams/{code}/incidents", tag = "exams",
    params(("code" = String, Path, description = "The exam"), IncidentsQuery),
    responses(
        (status = 200, body = ExamIncidents),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn incidents(
    State(app): State<AppState>,
    CurrentPerson(person): CurrentPerson,
    Path(code): Path<ExamCode>,
    Query(query): Query<IncidentsQuery>,
) -> Result<Json<ExamIncidents>, Problem> {
    require_staff(&(&person).into(), &code, AccessRole::Proctor)?;
    let before = TimeCursor::from_query(query.before.as_deref())?;
    let limit = page_limit(query.limit) as usize;
    let mut found = app
        .engine
        .exam_incidents(&code, &person.candidate_scope())
        .await?;
    let place = |one: &CandidateIncident| {
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
        TimeCursor::to_text(Timestamp::from_ms(at), &id)
    });
    let incidents = found.into_iter().map(ExamIncident::from).collect();
    Ok(Json(ExamIncidents { incidents, next }))
}

/// Filter and page of events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Kind of the events, such as `focus_lost`.
    kind: Option<String>,
    /// Least severity: `low`, `medium`, `high` or `critical`.
    severity: Option<String>,
    /// The `next` of the previous page.
    before: Option<String>,
    /// Items in the page, at most 1000; the default is 100.
    limit: Option<u32>,
}

/// Events of an exam, newest first.
#[derive(Serialize, ToSchema)]
struct ExamEvents {
    events: Vec<ExamEvent>,
    /// `before` of the next page; null at the end.
    next: Option<String>,
}

/// Event of a client.
#[derive(Serialize, ToSchema)]
struct ExamEvent {
    attempt: String,
    /// Milliseconds since the Unix epoch, by the engine's clock.
    at: i64,
    kind: String,
    /// Severity by the rules at that time; null: no rule applied.
    severity: Option<&'static str>,
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl From<TimelineRecord> for ExamEvent {
    fn from(record: TimelineRecord) -> Self {
        Self {
            attempt: record.attempt.to_string(),
            at: record.at.as_ms(),
            kind: record.kind,
            severity: record.severity.map(EventSeverity::as_str),
            // The store holds JSON objects only; null shows a damaged entry.
            data: RawValue::from_string(record.data.to_string()).unwrap_or_default(),
        }
    }
}

/// Events of an exam from the store of records, of the candidates that the caller
/// may see. Without a store of records, events are only in the timelines of
/// attempts, and the response is 404.
#[utoipa::path(
    get, path = "/api/v1/exams/{code}/events", tag = "exams",
    params(("code" = String, Path, description = "The exam"), EventsQuery),
    responses(
        (status = 200, body = ExamEvents),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn events(
    State(app): State<AppState>,
    CurrentPerson(person): CurrentPerson,
    Path(code): Path<ExamCode>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<ExamEvents>, Problem> {
    require_staff(&(&person).into(), &code, AccessRole::Proctor)?;
    let wrong =
        || Problem::BadRequest("`severity` must be low, medium, high or critical".to_owned());
    let severity = query.severity.as_deref();
    let least = severity.map(|name| EventSeverity::from_name(name).ok_or_else(wrong));
    let before = TimeCursor::from_query(query.before.as_deref())?;
    let limit = page_limit(query.limit);
    let wanted = EventFilter {
        exam: code,
        kind: query.kind,
        min_severity: least.transpose()?,
        attempts: None,
        before: before.map(|before| (before.at, before.id)),
        limit,
    };
    let events = app
        .engine
        .exam_events(wanted, &person.candidate_scope())
        .await?;
    let events = events.ok_or(Problem::NotFound)?;
    let full = events.len() >= limit as usize;
    let next = events.last().filter(|_| full);
    let next = next.map(|last| TimeCursor::to_text(last.at, &last.id));
    let events = events.into_iter().map(ExamEvent::from).collect();
    Ok(Json(ExamEvents { events, next }))
}
