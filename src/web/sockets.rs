//! The live sockets: of candidates, `GET /ws/v1/attempt`, and of proctors'
//! consoles, `GET /ws/v1/proctor`.
//!
//! One task a connection: it decodes, hands commands to the attempt's actor,
//! and sends what the outbox has. It decides nothing of the exam, but it does
//! decide how fast it reads: [`pace`] has the limits of a connection. Buffers
//! are small, because ten thousand of them stand side by side.

mod attempt;
mod pace;
mod proctor;
mod wire;

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};
use invigil_protocol::codec::{self, Encoding};

use self::wire::Wire;
use super::{AppState, client::ClientAddress, problem::Problem};

/// Bytes of a connection's read buffer. The default of 128 KiB would cost
/// 134 KB a connection; most frames have some hundred bytes, and longer ones
/// are read in parts.
const READ_BUFFER_BYTES: usize = 1024;

/// Bytes after which written frames are pushed to the system.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

/// Bytes that may wait to be written. The engine's largest frame has 64 KiB, and
/// one is written at a time.
const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// The routes of sockets.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/ws/v1/attempt", get(attempt_socket))
        .route("/ws/v1/proctor", get(proctor_socket))
}

async fn attempt_socket(
    State(app): State<AppState>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let (upgrade, encoding) = accept(&app, address, &headers, upgrade)?;
    Ok(upgrade
        .on_upgrade(move |socket| {
            let tasks = app.tasks.clone();
            let (metrics, open) = (Arc::clone(&app.metrics), app.metrics.sockets.clone());
            let wire = Wire::new(socket, encoding, codec::decode_client, metrics, open);
            // Boxed, so that the task of the upgrade, which this grows out of,
            // is not kept at the size of both.
            tasks.track_future(Box::pin(attempt::run(app, wire, address)))
        })
        .into_response())
}

async fn proctor_socket(
    State(app): State<AppState>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let (upgrade, encoding) = accept(&app, address, &headers, upgrade)?;
    Ok(upgrade
        .on_upgrade(move |socket| {
            let tasks = app.tasks.clone();
            let (metrics, open) = (Arc::clone(&app.metrics), app.metrics.consoles.clone());
            let wire = Wire::new(socket, encoding, codec::decode_proctor, metrics, open);
            tasks.track_future(Box::pin(proctor::run(app, wire, address)))
        })
        .into_response())
}

/// Whether a socket may be opened, and how messages look on it.
fn accept(
    app: &AppState,
    address: IpAddr,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<(WebSocketUpgrade, Encoding), Problem> {
    let upgrade = upgrade.map_err(|rejection| Problem::BadRequest(rejection.body_text()))?;
    let (encoding, echo) = negotiate(headers)?;
    app.limits.new_socket(address)?;
    let frame_bytes = app.engine.limits().frame_bytes;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_message_size(frame_bytes)
        .max_frame_size(frame_bytes);
    let upgrade = if echo {
        upgrade.protocols([encoding.subprotocol()])
    } else {
        upgrade
    };
    Ok((upgrade, encoding))
}

fn negotiate(headers: &HeaderMap) -> Result<(Encoding, bool), Problem> {
    let offered: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    let offered = (!offered.is_empty()).then(|| offered.join(","));
    Encoding::negotiate(offered.as_deref()).map_err(|_unsupported| {
        Problem::BadRequest("none of the offered subprotocols is known".to_owned())
    })
}
