//! Evidence: a proctoring client announces and uploads files about an attempt, staff of the exam
//! list and read them. Where files are kept in S3 they do not pass through here.

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
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState,
    access::Standing,
    auth::Caller,
    extract::{Json, Path},
    media,
    problem::{self, Problem},
};
use crate::{
    domain::{
        evidence::Kind,
        id::{AttemptId, EvidenceId},
    },
    evidence::{About, Error, Link, Offer},
    store::EvidenceRow,
    telemetry::chain,
};

/// Longest name of a session that is kept, in bytes: those of the engine are shorter.
const SESSION_BYTES_MAX: usize = 64;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, announce))
        .routes(routes!(read_link))
        .routes(routes!(done))
        .routes(routes!(read, upload))
}

/// A file that a client wants to upload.
#[derive(Deserialize, ToSchema)]
struct NewEvidence {
    /// The number of the event, in the session, that the file belongs to.
    event: Option<u64>,
    /// The session in which it was made.
    session: Option<String>,
    /// `snapshot`, `audio`, `video` or `screen`.
    #[schema(value_type = String, example = "snapshot")]
    kind: Kind,
    /// `image/jpeg`, `image/png` or `image/webp`; `audio/webm`, `audio/ogg`, `audio/mpeg` or
    /// `audio/wav`; `video/webm` or `video/mp4`; as it suits the kind.
    #[schema(example = "image/jpeg")]
    content_type: String,
    /// The size of the file, exactly.
    bytes: u64,
}

/// Evidence that may be uploaded now.
#[derive(Serialize, ToSchema)]
struct AnnouncedEvidence {
    id: String,
    upload: UploadRequest,
}

/// The request by which a file is uploaded, with the file as its body.
#[derive(Serialize, ToSchema)]
struct UploadRequest {
    /// `PUT`
    method: &'static str,
    /// Without a host where it is the engine's own.
    url: String,
    /// Headers that it must have.
    headers: BTreeMap<&'static str, String>,
    /// When the link ends, in milliseconds since the Unix epoch.
    expires_at: i64,
}

/// Announces a file, with the token of the attempt. It is to be uploaded as the answer says, and
/// then confirmed by `done`; where the link is the engine's own, the upload confirms it.
#[utoipa::path(
    post, path = "/api/v1/attempts/{id}/evidence", tag = "evidence",
    params(("id" = String, Path, description = "The attempt")),
    request_body = NewEvidence,
    responses(
        (status = 201, body = AnnouncedEvidence),
        (status = 403, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 409, description = "The attempt is over for more than ten minutes",
            body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 413, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 415, description = "`type_not_allowed`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 429, description = "Too many files in an hour", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = [])),
)]
async fn announce(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AttemptId>,
    Json(new): Json<NewEvidence>,
) -> Result<(StatusCode, Json<AnnouncedEvidence>), Problem> {
    let (standing, summary) = app.attempt(&caller, id).await?;
    if standing != Standing::Owner {
        return Err(Problem::Forbidden);
    }
    let is_name = |text: &String| {
        let plain = |byte: u8| byte.is_ascii_graphic();
        (1..=SESSION_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
    };
    if new.session.as_ref().is_some_and(|text| !is_name(text)) {
        return Err(Problem::BadRequest("`session` is none".to_owned()));
    }
    // As the stores count.
    if new.event.is_some_and(|event| i64::try_from(event).is_err()) {
        return Err(Problem::BadRequest("`event` is too large".to_owned()));
    }
    let about = About {
        attempt: id,
        exam: &summary.identity.exam,
        closed_at: summary.control.closed_at,
    };
    let offer = Offer {
        kind: new.kind,
        content_type: new.content_type,
        bytes: new.bytes,
        session: new.session.map(Into::into),
        event: new.event,
    };
    let (id, link) = app
        .evidence
        .announce(about, offer, app.engine.now())
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

/// Confirms that a file was uploaded; a repeat does no harm.
#[utoipa::path(
    post, path = "/api/v1/attempts/{id}/evidence/{evidence}/done", tag = "evidence",
    params(
        ("id" = String, Path, description = "The attempt"),
        ("evidence" = String, Path, description = "The evidence"),
    ),
    responses(
        (status = 204, description = "The file is there"),
        (status = 400, description = "It is smaller than announced", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 403, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 409, description = "It is not there", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 413, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 415, description = "`type_not_allowed`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = [])),
)]
async fn done(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, evidence)): Path<(AttemptId, EvidenceId)>,
) -> Result<StatusCode, Problem> {
    app.own_attempt(&caller, id).await?;
    let now = app.engine.now();
    app.evidence.confirm(id, &evidence, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The evidence of an attempt.
#[derive(Serialize, ToSchema)]
struct EvidenceList {
    evidence: Vec<Evidence>,
}

/// A file of evidence.
#[derive(Serialize, ToSchema)]
struct Evidence {
    id: String,
    /// `snapshot`, `audio`, `video` or `screen`.
    kind: &'static str,
    /// When it was announced, in milliseconds since the Unix epoch, by the engine's clock.
    at: i64,
    content_type: String,
    bytes: u64,
    /// The event, in the session, that it belongs to, as the client says.
    event: Option<u64>,
    session: Option<String>,
    /// `pending`: announced and not there; `stored`: it can be read.
    state: &'static str,
}

impl From<EvidenceRow> for Evidence {
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

/// Lets staff of the exam through, and notes that they looked: whose pictures one sees is
/// nothing to be done unseen.
async fn as_staff(app: &AppState, caller: &Caller, id: AttemptId) -> Result<(), Problem> {
    match (app.attempt(caller, id).await?.0, caller) {
        (Standing::Proctor | Standing::Teacher, Caller::Person(person)) => {
            tracing::info!(person = %person.id, attempt.id = %id, "staff looks at evidence");
            Ok(())
        }
        _ => Err(Problem::Forbidden),
    }
}

/// The evidence of an attempt, oldest first, for staff of the exam.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/evidence", tag = "evidence",
    params(("id" = String, Path, description = "The attempt")),
    responses(
        (status = 200, body = EvidenceList),
        (status = 403, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AttemptId>,
) -> Result<Json<EvidenceList>, Problem> {
    as_staff(&app, &caller, id).await?;
    let rows = app.evidence.list(id).await?;
    Ok(Json(EvidenceList {
        evidence: rows.into_iter().map(Into::into).collect(),
    }))
}

/// A link that shows a file.
#[derive(Serialize, ToSchema)]
struct EvidenceLink {
    /// Without a host where it is the engine's own.
    url: String,
    /// When the link ends, in milliseconds since the Unix epoch.
    expires_at: i64,
}

/// A link to a file of evidence, for staff of the exam. Whoever has the link sees the file, until
/// the link ends.
#[utoipa::path(
    get, path = "/api/v1/attempts/{id}/evidence/{evidence}", tag = "evidence",
    params(
        ("id" = String, Path, description = "The attempt"),
        ("evidence" = String, Path, description = "The evidence"),
    ),
    responses(
        (status = 200, body = EvidenceLink),
        (status = 403, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 404, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 409, description = "It is not uploaded", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn read_link(
    State(app): State<AppState>,
    caller: Caller,
    Path((id, evidence)): Path<(AttemptId, EvidenceId)>,
) -> Result<Json<EvidenceLink>, Problem> {
    as_staff(&app, &caller, id).await?;
    let now = app.engine.now();
    let Link {
        url, expires_at, ..
    } = app.evidence.read_link(id, &evidence, now).await?;
    let expires_at = expires_at.as_ms();
    Ok(Json(EvidenceLink { url, expires_at }))
}

/// Takes a file, as it was announced. The link is enough, and is good for one file.
#[utoipa::path(
    put, path = "/api/v1/evidence/{link}", tag = "evidence",
    params(("link" = String, Path, description = "As `upload.url` has it")),
    request_body(content = Vec<u8>, description = "The file", content_type = "*/*"),
    responses(
        (status = 204, description = "The file is there, and confirmed"),
        (status = 400, description = "It is smaller than announced", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 403, description = "`link_not_valid`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 409, description = "It is there already", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 413, description = "It is larger than announced", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 415, description = "`type_not_allowed`: its content is another",
            body = problem::Body, content_type = problem::MEDIA_TYPE),
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
    app.evidence.receive(&link, length, content, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows a file. The link is enough. Byte ranges are served, so that films can be wound.
#[utoipa::path(
    get, path = "/api/v1/evidence/{link}", tag = "evidence",
    params(("link" = String, Path, description = "As the link to the evidence has it")),
    responses(
        (status = 200, description = "The whole"),
        (status = 206, description = "The range that was asked for"),
        (status = 403, description = "`link_not_valid`", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 404, description = "It is removed", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
        (status = 416, description = "No such range"),
    ),
)]
async fn read(
    State(app): State<AppState>,
    Path(link): Path<String>,
    range: Option<TypedHeader<Range>>,
) -> Result<Response, Problem> {
    let row = app.evidence.linked(&link, app.engine.now()).await?;
    let part = match media::wanted(range, row.bytes) {
        Ok(part) => part,
        Err(none) => return Ok(none.into_response()),
    };
    let found = app.evidence.read(&row, part.clone()).await?;
    Ok(media::respond(found, part.map(|_| row.bytes)))
}

/// The one place where what is wrong with evidence becomes an answer, and is logged.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Type => Self::TypeNotAllowed,
            Error::TooLarge => Self::TooLarge,
            Error::TooMany(wait) => Self::RateLimited(wait),
            Error::NotFound => Self::NotFound,
            Error::Link => Self::LinkNotValid,
            Error::Over => Self::WrongState("The attempt is over.".to_owned()),
            Error::NotStored => Self::WrongState("The file is not uploaded yet.".to_owned()),
            Error::Stored => Self::WrongState("The file is there already.".to_owned()),
            Error::NotWhole => Self::BadRequest("the file is not as large as announced".to_owned()),
            Error::Broken(_) => Self::BadRequest("the file did not arrive whole".to_owned()),
            Error::Records(error) => error.into(),
            Error::Place(_) => {
                let error = chain(&error);
                tracing::warn!(error, "the place of evidence did not do a request");
                Self::Unavailable
            }
            Error::Random(_) => {
                let error = chain(&error);
                tracing::error!(error, "no random bytes for evidence");
                Self::Internal
            }
        }
    }
}
