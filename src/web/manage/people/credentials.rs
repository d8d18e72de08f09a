//! Routes of passwords and access codes.

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::web::{
    AppState,
    extract::{Json, Path},
    manage::ManagementAccess,
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
    token,
};
use invigil_management::{ManagementError, ids::UserId, people};
use invigil_secrets::password;

/// Least characters of an access code that staff sets.
const CODE_CHARS_MIN: usize = 4;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Administrator, routes!(set_credentials))
        .add(RouteAccess::OwnAccount, routes!(set_own_password))
}

/// New credentials of a person; a missing field stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCredentials {
    /// New password, of at least 8 characters.
    password: Option<String>,
    /// New access code, of at least 4 characters.
    code: Option<String>,
}

/// Sets a person's password or access code, and ends all log-ins.
#[utoipa::path(
    put, path = "/api/v1/manage/people/{id}/credentials", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    request_body = NewCredentials,
    responses((status = 204, description = "Set"), (status = 404, body = problem::ProblemDetails,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_credentials(
    State(app): State<AppState>,
    manager: ManagementAccess,
    Path(id): Path<UserId>,
    Json(body): Json<NewCredentials>,
) -> Result<StatusCode, Problem> {
    let hash = match body.password {
        Some(password) => Some(hash_password(password).await?),
        None => None,
    };
    let code = body.code.as_deref();
    if code.is_some_and(|code| code.chars().count() < CODE_CHARS_MIN) {
        let message = format!("must have {CODE_CHARS_MIN} characters or more");
        return Err(ManagementError::invalid_field("code", message).into());
    }
    let hashed = |username: &str| {
        let person = username.into();
        code.map(|code| token::access_code_hash(&app.access_code_key, &person, code))
    };
    manager
        .work(async |work| people::set_credentials(work, id, hash.as_deref(), hashed).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn hash_password(password: String) -> Result<String, Problem> {
    if password.chars().count() < password::CHARS_MIN {
        let message = format!("must have {} characters or more", password::CHARS_MIN);
        return Err(ManagementError::invalid_field("password", message).into());
    }
    Ok(password::hash_password(password)
        .await
        .map_err(ManagementError::internal)?)
}

/// Change of the caller's password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The current password, unless the caller has none.
    current: Option<String>,
    /// New password, of at least 8 characters.
    new: String,
}

/// Changes the caller's password, and ends the caller's other log-ins.
#[utoipa::path(
    put, path = "/api/v1/manage/me/password", tag = "people", request_body = PasswordChange,
    responses(
        (status = 204, description = "Changed"),
        (status = 401, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_own_password(
    manager: ManagementAccess,
    Json(body): Json<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let stored = manager
        .own_work(async |work| people::own_password_hash(work).await)
        .await?;
    if stored.is_some()
        && !password::verify_password(body.current.unwrap_or_default(), stored).await
    {
        return Err(Problem::WrongCredentials);
    }
    let hash = hash_password(body.new).await?;
    manager
        .own_work(async |work| people::set_own_password(work, &hash).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
