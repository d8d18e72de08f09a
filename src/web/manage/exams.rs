//! Exams as they are written.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::{
    body::Bytes,
    extract::DefaultBodyLimit,
    http::{HeaderMap, StatusCode, header},
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{IfMatch, Manager, PageOf, PageQuery, Tagged};
use crate::{
    domain::exam::definition::{self, Format},
    management::{
        exams::{
            self, Accommodated, Accommodation, Composition, Draw, Drawn, Exam, ExamDraft, Exams,
            publish::{self, Checked},
        },
        resource::{self, Filter},
    },
    web::{
        AppState,
        extract::{Json, Path, Query},
        problem::{self, Problem},
    },
};

/// Far over what 500 questions with pictures as addresses need.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_exams, create_exam))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(import))
                .layer(DefaultBodyLimit::max(FILE_BYTES_MAX)),
        )
        .routes(routes!(read_exam, change_exam, delete_exam))
        .routes(routes!(composition, compose))
        .routes(routes!(draw))
        .routes(routes!(check_exam))
        .routes(routes!(publish_exam))
        .routes(routes!(set_status))
        .routes(routes!(set_password))
        .routes(routes!(accommodate, take_accommodation_back))
        .routes(routes!(list_accommodations))
}

/// Which exams.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExamQuery {
    /// With this code.
    code: Option<String>,
    /// Of this course.
    course_id: Option<i64>,
    /// In this status.
    status: Option<String>,
    /// The `next` of the page before.
    #[serde(default)]
    after: i64,
    /// At most so many, 1 to 500.
    #[serde(default = "super::page")]
    limit: i64,
}

/// Exams that the person manages.
#[utoipa::path(
    get, path = "/api/v1/manage/exams", tag = "exams as written", params(ExamQuery),
    responses((status = 200, body = PageOf<Exam>)),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_exams(
    manager: Manager,
    Query(query): Query<ExamQuery>,
) -> Result<Json<PageOf<Exam>>, Problem> {
    let cursor = resource::Cursor {
        after: query.after,
        limit: query.limit,
    };
    let code = query.code.map(|code| Filter::Is("code", json!(code)));
    let course = query.course_id.map(|id| Filter::Is("course_id", json!(id)));
    let status = query
        .status
        .map(|status| Filter::Is("status", json!(status)));
    let filters: Vec<Filter> = code.into_iter().chain(course).chain(status).collect();
    let page = manager
        .work(async |work| resource::list::<Exams>(work, cursor, &filters).await)
        .await?;
    Ok(Json(page.into()))
}

/// Where an exam file goes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PlaceQuery {
    /// Whose exam it is; none: the caller's organisation.
    organization_id: Option<i64>,
    /// Of which course.
    course_id: Option<i64>,
}

/// Makes and publishes an exam from an exam file, or the next version of the one
/// with its code. Its questions go into the bank.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/import", tag = "exams as written", params(PlaceQuery),
    request_body(content = String, description = "YAML or JSON", content_type = "application/yaml"),
    responses(
        (status = 201, body = Exam),
        (status = 409, description = "`duplicate`: the code is another one's",
            body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 422, description = "Every fault with its place", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn import(
    manager: Manager,
    Query(query): Query<PlaceQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Tagged<Exam>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let format = match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => Format::Json,
        "application/yaml" | "text/yaml" => Format::Yaml,
        _ => return Err(Problem::UnsupportedMediaType),
    };
    let text = String::from_utf8(body.into())
        .map_err(|_not_text| Problem::BadRequest("the file is not UTF-8".to_owned()))?;
    let parsed = definition::parse(&text, format)
        .map_err(|faults| Problem::Invalid(publish::field_faults(&faults)))?;
    let place = publish::Place {
        organization_id: query.organization_id,
        course_id: query.course_id,
    };
    let row = manager
        .import_work(async |work| publish::import(work, &parsed, place).await)
        .await?;
    Ok(Tagged::created(row.revision, row))
}

/// Makes an exam, without questions yet.
#[utoipa::path(
    post, path = "/api/v1/manage/exams", tag = "exams as written", request_body = ExamDraft,
    responses(
        (status = 201, body = Exam),
        (status = 409, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn create_exam(manager: Manager, Json(body): Json<Value>) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| exams::create(work, &resource::draft(body)?).await)
        .await?;
    Ok(Tagged::created(row.revision, row))
}

/// An exam's settings.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}", tag = "exams as written",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = Exam)),
    security(("token" = []), ("cookie" = [])),
)]
async fn read_exam(manager: Manager, Path(id): Path<i64>) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| resource::get::<Exams>(work, id).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// Changes an exam's settings by a merge patch; for attempts that begin after
/// the next publication.
#[utoipa::path(
    patch, path = "/api/v1/manage/exams/{id}", tag = "exams as written", request_body = Object,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = Exam),
        (status = 412, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn change_exam(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(patch): Json<Value>,
) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| resource::change::<Exams>(work, id, revision, &patch).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// Deletes an exam that was never published.
#[utoipa::path(
    delete, path = "/api/v1/manage/exams/{id}", tag = "exams as written",
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 204, description = "Gone"),
        (status = 409, description = "`in_use`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn delete_exam(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| resource::delete::<Exams>(work, id, revision).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What an exam is made of.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/composition", tag = "exams as written",
    params(("id" = i64, Path, description = "The exam")),
    responses((status = 200, body = Composition)),
    security(("token" = []), ("cookie" = [])),
)]
async fn composition(
    manager: Manager,
    Path(id): Path<i64>,
) -> Result<Tagged<Composition>, Problem> {
    let (revision, composition) = manager
        .work(async |work| {
            let exam = resource::get::<Exams>(work, id).await?;
            Ok((exam.revision, exams::composition(work, id).await?))
        })
        .await?;
    Ok(Tagged::ok(revision, composition))
}

/// Replaces what an exam is made of.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/composition", tag = "exams as written",
    request_body = Composition,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The exam's ETag"),
    ),
    responses(
        (status = 200, body = Exam),
        (status = 412, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn compose(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(body): Json<Value>,
) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| exams::compose(work, id, revision, &resource::draft(body)?).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// Draws questions at random from the bank and adds them.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/draw", tag = "exams as written", request_body = Draw,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The exam's ETag"),
    ),
    responses(
        (status = 200, body = Drawn),
        (status = 422, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn draw(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(body): Json<Value>,
) -> Result<Tagged<Drawn>, Problem> {
    let drawn = manager
        .work(async |work| exams::draw(work, id, revision, &resource::draft(body)?).await)
        .await?;
    Ok(Tagged::ok(revision + 1, drawn))
}

/// Says what stands against publishing an exam.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/check", tag = "exams as written",
    params(("id" = i64, Path, description = "The exam")),
    responses((status = 200, body = Checked)),
    security(("token" = []), ("cookie" = [])),
)]
async fn check_exam(manager: Manager, Path(id): Path<i64>) -> Result<Json<Checked>, Problem> {
    let checked = manager
        .work(async |work| publish::check(work, id).await)
        .await?;
    Ok(Json(checked))
}

/// Freezes an exam as it stands and opens it to its candidates.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/publish", tag = "exams as written",
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = Exam),
        (status = 422, description = "Everything that stands against it", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn publish_exam(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| publish::publish(work, id, revision).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// A step of an exam's life.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStatus {
    /// `draft`, `review`, `published`, `active`, `completed` or `archived`.
    status: String,
}

/// Ends an exam, opens it again, or puts it away.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/status", tag = "exams as written",
    request_body = NewStatus,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = Exam),
        (status = 409, description = "`wrong_state`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_status(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(new): Json<NewStatus>,
) -> Result<Tagged<Exam>, Problem> {
    let row = manager
        .work(async |work| exams::set_status(work, id, revision, &new.status).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// A password that starting asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// Null: none.
    password: Option<String>,
}

/// Sets the password that starting asks for, from the next publication on.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/password", tag = "exams as written",
    request_body = NewPassword,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses((status = 200, body = Exam)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_password(
    manager: Manager,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(new): Json<NewPassword>,
) -> Result<Tagged<Exam>, Problem> {
    let password = new.password.as_deref();
    let row = manager
        .work(async |work| exams::set_password(work, id, revision, password).await)
        .await?;
    Ok(Tagged::ok(row.revision, row))
}

/// Gives a candidate more time at one exam, from the next start on.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/accommodations/{username}", tag = "exams as written",
    request_body = Accommodation,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("username" = String, Path, description = "The candidate"),
    ),
    responses((status = 204, description = "Granted"), (status = 404, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn accommodate(
    manager: Manager,
    Path((id, username)): Path<(i64, String)>,
    Json(wanted): Json<Accommodation>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| exams::accommodate(work, id, &username, &wanted).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes an accommodation back; attempts that have begun keep theirs.
#[utoipa::path(
    delete, path = "/api/v1/manage/exams/{id}/accommodations/{username}",
    tag = "exams as written",
    params(
        ("id" = i64, Path, description = "The exam"),
        ("username" = String, Path, description = "The candidate"),
    ),
    responses((status = 204, description = "Gone"), (status = 404, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn take_accommodation_back(
    manager: Manager,
    Path((id, username)): Path<(i64, String)>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| exams::take_accommodation_back(work, id, &username).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who has more time at an exam.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/accommodations", tag = "exams as written",
    params(("id" = i64, Path, description = "The exam"), PageQuery),
    responses((status = 200, body = PageOf<Accommodated>), (status = 404, body = problem::Body,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_accommodations(
    manager: Manager,
    Path(id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageOf<Accommodated>>, Problem> {
    let page = manager
        .work(async |work| exams::accommodations(work, id, (&page).into()).await)
        .await?;
    Ok(Json(page.into()))
}
