//! Probes for operators: liveness, readiness, metrics.

use std::time::Duration;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    AppState,
    problem::Problem,
    routes::{GuardedRoutes, RouteAccess},
};

/// Time after which a store without an answer counts as away.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add_undescribed(RouteAccess::Public, "/healthz", get(async || "alive\n"))
        .add_undescribed(RouteAccess::Public, "/readyz", get(ready))
        .add_undescribed(RouteAccess::Public, "/metrics", get(metrics))
}

/// Returns 200 if this node may receive traffic: it is not stopping, has a store,
/// and saves answers.
async fn ready(State(app): State<AppState>) -> Result<&'static str, Problem> {
    if app.stop.is_cancelled() {
        return Err(Problem::Overloaded);
    }
    if !app.engine.is_saving() {
        return Err(Problem::Unavailable);
    }
    let ping = tokio::time::timeout(PING_TIMEOUT, app.store.ping()).await;
    ping.map_err(|_elapsed| Problem::Unavailable)??;
    Ok("ready\n")
}

async fn metrics(State(app): State<AppState>) -> Response {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, media_type)],
        app.metrics.encode_text(),
    )
        .into_response()
}
