//! Routes of the audit trail and of the log of proctors.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{ManagementAccess, marking::AttemptQuery};
use crate::web::{
    extract::{Json, Path, Query},
    problem::Problem,
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    audit::{self, model::AuditSearch},
    ids::{AuditEntryId, ExamId, UserId},
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(proctor_log))
        .add(RouteAccess::Administrator, routes!(audit))
}

/// Rows of a log, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Log)]
pub(super) struct LogRows {
    #[schema(value_type = Vec<Object>)]
    pub(super) items: Vec<Value>,
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
    Path(id): Path<ExamId>,
    Query(query): Query<AttemptQuery>,
) -> Result<Json<LogRows>, Problem> {
    let items = manager
        .work(async |work| audit::proctor_log(work, id, query.limit).await)
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
        user_id: query.user_id.map(UserId),
        before: query.before.map(AuditEntryId),
        limit: query.limit,
    };
    let items = manager
        .work(async |work| audit::search_audit(work, &search).await)
        .await?;
    Ok(Json(LogRows { items }))
}
