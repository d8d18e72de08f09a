//! Signing in and out, and the caller of a request.
//!
//! A person exchanges an access code or a password for a log-in token: a
//! `Bearer`, or in a browser a cookie that scripts cannot read. An attempt token
//! stands for its candidate at its attempt only.

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
use utoipa_axum::routes;

use super::{
    AppState,
    client::ClientAddress,
    extract::Json,
    problem::{self, Problem},
    routes::{GuardedRoutes, RouteAccess},
    token,
};
use invigil_domain::{id::PersonId, person::RosterPerson, time::Timestamp};
use invigil_management::Principal;
use invigil_secrets::password;
use invigil_store::{LoginRow, RequestOrigin, SignInOutcome};
use invigil_telemetry::metrics::OutcomeLabel;

/// Name of the session cookie.
const COOKIE_NAME: &str = "invigil_session";

/// Longest name and access code that are checked, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 256;

/// Longest `User-Agent` that is kept, in characters.
const USER_AGENT_CHARS_MAX: usize = 300;

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add(RouteAccess::Public, routes!(login))
        .add(RouteAccess::Public, routes!(rotate))
        .add(RouteAccess::Public, routes!(logout))
}

/// The caller of a request, by a log-in or by the token of an attempt.
#[derive(Debug, Clone)]
pub struct Caller(pub Principal);

/// The person who sends a request with a log-in token.
#[derive(Debug, Clone)]
pub struct CurrentPerson(pub RosterPerson);

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let token = shown_token(parts).ok_or(Problem::Unauthorized)?;
        if !token::is_attempt_token(&token) {
            return Ok(Self((&find_person(app, &token).await?).into()));
        }
        let token = app
            .tokens
            .verify(&token, app.engine.now())
            .map_err(|_invalid| Problem::Unauthorized)?;
        Ok(Self(Principal::of_attempt(token.attempt, token.person)))
    }
}

impl FromRequestParts<AppState> for CurrentPerson {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let token = shown_token(parts).ok_or(Problem::Unauthorized)?;
        if !token::is_attempt_token(&token) {
            return Ok(Self(find_person(app, &token).await?));
        }
        match app.tokens.verify(&token, app.engine.now()) {
            Ok(_) => Err(Problem::Forbidden),
            Err(_) => Err(Problem::Unauthorized),
        }
    }
}

/// Returns the person with a valid log-in.
async fn find_person(app: &AppState, token: &str) -> Result<RosterPerson, Problem> {
    let person = app
        .catalog
        .verify_login(&token::login_token_hash(token), app.engine.now())
        .await?;
    person.ok_or(Problem::Unauthorized)
}

/// Returns the bearer token or, without an `Authorization` header, the cookie's.
pub(super) fn shown_token(parts: &Parts) -> Option<String> {
    let Some(value) = parts.headers.get(header::AUTHORIZATION) else {
        let jar = CookieJar::from_headers(&parts.headers);
        return jar.get(COOKIE_NAME).map(|cookie| cookie.value().to_owned());
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}

/// A person's name with an access code or a password.
#[derive(Deserialize, ToSchema)]
#[schema(as = Credentials)]
struct LoginCredentials {
    /// The `id` of the roster.
    id: String,
    /// The access code; or else send `password`.
    code: Option<String>,
    /// The password of an account that has one.
    password: Option<String>,
}

/// A log-in with its token.
#[derive(Serialize, ToSchema)]
#[schema(as = LoggedIn)]
struct LoginResponse {
    /// For `Authorization: Bearer`, and for a proctor's `hello`.
    token: String,
    /// End of the token, in milliseconds since the Unix epoch.
    expires_at: i64,
    user: UserSummary,
}

/// A person who is signed in.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
struct UserSummary {
    id: String,
    name: String,
    /// `candidate`, `proctor`, `teacher` or `admin`.
    roles: [&'static str; 1],
}

/// Signs in with an access code or a password; sets the session cookie too.
#[utoipa::path(
    post, path = "/api/v1/login", tag = "people", request_body = LoginCredentials,
    responses(
        (status = 200, body = LoginResponse),
        (status = 401, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
        (status = 429, description = "After repeated failures", body = problem::ProblemDetails,
            content_type = problem::MEDIA_TYPE),
    ),
)]
async fn login(
    State(app): State<AppState>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Json(credentials): Json<LoginCredentials>,
) -> Result<Response, Problem> {
    let count = |outcome| {
        app.metrics
            .logins
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
    };
    let shown = match (credentials.code, credentials.password) {
        (Some(code), None) => LoginSecret::Code(code),
        (None, Some(password)) => LoginSecret::Password(password),
        (Some(_), Some(_)) | (None, None) => {
            let detail = "send either `code` or `password`".to_owned();
            return Err(Problem::BadRequest(detail));
        }
    };
    if credentials.id.len().max(shown.as_str().len()) > CREDENTIAL_BYTES_MAX {
        return Err(Problem::WrongCredentials);
    }
    let client = RequestOrigin {
        address,
        user_agent: user_agent(&headers),
    };
    let attempt = app
        .limits
        .begin_login(&credentials.id, address)
        .inspect_err(|_| count("limited"))?;
    match find_by_secret(&app, &credentials.id, shown).await {
        Ok(Some(person)) => {
            attempt.withdraw_failure();
            record_outcome(&app, &credentials.id, &client, true).await?;
            let response = issue_token(&app, person, client).await?;
            count("ok");
            Ok(response)
        }
        Ok(None) => {
            attempt.confirm_failure();
            record_outcome(&app, &credentials.id, &client, false).await?;
            count("wrong");
            Err(Problem::WrongCredentials)
        }
        Err(problem) => {
            attempt.withdraw_failure();
            Err(problem)
        }
    }
}

/// The secret that proves a person's identity.
enum LoginSecret {
    Code(String),
    Password(String),
}

impl LoginSecret {
    fn as_str(&self) -> &str {
        let (Self::Code(text) | Self::Password(text)) = self;
        text
    }
}

/// Returns the person with this name and secret. An unknown name costs as much
/// work as a wrong secret, so that timing tells no names.
async fn find_by_secret(
    app: &AppState,
    name: &str,
    shown: LoginSecret,
) -> Result<Option<RosterPerson>, Problem> {
    let id = PersonId::from(name);
    let found = app.catalog.read_credentials(&id).await?;
    let now = app.engine.now();
    let locked = found.as_ref().and_then(|found| found.locked_until);
    if let Some(until) = locked.filter(|until| now < *until) {
        return Err(Problem::RateLimited(until.since(now)));
    }
    let equal = match shown {
        LoginSecret::Code(code) => {
            let shown = token::access_code_hash(&app.access_code_key, &id, &code);
            let stored = found.as_ref().and_then(|found| found.access_code);
            bool::from(stored.unwrap_or_default().ct_eq(&shown)) && stored.is_some()
        }
        LoginSecret::Password(shown) => {
            let stored = found.as_ref().and_then(|found| found.password.clone());
            password::verify_password(shown, stored).await
        }
    };
    Ok(found.filter(|_| equal).map(|found| found.person))
}

/// Records the outcome of a log-in, for locks and the detection of guessing.
async fn record_outcome(
    app: &AppState,
    name: &str,
    client: &RequestOrigin,
    success: bool,
) -> Result<(), Problem> {
    let login = &app.config.login;
    let tried = SignInOutcome {
        name,
        origin: client,
        success,
        at: app.engine.now(),
        lock_after: login.failures_per_name,
        lock_for: login.window,
    };
    Ok(app.catalog.record_sign_in(&tried).await?)
}

/// Returns the `User-Agent`, cut to [`USER_AGENT_CHARS_MAX`].
pub(super) fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(USER_AGENT_CHARS_MAX).collect())
}

async fn issue_token(
    app: &AppState,
    person: RosterPerson,
    client: RequestOrigin,
) -> Result<Response, Problem> {
    let (token, hash) = generate_token()?;
    let lifetime = app.config.session.login;
    let expires_at = app.engine.now() + lifetime;
    let login = LoginRow {
        token: hash,
        person: person.id.clone(),
        expires_at,
        origin: client,
    };
    app.catalog.insert_login(&login).await?;
    Ok(token_response(app, person, token, expires_at))
}

fn generate_token() -> Result<(String, [u8; 32]), Problem> {
    token::new_login_token().map_err(|error| {
        tracing::error!(
            error = invigil_telemetry::error_chain(&error),
            "no random bytes for a log-in"
        );
        Problem::Internal
    })
}

/// Returns a response with the token in its body and in the cookie.
fn token_response(
    app: &AppState,
    person: RosterPerson,
    token: String,
    expires_at: Timestamp,
) -> Response {
    let cookie = session_cookie(app, token.clone());
    let user = UserSummary {
        id: person.id.to_string(),
        name: person.name,
        roles: [person.role.as_str()],
    };
    let body = Json(LoginResponse {
        token,
        expires_at: expires_at.as_ms(),
        user,
    });
    (CookieJar::new().add(cookie), body).into_response()
}

/// Replaces the token of a log-in by one with the same end; sets the cookie too.
///
/// The old token stays valid for 30 seconds, for requests under way. A later use shows that the
/// token was stolen, and ends the log-in.
#[utoipa::path(
    post, path = "/api/v1/login/rotate", tag = "people",
    responses(
        (status = 200, body = LoginResponse),
        (status = 401, body = problem::ProblemDetails, content_type = problem::MEDIA_TYPE),
    ),
    security(("token" = []), ("cookie" = [])),
)]
async fn rotate(State(app): State<AppState>, parts: Parts) -> Result<Response, Problem> {
    let old = shown_token(&parts).filter(|token| !token::is_attempt_token(token));
    let old = token::login_token_hash(&old.ok_or(Problem::Unauthorized)?);
    let (token, hash) = generate_token()?;
    let now = app.engine.now();
    let until = app.catalog.rotate_login_token(&old, &hash, now).await?;
    let person = app.catalog.verify_login(&hash, now).await?;
    match (until, person) {
        (Some(until), Some(person)) => Ok(token_response(&app, person, token, until)),
        _ => Err(Problem::Unauthorized),
    }
}

/// Returns a cookie that ends with the browser: exam rooms share their machines.
fn session_cookie(app: &AppState, value: String) -> Cookie<'static> {
    let mut cookie = Cookie::new(COOKIE_NAME, value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Strict);
    cookie.set_secure(app.config.server.secure_cookies);
    cookie
}

/// Ends the log-in of the token; a repeat changes nothing.
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
