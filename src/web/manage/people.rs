//! Organisations, people and courses.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use std::fmt::Write as _;

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Manager, PageOf, PageQuery, resource_routes};
use crate::{
    domain::{person::ExamScope, roster},
    management::{
        Fault, FieldFault,
        courses::{
            self as teaching, Course, CourseCategories, CourseCategory, CourseCategoryDraft,
            CourseDraft, Courses, Enrolment, Student,
        },
        people::{
            self as domain, ImportRow, Imported, Organization, OrganizationDraft, Organizations,
            People, PersonDraft, PersonRow, Private, Roles, Session,
        },
        resource::{self, Filter},
    },
    secrets::password,
    web::{
        AppState,
        extract::{Json, Path, Query},
        manage::Tagged,
        problem::{self, Problem},
        token,
    },
};

/// Fewest characters of an access code that is set by hand.
const CODE_CHARS_MIN: usize = 4;

/// 50,000 people with long names.
const ROSTER_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(organizations::routes())
        .merge(people::routes())
        .merge(courses::routes())
        .merge(course_categories::routes())
        .merge(
            OpenApiRouter::new()
                .routes(routes!(import))
                .layer(DefaultBodyLimit::max(ROSTER_BYTES_MAX)),
        )
        .routes(routes!(set_credentials))
        .routes(routes!(set_own_password))
        .routes(routes!(read_private, set_private))
        .routes(routes!(set_roles))
        .routes(routes!(list_sessions, end_sessions))
        .routes(routes!(end_session))
        .routes(routes!(list_own_sessions))
        .routes(routes!(end_own_session))
        .routes(routes!(list_enrolments, enrol))
}

/// Which organisations.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OrganizationQuery {
    /// Those right below this one.
    parent_id: Option<i64>,
}

impl OrganizationQuery {
    fn filters(&self) -> Vec<Filter> {
        self.parent_id
            .map(|id| Filter::Is("parent_id", json!(id)))
            .into_iter()
            .collect()
    }
}

resource_routes!(
    organizations,
    Organizations,
    Organization,
    OrganizationDraft,
    OrganizationQuery,
    "organisations",
    "/api/v1/manage/organizations",
    "/api/v1/manage/organizations/{id}"
);

/// Which people.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PeopleQuery {
    /// Of this organisation.
    organization_id: Option<i64>,
    /// Whose name to sign in with begins so.
    username: Option<String>,
    /// Whose name begins so.
    name: Option<String>,
}

impl PeopleQuery {
    fn filters(&self) -> Vec<Filter> {
        let organization = self
            .organization_id
            .map(|id| Filter::Is("organization_id", json!(id)));
        let username = self.username.clone();
        let name = self.name.clone();
        organization
            .into_iter()
            .chain(username.map(|text| Filter::Begins("username", text)))
            .chain(name.map(|text| Filter::Begins("name", text)))
            .collect()
    }
}

resource_routes!(
    people,
    People,
    PersonRow,
    PersonDraft,
    PeopleQuery,
    "people",
    "/api/v1/manage/people",
    "/api/v1/manage/people/{id}"
);

/// Which courses.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CourseQuery {
    /// Of this organisation.
    organization_id: Option<i64>,
    /// With this code.
    code: Option<String>,
    /// In this status.
    status: Option<String>,
}

impl CourseQuery {
    fn filters(&self) -> Vec<Filter> {
        let organization = self
            .organization_id
            .map(|id| Filter::Is("organization_id", json!(id)));
        let text = |column, value: &Option<String>| {
            value
                .clone()
                .map(|value| Filter::Is(column, Value::String(value)))
        };
        organization
            .into_iter()
            .chain(text("code", &self.code))
            .chain(text("status", &self.status))
            .collect()
    }
}

resource_routes!(
    courses,
    Courses,
    Course,
    CourseDraft,
    CourseQuery,
    "courses",
    "/api/v1/manage/courses",
    "/api/v1/manage/courses/{id}"
);

/// Which categories.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CategoryQuery {
    /// Of this organisation.
    organization_id: Option<i64>,
    /// Those right below this one.
    parent_id: Option<i64>,
}

impl CategoryQuery {
    fn filters(&self) -> Vec<Filter> {
        let number = |column, id: Option<i64>| id.map(|id| Filter::Is(column, json!(id)));
        number("organization_id", self.organization_id)
            .into_iter()
            .chain(number("parent_id", self.parent_id))
            .collect()
    }
}

resource_routes!(
    course_categories,
    CourseCategories,
    CourseCategory,
    CourseCategoryDraft,
    CategoryQuery,
    "courses",
    "/api/v1/manage/course-categories",
    "/api/v1/manage/course-categories/{id}"
);

/// Where people are imported to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ImportQuery {
    /// The organisation; none: the importer's own.
    organization_id: Option<i64>,
    /// A course in which all of them are enrolled.
    course_id: Option<i64>,
}

/// Imports people from a roster (CSV), all or none.
#[utoipa::path(
    post, path = "/api/v1/manage/people/import", tag = "people", params(ImportQuery),
    request_body(content = String, content_type = "text/csv"),
    responses(
        (status = 200, body = Imported),
        (status = 422, description = "Every line that is not right", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn import(
    State(app): State<AppState>,
    manager: Manager,
    Query(query): Query<ImportQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Imported>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/csv")) {
        return Err(Problem::UnsupportedMediaType);
    }
    let text = String::from_utf8(body.into())
        .map_err(|_not_text| Problem::BadRequest("the roster is not UTF-8".to_owned()))?;
    let rows = read_roster(&text, &app.access_code_key)?;
    let imported = manager
        .import_work(async |work| {
            let organization = query.organization_id.unwrap_or(work.actor.organization_id);
            domain::import(work, organization, query.course_id, &rows).await
        })
        .await?;
    Ok(Json(imported))
}

fn read_roster(text: &str, key: &[u8; 32]) -> Result<Vec<ImportRow>, Problem> {
    let entries = roster::parse(text).map_err(|faults| {
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
        ImportRow {
            username: entry.person.id.to_string(),
            name: entry.person.name,
            email: entry.person.email,
            role: entry.person.role.as_str().to_owned(),
            code: Some(hex(&code)),
            exams: match entry.person.exams {
                ExamScope::All => None,
                ExamScope::Some(codes) => Some(codes.iter().map(ToString::to_string).collect()),
            },
            groups: entry.person.groups,
            time_factor: entry.person.time_factor,
            extra_time_ms: crate::domain::time::duration_ms(entry.person.extra_time),
        }
    });
    Ok(rows.collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

/// How a person signs in; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCredentials {
    /// 8 characters at least.
    password: Option<String>,
    /// 4 characters at least.
    code: Option<String>,
}

/// Gives a person a password or an access code, and ends all log-ins.
#[utoipa::path(
    put, path = "/api/v1/manage/people/{id}/credentials", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    request_body = NewCredentials,
    responses((status = 204, description = "Set"), (status = 404, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_credentials(
    State(app): State<AppState>,
    manager: Manager,
    Path(id): Path<i64>,
    Json(body): Json<NewCredentials>,
) -> Result<StatusCode, Problem> {
    let hash = match body.password {
        Some(password) => Some(hashed(password).await?),
        None => None,
    };
    let code = body.code.as_deref();
    if code.is_some_and(|code| code.chars().count() < CODE_CHARS_MIN) {
        let message = format!("must have {CODE_CHARS_MIN} characters or more");
        return Err(Fault::field("code", message).into());
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

async fn hashed(password: String) -> Result<String, Problem> {
    if password.chars().count() < password::CHARS_MIN {
        let message = format!("must have {} characters or more", password::CHARS_MIN);
        return Err(Fault::field("password", message).into());
    }
    Ok(password::hash(password).await.map_err(Fault::internal)?)
}

/// A change of one's own password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The one until now; not asked for where there is none.
    current: Option<String>,
    /// 8 characters at least.
    new: String,
}

/// Changes one's own password; other log-ins of the person end.
#[utoipa::path(
    put, path = "/api/v1/manage/me/password", tag = "people", request_body = PasswordChange,
    responses((status = 204, description = "Changed"), (status = 401, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_own_password(
    manager: Manager,
    Json(body): Json<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let stored = manager
        .own_work(async |work| domain::own_password_hash(work).await)
        .await?;
    if stored.is_some() && !password::verify(body.current.unwrap_or_default(), stored).await {
        return Err(Problem::WrongCredentials);
    }
    let hash = hashed(body.new).await?;
    manager
        .own_work(async |work| domain::set_own_password(work, &hash).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads what is private of a person, in clear; the reading is logged.
#[utoipa::path(
    get, path = "/api/v1/manage/people/{id}/private", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    responses((status = 200, body = Object), (status = 404, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn read_private(manager: Manager, Path(id): Path<i64>) -> Result<Json<Value>, Problem> {
    let keys = manager.keys()?;
    let private = manager
        .work(async |work| domain::private(work, &keys, id).await)
        .await?;
    Ok(Json(private))
}

/// Seals a telephone number or the number of an identity card; null removes it.
#[utoipa::path(
    put, path = "/api/v1/manage/people/{id}/private", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    request_body = Private,
    responses((status = 200, body = PersonRow), (status = 422, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_private(
    manager: Manager,
    Path(id): Path<i64>,
    Json(private): Json<Private>,
) -> Result<Tagged<PersonRow>, Problem> {
    let keys = manager.keys()?;
    let row = manager
        .work(async |work| {
            domain::set_private(work, &keys, id, &private).await?;
            resource::get::<People>(work, id).await
        })
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// Replaces the roles of a person in one organisation.
#[utoipa::path(
    put, path = "/api/v1/manage/people/{id}/roles", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    request_body = Roles,
    responses((status = 200, body = PersonRow), (status = 403, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_roles(
    manager: Manager,
    Path(id): Path<i64>,
    Json(roles): Json<Roles>,
) -> Result<Tagged<PersonRow>, Problem> {
    let row = manager
        .work(async |work| {
            domain::set_roles(work, id, &roles).await?;
            resource::get::<People>(work, id).await
        })
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// Ends every log-in of a person.
#[utoipa::path(
    delete, path = "/api/v1/manage/people/{id}/sessions", tag = "people",
    params(("id" = i64, Path, description = "The person")),
    responses((status = 204, description = "Signed out everywhere")),
    security(("token" = []), ("cookie" = [])),
)]
async fn end_sessions(manager: Manager, Path(id): Path<i64>) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| {
            work.require_admin()?;
            domain::revoke(work, id).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The valid log-ins of a person.
#[utoipa::path(
    get, path = "/api/v1/manage/people/{id}/sessions", tag = "people",
    params(("id" = i64, Path, description = "The person"), PageQuery),
    responses((status = 200, body = PageOf<Session>), (status = 404, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_sessions(
    manager: Manager,
    Path(id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageOf<Session>>, Problem> {
    let at = manager.at();
    let page = manager
        .work(async |work| {
            work.require_admin()?;
            domain::sessions(work, id, (&page).into(), at).await
        })
        .await?;
    Ok(Json(page.into()))
}

/// Ends one log-in of a person.
#[utoipa::path(
    delete, path = "/api/v1/manage/people/{id}/sessions/{session}", tag = "people",
    params(
        ("id" = i64, Path, description = "The person"),
        ("session" = i64, Path, description = "The log-in"),
    ),
    responses((status = 204, description = "Signed out there"), (status = 404, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn end_session(
    manager: Manager,
    Path((id, session)): Path<(i64, i64)>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| {
            work.require_admin()?;
            domain::end_session(work, id, session).await
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One's own valid log-ins.
#[utoipa::path(
    get, path = "/api/v1/manage/me/sessions", tag = "people", params(PageQuery),
    responses((status = 200, body = PageOf<Session>)),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_own_sessions(
    manager: Manager,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageOf<Session>>, Problem> {
    let at = manager.at();
    let page = manager
        .own_work(async |work| domain::sessions(work, work.actor.user_id, (&page).into(), at).await)
        .await?;
    Ok(Json(page.into()))
}

/// Ends one of one's own log-ins.
#[utoipa::path(
    delete, path = "/api/v1/manage/me/sessions/{session}", tag = "people",
    params(("session" = i64, Path, description = "The log-in")),
    responses((status = 204, description = "Signed out there"), (status = 404, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn end_own_session(
    manager: Manager,
    Path(session): Path<i64>,
) -> Result<StatusCode, Problem> {
    manager
        .own_work(async |work| domain::end_session(work, work.actor.user_id, session).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which enrolments.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EnrolmentQuery {
    /// In this status.
    status: Option<String>,
}

/// Who is enrolled in a course.
#[utoipa::path(
    get, path = "/api/v1/manage/courses/{id}/enrolments", tag = "courses",
    params(("id" = i64, Path, description = "The course"), PageQuery, EnrolmentQuery),
    responses((status = 200, body = PageOf<Student>), (status = 404, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_enrolments(
    manager: Manager,
    Path(id): Path<i64>,
    Query(page): Query<PageQuery>,
    Query(query): Query<EnrolmentQuery>,
) -> Result<Json<PageOf<Student>>, Problem> {
    let status = query.status.as_deref();
    let page = manager
        .work(async |work| teaching::enrolments(work, id, (&page).into(), status).await)
        .await?;
    Ok(Json(page.into()))
}

/// What an enrolment did.
#[derive(Serialize, ToSchema)]
struct EnrolmentDone {
    /// Enrolments that are new or have another status now.
    changed: i64,
}

/// Enrols people in a course, all or none.
#[utoipa::path(
    post, path = "/api/v1/manage/courses/{id}/enrolments", tag = "courses",
    params(("id" = i64, Path, description = "The course")),
    request_body = Enrolment,
    responses((status = 200, body = EnrolmentDone), (status = 422, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn enrol(
    manager: Manager,
    Path(id): Path<i64>,
    Json(enrolment): Json<Enrolment>,
) -> Result<Json<EnrolmentDone>, Problem> {
    let changed = manager
        .work(async |work| teaching::enrol(work, id, &enrolment).await)
        .await?;
    Ok(Json(EnrolmentDone { changed }))
}
