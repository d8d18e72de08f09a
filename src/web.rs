//! HTTP and WebSocket: routes, extractors, access. This module has no rule of the
//! exam and no queue: handlers call the engine and respond.
//!
//! Start reading at [`router`]. [`server`] accepts connections, [`layers`] wraps
//! every request, [`access`] decides who may see an attempt or an exam, and
//! [`problem`] is the closed list of errors that a client can get.

pub mod access;
pub mod attempts;
pub mod auth;
pub mod client;
pub mod compressed;
pub mod evidence;
pub mod exams;
pub mod extract;
pub mod integrity;
pub mod layers;
pub mod limits;
pub mod manage;
pub mod media;
pub mod openapi;
pub mod origin;
pub mod pages;
pub mod papers;
pub mod probes;
pub mod problem;
pub mod results;
mod routes;
pub mod server;
pub mod sockets;
pub mod token;

use std::sync::Arc;

use axum::Router;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa::openapi::OpenApi;

pub use self::routes::{DeclaredRoute, RouteAccess};
use self::{compressed::GzipCache, limits::RateLimits, routes::GuardedRoutes, token::TokenSigner};
use crate::config::Config;
use invigil_engine::Engine;
use invigil_management::Management;
use invigil_objects::evidence::EvidenceFiles;
use invigil_store::{self, AttemptStore, CatalogStore, EvidenceStore};
use invigil_telemetry::metrics::Metrics;

/// State that all handlers share.
pub struct WebApp {
    /// The engine of live attempts.
    pub engine: Engine,
    /// Store of people, exams and log-ins.
    pub catalog: Arc<dyn CatalogStore>,
    /// Store of attempts, for the readiness probe only.
    pub store: Arc<dyn AttemptStore>,
    /// Evidence of attempts.
    pub evidence: EvidenceFiles,
    /// Metrics of the node.
    pub metrics: Arc<Metrics>,
    /// The management side; none with the embedded store.
    pub management: Option<Management>,
    /// Settings of the node.
    pub config: Config,
    /// Limits on log-ins and sockets.
    pub limits: RateLimits,
    /// Signs and verifies attempt tokens.
    pub tokens: TokenSigner,
    /// Key for hashes of access codes.
    pub access_code_key: [u8; 32],
    /// Cache of compressed documents.
    pub compressed: GzipCache,
    /// Tasks of all connections and sockets, which the drain waits for.
    pub tasks: TaskTracker,
    /// Cancelled to stop the engine.
    pub stop: CancellationToken,
}

/// [`WebApp`], as axum passes it to handlers.
pub type AppState = Arc<WebApp>;

/// The store behind the three traits that the web layer uses.
pub struct WebStores {
    /// Store of attempts.
    pub attempts: Arc<dyn AttemptStore>,
    /// Store of people, exams, log-ins and secrets.
    pub catalog: Arc<dyn CatalogStore>,
    /// Store of evidence records.
    pub evidence: Arc<dyn EvidenceStore>,
}

/// Failures at the start of the web layer.
#[derive(Debug, thiserror::Error)]
pub enum WebStartError {
    /// The store does not return the secrets.
    #[error("cannot read the installation's secrets")]
    Store(#[from] invigil_store::Error),
    /// The system gives no random bytes for new secrets.
    #[error("cannot draw random bytes")]
    Random(#[from] getrandom::Error),
    /// The place of evidence cannot be used.
    #[error("cannot open the place of evidence")]
    Evidence(#[from] invigil_objects::evidence::Error),
}

impl WebApp {
    /// Assembles the web layer; reads the secrets, or creates them.
    ///
    /// # Errors
    /// Fails if the store does not answer, or the place of evidence cannot be used.
    pub async fn new(
        engine: Engine,
        stores: WebStores,
        metrics: Arc<Metrics>,
        management: Option<Management>,
        config: Config,
        stop: CancellationToken,
    ) -> Result<AppState, WebStartError> {
        let WebStores {
            attempts: store,
            catalog,
            evidence,
        } = stores;
        let token_secret = load_secret(&*catalog, "attempt-token").await?;
        let evidence = EvidenceFiles::open(
            &config.evidence_place(),
            config.evidence.rules,
            evidence,
            &load_secret(&*catalog, "evidence").await?,
        )?;
        Ok(Arc::new(Self {
            engine,
            store,
            evidence,
            metrics,
            limits: RateLimits::new(&config.login, &config.limits),
            tokens: TokenSigner::new(&token_secret, config.session.attempt_token),
            access_code_key: access_code_key(&*catalog).await?,
            compressed: GzipCache::default(),
            tasks: TaskTracker::new(),
            stop,
            config,
            catalog,
            management,
        }))
    }
}

/// Returns the key for hashes of access codes; the first call creates it.
///
/// # Errors
/// Fails if the store does not answer.
pub async fn access_code_key(catalog: &dyn CatalogStore) -> Result<[u8; 32], WebStartError> {
    load_secret(catalog, "access-code").await
}

/// Returns the key for names of media files; the first call creates it.
///
/// # Errors
/// Fails if the store does not answer.
pub async fn media_key(catalog: &dyn CatalogStore) -> Result<[u8; 32], WebStartError> {
    load_secret(catalog, "media").await
}

async fn load_secret(catalog: &dyn CatalogStore, name: &str) -> Result<[u8; 32], WebStartError> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh)?;
    Ok(catalog.ensure_secret(name, &fresh).await?)
}

/// Returns the routes that OpenAPI describes, with the bounds on answers and on media
/// files.
fn api_routes(answer_bytes: usize, file_bytes: usize) -> GuardedRoutes {
    auth::routes()
        .merge(exams::routes())
        .merge(papers::routes())
        .merge(attempts::routes(answer_bytes))
        .merge(evidence::routes())
        .merge(integrity::routes())
        .merge(media::routes())
        .merge(manage::routes(file_bytes))
}

fn undescribed_routes(description: OpenApi) -> GuardedRoutes {
    openapi::document_routes(description)
        .merge(probes::routes())
        .merge(sockets::routes())
        .merge(pages::routes())
}

/// Returns every route with the callers that it admits, as it was registered.
pub fn declared_routes() -> Vec<DeclaredRoute> {
    let (_, description) = openapi::split_routes(api_routes(0, 0));
    api_routes(0, 0)
        .merge(undescribed_routes(description))
        .into_declared()
}

/// Returns all routes of the engine.
pub fn router(app: &AppState) -> Router {
    let limits = (app.config.limits.answer_bytes, app.config.media.file_bytes);
    let (api, description) = openapi::split_routes(api_routes(limits.0, limits.1));
    let routes = api
        .merge(undescribed_routes(description).into_router())
        .merge(openapi::documentation_page());
    layers::wrap_routes(routes, app).with_state(Arc::clone(app))
}

#[cfg(test)]
mod tests;
