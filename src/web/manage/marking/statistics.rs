//! Routes of an exam's attempts and statistics.

#![expect(
    unused_qualifications,
    reason = "the description of parameters is written by a macro, with paths"
)]

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::web::{
    extract::{Json, Path, Query},
    manage::{self, ManagementAccess},
    problem::Problem,
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    ids::ExamId,
    statistics::{
        self,
        model::{AttemptPage, ExamStatistics},
    },
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(attempts))
        .add(RouteAccess::Manager, routes!(statistics))
}

/// Page of attempts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web::manage) struct AttemptQuery {
    /// The `next` of the previous page.
    before: Option<String>,
    /// Most rows in the page, 1 to 500.
    #[serde(default = "manage::page")]
    pub(in crate::web::manage) limit: i64,
}

/// A page of an exam's attempts, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempts)]
struct AttemptPageView {
    /// Attempts, with rank and percentile among the fully marked ones.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Value>,
    /// `before` of the next page; null: this is the last.
    next: Option<String>,
}

/// Statistics of an exam and its questions, as of the last refresh.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statistics)]
struct StatisticsView {
    /// Attempts, mean, deviation, quartiles, duration and Cronbach's alpha of the exam.
    #[schema(value_type = Object)]
    exam: Value,
    /// Facility, discrimination, mean time and distractors of each question.
    #[schema(value_type = Vec<Object>)]
    questions: Vec<Value>,
}

impl From<AttemptPage> for AttemptPageView {
    fn from(page: AttemptPage) -> Self {
        Self {
            items: page.items,
            next: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

impl From<ExamStatistics> for StatisticsView {
    fn from(statistics: ExamStatistics) -> Self {
        Self {
            exam: statistics.exam,
            questions: statistics.questions,
        }
    }
}

/// Attempts of an exam, newest first, with ranks.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/attempts", tag = "marking",
    params(("id" = i64, Path, description = "The exam"), AttemptQuery),
    responses((status = 200, body = AttemptPageView)),
    security(("token" = []), ("cookie" = [])),
)]
async fn attempts(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    Query(query): Query<AttemptQuery>,
) -> Result<Json<AttemptPageView>, Problem> {
    let page = manager
        .work(async |work| {
            let before = query.before.as_deref().map(str::parse).transpose()?;
            statistics::list_attempts(work, id, before, query.limit).await
        })
        .await?;
    Ok(Json(page.into()))
}

/// Statistics of an exam and its questions, as of the last refresh.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/statistics", tag = "marking",
    params(("id" = i64, Path, description = "The exam")),
    responses((status = 200, body = StatisticsView)),
    security(("token" = []), ("cookie" = [])),
)]
async fn statistics(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
) -> Result<Json<StatisticsView>, Problem> {
    let computed = manager
        .work(async |work| statistics::exam_statistics(work, id).await)
        .await?;
    Ok(Json(computed.into()))
}
