//! Routes that import, check and publish exams, and set their status and password.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use axum::{
    body::Bytes,
    http::{HeaderMap, header},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::dto::ManagedExamView;
use crate::web::{
    extract::{Json, Path, Query},
    manage::{IfMatch, ManagementAccess, TaggedRow},
    problem::{self, InvalidField, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_domain::exam::definition::{self, FileFormat};
use invigil_management::{
    ManagementError,
    exams::{
        self,
        model::ExamStatus,
        publish::{self, PublicationCheck},
    },
    ids::{CourseId, ExamId, OrganizationId},
};

/// Largest exam file: far more than 500 questions need.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .merge(
            GuardedRoutes::new()
                .add(RouteAccess::Manager, routes!(import))
                .limit_bodies(FILE_BYTES_MAX),
        )
        .add(RouteAccess::Manager, routes!(check_exam))
        .add(RouteAccess::Manager, routes!(publish_exam))
        .add(RouteAccess::Manager, routes!(set_status))
        .add(RouteAccess::Manager, routes!(set_password))
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
        (status = 201, body = ManagedExamView),
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
) -> Result<TaggedRow<ManagedExamView>, Problem> {
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
        organization_id: query.organization_id.map(OrganizationId),
        course_id: query.course_id.map(CourseId),
    };
    let row = manager
        .import_work(async |work| publish::import_exam(work, &parsed, place).await)
        .await?;
    Ok(TaggedRow::created(row.revision, row.into()))
}

/// Result of checking an exam before publication.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Checked)]
struct PublicationCheckView {
    /// Errors that prevent publication.
    errors: Vec<InvalidField>,
    /// Valid settings that may not be intended.
    notes: Vec<InvalidField>,
}

impl From<PublicationCheck> for PublicationCheckView {
    fn from(check: PublicationCheck) -> Self {
        Self {
            errors: check.errors.into_iter().map(Into::into).collect(),
            notes: check.notes.into_iter().map(Into::into).collect(),
        }
    }
}

/// Lists the faults that prevent the publication of an exam.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/check", tag = "exams as written",
    params(("id" = i64, Path, description = "The exam")),
    responses((status = 200, body = PublicationCheckView)),
    security(("token" = []), ("cookie" = [])),
)]
async fn check_exam(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
) -> Result<Json<PublicationCheckView>, Problem> {
    let checked = manager
        .work(async |work| publish::check_exam(work, id).await)
        .await?;
    Ok(Json(checked.into()))
}

/// Freezes a version of an exam and opens it to its candidates.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/publish", tag = "exams as written",
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The ETag"),
    ),
    responses(
        (status = 200, body = ManagedExamView),
        (status = 422, description = "Everything that stands against it",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn publish_exam(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    IfMatch(revision): IfMatch,
) -> Result<TaggedRow<ManagedExamView>, Problem> {
    let row = manager
        .work(async |work| publish::publish_exam(work, id, revision).await)
        .await?;
    Ok(TaggedRow::ok(row.revision, row.into()))
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
        (status = 200, body = ManagedExamView),
        (status = 409, description = "`wrong_state`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_status(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    IfMatch(revision): IfMatch,
    Json(new): Json<NewExamStatus>,
) -> Result<TaggedRow<ManagedExamView>, Problem> {
    let row = manager
        .work(async |work| {
            let status = ExamStatus::from_name(&new.status).ok_or_else(|| {
                ManagementError::invalid_field("status", "is not a status of an exam")
            })?;
            exams::set_status(work, id, revision, status).await
        })
        .await?;
    Ok(TaggedRow::ok(row.revision, row.into()))
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
    responses((status = 200, body = ManagedExamView)),
    security(("token" = []), ("cookie" = [])),
)]
async fn set_password(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    IfMatch(revision): IfMatch,
    Json(new): Json<NewExamPassword>,
) -> Result<TaggedRow<ManagedExamView>, Problem> {
    let password = new.password.as_deref();
    let row = manager
        .work(async |work| exams::set_password(work, id, revision, password).await)
        .await?;
    Ok(TaggedRow::ok(row.revision, row.into()))
}
