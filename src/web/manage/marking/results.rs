//! Routes that change results: reviews, corrections of keys and releases.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::web::{
    extract::{Json, JsonOrDefault, Path, Query},
    manage::ManagementAccess,
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_domain::id::AttemptId;
use invigil_management::{
    ids::ExamId,
    marking::{
        self,
        correction::{
            self,
            model::{ChangedResult, KeyCorrection, RegradeReport},
        },
        model::{AttemptReview, MarkingOutcome},
        release::{self, ResultRelease},
    },
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(review_attempt))
        .add(RouteAccess::Manager, routes!(correct))
        .add(RouteAccess::Manager, routes!(release))
}

/// Status and score of an attempt after marking.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settled)]
pub(super) struct OutcomeView {
    /// Number of the attempt.
    attempt_id: i64,
    /// Status of the attempt.
    status: String,
    /// Score; the sum so far while answers wait for a mark.
    score: f64,
    /// Percentage of the maximum score, 0 to 100.
    percentage: f64,
    /// True if answers wait for a mark.
    needs_marking: bool,
}

impl From<MarkingOutcome> for OutcomeView {
    fn from(outcome: MarkingOutcome) -> Self {
        Self {
            attempt_id: outcome.attempt_id.0,
            status: outcome.status.as_str().to_owned(),
            score: to_number(outcome.score),
            percentage: to_number(outcome.percentage),
            needs_marking: outcome.needs_marking,
        }
    }
}

fn to_number(decimal: Decimal) -> f64 {
    decimal.to_f64().unwrap_or_default()
}

/// The outcome of a person's review of an attempt.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AttemptReview)]
struct AttemptReviewBody {
    /// Feedback for the candidate.
    #[serde(default)]
    feedback: Option<String>,
    /// Notes for staff.
    #[serde(default)]
    notes: Option<String>,
}

impl From<AttemptReviewBody> for AttemptReview {
    fn from(body: AttemptReviewBody) -> Self {
        Self {
            feedback: body.feedback,
            notes: body.notes,
        }
    }
}

/// Ends the review of an attempt.
#[utoipa::path(
    post, path = "/api/v1/manage/attempts/{attempt}/review", tag = "marking",
    request_body = AttemptReviewBody,
    params(("attempt" = i64, Path, description = "The attempt")),
    responses(
        (status = 200, body = OutcomeView),
        (status = 409, description = "`wrong_state`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn review_attempt(
    manager: ManagementAccess,
    Path(attempt): Path<AttemptId>,
    Json(review): Json<AttemptReviewBody>,
) -> Result<Json<OutcomeView>, Problem> {
    let review = review.into();
    let settled = manager
        .work(async |work| marking::review_attempt(work, attempt, &review).await)
        .await?;
    Ok(Json(settled.into()))
}

/// Mode of a correction.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CorrectionQuery {
    /// True for a preview, which lists the changed results and stores nothing.
    #[serde(default)]
    preview: bool,
}

/// The corrected key of a question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey)]
struct KeyCorrectionBody {
    /// Id of the question within the exam.
    question: String,
    /// Correct key, as in the exam file.
    #[schema(value_type = Object)]
    answer: Value,
    /// Reason, kept with the correction.
    #[serde(default)]
    reason: String,
}

/// An attempt whose result is changed by a corrected key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Changed)]
struct ChangedResultView {
    /// Number of the attempt.
    attempt_id: i64,
    /// Sign-in name of the candidate.
    candidate: String,
    /// Points before.
    score_before: f64,
    /// Points after.
    score_after: f64,
    /// True if it was passed before; none while answers wait for a mark.
    passed_before: Option<bool>,
    /// True if it is passed after; none while answers wait for a mark.
    passed_after: Option<bool>,
    /// Grade before.
    grade_before: Option<String>,
    /// Grade after.
    grade_after: Option<String>,
}

/// Effects of a corrected key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Regraded)]
struct RegradeView {
    /// Count of regraded attempts.
    attempts: usize,
    /// Attempts whose result changes.
    changed: Vec<ChangedResultView>,
}

impl From<KeyCorrectionBody> for KeyCorrection {
    fn from(body: KeyCorrectionBody) -> Self {
        Self {
            question: body.question.into(),
            answer: body.answer,
            reason: body.reason,
        }
    }
}

impl From<ChangedResult> for ChangedResultView {
    fn from(changed: ChangedResult) -> Self {
        let (before, after) = (changed.before, changed.after);
        Self {
            attempt_id: changed.attempt_id.0,
            candidate: changed.candidate,
            score_before: to_number(before.score),
            score_after: to_number(after.score),
            passed_before: before.passed,
            passed_after: after.passed,
            grade_before: before.grade,
            grade_after: after.grade,
        }
    }
}

impl From<RegradeReport> for RegradeView {
    fn from(report: RegradeReport) -> Self {
        Self {
            attempts: report.attempts,
            changed: report.changed.into_iter().map(Into::into).collect(),
        }
    }
}

/// Corrects the key of a question, and grades all attempts again.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/corrections", tag = "marking",
    request_body = KeyCorrectionBody,
    params(("id" = i64, Path, description = "The exam"), CorrectionQuery),
    responses(
        (status = 200, body = RegradeView),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn correct(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    Query(query): Query<CorrectionQuery>,
    Json(key): Json<KeyCorrectionBody>,
) -> Result<Json<RegradeView>, Problem> {
    let key = key.into();
    let regraded = manager
        .work(async |work| {
            work.dry_run = query.preview;
            correction::correct_key(work, id, &key, query.preview).await
        })
        .await?;
    Ok(Json(regraded.into()))
}

/// Selection of results to release.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Release)]
struct ReleaseBody {
    /// Numbers of attempts; none: all of the exam, including later hand-ins.
    #[serde(default)]
    attempts: Option<Vec<i64>>,
    /// True to release results although answers wait for a mark.
    #[serde(default)]
    unfinished: bool,
}

/// Count of a release.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Released)]
struct ReleasedView {
    /// Results that are visible to candidates from now on.
    attempts: i64,
}

impl From<ReleaseBody> for ResultRelease {
    fn from(body: ReleaseBody) -> Self {
        let attempts = body.attempts;
        Self {
            attempts: attempts.map(|ids| ids.into_iter().map(AttemptId).collect()),
            unfinished: body.unfinished,
        }
    }
}

/// Releases results to their candidates.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/release", tag = "marking",
    request_body = Option<ReleaseBody>,
    params(("id" = i64, Path, description = "The exam")),
    responses(
        (status = 200, body = ReleasedView),
        (status = 409, description = "`wrong_state`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn release(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    JsonOrDefault(release): JsonOrDefault<ReleaseBody>,
) -> Result<Json<ReleasedView>, Problem> {
    let release = release.into();
    let attempts = manager
        .work(async |work| release::release_results(work, id, &release).await)
        .await?;
    Ok(Json(ReleasedView { attempts }))
}
