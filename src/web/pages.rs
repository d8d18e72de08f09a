//! Routes of the pages, which `clients/web` builds and the program embeds.

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rust_embed::{Embed, EmbeddedFile};

use super::{
    AppState,
    problem::Problem,
    routes::{GuardedRoutes, RouteAccess},
};

#[derive(Embed)]
#[folder = "$CARGO_MANIFEST_DIR/clients/web/dist"]
struct PageFiles;

/// Caching of files under `assets/`, which have a hash in their name and never change.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

const NOT_BUILT: &str = "The pages were not built with this program. \
     Run `npm ci && npm run build` in clients/web, and build it again.\n";

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add_undescribed(
            RouteAccess::Public,
            "/",
            get(async |State(app): State<AppState>, headers: HeaderMap| {
                serve_page(&app, &headers, "index.html")
            }),
        )
        .add_undescribed(
            RouteAccess::Public,
            "/attempt",
            get(async |State(app): State<AppState>, headers: HeaderMap| {
                serve_page(&app, &headers, "attempt.html")
            }),
        )
        .add_undescribed(
            RouteAccess::Public,
            "/favicon.svg",
            get(async |State(app): State<AppState>, headers: HeaderMap| {
                serve_file(&app, &headers, "favicon.svg")
            }),
        )
        .add_undescribed(RouteAccess::Public, "/assets/{*name}", get(asset))
}

/// Returns a page from its own file, or from the file that has all pages.
fn serve_page(app: &AppState, headers: &HeaderMap, name: &str) -> Response {
    let name = if PageFiles::get(name).is_some() {
        name
    } else {
        "index.html"
    };
    match PageFiles::get(name) {
        Some(file) => embedded_response(app, headers, name, file, ASK_AGAIN),
        None => NOT_BUILT.into_response(),
    }
}

fn serve_file(app: &AppState, headers: &HeaderMap, name: &str) -> Response {
    match PageFiles::get(name) {
        Some(file) => embedded_response(app, headers, name, file, ASK_AGAIN),
        None => Problem::NotFound.into_response(),
    }
}

async fn asset(app: State<AppState>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let name = format!("assets/{name}");
    match PageFiles::get(&name) {
        Some(file) => embedded_response(&app, &headers, &name, file, FOREVER),
        None => Problem::NotFound.into_response(),
    }
}

fn embedded_response(
    app: &AppState,
    request: &HeaderMap,
    name: &str,
    file: EmbeddedFile,
    caching: HeaderValue,
) -> Response {
    let hash = file.metadata.sha256_hash();
    let tag = URL_SAFE_NO_PAD.encode(&hash[..12]);
    // Pictures and fonts have compressed formats.
    let mut response = match media_type(name) {
        (media_type, true) => app
            .compressed
            .respond(request, &tag, media_type, &file.data),
        (media_type, false) => {
            let content = Bytes::from(file.data.into_owned());
            ([(header::CONTENT_TYPE, media_type)], content).into_response()
        }
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, caching);
    response
}

/// Returns the media type, and true if compression helps.
fn media_type(name: &str) -> (&'static str, bool) {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => ("text/html; charset=utf-8", true),
        Some("js") => ("text/javascript; charset=utf-8", true),
        Some("css") => ("text/css; charset=utf-8", true),
        Some("json" | "map") => ("application/json", true),
        Some("svg") => ("image/svg+xml", true),
        Some("ttf") => ("font/ttf", true),
        Some("woff") => ("font/woff", false),
        Some("woff2") => ("font/woff2", false),
        Some("png") => ("image/png", false),
        Some("ico") => ("image/x-icon", false),
        _ => ("application/octet-stream", false),
    }
}
