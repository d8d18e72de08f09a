//! The layers of every request, outermost first: request id, log and count; the
//! client's address; a guard against panics; a time limit; the origin check;
//! and security headers for browsers.
//!
//! The log identifies no person: it has no address, no token, and the route
//! instead of the path.

use std::{any::Any, future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse, Response},
};
use tokio::time::Instant;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use tracing::Instrument;

use super::{AppState, client, origin, problem::Problem};
use invigil_management::IMPORT_TIMEOUT;
use invigil_telemetry::metrics;

/// Bytes of a request's body, unless a handler sets another limit.
const BODY_BYTES_MAX: usize = 64 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers of every response that does not set them, besides [`page_policy`].
const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "geolocation=(), payment=(), usb=()",
    ),
];

/// Returns the content security policy of pages. KaTeX needs inline styles; inline scripts are
/// forbidden. Evidence in S3 is uploaded to and shown from its origin.
fn page_policy(app: &AppState) -> HeaderValue {
    let place = app.config.evidence.place.origin();
    let place = place.map_or_else(String::new, |origin| format!(" {origin}"));
    let policy = format!(
        "default-src 'self'; img-src 'self' data:{place}; media-src 'self'{place}; \
         style-src 'self' 'unsafe-inline'; connect-src 'self'{place}; font-src 'self' data:; \
         object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    );
    HeaderValue::try_from(policy).expect("an origin is a header value")
}

pub(super) fn wrap_routes(routes: Router<AppState>, app: &AppState) -> Router<AppState> {
    let routes = routes
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(app), check_origin))
        .layer(from_fn_with_state(Arc::clone(app), announce_changes))
        .layer(from_fn_with_state(Arc::clone(app), limit_time))
        .layer(CatchPanicLayer::custom(panic_response));
    let routes = match cors_layer(app) {
        Some(cors) => routes.layer(cors),
        None => routes,
    };
    let policy = page_policy(app);
    routes
        .layer(map_response(move |response| {
            future::ready(add_security_headers(response, policy.clone()))
        }))
        .layer(from_fn_with_state(Arc::clone(app), observe_request))
}

/// Announces changes of people, rights and exams, so that consoles and other nodes reload
/// at once instead of after some seconds.
async fn announce_changes(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let may_change = path.starts_with("/api/v1/manage/") || path == "/api/v1/logout";
    let changes = may_change && !request.method().is_safe();
    let response = next.run(request).await;
    if changes && response.status().is_success() {
        app.engine.note_changed();
    }
    response
}

/// Gives a request its id, counts it and logs it.
async fn observe_request(
    State(app): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str);
    let route = route.to_owned();
    if let Some(ConnectInfo(peer)) = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .copied()
    {
        let trusted = &app.config.server.trusted_proxies;
        let address = client::client_address(peer.ip(), request.headers(), trusted);
        request.extensions_mut().insert(address);
    }

    let span = tracing::info_span!("request", request.id = id.to_str().unwrap_or_default());
    let mut response = next.run(request).instrument(span.clone()).await;

    let status = response.status().as_u16();
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| match status {
        500.. => tracing::warn!(%method, route, status, ms, "request"),
        400.. => tracing::info!(%method, route, status, ms, "request"),
        _ => tracing::debug!(%method, route, status, ms, "request"),
    });
    app.metrics
        .http_requests
        .get_or_create(&metrics::RouteLabels { route, status })
        .inc();
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Returns the id that a proxy set, if it is plain text, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        let plain = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(plain)
    });
    given.cloned().unwrap_or_else(|| {
        let id = getrandom::u64().unwrap_or_default();
        HeaderValue::from_str(&format!("{id:016x}")).expect("hexadecimal is a header value")
    })
}

async fn limit_time(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let mut limit = app.config.server.request_timeout;
    if request.uri().path().ends_with("/import") {
        limit = limit.max(IMPORT_TIMEOUT);
    }
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::TimedOut.into_response(),
    }
}

/// Refuses requests with cookies, and sockets, from pages of other sites. They can
/// send an `Authorization` header only where CORS allows it.
async fn check_origin(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let by_cookie = !safe && !headers.contains_key(header::AUTHORIZATION);
    let checked = by_cookie || headers.contains_key(header::UPGRADE);
    if checked && !origin::is_allowed(headers, &app.config.server.allowed_origins) {
        return Problem::OriginNotAllowed.into_response();
    }
    next.run(request).await
}

/// Returns the CORS layer for the configured origins, which use tokens.
fn cors_layer(app: &AppState) -> Option<CorsLayer> {
    let origins = &app.config.server.allowed_origins;
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| origin.to_string().try_into().ok())
        .collect();
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::PUT])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
            .expose_headers([header::RETRY_AFTER, REQUEST_ID])
    })
}

/// Adds the security headers; a response is not cached unless its handler allows it.
fn add_security_headers(mut response: Response, policy: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(policy);
    for (name, value) in SECURITY_HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the layer passes it by value"
)]
fn panic_response(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        panic = text.unwrap_or("without a text"),
        "a request panicked"
    );
    Problem::Internal.into_response()
}
