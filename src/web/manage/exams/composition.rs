//! Routes of compositions: the sections and questions of an exam, and random draws.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::dto::ManagedExamView;
use crate::web::{
    extract::{Json, Path},
    manage::{IfMatch, ManagementAccess, TaggedRow},
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_management::{
    exams::{
        ExamResource,
        composition::{
            self,
            model::{
                ComposedQuestion, ComposedSection, DrawnQuestions, ExamComposition, QuestionDraw,
            },
        },
    },
    ids::{BankQuestionId, ExamId, QuestionCategoryId},
    resource,
};

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Manager, routes!(composition, compose))
        .add(RouteAccess::Manager, routes!(draw))
}

/// The sections of an exam and their questions.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Composition)]
struct CompositionBody {
    /// Sections in their order.
    sections: Vec<SectionBody>,
}

/// A section of an exam's composition.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ComposedSection)]
struct SectionBody {
    /// Id, unique within the exam.
    id: String,
    /// Display title.
    #[serde(default)]
    title: String,
    /// Time limit of the section, in minutes.
    #[serde(default)]
    time_limit_minutes: Option<i32>,
    /// Questions in their order.
    #[serde(default)]
    questions: Vec<PlacedBody>,
}

/// A question of the bank within a section.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Placed)]
struct PlacedBody {
    /// Number of the question's version in the bank.
    question_id: i64,
    /// Id within the exam; none: `q` and the number.
    #[serde(default)]
    id: Option<String>,
    /// Points; none: the default of the question.
    #[serde(default, with = "rust_decimal::serde::float_option")]
    #[schema(value_type = Option<f64>)]
    points: Option<Decimal>,
}

/// Conditions of a random draw of questions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Draw)]
struct DrawBody {
    /// Section that gets the questions, created if missing.
    section: String,
    /// Count of questions, 1 to 500.
    count: i64,
    /// Category, including its subcategories.
    #[serde(default)]
    category_id: Option<i64>,
    /// Difficulty.
    #[serde(default)]
    difficulty: Option<String>,
    /// Question type.
    #[serde(default)]
    r#type: Option<String>,
    /// Tags, all of which a question must have.
    #[serde(default)]
    tags: Vec<String>,
    /// Seed; the same one draws the same questions from an unchanged bank.
    #[serde(default)]
    seed: Option<i64>,
}

/// Result of a random draw.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Drawn)]
struct DrawnView {
    /// Seed that repeats the draw.
    seed: i64,
    /// Numbers of the questions in the bank.
    questions: Vec<i64>,
}

impl From<CompositionBody> for ExamComposition {
    fn from(body: CompositionBody) -> Self {
        let section = |section: SectionBody| ComposedSection {
            id: section.id.into(),
            title: section.title,
            time_limit_minutes: section.time_limit_minutes,
            questions: section.questions.into_iter().map(Into::into).collect(),
        };
        Self {
            sections: body.sections.into_iter().map(section).collect(),
        }
    }
}

impl From<ExamComposition> for CompositionBody {
    fn from(composition: ExamComposition) -> Self {
        let section = |section: ComposedSection| SectionBody {
            id: section.id.to_string(),
            title: section.title,
            time_limit_minutes: section.time_limit_minutes,
            questions: section.questions.into_iter().map(Into::into).collect(),
        };
        Self {
            sections: composition.sections.into_iter().map(section).collect(),
        }
    }
}

impl From<PlacedBody> for ComposedQuestion {
    fn from(body: PlacedBody) -> Self {
        Self {
            question_id: BankQuestionId(body.question_id),
            id: body.id.map(Into::into),
            points: body.points,
        }
    }
}

impl From<ComposedQuestion> for PlacedBody {
    fn from(placed: ComposedQuestion) -> Self {
        Self {
            question_id: placed.question_id.0,
            id: placed.id.map(|id| id.to_string()),
            points: placed.points,
        }
    }
}

impl From<DrawBody> for QuestionDraw {
    fn from(body: DrawBody) -> Self {
        Self {
            section: body.section.into(),
            count: body.count,
            category_id: body.category_id.map(QuestionCategoryId),
            difficulty: body.difficulty,
            kind: body.r#type,
            tags: body.tags,
            seed: body.seed,
        }
    }
}

impl From<DrawnQuestions> for DrawnView {
    fn from(drawn: DrawnQuestions) -> Self {
        Self {
            seed: drawn.seed,
            questions: drawn.questions.into_iter().map(i64::from).collect(),
        }
    }
}

/// Composition of an exam: its sections and questions.
#[utoipa::path(
    get, path = "/api/v1/manage/exams/{id}/composition", tag = "exams as written",
    params(("id" = i64, Path, description = "The exam")),
    responses((status = 200, body = CompositionBody)),
    security(("token" = []), ("cookie" = [])),
)]
async fn composition(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
) -> Result<TaggedRow<CompositionBody>, Problem> {
    let (revision, composition) = manager
        .work(async |work| {
            let exam = resource::get_row::<ExamResource>(work, id).await?;
            let composition = composition::read_composition(work, id).await?;
            Ok((exam.revision, composition))
        })
        .await?;
    Ok(TaggedRow::ok(revision, composition.into()))
}

/// Replaces the composition of an exam.
#[utoipa::path(
    put, path = "/api/v1/manage/exams/{id}/composition", tag = "exams as written",
    request_body = CompositionBody,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The exam's ETag"),
    ),
    responses(
        (status = 200, body = ManagedExamView),
        (status = 412, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn compose(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    IfMatch(revision): IfMatch,
    Json(body): Json<Value>,
) -> Result<TaggedRow<ManagedExamView>, Problem> {
    let row = manager
        .work(async |work| {
            let body: CompositionBody = resource::parse_draft(body)?;
            composition::replace_composition(work, id, revision, &body.into()).await
        })
        .await?;
    Ok(TaggedRow::ok(row.revision, row.into()))
}

/// Adds questions drawn at random from the bank.
#[utoipa::path(
    post, path = "/api/v1/manage/exams/{id}/draw", tag = "exams as written",
    request_body = DrawBody,
    params(
        ("id" = i64, Path, description = "The exam"),
        ("If-Match" = String, Header, description = "The exam's ETag"),
    ),
    responses(
        (status = 200, body = DrawnView),
        (status = 422, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn draw(
    manager: ManagementAccess,
    Path(id): Path<ExamId>,
    IfMatch(revision): IfMatch,
    Json(body): Json<Value>,
) -> Result<TaggedRow<DrawnView>, Problem> {
    let drawn = manager
        .work(async |work| {
            let body: DrawBody = resource::parse_draft(body)?;
            composition::draw_questions(work, id, revision, &body.into()).await
        })
        .await?;
    Ok(TaggedRow::ok(revision + 1, drawn.into()))
}
