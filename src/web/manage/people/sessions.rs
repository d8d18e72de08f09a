//! Routes of log-ins, a person's and the caller's own.

use axum::http::StatusCode;
use utoipa_axum::routes;

use super::dto::LoginView;
use crate::web::{
    extract::{Json, Path, Query},
    manage::{ManagementAccess, PageOf, PageQuery},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    ids::{LoginId, UserId},
    people,
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(
            RouteAccess::Administrator,
            routes!(list_sessions, end_sessions),
        )
        .add(RouteAccess::Administrator, routes!(end_session))
        .add(RouteAccess::OwnAccount, routes!(list_own_sessions))
        .add(RouteAccess::OwnAccount, routes!(end_own_session))
}

/// Ends every log-in of a person.
#[utoipa::path(
    delete, path = "/api/v1/manage/people/{id}/sessions", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    responses((status = 204, description = "Signed out everywhere")),
    security(("token" = []), ("cookie" = [])),
)]
async fn end_sessions(
    manager: ManagementAccess,
    Path(id): Path<UserId>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| {
            work.require_admin()?;
            people::end_logins(work, id).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The valid log-ins of a person.
#[utoipa::path(
    get, path = "/api/v1/manage/people/{id}/sessions", tag = "people",
    params(("id" = i64, Path, description = "The person"), PageQuery),
    responses(
        (status = 200, body = PageOf<LoginView>),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_sessions(
    manager: ManagementAccess,
    Path(id): Path<UserId>,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageOf<LoginView>>, Problem> {
    let at = manager.requested_at();
    let page = manager
        .work(async |work| {
            work.require_admin()?;
            people::list_logins(work, id, (&page).into(), at).await
        })
        .await?;
    Ok(Json(page.into()))
}

/// Ends a log-in of a person.
#[utoipa::path(
    delete, path = "/api/v1/manage/people/{id}/sessions/{session}", tag = "people",
    params(
        ("id" = i64, Path, description = "The person"),
        ("session" = i64, Path, description = "The log-in"),
    ),
    responses(
        (status = 204, description = "Signed out there"),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn end_session(
    manager: ManagementAccess,
    Path((id, session)): Path<(UserId, LoginId)>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| {
            work.require_admin()?;
            people::end_login(work, id, session).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The valid log-ins of the caller.
#[utoipa::path(
    get, path = "/api/v1/manage/me/sessions", tag = "people", params(PageQuery),
    responses((status = 200, body = PageOf<LoginView>)),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_own_sessions(
    manager: ManagementAccess,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageOf<LoginView>>, Problem> {
    let at = manager.requested_at();
    let page = manager
        .own_work(async |work| people::list_logins(work, work.user_id, (&page).into(), at).await)
        .await?;
    Ok(Json(page.into()))
}

/// Ends a log-in of the caller.
#[utoipa::path(
    delete, path = "/api/v1/manage/me/sessions/{session}", tag = "people",
    params(("session" = i64, Path, description = "The log-in")),
    responses(
        (status = 204, description = "Signed out there"),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn end_own_session(
    manager: ManagementAccess,
    Path(session): Path<LoginId>,
) -> Result<StatusCode, Problem> {
    manager
        .own_work(async |work| people::end_login(work, work.user_id, session).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
