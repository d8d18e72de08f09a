//! HTTP and sockets: routes, extractors, who may see what. No rule of the exam
//! lives here, and nothing that waits: handlers ask the engine and answer.
//!
//! Start reading at [`router`]. [`server`] accepts connections, [`layers`] is
//! what every request goes through, [`access`] says whose a thing is, and
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
pub mod server;
pub mod sockets;
pub mod token;

use std::sync::Arc;

use axum::Router;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa_axum::router::OpenApiRouter;

use self::{compressed::Compressed, limits::Limits, token::Tokens};
use crate::{
    config::Config,
    engine::Engine,
    evidence::EvidenceFiles,
    management::Management,
    store::{self, AttemptStore, Catalog, EvidenceStore},
    telemetry::metrics::Metrics,
};

/// What every handler shares.
pub struct App {
    /// The live part.
    pub engine: Engine,
    /// People and log-ins.
    pub catalog: Arc<dyn Catalog>,
    /// Asked only whether it is there.
    pub store: Arc<dyn AttemptStore>,
    /// Evidence of attempts.
    pub evidence: EvidenceFiles,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The management side; none on the embedded store.
    pub management: Option<Management>,
    /// The settings.
    pub config: Config,
    /// How often one may try.
    pub limits: Limits,
    /// Signs and verifies attempt tokens.
    pub tokens: Tokens,
    /// The key that access codes are hashed with.
    pub access_code_key: [u8; 32],
    /// Documents that many ask for, compressed once.
    pub compressed: Compressed,
    /// Every connection and socket; the drain waits for them.
    pub tasks: TaskTracker,
    /// Cancelled when the engine is told to stop.
    pub stop: CancellationToken,
}

/// Shared by all handlers.
pub type AppState = Arc<App>;

/// What lasts, as the web layer needs it: one store behind three traits.
pub struct Stores {
    /// Attempts.
    pub attempts: Arc<dyn AttemptStore>,
    /// People, exams, log-ins and secrets.
    pub catalog: Arc<dyn Catalog>,
    /// What is known of evidence.
    pub evidence: Arc<dyn EvidenceStore>,
}

/// Why the web layer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The secrets are in the store.
    #[error("read the installation's secrets")]
    Store(#[from] store::Error),
    /// New secrets are random.
    #[error("draw random bytes")]
    Random(#[from] getrandom::Error),
    /// Where evidence is kept.
    #[error("open the place of evidence")]
    Evidence(#[from] crate::evidence::Error),
}

impl App {
    /// Puts the parts together; reads the secrets, or makes them.
    ///
    /// # Errors
    /// Where the store does not answer, or evidence cannot be kept as it is set.
    pub async fn new(
        engine: Engine,
        stores: Stores,
        metrics: Arc<Metrics>,
        management: Option<Management>,
        config: Config,
        stop: CancellationToken,
    ) -> Result<AppState, StartError> {
        let Stores {
            attempts: store,
            catalog,
            evidence,
        } = stores;
        let token_secret = secret(&*catalog, "attempt-token").await?;
        let evidence = EvidenceFiles::open(
            &config.evidence_place(),
            config.evidence.rules,
            evidence,
            &secret(&*catalog, "evidence").await?,
        )?;
        Ok(Arc::new(Self {
            engine,
            store,
            evidence,
            metrics,
            limits: Limits::new(&config.login, &config.limits),
            tokens: Tokens::new(&token_secret, config.session.attempt_token),
            access_code_key: access_code_key(&*catalog).await?,
            compressed: Compressed::default(),
            tasks: TaskTracker::new(),
            stop,
            config,
            catalog,
            management,
        }))
    }
}

/// The key that access codes are hashed with, made at the first call.
///
/// # Errors
/// Where the store does not answer.
pub async fn access_code_key(catalog: &dyn Catalog) -> Result<[u8; 32], StartError> {
    secret(catalog, "access-code").await
}

/// The key that names of media files are made with, made at the first call.
///
/// # Errors
/// Where the store does not answer.
pub async fn media_key(catalog: &dyn Catalog) -> Result<[u8; 32], StartError> {
    secret(catalog, "media").await
}

async fn secret(catalog: &dyn Catalog, name: &str) -> Result<[u8; 32], StartError> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh)?;
    Ok(catalog.secret(name, &fresh).await?)
}

/// The interface that is described, with the longest answer and the largest file of a
/// question.
fn api(answer_bytes: usize, file_bytes: usize) -> OpenApiRouter<AppState> {
    auth::routes()
        .merge(exams::routes())
        .merge(papers::routes())
        .merge(attempts::routes(answer_bytes))
        .merge(evidence::routes())
        .merge(integrity::routes())
        .merge(media::routes())
        .merge(manage::routes(file_bytes))
}

/// Everything that the engine answers.
pub fn router(app: &AppState) -> Router {
    let limits = (app.config.limits.answer_bytes, app.config.media.file_bytes);
    let (api, description) = openapi::split(api(limits.0, limits.1));
    let routes = Router::new()
        .merge(api)
        .merge(openapi::documents(description))
        .merge(probes::routes())
        .merge(sockets::routes())
        .merge(pages::routes());
    layers::wrap(routes, app).with_state(Arc::clone(app))
}

#[cfg(test)]
mod tests;
