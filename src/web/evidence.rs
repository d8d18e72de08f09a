//! Routes of evidence: proctoring clients announce and upload files about an attempt, staff of the
//! exam list and read them. Files in S3 do not pass through the engine.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use axum_extra::{TypedHeader, headers::Range};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    AppState,
    access::AccessRole,
    auth::Caller,
    extract::{Json, Path},
    media,
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
};
use invigil_domain::{
    evidence::EvidenceKind,
    id::{AttemptId, EvidenceId},
};
use invigil_management::Principal;
use invigil_objects::evidence::{Error, EvidenceAttempt, PresignedRequest, UploadOffer};
use invigil_store::EvidenceRow;
use invigil_telemetry::error_chain;

/// Longest name of a session, in bytes; the engine's own are shorter.
const SESSION_BYTES_MAX: usize = 64;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::ExamStaff, routes!(list))
        .add(RouteAccess::Owner, routes!(announce))
        .add(RouteAccess::ExamStaff, routes!(read_link))
        .add(RouteAccess::Owner, routes!(done))
        .add(RouteAccess::Link, routes!(read, upload))
}

/// A file to upload.
#[derive(Deserialize, ToSchema)]
struct NewEvidence {
    /// Number of the event in the session that the file belongs to.
    event: Option<u64>,
    /// Session in which the file was made.
    session: Option<String>,
    /// `snapshot`, `audio`, `video` or `screen`.
    #[schema(value_type = String, example = "snapshot")]
    kind: EvidenceKind,
    /// `image/jpeg`, `image/png` or `image/webp`; `audio/webm`, `audio/ogg`, `audio/mpeg` or
    /// `audio/wav`; `video/webm` or `video/mp4`; according to the kind.
    #[schema(example = "image/jpeg")]
    content_type: String,
    /// Exact size of the file.
    bytes: u64,
}

/// Evidence that may be uploaded now.
#[derive(Serialize, ToSchema)]
struct AnnouncedEvidence {
    id: String,
    upload: UploadRequest,
}

/// The request that uploads a file, with the file as its body.
#[derive(Serialize, ToSchema)]
struct UploadRequest {
    /// `PUT`
    method: &'static str,
    /// Without a host if the engine stores the file.
    url: String,
    /// Headers that the request must have.
    headers: BTreeMap<&'static str, String>,
    /// End of the link, in milliseconds since the Unix epoch.
    expires_at: i64,
}

/// Announces a file, with the token of the attempt. Upload it with the request in the response,
/// then confirm it with `done`; an upload to the engine itself needs no confirmation.
#[utoipa::path(
    post, path = "/api/v1/attempts/{id}/evidence", tag = "evidence",
    params(("id" = String, Path, description = "The attempt")),
    request_body = NewEvidence,
    responses(
        (status = 201, body = AnnouncedEvidence),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 409, description = "The attempt is over for more than ten minutes",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 413, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 415, description = "`type_not_allowed`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 429, description = "Too many files in an hour", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = [])),
)]
async fn announce(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<AttemptId>,
    Json(new): Json<NewEvidence>,
) -> Result<(StatusCode, Json<AnnouncedEvidence>), Problem> {
    let (standing, summary) = app.visible_attempt(&caller, id).await?;
    if standing != AccessRole::Owner {
        return Err(Problem::Forbidden);
    }
    let is_name = |text: &String| {
        let plain = |byte: u8| byte.is_ascii_graphic();
        (1..=SESSION_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
    };
    if new.session.as_ref().is_some_and(|text| !is_name(text)) {
        return Err(Problem::BadRequest(
            "`session` must be the id of a session".to_owned(),
        ));
    }
    // The stores keep signed integers.
    if new.event.is_some_and(|event| i64::try_from(event).is_err()) {
        return Err(Problem::BadRequest("`event` is too large".to_owned()));
    }
    let about = EvidenceAttempt {
        attempt: id,
        exam: &summary.identity.exam,
        closed_at: summary.control.closed_at,
    };
    let offer = UploadOffer {
        kind: new.kind,
        content_type: new.content_type,
        bytes: new.bytes,
        session: new.session.map(Into::into),
        event: new.event,
    };
    let (id, link) = app
        .evidence
        .announce_upload(about, offer, app.engine.now())
        .await?;
    let announced = AnnouncedEvidence {
        id: id.to_string(),
        upload: UploadRequest {
            method: "PUT",
            url: link.url,
            headers: link.headers,
            expires_at: link.expires_at.as_ms(),
        },
    };
    Ok((StatusCode::CREATED, Json(announced)))
}

/// Confirms that a file was uploaded; a repeat changes nothing.
#[utoipa::path(
    post, path = "/api/v1/attempts/{id}/evidence/{evidence}/done", tag = "evidence",
    params(
        ("id" = String, Path, description = "The attempt"),
        ("evidence" = String, Path, description = "The evidence"),
    ),
    responses(
        (status = 204, description = "The file is there"),
        (status = 400, description = "It is smaller than announced", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 409, description = "It is not there", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 413, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 415, description = "`type_not_allowed`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = [])),
)]
async fn done(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path((id, evidence)): Path<(AttemptId, EvidenceId)>,
) -> Result<StatusCode, Problem> {
    app.require_owner(&caller, id).await?;
    let now = app.engine.now();
    app.evidence.confirm_upload(id, &evidence, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The evidence of an attempt.
#[derive(Serialize, ToSchema)]
struct EvidenceList {
    evidence: Vec<EvidenceView>,
}

/// A file of evidence.
#[derive(Serialize, ToSchema)]
#[schema(as = Evidence)]
struct EvidenceView {
    id: String,
    /// `snapshot`, `audio`, `video` or `screen`.
    kind: &'static str,
    /// Instant of the announcement, in milliseconds since the Unix epoch, by the engine's clock.
    at: i64,
    content_type: String,
    bytes: u64,
    /// Number of the event in the session that the file belongs to, by the client's account.
    event: Option<u64>,
    session: Option<String>,
    /// `pending`: announced and not uploaded; `stored`: readable.
    state: &'static str,
}

impl From<EvidenceRow> for EvidenceView {
    fn from(row: EvidenceRow) -> Self {
        Self {
            id: row.id.to_string(),
            kind: row.kind.as_str(),
            at: row.at.as_ms(),
            content_type: row.content_type,
            bytes: row.bytes,
            event: row.event,
            session: row.session.map(|session| session.to_string()),
            state: if row.stored_at.is_some() {
                "stored"
            } else {
                "pending"
            },
        }
    }
}

/// Requires staff of the exam, and logs the access: looking at candidates' pictures leaves
/// a trace.
async fn admit_staff(app: &AppState, caller: &Principal, id: AttemptId) -> Result<(), Problem> {
    match app.visible_attempt(caller, id).await?.0 {
        AccessRole::Proctor | AccessRole::Teacher => {
            tracing::info!(person = %caller.person, attempt.id = %id, "staff looks at evidence");
            Ok(())
        }
        AccessRole::Owner => Err(Problem::Forbidden),
    }
}

/// The evidence of an attempt, oldest first, for staff of the exam.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/evidence", tag = "evidence",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, body = EvidenceList),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(id): Path<AttemptId>,
) -> Result<Json<EvidenceList>, Problem> {
    admit_staff(&app, &caller, id).await?;
    let rows = app.evidence.list_files(id).await?;
    Ok(Json(EvidenceList {
        evidence: rows.into_iter().map(Into::into).collect(),
    }))
}

/// A link to a file.
#[derive(Serialize, ToSchema)]
struct EvidenceLink {
    /// Without a host if the engine stores the file.
    url: String,
    /// End of the link, in milliseconds since the Unix epoch.
    expires_at: i64,
}

/// A link to a file of evidence, for staff of the exam. The link alone shows the file, until it
/// ends.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/evidence/{evidence}", tag = "evidence",
    params(
        ("id" = String, Path, description = "The attempt"),
        ("evidence" = String, Path, description = "The evidence"),
    ),
    responses(
        (status = 200, body = EvidenceLink),
        (status = 403, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 409, description = "It is not uploaded", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn read_link(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path((id, evidence)): Path<(AttemptId, EvidenceId)>,
) -> Result<Json<EvidenceLink>, Problem> {
    admit_staff(&app, &caller, id).await?;
    let now = app.engine.now();
    let PresignedRequest {
        url, expires_at, ..
    } = app.evidence.read_link(id, &evidence, now).await?;
    let expires_at = expires_at.as_ms();
    Ok(Json(EvidenceLink { url, expires_at }))
}

/// Receives a file as it was announced. The link alone suffices, for one file.
#[utoipa::path(
    put, path = "/api/v1/evidence/{link}", tag = "evidence",
    params(("link" = String, Path, description = "As `upload.url` has it")),
    request_body(content = Vec<u8>, description = "The file", content_type = "*/*"),
    responses(
        (status = 204, description = "The file is there, and confirmed"),
        (status = 400, description = "It is smaller than announced", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 403, description = "`link_not_valid`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 409, description = "It is there already", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 413, description = "It is larger than announced", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 415, description = "`type_not_allowed`: its content is another",
            body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
)]
async fn upload(
    State(app): State<AppState>,
    Path(link): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let content = body.into_data_stream();
    let now = app.engine.now();
    app.evidence
        .receive_upload(&link, length, content, now)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows a file; the link alone suffices. Byte ranges let players seek in films.
#[utoipa::path(
    get, path = "/api/v1/evidence/{link}", tag = "evidence",
    params(("link" = String, Path, description = "As the link to the evidence has it")),
    responses(
        (status = 200, description = "The whole"),
        (status = 206, description = "The range that was asked for"),
        (status = 403, description = "`link_not_valid`", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 404, description = "It is removed", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
        (status = 416, description = "No such range"),
    ),
)]
async fn read(
    State(app): State<AppState>,
    Path(link): Path<String>,
    range: Option<TypedHeader<Range>>,
) -> Result<Response, Problem> {
    let row = app.evidence.authorize_read(&link, app.engine.now()).await?;
    let part = match media::requested_range(range, row.bytes) {
        Ok(part) => part,
        Err(none) => return Ok(none.into_response()),
    };
    let found = app.evidence.read_file(&row, part.clone()).await?;
    Ok(media::file_response(found, part.map(|_| row.bytes)))
}

/// The one place that turns a failure of evidence into a response, and logs it.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::WrongType => Self::TypeNotAllowed,
            Error::TooLarge => Self::TooLarge,
            Error::TooMany(wait) => Self::RateLimited(wait),
            Error::NotFound => Self::NotFound,
            Error::InvalidLink => Self::LinkNotValid,
            Error::AttemptOver => Self::WrongState("The attempt is over.".to_owned()),
            Error::NotStored => Self::WrongState("The file is not uploaded yet.".to_owned()),
            Error::AlreadyStored => Self::WrongState("The file is there already.".to_owned()),
            Error::Incomplete => {
                Self::BadRequest("the file is not as large as announced".to_owned())
            }
            Error::Interrupted(_) => Self::BadRequest("the file did not arrive whole".to_owned()),
            Error::Records(error) => error.into(),
            Error::Storage(_) => {
                let error = error_chain(&error);
                tracing::warn!(error, "the place of evidence failed a request");
                Self::Unavailable
            }
            Error::Random(_) => {
                let error = error_chain(&error);
                tracing::error!(error, "no random bytes for evidence");
                Self::Internal
            }
        }
    }
}
