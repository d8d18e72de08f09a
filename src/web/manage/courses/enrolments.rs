//! Routes of enrolments.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::dto::{EnrolmentBody, StudentView};
use crate::web::{
    extract::{Json, Path, Query},
    manage::{ManagementAccess, PageOf, PageQuery},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{courses, ids::CourseId};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new().add(RouteAccess::Manager, routes!(list_enrolments, enrol))
}

/// Filter of enrolments.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EnrolmentQuery {
    /// Status of the enrolments.
    status: Option<String>,
}

/// Enrolments in a course.
#[utoipa::path(
    get, path = "/api/v1/manage/courses/{id}/enrolments", tag = "courses",
    params(("id" = i64, Path, description = "The course"), PageQuery, EnrolmentQuery),
    responses(
        (status = 200, body = PageOf<StudentView>),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_enrolments(
    manager: ManagementAccess,
    Path(id): Path<CourseId>,
    Query(page): Query<PageQuery>,
    Query(query): Query<EnrolmentQuery>,
) -> Result<Json<PageOf<StudentView>>, Problem> {
    let status = query.status.as_deref();
    let page = manager
        .work(async |work| courses::list_enrolments(work, id, (&page).into(), status).await)
        .await?;
    Ok(Json(page.into()))
}

/// Result of an enrolment.
#[derive(Serialize, ToSchema)]
#[schema(as = EnrolmentDone)]
struct EnrolmentResponse {
    /// Number of enrolments that are new or have a new status.
    changed: i64,
}

/// Enrols people in a course, all or none.
#[utoipa::path(
    post, path = "/api/v1/manage/courses/{id}/enrolments", tag = "courses",
    params(("id" = i64, Path, description = "The course")),
    request_body = EnrolmentBody,
    responses(
        (status = 200, body = EnrolmentResponse),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn enrol(
    manager: ManagementAccess,
    Path(id): Path<CourseId>,
    Json(body): Json<EnrolmentBody>,
) -> Result<Json<EnrolmentResponse>, Problem> {
    let changed = manager
        .work(async |work| courses::enrol_people(work, id, &body.try_into()?).await)
        .await?;
    Ok(Json(EnrolmentResponse { changed }))
}
