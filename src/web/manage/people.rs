//! Routes of people, their credentials, roles, private data and log-ins.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

mod rows;

use std::fmt::Write as _;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::TaggedRow;
use super::{ManagementAccess, PageOf, PageQuery};
use crate::web::{
    AppState,
    extract::{Json, Path, Query},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
    token,
};
use invigil_domain::{person::ExamScope, roster};
use invigil_management::{
    FieldFault, ManagementError,
    people::{
        self as domain, ActiveLogin, ImportSummary, PersonImportRow, PersonRecord, PersonResource,
        PrivateFields, RoleAssignment,
    },
    resource,
};
use invigil_secrets::password;

/// Least characters of an access code that staff sets.
const CODE_CHARS_MIN: usize = 4;

/// Largest roster: 50,000 people with long names.
const ROSTER_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .merge(rows::routes())
        .merge(
            GuardedRoutes::new()
                .add(RouteAccess::Administrator, routes!(import))
                .limit_bodies(ROSTER_BYTES_MAX),
        )
        .add(RouteAccess::Administrator, routes!(set_credentials))
        .add(RouteAccess::OwnAccount, routes!(set_own_password))
        .add(
            RouteAccess::Administrator,
            routes!(read_private, set_private),
        )
        .add(RouteAccess::Administrator, routes!(set_roles))
        .add(
            RouteAccess::Administrator,
            routes!(list_sessions, end_sessions),
        )
        .add(RouteAccess::Administrator, routes!(end_session))
        .add(RouteAccess::OwnAccount, routes!(list_own_sessions))
        .add(RouteAccess::OwnAccount, routes!(end_own_session))
}

/// Organisation and course of imported people.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PeopleImportQuery {
    /// Organisation of the people; none: the caller's.
    organization_id: Option<i64>,
    /// Course in which all of them are enrolled.
    course_id: Option<i64>,
}

/// Imports people from a roster (CSV), all or none.
#[utoipa::path(
    post, path = "/api/v1/manage/people/import", tag = "people", params(PeopleImportQuery),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, body = ImportSummary),
        (status = 422, description = "Every line with a fault", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn import(
    State(app): State<AppState>,
    manager: ManagementAccess,
    Query(query): Query<PeopleImportQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ImportSummary>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/csv")) {
        return Err(Problem::UnsupportedMediaType);
    }
    let text = String::from_utf8(body.into())
        .map_err(|_not_text| Problem::BadRequest("the roster is not UTF-8".to_owned()))?;
    let rows = read_roster(&text, &app.access_code_key)?;
    let imported = manager
        .import_work(async |work| {
            let organization = query.organization_id.unwrap_or(work.organization_id.0);
            domain::import_people(work, organization, query.course_id, &rows).await
        })
        .await?;
    Ok(Json(imported))
}

fn read_roster(text: &str, key: &[u8; 32]) -> Result<Vec<PersonImportRow>, Problem> {
    let entries = roster::parse_roster(text).map_err(|faults| {
        let faults = faults.iter().map(|fault| {
            let field = match fault.line {
                Some(line) => format!("line {line}: {}", fault.path),
                None => fault.path.clone(),
            };
            FieldFault::new(field, fault.message.clone())
        });
        Problem::Invalid(faults.collect())
    })?;
    let rows = entries.into_iter().map(|entry| {
        let code = token::access_code_hash(key, &entry.person.id, &entry.code);
        PersonImportRow {
            username: entry.person.id.to_string(),
            name: entry.person.name,
            email: entry.person.email,
            role: entry.person.role.as_str().to_owned(),
            code: Some(hex_text(&code)),
            exams: match entry.person.exams {
                ExamScope::All => None,
                ExamScope::Some(codes) => Some(codes.iter().map(ToString::to_string).collect()),
            },
            groups: entry.person.groups,
            time_factor: entry.person.time_factor,
            extra_time_ms: invigil_domain::time::duration_ms(entry.person.extra_time),
        }
    });
    Ok(rows.collect())
}

fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
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
    Path(id): Path<i64>,
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
        .work(async |work| domain::set_credentials(work, id, hash.as_deref(), hashed).await)
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
        .own_work(async |work| domain::own_password_hash(work).await)
        .await?;
    if stored.is_some()
        && !password::verify_password(body.current.unwrap_or_default(), stored).await
    {
        return Err(Problem::WrongCredentials);
    }
    let hash = hash_password(body.new).await?;
    manager
        .own_work(async |work| domain::set_own_password(work, &hash).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads the private data of a person, in clear; the access is logged.
#[utoipa::path(
    get, path = "/api/v1/manage/people/{id}/private", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    responses((status = 200, body = Object), (status = 404, body = problem::ProblemDetails,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn read_private(
    manager: ManagementAccess,
    Path(id): Path<i64>,
) -> Result<Json<Value>, Problem> {
    let keys = manager.keys()?;
    let private = manager
        .work(async |work| domain::read_private_fields(work, &keys, id).await)
        .await?;
    Ok(Json(private))
}

/// Seals a telephone number or the number of an identity card; null removes it.
#[utoipa::path(
    put, path = "/api/v1/manage/people/{id}/private", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    request_body = PrivateFields,
    responses((status = 200, body = PersonRecord), (status = 422, body = problem::ProblemDetails,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_private(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    Json(private): Json<PrivateFields>,
) -> Result<TaggedRow<PersonRecord>, Problem> {
    let keys = manager.keys()?;
    let row = manager
        .work(async |work| {
            domain::set_private_fields(work, &keys, id, &private).await?;
            resource::get_row::<PersonResource>(work, id).await
        })
        .await?;
    Ok(TaggedRow::ok(row.revision, row))
}

/// Replaces the roles of a person in one organisation.
#[utoipa::path(
    put, path = "/api/v1/manage/people/{id}/roles", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    request_body = RoleAssignment,
    responses((status = 200, body = PersonRecord), (status = 403, body = problem::ProblemDetails,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_roles(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    Json(roles): Json<RoleAssignment>,
) -> Result<TaggedRow<PersonRecord>, Problem> {
    let row = manager
        .work(async |work| {
            domain::set_roles(work, id, &roles).await?;
            resource::get_row::<PersonResource>(work, id).await
        })
        .await?;
    Ok(TaggedRow::ok(row.revision, row))
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
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| {
            work.require_admin()?;
            domain::end_logins(work, id).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The valid log-ins of a person.
#[utoipa::path(
    get, path = "/api/v1/manage/people/{id}/sessions", tag = "people",
    params(("id" = i64, Path, description = "The person"), PageQuery),
    responses(
        (status = 200, body = PageOf<ActiveLogin>),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_sessions(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageOf<ActiveLogin>>, Problem> {
    let at = manager.requested_at();
    let page = manager
        .work(async |work| {
            work.require_admin()?;
            domain::list_logins(work, id, (&page).into(), at).await
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
    Path((id, session)): Path<(i64, i64)>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| {
            work.require_admin()?;
            domain::end_login(work, id, session).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The valid log-ins of the caller.
#[utoipa::path(
    get, path = "/api/v1/manage/me/sessions", tag = "people", params(PageQuery),
    responses((status = 200, body = PageOf<ActiveLogin>)),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_own_sessions(
    manager: ManagementAccess,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageOf<ActiveLogin>>, Problem> {
    let at = manager.requested_at();
    let page = manager
        .own_work(async |work| domain::list_logins(work, work.user_id.0, (&page).into(), at).await)
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
    Path(session): Path<i64>,
) -> Result<StatusCode, Problem> {
    manager
        .own_work(async |work| domain::end_login(work, work.user_id.0, session).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
