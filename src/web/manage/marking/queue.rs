//! Routes of the grading queue: answers that wait for a mark, claims and marks.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::results::OutcomeView;
use crate::web::{
    extract::{Json, JsonOrDefault, Path, Query},
    manage::{self, ManagementAccess},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_domain::id::AttemptId;
use invigil_management::{
    ids::ExamId,
    marking::{
        self,
        model::{NewMark, RubricCriterion},
        queue::{self, model::GradingQueueItem},
    },
    resource,
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(queue))
        .add(RouteAccess::Manager, routes!(claim))
        .add(RouteAccess::Manager, routes!(mark))
}

/// Filter of answers to mark.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct MarkingQueueQuery {
    /// Id of the question within the exam.
    question: Option<String>,
    /// Most answers, 1 to 500.
    #[serde(default = "manage::page")]
    limit: i64,
}

/// An answer to be marked by a person, without the name of its candidate.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Waiting)]
struct QueueItemView {
    /// Number of the attempt.
    attempt_id: i64,
    /// Id of the question within the exam.
    question: String,
    /// Number of the question in the bank.
    question_id: i64,
    /// Question type, one of ten.
    r#type: String,
    /// Definition of the question, with its rubric.
    #[schema(value_type = Object)]
    definition: Value,
    /// Value of the answer.
    #[schema(value_type = Object)]
    value: Value,
    /// Largest mark.
    points_possible: f64,
    /// Marks so far: 1 if a second is required, 2 if they differ.
    marks: i64,
    /// True if a marker holds a claim on it.
    claimed: bool,
}

impl From<GradingQueueItem> for QueueItemView {
    fn from(item: GradingQueueItem) -> Self {
        Self {
            attempt_id: item.attempt_id.0,
            question: item.question.to_string(),
            question_id: item.question_id.0,
            r#type: item.kind.as_str().to_owned(),
            definition: item.definition,
            value: item.value,
            points_possible: item.points_possible,
            marks: item.marks,
            claimed: item.claimed,
        }
    }
}

/// Answers that wait for a mark, without their candidates.
#[derive(Serialize, ToSchema)]
#[schema(as = Queue)]
struct MarkingQueue {
    items: Vec<QueueItemView>,
}

/// Answers that wait for a mark, question by question.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/marking", tag = "marking",
    params(("id" = i64, Path, description = "The exam"), MarkingQueueQuery),
    responses((status = 200, body = MarkingQueue)),
    security(("token" = []), ("cookie" = [])),
)]
async fn queue(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    Query(query): Query<MarkingQueueQuery>,
) -> Result<Json<MarkingQueue>, Problem> {
    let question = query.question.as_deref();
    let items = manager
        .work(async |work| queue::list_queue(work, id, question, query.limit).await)
        .await?;
    let items = items.into_iter().map(Into::into).collect();
    Ok(Json(MarkingQueue { items }))
}

/// Filter of the answer to mark.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Claim)]
struct ClaimRequest {
    /// Id of the question within the exam; none: any question.
    question: Option<String>,
}

/// Assigns the next unassigned answer to the caller, for an hour.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/marking/claim", tag = "marking",
    request_body = Option<ClaimRequest>,
    params(("id" = i64, Path, description = "The exam")),
    responses(
        (status = 200, description = "Null: no answer waits", body = Option<QueueItemView>),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn claim(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    JsonOrDefault(claim): JsonOrDefault<ClaimRequest>,
) -> Result<Json<Option<QueueItemView>>, Problem> {
    let waiting = manager
        .work(async |work| queue::claim_next(work, id, claim.question.as_deref()).await)
        .await?;
    Ok(Json(waiting.map(Into::into)))
}

/// A marker's mark of an answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMark)]
struct MarkBody {
    /// Points, 0 to the points of the question.
    #[serde(with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    points: Decimal,
    /// Points by criterion.
    #[serde(default)]
    rubric: Vec<CriterionBody>,
    /// Comment for the candidate.
    #[serde(default)]
    comment: String,
    /// Note for other markers.
    #[serde(default)]
    note: String,
}

/// A line of a rubric.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Criterion)]
struct CriterionBody {
    /// Name of the criterion.
    #[serde(rename = "criterion")]
    name: String,
    /// Points earned by it.
    points: f64,
    /// Reason for the points.
    #[serde(default)]
    comment: String,
}

impl From<MarkBody> for NewMark {
    fn from(body: MarkBody) -> Self {
        let criterion = |line: CriterionBody| RubricCriterion {
            name: line.name,
            points: line.points,
            comment: line.comment,
        };
        Self {
            points: body.points,
            rubric: body.rubric.into_iter().map(criterion).collect(),
            comment: body.comment,
            note: body.note,
        }
    }
}

/// Marks an answer, or changes the caller's mark.
#[utoipa::path(
    put, path = "/api/v1/manage/attempts/{attempt}/marks/{question}", tag = "marking",
    request_body = MarkBody,
    params(
        ("attempt" = i64, Path, description = "The attempt"),
        ("question" = String, Path, description = "The question's id within the exam"),
    ),
    responses(
        (status = 200, body = OutcomeView),
        (status = 409, description = "`wrong_state`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn mark(
    manager: ManagementAccess,
    Path((attempt, question)): Path<(AttemptId, String)>,
    Json(body): Json<Value>,
) -> Result<Json<OutcomeView>, Problem> {
    let settled = manager
        .work(async |work| {
            let new: MarkBody = resource::parse_draft(body)?;
            marking::mark_answer(work, attempt, &question.into(), &new.into()).await
        })
        .await?;
    Ok(Json(settled.into()))
}
