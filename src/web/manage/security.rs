//! Routes of security events.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{IfMatch, ManagementAccess, TaggedRow, audit::LogRows};
use crate::web::{
    extract::{Json, Path, Query},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    ManagementError,
    ids::{SecurityEventId, UserId},
    security::{
        self,
        model::{SecurityEventStatus, SecurityEventUpdate},
    },
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Administrator, routes!(security_events))
        .add(RouteAccess::Administrator, routes!(handle))
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
        .work(async |work| security::list_security_events(work, status, query.limit).await)
        .await?;
    Ok(Json(LogRows { items }))
}

/// An assignment or resolution of a security event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Handling)]
struct HandlingBody {
    /// `new`, `investigating`, `resolved` or `false_positive`.
    status: String,
    /// Number of the person who investigates it.
    #[serde(default)]
    assigned_to: Option<i64>,
    /// Findings.
    #[serde(default)]
    notes: String,
}

impl TryFrom<HandlingBody> for SecurityEventUpdate {
    type Error = ManagementError;

    fn try_from(body: HandlingBody) -> Result<Self, ManagementError> {
        Ok(Self {
            status: SecurityEventStatus::from_field("status", &body.status)?,
            assigned_to: body.assigned_to.map(UserId),
            notes: body.notes,
        })
    }
}

/// Assigns or resolves a security event.
#[utoipa::path(
    put, path = "/api/v1/manage/security-events/{id}", tag = "security",
    request_body = HandlingBody,
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
    Path(id): Path<SecurityEventId>,
    IfMatch(revision): IfMatch,
    Json(handling): Json<HandlingBody>,
) -> Result<TaggedRow<Value>, Problem> {
    let row = manager
        .work(async |work| {
            // Before the body is judged: others learn nothing of it.
            work.require_admin()?;
            let update = handling.try_into()?;
            security::update_security_event(work, id, revision, &update).await
        })
        .await?;
    Ok(TaggedRow::ok(revision + 1, row))
}
