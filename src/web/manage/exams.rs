//! Routes of exams as written, before their publication.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{IfMatch, ManagementAccess, PageOf, PageQuery, TaggedRow};
use crate::web::{
    extract::{Json, Path, Query},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_domain::exam::definition::{self, FileFormat};
use invigil_management::{
    exams::{
        self, AccommodatedCandidate, Accommodation, DrawnQuestions, ExamComposition, ExamDraft,
        ExamRecord, ExamResource, QuestionDraw,
        publish::{self, PublicationCheck},
    },
    resource::{self, ColumnFilter},
};

/// Largest exam file: far more than 500 questions need.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(list_exams, create_exam))
        .merge(
            GuardedRoutes::new()
                .add(RouteAccess::Manager, routes!(import))
                .limit_bodies(FILE_BYTES_MAX),
        )
        .add(
            RouteAccess::Manager,
            routes!(read_exam, change_exam, delete_exam),
        )
        .add(RouteAccess::Manager, routes!(composition, compose))
        .add(RouteAccess::Manager, routes!(draw))
        .add(RouteAccess::Manager, routes!(check_exam))
        .add(RouteAccess::Manager, routes!(publish_exam))
        .add(RouteAccess::Manager, routes!(set_status))
        .add(RouteAccess::Manager, routes!(set_password))
        .add(
            RouteAccess::Manager,
            routes!(accommodate, take_accommodation_back),
        )
        .add(RouteAccess::Manager, routes!(list_accommodations))
}

/// Filter and page of exams.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExamQuery {
    /// Code of the exam.
    code: Option<String>,
    /// Course of the exams.
    course_id: Option<i64>,
    /// Status of the exams.
    status: Option<String>,
    /// The `next` of the previous page.
    #[serde(default)]
    after: i64,
    /// Most exams in the page, 1 to 500.
    #[serde(default = "super::page")]
    limit: i64,
}

/// Exams that the caller manages.
#[utoipa::path(
    get, path = "/api/v1/manage/exams", tag = "exams as written", params(ExamQuery),
    responses((status = 200, body = PageOf<ExamRecord>)),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_exams(
    manager: ManagementAccess,
    Query(query): Query<ExamQuery>,
) -> Result<Json<PageOf<ExamRecord>>, Problem> {
    let cursor = resource::PageCursor {
        after: query.after,
        limit: query.limit,
    };
    let code = query.code.map(|code| ColumnFilter::Is("code", json!(code)));
    let course = query
        .course_id
        .map(|id| ColumnFilter::Is("course_id", json!(id)));
    let status = query
        .status
        .map(|status| ColumnFilter::Is("status", json!(status)));
    let filters: Vec<ColumnFilter> = code.into_iter().chain(course).chain(status).collect();
    let page = manager
        .work(async |work| resource::list_rows::<ExamResource>(work, cursor, &filters).await)
        .await?;
    Ok(Json(page.into()))
}

/// Organisation and course of an imported exam.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExamImportQuery {
    /// Organisation of the exam; none: the caller's.
    organization_id: Option<i64>,
    /// Course of the exam.
    course_id: Option<i64>,
}

/// Creates and publishes an exam from an exam file, or the next version of the exam
/// with its code. Its questions are added to the bank.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/import", tag = "exams as written", params(ExamImportQuery),
    request_body(content = String, description = "YAML or JSON", content_type = "application/yaml"),
    responses(
        (status = 201, body = ExamRecord),
        (status = 409, description = "`duplicate`: the code is another one's",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, description = "Every fault with its place", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn import(
    manager: ManagementAccess,
    Query(query): Query<ExamImportQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<TaggedRow<ExamRecord>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let format = match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => FileFormat::Json,
        "application/yaml" | "text/yaml" => FileFormat::Yaml,
        _ => return Err(Problem::UnsupportedMediaType),
    };
    let text = String::from_utf8(body.into())
        .map_err(|_not_text| Problem::BadRequest("the file is not UTF-8".to_owned()))?;
    let parsed = definition::parse_exam(&text, format)
        .map_err(|faults| Problem::Invalid(publish::field_faults(&faults)))?;
    let place = publish::ImportTarget {
        organization_id: query.organization_id,
        course_id: query.course_id,
    };
    let row = manager
        .import_work(async |work| publish::import_exam(work, &parsed, place).await)
        .await?;
    Ok(TaggedRow::created(row.revision, row))
}

/// Creates an exam without questions.
#[utoipa::path(
    post, path = "/api/v1/manage/exams", tag = "exams as written", request_body = ExamDraft,
    responses(
        (status = 201, body = ExamRecord),
        (status = 409, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn create_exam(
    manager: ManagementAccess,
    Json(body): Json<Value>,
) -> Result<TaggedRow<ExamRecord>, Problem> {
    let row = manager
        .work(async |work| exams::create_exam(work, &resource::parse_draft(body)?).await)
        .await?;
    Ok(TaggedRow::created(row.revision, row))
}

/// Settings of an exam.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}", tag = "exams as written",
    params(("id" = i64, Path, description = "Its number")),
    responses((status = 200, body = ExamRecord)),
    security(("token" = []), ("cookie" = [])),
)]
async fn read_exam(
    manager: ManagementAccess,
    Path(id): Path<i64>,
) -> Result<TaggedRow<ExamRecord>, Problem> {
    let row = manager
        .work(async |work| resource::get_row::<ExamResource>(work, id).await)
        .await?;
    Ok(TaggedRow::ok(row.revision, row))
}

/// Changes an exam's settings by a merge patch, for attempts that start after the
/// next publication.
#[utoipa::path(
    patch, path = "/api/v1/manage/exams/{id}", tag = "exams as written", request_body = Object,
    params(
        ("id" = i64, Path, description = "Its number"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = ExamRecord),
        (status = 412, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn change_exam(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(patch): Json<Value>,
) -> Result<TaggedRow<ExamRecord>, Problem> {
    let row = manager
        .work(async |work| {
            let draft = resource::patched_draft::<ExamResource>(work, id, &patch).await?;
            resource::update_row::<ExamResource>(work, id, revision, &draft).await
        })
        .await?;
    Ok(TaggedRow::ok(row.revision, row))
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
        (status = 409, description = "`in_use`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn delete_exam(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| resource::delete_row::<ExamResource>(work, id, revision).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Composition of an exam: its sections and questions.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/composition", tag = "exams as written",
    params(("id" = i64, Path, description = "The exam")),
    responses((status = 200, body = ExamComposition)),
    security(("token" = []), ("cookie" = [])),
)]
async fn composition(
    manager: ManagementAccess,
    Path(id): Path<i64>,
) -> Result<TaggedRow<ExamComposition>, Problem> {
    let (revision, composition) = manager
        .work(async |work| {
            let exam = resource::get_row::<ExamResource>(work, id).await?;
            Ok((exam.revision, exams::read_composition(work, id).await?))
        })
        .await?;
    Ok(TaggedRow::ok(revision, composition))
}

/// Replaces the composition of an exam.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/composition", tag = "exams as written",
    request_body = ExamComposition,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The exam's ETag"),
    ),
    responses(
        (status = 200, body = ExamRecord),
        (status = 412, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn compose(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(body): Json<Value>,
) -> Result<TaggedRow<ExamRecord>, Problem> {
    let row = manager
        .work(async |work| {
            exams::replace_composition(work, id, revision, &resource::parse_draft(body)?).await
        })
        .await?;
    Ok(TaggedRow::ok(row.revision, row))
}

/// Adds questions drawn at random from the bank.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/draw", tag = "exams as written",
    request_body = QuestionDraw,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The exam's ETag"),
    ),
    responses(
        (status = 200, body = DrawnQuestions),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn draw(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(body): Json<Value>,
) -> Result<TaggedRow<DrawnQuestions>, Problem> {
    let drawn = manager
        .work(async |work| {
            exams::draw_questions(work, id, revision, &resource::parse_draft(body)?).await
        })
        .await?;
    Ok(TaggedRow::ok(revision + 1, drawn))
}

/// Lists the faults that prevent the publication of an exam.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/check", tag = "exams as written",
    params(("id" = i64, Path, description = "The exam")),
    responses((status = 200, body = PublicationCheck)),
    security(("token" = []), ("cookie" = [])),
)]
async fn check_exam(
    manager: ManagementAccess,
    Path(id): Path<i64>,
) -> Result<Json<PublicationCheck>, Problem> {
    let checked = manager
        .work(async |work| publish::check_exam(work, id).await)
        .await?;
    Ok(Json(checked))
}

/// Freezes a version of an exam and opens it to its candidates.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/publish", tag = "exams as written",
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = ExamRecord),
        (status = 422, description = "Everything that stands against it",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn publish_exam(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
) -> Result<TaggedRow<ExamRecord>, Problem> {
    let row = manager
        .work(async |work| publish::publish_exam(work, id, revision).await)
        .await?;
    Ok(TaggedRow::ok(row.revision, row))
}

/// A new status of an exam.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewStatus)]
struct NewExamStatus {
    /// `draft`, `review`, `published`, `active`, `completed` or `archived`.
    status: String,
}

/// Completes, reopens or archives an exam.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/status", tag = "exams as written",
    request_body = NewExamStatus,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = ExamRecord),
        (status = 409, description = "`wrong_state`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_status(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(new): Json<NewExamStatus>,
) -> Result<TaggedRow<ExamRecord>, Problem> {
    let row = manager
        .work(async |work| exams::set_status(work, id, revision, &new.status).await)
        .await?;
    Ok(TaggedRow::ok(row.revision, row))
}

/// A new password for the start of an exam.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPassword)]
struct NewExamPassword {
    /// The password; null removes it.
    password: Option<String>,
}

/// Sets the password for the start of an exam, from the next publication on.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/password", tag = "exams as written",
    request_body = NewExamPassword,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses((status = 200, body = ExamRecord)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_password(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    IfMatch(revision): IfMatch,
    Json(new): Json<NewExamPassword>,
) -> Result<TaggedRow<ExamRecord>, Problem> {
    let password = new.password.as_deref();
    let row = manager
        .work(async |work| exams::set_password(work, id, revision, password).await)
        .await?;
    Ok(TaggedRow::ok(row.revision, row))
}

/// Gives a candidate more time at an exam, from the next start on.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/accommodations/{username}", tag = "exams as written",
    request_body = Accommodation,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("username" = String, Path, description = "The candidate"),
    ),
    responses(
        (status = 204, description = "Granted"),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn accommodate(
    manager: ManagementAccess,
    Path((id, username)): Path<(i64, String)>,
    Json(wanted): Json<Accommodation>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| exams::grant_accommodation(work, id, &username, &wanted).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Withdraws an accommodation; started attempts keep theirs.
#[utoipa::path(
    delete, path = "/api/v1/manage/exams/{id}/accommodations/{username}",
    tag = "exams as written",
    params(
        ("id" = i64, Path, description = "The exam"),
        ("username" = String, Path, description = "The candidate"),
    ),
    responses((status = 204, description = "Gone"), (status = 404, body = problem::ProblemDetails,
        content_type = problem::MEDIA_TYPE)),
    security(("token" = []), ("cookie" = [])),
)]
async fn take_accommodation_back(
    manager: ManagementAccess,
    Path((id, username)): Path<(i64, String)>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| exams::revoke_accommodation(work, id, &username).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Candidates with more time at an exam.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/accommodations", tag = "exams as written",
    params(("id" = i64, Path, description = "The exam"), PageQuery),
    responses(
        (status = 200, body = PageOf<AccommodatedCandidate>),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_accommodations(
    manager: ManagementAccess,
    Path(id): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageOf<AccommodatedCandidate>>, Problem> {
    let page = manager
        .work(async |work| exams::list_accommodations(work, id, (&page).into()).await)
        .await?;
    Ok(Json(page.into()))
}
