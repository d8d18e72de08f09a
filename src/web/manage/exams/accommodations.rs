//! Routes of accommodations: extra time of candidates at one exam.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::web::{
    extract::{Json, Path, Query},
    manage::{ManagementAccess, PageOf, PageQuery},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    exams::accommodations::{
        self,
        model::{AccommodatedCandidate, Accommodation},
    },
    ids::ExamId,
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(
            RouteAccess::Manager,
            routes!(accommodate, take_accommodation_back),
        )
        .add(RouteAccess::Manager, routes!(list_accommodations))
}

/// Extra time of a candidate at one exam.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Accommodation)]
struct AccommodationBody {
    /// Factor of the duration, 1 or more.
    #[serde(default = "unchanged", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    time_factor: Decimal,
    /// Minutes added to the duration.
    #[serde(default)]
    extra_minutes: i64,
    /// Reason, kept with the accommodation.
    #[serde(default)]
    reason: String,
}

fn unchanged() -> Decimal {
    Decimal::ONE
}

/// A candidate with an accommodation at an exam.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Accommodated)]
struct AccommodatedView {
    /// Number of the person.
    user_id: i64,
    /// Sign-in name.
    username: String,
    /// Display name.
    name: String,
    /// The granted accommodation.
    #[serde(flatten)]
    granted: AccommodationBody,
    /// Number of the person who granted it.
    granted_by: Option<i64>,
    /// Time of the last change.
    updated_at: DateTime<Utc>,
}

impl From<AccommodationBody> for Accommodation {
    fn from(body: AccommodationBody) -> Self {
        Self {
            time_factor: body.time_factor,
            extra_minutes: body.extra_minutes,
            reason: body.reason,
        }
    }
}

impl From<AccommodatedCandidate> for AccommodatedView {
    fn from(candidate: AccommodatedCandidate) -> Self {
        let granted = candidate.granted;
        Self {
            user_id: candidate.user_id.0,
            username: candidate.username,
            name: candidate.name,
            granted: AccommodationBody {
                time_factor: granted.time_factor,
                extra_minutes: granted.extra_minutes,
                reason: granted.reason,
            },
            granted_by: candidate.granted_by.map(i64::from),
            updated_at: candidate.updated_at,
        }
    }
}

/// Gives a candidate more time at an exam, from the next start on.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/accommodations/{username}", tag = "exams as written",
    request_body = AccommodationBody,
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
    Path((id, username)): Path<(ExamId, String)>,
    Json(wanted): Json<AccommodationBody>,
) -> Result<StatusCode, Problem> {
    let wanted = wanted.into();
    manager
        .work(async |work| accommodations::grant_accommodation(work, id, &username, &wanted).await)
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
    Path((id, username)): Path<(ExamId, String)>,
) -> Result<StatusCode, Problem> {
    manager
        .work(async |work| accommodations::revoke_accommodation(work, id, &username).await)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Candidates with more time at an exam.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/accommodations", tag = "exams as written",
    params(("id" = i64, Path, description = "The exam"), PageQuery),
    responses(
        (status = 200, body = PageOf<AccommodatedView>),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list_accommodations(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    Query(page): Query<PageQuery>,
) -> Result<Json<PageOf<AccommodatedView>>, Problem> {
    let page = manager
        .work(async |work| accommodations::list_accommodations(work, id, (&page).into()).await)
        .await?;
    Ok(Json(page.into()))
}
