//! Errors of requests: `application/problem+json` of RFC 9457.
//!
//! The list is closed. `code` is stable and part of the interface; the texts are
//! for people and never contain internals: the cause of an internal fault is
//! logged where it is handled.

use std::time::Duration;

use axum::{
    extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use invigil_engine::{self};
use invigil_management::{FieldFault, ManagementError};
use invigil_store::{self};

/// Reason of a failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The request is invalid; the text says why.
    BadRequest(String),
    /// The token is missing, wrong or expired.
    Unauthorized,
    /// The name and the access code or password do not match.
    WrongCredentials,
    /// The caller's role does not allow the request.
    Forbidden,
    /// The exam, or its lobby, has not opened.
    NotOpen,
    /// The exam, or the attempt, can no longer be entered.
    Closed,
    /// All attempts are used.
    NoAttemptsLeft,
    /// The exam asks for another password.
    WrongPassword,
    /// The exam may not be taken from this address.
    AddressNotAllowed,
    /// The person is not among the exam's candidates.
    NotEnrolled,
    /// Another device holds the attempt.
    AnotherDevice,
    /// A page of another site sent the request.
    OriginNotAllowed,
    /// The exam does not show this result, or not yet.
    NotReleased,
    /// The address leads to nothing that the caller may see.
    NotFound,
    /// The attempt is not handed in yet.
    NotHandedIn,
    /// The address exists for other methods.
    MethodNotAllowed,
    /// The request took too long to arrive or to answer.
    TimedOut,
    /// Another session owns the attempt.
    Superseded,
    /// The command's id was used for another command.
    Conflict,
    /// The body is larger than allowed.
    TooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// Files of this type, or of this content, are not allowed.
    TypeNotAllowed,
    /// The link has ended, or was not made here.
    LinkNotValid,
    /// Too many requests; retry after this time.
    RateLimited(Duration),
    /// An internal fault of the engine.
    Internal,
    /// The node refuses new work for now.
    Overloaded,
    /// The store cannot be reached.
    Unavailable,
    /// Some fields are invalid.
    Invalid(Vec<FieldFault>),
    /// Another row has the value of this field.
    Duplicate(String),
    /// The row to delete is in use; the text names its user.
    InUse(String),
    /// The state does not allow the request; the text describes the state.
    WrongState(String),
    /// The row has changed since the client read it.
    Stale,
    /// A change has no `If-Match`.
    PreconditionRequired,
    /// The request needs PostgreSQL.
    ServersOnly,
}

/// Body of an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDetails {
    /// URI of the kind of error.
    #[schema(example = "urn:invigil:problem:not_found")]
    r#type: String,
    /// Kind of error, for people.
    title: &'static str,
    /// HTTP status.
    status: u16,
    /// Explanation of this error, for people.
    detail: String,
    /// Kind of error, for programs.
    #[schema(example = "not_found")]
    code: &'static str,
    /// Faults of the request's fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<InvalidField>,
}

/// An error in one field of a request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldFault)]
pub struct InvalidField {
    /// Path of the field; `[row].field` in an import.
    field: String,
    /// Predicate of a sentence whose subject is the field.
    message: String,
}

impl From<FieldFault> for InvalidField {
    fn from(fault: FieldFault) -> Self {
        Self {
            field: fault.field,
            message: fault.message,
        }
    }
}

/// Media type of all errors.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Retry time after 503, long enough for a restart of the store.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(2);

impl Problem {
    /// Returns status, stable code and title.
    #[expect(clippy::too_many_lines, reason = "one list, a line or so a problem")]
    const fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request", "Bad request"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "Not signed in"),
            Self::WrongCredentials => (
                StatusCode::UNAUTHORIZED,
                "wrong_credentials",
                "Wrong name or access code",
            ),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
            Self::NotOpen => (StatusCode::FORBIDDEN, "not_open", "Not open yet"),
            Self::Closed => (StatusCode::FORBIDDEN, "closed", "Closed"),
            Self::NoAttemptsLeft => (
                StatusCode::FORBIDDEN,
                "no_attempts_left",
                "No attempts left",
            ),
            Self::WrongPassword => (StatusCode::FORBIDDEN, "wrong_password", "Wrong password"),
            Self::AddressNotAllowed => (
                StatusCode::FORBIDDEN,
                "address_not_allowed",
                "Address not allowed",
            ),
            Self::NotEnrolled => (StatusCode::FORBIDDEN, "not_enrolled", "Not enrolled"),
            Self::AnotherDevice => (StatusCode::FORBIDDEN, "another_device", "Open elsewhere"),
            Self::OriginNotAllowed => (
                StatusCode::FORBIDDEN,
                "origin_not_allowed",
                "Origin not allowed",
            ),
            Self::NotReleased => (StatusCode::FORBIDDEN, "not_released", "Result not released"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found"),
            Self::NotHandedIn => (StatusCode::NOT_FOUND, "not_handed_in", "Not handed in"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
            ),
            Self::TimedOut => (StatusCode::REQUEST_TIMEOUT, "timed_out", "Took too long"),
            Self::Superseded => (StatusCode::CONFLICT, "superseded", "Superseded"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "Body too large"),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Not JSON",
            ),
            Self::TypeNotAllowed => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "type_not_allowed",
                "Type not allowed",
            ),
            Self::LinkNotValid => (StatusCode::FORBIDDEN, "link_not_valid", "Link not valid"),
            Self::RateLimited(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "Too many tries",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Engine fault",
            ),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Overloaded"),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Store not available",
            ),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Not right"),
            Self::Duplicate(_) => (StatusCode::CONFLICT, "duplicate", "Taken"),
            Self::InUse(_) => (StatusCode::CONFLICT, "in_use", "In use"),
            Self::WrongState(_) => (StatusCode::CONFLICT, "wrong_state", "Not possible now"),
            Self::Stale => (
                StatusCode::PRECONDITION_FAILED,
                "stale",
                "Changed meanwhile",
            ),
            Self::PreconditionRequired => (
                StatusCode::PRECONDITION_REQUIRED,
                "precondition_required",
                "Revision missing",
            ),
            Self::ServersOnly => (
                StatusCode::NOT_IMPLEMENTED,
                "servers_only",
                "Needs PostgreSQL",
            ),
        }
    }

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        self.kind().1
    }

    fn detail(&self) -> String {
        let text = match self {
            Self::BadRequest(detail) | Self::WrongState(detail) => detail,
            Self::Unauthorized => "Sign in, and send the token that you get.",
            Self::WrongCredentials => "This name and this access code do not belong together.",
            Self::Forbidden => "Your role does not allow this.",
            Self::NotOpen => "The exam has not opened yet.",
            Self::Closed => "The exam can no longer be entered.",
            Self::NoAttemptsLeft => "You have used all your attempts at this exam.",
            Self::WrongPassword => "The exam asks for another password.",
            Self::AddressNotAllowed => "The exam may not be taken from your address.",
            Self::NotEnrolled => "You are not among the candidates of this exam.",
            Self::AnotherDevice => "The attempt is open on another device.",
            Self::OriginNotAllowed => "Pages of another site may not use the engine.",
            Self::NotReleased => "The exam does not show this result, or not yet.",
            Self::NotFound => "There is nothing here that you may see.",
            Self::NotHandedIn => "The attempt is not handed in yet.",
            Self::MethodNotAllowed => "This address knows other methods only.",
            Self::TimedOut => "The request took too long.",
            Self::Superseded => "Another session owns the attempt.",
            Self::Conflict => "The id was used for another command.",
            Self::TooLarge => "The body is larger than allowed.",
            Self::UnsupportedMediaType => "Send the body as application/json.",
            Self::TypeNotAllowed => "Files of this type, or of this content, are not taken here.",
            Self::LinkNotValid => "The link has ended, or was changed. Ask for another.",
            Self::RateLimited(wait) => {
                return format!("Try again in {} seconds.", whole_seconds(*wait));
            }
            Self::Internal => "The engine has a fault, which is in its log.",
            Self::Overloaded => "The engine takes no new work for a moment.",
            Self::Unavailable => "What lasts is not available for a moment. Try again.",
            Self::Invalid(_) => "Some fields are not right; `errors` says which and why.",
            Self::Duplicate(_) => "Another one has this already; `errors` says what.",
            Self::InUse(by) => return format!("It is used by {by}."),
            Self::Stale => "Somebody changed it since you read it. Read it again.",
            Self::PreconditionRequired => "Send the ETag that you read as If-Match.",
            Self::ServersOnly => {
                "Exams and people are kept in files here; managing them needs PostgreSQL."
            }
        };
        text.to_owned()
    }

    fn retry_after(&self) -> Option<Duration> {
        if let Self::RateLimited(wait) = self {
            return Some(*wait);
        }
        matches!(self, Self::Overloaded | Self::Unavailable).then_some(UNAVAILABLE_RETRY)
    }

    fn errors(&self) -> Vec<FieldFault> {
        if let Self::Invalid(faults) = self {
            return faults.clone();
        }
        if let Self::Duplicate(field) = self {
            return vec![FieldFault::new(field, "is taken")];
        }
        Vec::new()
    }

    fn body(&self) -> ProblemDetails {
        let (status, code, title) = self.kind();
        ProblemDetails {
            r#type: format!("urn:invigil:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: self.detail(),
            code,
            errors: self.errors().into_iter().map(Into::into).collect(),
        }
    }
}

/// Returns whole seconds, rounded up, so that a client is never too early.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis()
        .div_ceil(1000)
        .try_into()
        .unwrap_or(u64::MAX)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body()).expect("a problem is plain JSON");
        let mut response = (self.kind().0, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
        }
        if matches!(self, Self::Unauthorized) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            _ => Self::BadRequest(rejection.body_text()),
        }
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::TooLarge
        } else {
            Self::BadRequest(rejection.body_text())
        }
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

/// A malformed id leads to nothing.
impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::NotFound
    }
}

/// The one place that turns a failure of the engine into a response, and logs it.
impl From<invigil_engine::Error> for Problem {
    fn from(error: invigil_engine::Error) -> Self {
        match error {
            invigil_engine::Error::Store(error) => error.into(),
            invigil_engine::Error::Damaged { .. }
            | invigil_engine::Error::Content(_)
            | invigil_engine::Error::Command(_)
            | invigil_engine::Error::Random(_)
            | invigil_engine::Error::Spool { .. }
            | invigil_engine::Error::ClockBehind { .. } => {
                let error = invigil_telemetry::error_chain(&error);
                tracing::error!(error, "the engine failed a request");
                Self::Internal
            }
        }
    }
}

/// The one place that turns a failure of the store into a response, and logs it.
impl From<invigil_store::Error> for Problem {
    fn from(error: invigil_store::Error) -> Self {
        let chain = invigil_telemetry::error_chain(&error);
        match error {
            invigil_store::Error::Unavailable { .. } => {
                tracing::warn!(error = chain, "the store did not answer a request");
                Self::Unavailable
            }
            invigil_store::Error::Rejected { .. } | invigil_store::Error::Schema(_) => {
                tracing::error!(error = chain, "the store refused a request");
                Self::Internal
            }
        }
    }
}

impl From<ManagementError> for Problem {
    fn from(fault: ManagementError) -> Self {
        match fault {
            ManagementError::NotSignedIn => Self::Unauthorized,
            ManagementError::Forbidden => Self::Forbidden,
            ManagementError::NotFound => Self::NotFound,
            ManagementError::Invalid(faults) => Self::Invalid(faults),
            ManagementError::Duplicate(field) => Self::Duplicate(field),
            ManagementError::InUse(by) => Self::InUse(by),
            ManagementError::WrongState(detail) => Self::WrongState(detail),
            ManagementError::Stale => Self::Stale,
            ManagementError::Unavailable => Self::Unavailable,
            ManagementError::Internal(_) => {
                let error = invigil_telemetry::error_chain(&fault);
                tracing::error!(error, "the management side failed a request");
                Self::Internal
            }
        }
    }
}

#[cfg(test)]
mod tests;
