//! Signing in and out, and who sends a request.
//!
//! A person shows an access code once and gets a log-in token: as `Bearer`, or
//! in a browser as a cookie that scripts cannot read. An attempt token stands
//! for its candidate, but only at its attempt.

use axum::{
    extract::{FromRequestParts, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use axum_extra::extract::{
    CookieJar,
    cookie::{Cookie, SameSite},
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState,
    client::ClientAddress,
    extract::Json,
    problem::{self, Problem},
    token::{self, AttemptToken},
};
use crate::{
    domain::{id::PersonId, person::Person, time::Timestamp},
    secrets::password,
    store::{Client, LoginTry, NewLogin},
    telemetry::metrics::Outcome,
};

/// The name of the session cookie.
const COOKIE: &str = "invigil_session";

/// Longest name and access code that are looked at, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 256;

/// How much of a `User-Agent` is kept.
const USER_AGENT_CHARS_MAX: usize = 300;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(rotate))
        .routes(routes!(logout))
}

/// Who sends a request.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Signed in.
    Person(Person),
    /// A candidate, at one attempt only.
    Attempt(AttemptToken),
}

/// A person who is signed in.
#[derive(Debug, Clone)]
pub struct SignedIn(pub Person);

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let token = shown_token(parts).ok_or(Problem::Unauthorized)?;
        let now = app.engine.now();
        if token::is_attempt_token(&token) {
            let token = app
                .tokens
                .verify(&token, now)
                .map_err(|_invalid| Problem::Unauthorized)?;
            return Ok(Self::Attempt(token));
        }
        let person = app
            .catalog
            .login(&token::login_token_hash(&token), now)
            .await?;
        person.map(Self::Person).ok_or(Problem::Unauthorized)
    }
}

impl FromRequestParts<AppState> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, app).await? {
            Caller::Person(person) => Ok(Self(person)),
            Caller::Attempt(_) => Err(Problem::Forbidden),
        }
    }
}

/// The bearer or, where there is no `Authorization` header at all, the cookie.
pub(super) fn shown_token(parts: &Parts) -> Option<String> {
    let Some(value) = parts.headers.get(header::AUTHORIZATION) else {
        let jar = CookieJar::from_headers(&parts.headers);
        return jar.get(COOKIE).map(|cookie| cookie.value().to_owned());
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}

/// Who wants to sign in.
#[derive(Deserialize, ToSchema)]
struct Credentials {
    /// The roster's `id`.
    id: String,
    /// The access code; or else `password`.
    code: Option<String>,
    /// The password of an account that has one.
    password: Option<String>,
}

/// A log-in.
#[derive(Serialize, ToSchema)]
struct LoggedIn {
    /// To be sent as `Authorization: Bearer`, and in a proctor's `hello`.
    token: String,
    /// When the token ends, in milliseconds since the Unix epoch.
    expires_at: i64,
    user: User,
}

/// A person who is signed in.
#[derive(Serialize, ToSchema)]
struct User {
    id: String,
    name: String,
    /// `candidate`, `proctor`, `teacher` or `admin`.
    roles: [&'static str; 1],
}

/// Signs in with an access code; sets the session cookie too.
#[utoipa::path(
    post, path = "/api/v1/login", tag = "people", request_body = Credentials,
    responses(
        (status = 200, body = LoggedIn),
        (status = 401, body = problem::Body, content_type = problem::MEDIA_TYPE),
        (status = 429, description = "After repeated failures", body = problem::Body,
            content_type = problem::MEDIA_TYPE),
    ),
)]
async fn login(
    State(app): State<AppState>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Problem> {
    let count = |outcome| {
        app.metrics.logins.get_or_create(&Outcome { outcome }).inc();
    };
    let shown = match (credentials.code, credentials.password) {
        (Some(code), None) => Shown::Code(code),
        (None, Some(password)) => Shown::Password(password),
        (Some(_), Some(_)) | (None, None) => {
            let detail = "send either `code` or `password`".to_owned();
            return Err(Problem::BadRequest(detail));
        }
    };
    if credentials.id.len().max(shown.text().len()) > CREDENTIAL_BYTES_MAX {
        return Err(Problem::WrongCredentials);
    }
    let client = Client {
        address,
        user_agent: user_agent(&headers),
    };
    let attempt = app
        .limits
        .begin_login(&credentials.id, address)
        .inspect_err(|_| count("limited"))?;
    match verified(&app, &credentials.id, shown).await {
        Ok(Some(person)) => {
            attempt.forgive();
            note(&app, &credentials.id, &client, true).await?;
            let response = log_in(&app, person, client).await?;
            count("ok");
            Ok(response)
        }
        Ok(None) => {
            attempt.fail();
            note(&app, &credentials.id, &client, false).await?;
            count("wrong");
            Err(Problem::WrongCredentials)
        }
        Err(problem) => {
            attempt.forgive();
            Err(problem)
        }
    }
}

/// What proves who somebody is.
enum Shown {
    Code(String),
    Password(String),
}

impl Shown {
    fn text(&self) -> &str {
        let (Self::Code(text) | Self::Password(text)) = self;
        text
    }
}

/// The person whose code or password this is. An unknown name costs the same
/// work as a wrong one.
async fn verified(app: &AppState, name: &str, shown: Shown) -> Result<Option<Person>, Problem> {
    let id = PersonId::from(name);
    let found = app.catalog.credentials(&id).await?;
    let now = app.engine.now();
    let locked = found.as_ref().and_then(|found| found.locked_until);
    if let Some(until) = locked.filter(|until| now < *until) {
        return Err(Problem::RateLimited(until.since(now)));
    }
    let equal = match shown {
        Shown::Code(code) => {
            let shown = token::access_code_hash(&app.access_code_key, &id, &code);
            let stored = found.as_ref().and_then(|found| found.access_code);
            bool::from(stored.unwrap_or_default().ct_eq(&shown)) && stored.is_some()
        }
        Shown::Password(shown) => {
            let stored = found.as_ref().and_then(|found| found.password.clone());
            password::verify(shown, stored).await
        }
    };
    Ok(found.filter(|_| equal).map(|found| found.person))
}

/// Keeps a try, for locks and for the detection of guessing.
async fn note(app: &AppState, name: &str, client: &Client, success: bool) -> Result<(), Problem> {
    let login = &app.config.login;
    let tried = LoginTry {
        name,
        client,
        success,
        at: app.engine.now(),
        lock_after: login.failures_per_name,
        lock_for: login.window,
    };
    Ok(app.catalog.note_login(&tried).await?)
}

/// What the client's program calls itself, as much of it as is kept.
pub(super) fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(USER_AGENT_CHARS_MAX).collect())
}

async fn log_in(app: &AppState, person: Person, client: Client) -> Result<Response, Problem> {
    let (token, hash) = new_token()?;
    let lifetime = app.config.session.login;
    let expires_at = app.engine.now() + lifetime;
    let login = NewLogin {
        token: hash,
        person: person.id.clone(),
        expires_at,
        client,
    };
    app.catalog.put_login(&login).await?;
    Ok(logged_in(app, person, token, expires_at))
}

fn new_token() -> Result<(String, [u8; 32]), Problem> {
    token::new_login_token().map_err(|error| {
        tracing::error!(
            error = crate::telemetry::chain(&error),
            "no random bytes for a log-in"
        );
        Problem::Internal
    })
}

/// Hands a token out, in the body and as the cookie.
fn logged_in(app: &AppState, person: Person, token: String, expires_at: Timestamp) -> Response {
    let cookie = session_cookie(app, token.clone());
    let user = User {
        id: person.id.to_string(),
        name: person.name,
        roles: [person.role.as_str()],
    };
    let body = Json(LoggedIn {
        token,
        expires_at: expires_at.as_ms(),
        user,
    });
    (CookieJar::new().add(cookie), body).into_response()
}

/// Replaces the token of a log-in by another one, good until the same end; sets the cookie too.
///
/// The old token is good for 30 seconds more, for requests that are under way. Whoever sends it
/// later has a copy that should not be: the log-in ends.
#[utoipa::path(
    post, path = "/api/v1/login/rotate", tag = "people",
    responses(
        (status = 200, body = LoggedIn),
        (status = 401, body = problem::Body, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn rotate(State(app): State<AppState>, parts: Parts) -> Result<Response, Problem> {
    let old = shown_token(&parts).filter(|token| !token::is_attempt_token(token));
    let old = token::login_token_hash(&old.ok_or(Problem::Unauthorized)?);
    let (token, hash) = new_token()?;
    let now = app.engine.now();
    let until = app.catalog.rotate_login(&old, &hash, now).await?;
    let person = app.catalog.login(&hash, now).await?;
    match (until, person) {
        (Some(until), Some(person)) => Ok(logged_in(&app, person, token, until)),
        _ => Err(Problem::Unauthorized),
    }
}

/// It ends with the browser: in an exam room the next person sits there.
fn session_cookie(app: &AppState, value: String) -> Cookie<'static> {
    let mut cookie = Cookie::new(COOKIE, value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Strict);
    cookie.set_secure(app.config.server.secure_cookies);
    cookie
}

/// Ends the log-in whose token is sent; a repeat does no harm.
#[utoipa::path(
    post, path = "/api/v1/logout", tag = "people",
    responses((status = 204, description = "Signed out")),
    security(("token" = []), ("cookie" = [])),
)]
async fn logout(State(app): State<AppState>, parts: Parts) -> Result<Response, Problem> {
    if let Some(token) = shown_token(&parts).filter(|token| !token::is_attempt_token(token)) {
        app.catalog
            .end_login(&token::login_token_hash(&token))
            .await?;
    }
    let mut gone = session_cookie(&app, String::new());
    gone.make_removal();
    Ok((StatusCode::NO_CONTENT, CookieJar::new().add(gone)).into_response())
}
