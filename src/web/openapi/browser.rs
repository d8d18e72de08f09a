//! Swagger UI, the page that shows `/api/openapi.json`.

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};

use crate::web::AppState;

const JAVASCRIPT: &str = "text/javascript";

/// A file that `build.rs` takes out of the archive.
macro_rules! unpacked {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name))
    };
}

/// The files that the page asks for, with their types.
const FILES: [(&str, &str, &[u8]); 8] = [
    (
        "favicon-16x16.png",
        "image/png",
        unpacked!("favicon-16x16.png"),
    ),
    (
        "favicon-32x32.png",
        "image/png",
        unpacked!("favicon-32x32.png"),
    ),
    ("index.css", "text/css", unpacked!("index.css")),
    ("index.html", "text/html", unpacked!("index.html")),
    ("swagger-initializer.js", JAVASCRIPT, INITIALIZER.as_bytes()),
    (
        "swagger-ui-bundle.js",
        JAVASCRIPT,
        unpacked!("swagger-ui-bundle.js"),
    ),
    (
        "swagger-ui-standalone-preset.js",
        JAVASCRIPT,
        unpacked!("swagger-ui-standalone-preset.js"),
    ),
    ("swagger-ui.css", "text/css", unpacked!("swagger-ui.css")),
];

/// The settings of the page: without a validator on the internet.
const INITIALIZER: &str = r##"window.onload = () => {
  window.ui = SwaggerUIBundle({
    dom_id: "#swagger-ui",
    url: "/api/openapi.json",
    deepLinking: true,
    validatorUrl: "none",
    layout: "StandaloneLayout",
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl],
  });
};
"##;

pub(super) fn routes() -> Router<AppState> {
    let to_page = async || Redirect::to("/api/docs/");
    let page = async |State(app): State<AppState>, headers: HeaderMap| {
        serve_file(&app, &headers, "index.html")
    };
    let file = async |State(app): State<AppState>, Path(name): Path<String>, headers: HeaderMap| {
        serve_file(&app, &headers, &name)
    };
    Router::new()
        .route("/api/docs", get(to_page))
        .route("/api/docs/", get(page))
        .route("/api/docs/{*name}", get(file))
}

fn serve_file(app: &AppState, headers: &HeaderMap, name: &str) -> Response {
    let found = FILES.iter().find(|(known, _, _)| *known == name);
    let Some(&(_, media_type, content)) = found else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("swagger-ui-{name}-{}", env!("CARGO_PKG_VERSION"));
    app.compressed.respond(headers, &tag, media_type, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_file_it_asks_for() {
        let (_, _, page) = FILES
            .iter()
            .find(|(name, _, _)| *name == "index.html")
            .unwrap();
        let page = std::str::from_utf8(page).unwrap();
        let asked: Vec<&str> = ["src=\"", "href=\""]
            .iter()
            .flat_map(|attribute| page.split(attribute).skip(1))
            .map(|rest| rest.split('"').next().unwrap().trim_start_matches("./"))
            .collect();
        assert_eq!(asked.len(), 7, "{asked:?}");
        for name in asked {
            assert!(FILES.iter().any(|(known, _, _)| *known == name), "{name}");
        }
    }
}
