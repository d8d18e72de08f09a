//! Routes of exams: a person's list, starting an attempt, and for staff results
//! and commands.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use invigil_protocol::proctor::{CommandResult, ProctorCommand};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    AppState,
    access::{AccessRole, require_staff},
    auth::CurrentPerson,
    client::ClientAddress,
    extract::{Json, JsonOrDefault, Path, Query},
    problem::{self, Problem},
    results::{self, ResultRow},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_domain::{
    admission, exam::Exam, id::ExamCode, person::PersonRole, release::is_result_visible,
    time::Timestamp,
};
use invigil_engine::{CommandError, StartError};
use invigil_store::AttemptSummary;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Person, routes!(list))
        .add(RouteAccess::Person, routes!(start))
        .add(RouteAccess::ExamTeacher, routes!(exam_results))
        .add(RouteAccess::ExamStaff, routes!(command))
}

/// Exams of a person.
#[derive(Serialize, ToSchema)]
#[schema(as = Exams)]
struct PersonExams {
    exams: Vec<ExamView>,
}

/// An exam that a person may take or watch. Times are milliseconds since the
/// Unix epoch.
#[derive(Serialize, ToSchema)]
struct ExamView {
    code: String,
    title: String,
    /// Markdown.
    instructions: String,
    /// `quiz`, `assignment`, `midterm`, `final`, `certification` or `practice`.
    r#type: &'static str,
    /// `upcoming`, `lobby` (may be entered to wait), `open` or `closed`.
    status: &'static str,
    /// Start of the window; null: no start.
    available_from_at: Option<i64>,
    /// End of the window, after which the exam cannot be entered; null: no end.
    available_until_at: Option<i64>,
    /// Minutes before `available_from_at` in which the exam may be entered.
    lobby_minutes: u64,
    /// Minutes of a candidate without accommodations.
    duration_minutes: u64,
    questions: usize,
    max_attempts: u16,
    /// True if the start needs a password.
    password_required: bool,
    /// The person's attempts, oldest first; empty for staff.
    attempts: Vec<OwnAttempt>,
}

/// An attempt of the caller.
#[derive(Serialize, ToSchema)]
struct OwnAttempt {
    id: String,
    /// 1 for the first.
    number: u16,
    status: &'static str,
    started_at: i64,
    deadline_at: Option<i64>,
    submitted_at: Option<i64>,
    /// True if the candidate may see the result.
    result_available: bool,
}

impl OwnAttempt {
    fn new(exam: &Exam, summary: &AttemptSummary, now: Timestamp) -> Self {
        Self {
            id: summary.identity.id.to_string(),
            number: summary.identity.number,
            status: summary.control.status.as_str(),
            started_at: summary.identity.started_at.as_ms(),
            deadline_at: summary.control.deadline_at.map(Timestamp::as_ms),
            submitted_at: summary.submitted_at.map(Timestamp::as_ms),
            result_available: summary.totals.is_some()
                && is_result_visible(exam, summary.control.status, summary.released, now),
        }
    }
}

impl ExamView {
    fn new(exam: &Exam, now: Timestamp, attempts: &[AttemptSummary]) -> Self {
        Self {
            code: exam.code.to_string(),
            title: exam.title.clone(),
            instructions: exam.instructions.clone(),
            r#type: exam.kind.as_str(),
            status: window_status(exam, now),
            available_from_at: exam.available_from.map(Timestamp::as_ms),
            available_until_at: exam.available_until.map(Timestamp::as_ms),
            lobby_minutes: exam.lobby.as_secs() / 60,
            duration_minutes: exam.duration.as_secs() / 60,
            questions: exam
                .sections
                .iter()
                .map(|section| section.questions.len())
                .sum(),
            max_attempts: exam.max_attempts,
            password_required: exam.password.is_some(),
            attempts: attempts
                .iter()
                .filter(|summary| summary.identity.exam == exam.code)
                .map(|summary| OwnAttempt::new(exam, summary, now))
                .collect(),
        }
    }
}

fn window_status(exam: &Exam, now: Timestamp) -> &'static str {
    if exam.available_until.is_some_and(|until| until <= now) {
        return "closed";
    }
    match exam.available_from {
        Some(from) if now < from - exam.lobby => "upcoming",
        Some(from) if now < from => "lobby",
        Some(_) | None => "open",
    }
}

/// The exams that the person may take or watch.
#[utoipa::path(
    get, path = "/api/v1/exams", tag = "exams",
    responses(
        (status = 200, body = PersonExams),
        (status = 401, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list(
    State(app): State<AppState>,
    CurrentPerson(person): CurrentPerson,
) -> Result<Json<PersonExams>, Problem> {
    let now = app.engine.now();
    let exams = app.engine.newest_exams().await?;
    let attempts = match person.role {
        PersonRole::Candidate => app.engine.attempts_of(&person.id).await?,
        PersonRole::Proctor | PersonRole::Teacher | PersonRole::Admin => Vec::new(),
    };
    let exams = exams
        .iter()
        .filter(|exam| person.exams.contains(&exam.code))
        .map(|exam| ExamView::new(exam, now, &attempts))
        .collect();
    Ok(Json(PersonExams { exams }))
}

/// Request to start an attempt.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = StartRequest)]
struct AttemptStartRequest {
    /// The exam's password, if it has one.
    password: Option<String>,
}

/// An attempt that may be entered.
#[derive(Serialize, ToSchema)]
#[schema(as = StartResponse)]
struct AttemptStartResponse {
    attempt: String,
    /// The attempt token, for the socket's `hello` and as Bearer.
    token: String,
    status: &'static str,
    /// Path of the socket.
    #[schema(example = "/ws/v1/attempt")]
    socket: &'static str,
}

/// Starts an attempt, or returns the live one.
#[utoipa::path(
    post, path = "/api/v1/exams/{code}/attempts", tag = "exams",
    params(("code" = String, Path, description = "The exam")),
    request_body = Option<AttemptStartRequest>,
    responses(
        (status = 201, body = AttemptStartResponse),
        (status = 200, description = "The attempt that is live", body = AttemptStartResponse),
        (status = 403, description = "`not_open`, `closed`, `no_attempts_left`, `wrong_password`, \
            `address_not_allowed`, `not_enrolled`",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn start(
    State(app): State<AppState>,
    CurrentPerson(person): CurrentPerson,
    ClientAddress(address): ClientAddress,
    Path(code): Path<ExamCode>,
    JsonOrDefault(body): JsonOrDefault<AttemptStartRequest>,
) -> Result<Response, Problem> {
    // Refused before the look-up, so that the problem does not tell if the exam exists.
    if person.role != PersonRole::Candidate || !person.exams.contains(&code) {
        return Err(Problem::NotEnrolled);
    }
    let started = app
        .engine
        .start_attempt(&person, &code, body.password.as_deref(), address)
        .await?;
    let id = started.identity.id;
    let body = AttemptStartResponse {
        attempt: id.to_string(),
        token: app.tokens.sign(id, person.id, app.engine.now()),
        status: started.status.as_str(),
        socket: "/ws/v1/attempt",
    };
    let status = if started.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(body)).into_response())
}

impl From<admission::AdmissionError> for Problem {
    fn from(refusal: admission::AdmissionError) -> Self {
        match refusal {
            admission::AdmissionError::NotOpen => Self::NotOpen,
            admission::AdmissionError::Closed => Self::Closed,
            admission::AdmissionError::NoAttemptsLeft => Self::NoAttemptsLeft,
            admission::AdmissionError::WrongPassword => Self::WrongPassword,
            admission::AdmissionError::AddressNotAllowed => Self::AddressNotAllowed,
            admission::AdmissionError::NotEnrolled => Self::NotEnrolled,
        }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Refused(refusal) => refusal.into(),
            StartError::NoSuchExam => Self::NotFound,
            StartError::Failed(error) => error.into(),
        }
    }
}

/// Format of the results.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ResultsQuery {
    /// `json` (default) or `csv`.
    #[serde(default)]
    format: ResultsFormat,
}

/// Format of an exam's results.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Format)]
enum ResultsFormat {
    #[default]
    Json,
    Csv,
}

/// Results of an exam.
#[derive(Serialize, ToSchema)]
#[schema(as = Results)]
struct ExamResults {
    exam: String,
    results: Vec<ResultRow>,
}

/// Results of all attempts at an exam, for its teachers and administrators.
#[utoipa::path(
    get, path = "/api/v1/exams/{code}/results", tag = "exams",
    params(("code" = String, Path, description = "The exam")),
    responses(
        (status = 200, content((ExamResults = "application/json"), (String = "text/csv"))),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn exam_results(
    State(app): State<AppState>,
    CurrentPerson(person): CurrentPerson,
    Path(code): Path<ExamCode>,
    Query(query): Query<ResultsQuery>,
) -> Result<Response, Problem> {
    require_staff(&(&person).into(), &code, AccessRole::Teacher)?;
    app.engine
        .newest_exam(&code)
        .await?
        .ok_or(Problem::NotFound)?;
    let lines = app.engine.exam_results(&code).await?;
    let rows = lines.iter().map(ResultRow::new).collect();
    match query.format {
        ResultsFormat::Json => Ok(Json(ExamResults {
            exam: code.to_string(),
            results: rows,
        })
        .into_response()),
        ResultsFormat::Csv => {
            let csv = results::results_csv(rows).map_err(|error| {
                tracing::error!(
                    error = invigil_telemetry::error_chain(&error),
                    "cannot write results as CSV"
                );
                Problem::Internal
            })?;
            Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], csv).into_response())
        }
    }
}

/// Executes a proctor's command.
#[utoipa::path(
    post, path = "/api/v1/exams/{code}/commands", tag = "exams",
    params(("code" = String, Path, description = "The exam")),
    request_body(content = ref("#/components/schemas/Command")),
    responses(
        (status = 200, description = "The last `result`",
            body = ref("#/components/schemas/CommandResult")),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 409, description = "`conflict`: the id was used for another command",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn command(
    State(app): State<AppState>,
    CurrentPerson(person): CurrentPerson,
    Path(code): Path<ExamCode>,
    Json(command): Json<ProctorCommand>,
) -> Result<Json<CommandResult>, Problem> {
    require_staff(&(&person).into(), &code, AccessRole::Proctor)?;
    let engine = app.engine.clone();
    // A task of its own, so that a client that disconnects leaves no command half done.
    let done = app.tasks.spawn(async move {
        let reach = |exam: &ExamCode| *exam == code;
        engine.run_command(&person, &reach, command, &|_| ()).await
    });
    let done = done.await.map_err(|_panicked| Problem::Internal)?;
    Ok(Json(done?))
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Conflict => Self::Conflict,
            CommandError::Forbidden => Self::Forbidden,
            CommandError::BadRequest(detail) => Self::BadRequest(detail.to_owned()),
            CommandError::Failed(error) => error.into(),
        }
    }
}
