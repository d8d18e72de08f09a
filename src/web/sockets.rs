//! Live sockets: of candidates, `GET /ws/v1/attempt`, and of proctors'
//! consoles, `GET /ws/v1/proctor`.
//!
//! Each connection has a task, which decodes frames, passes commands to the
//! attempt's actor, and sends the outbox's messages. The task decides only how
//! fast it reads: [`pace`] has the limits of a connection. Buffers are small,
//! because a node has ten thousand of them.

mod attempt;
mod pace;
mod proctor;
mod wire;

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};
use invigil_protocol::codec::{self, Encoding};

use self::wire::MessageSocket;
use super::{
    AppState,
    client::ClientAddress,
    problem::Problem,
    routes::{GuardedRoutes, RouteAccess},
};

/// Bytes of a connection's read buffer. The default of 128 KiB would cost
/// 134 KB per connection; most frames have some hundred bytes, and longer ones
/// are read in parts.
const READ_BUFFER_BYTES: usize = 1024;

/// Bytes after which written frames are flushed to the system.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

/// Most bytes that wait to be written. The engine's largest frame has 64 KiB, and
/// frames are written one at a time.
const WRITE_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// The routes of sockets.
pub(super) fn routes() -> GuardedRoutes {
    GuardedRoutes::new()
        .add_undescribed(
            RouteAccess::FirstMessage,
            "/ws/v1/attempt",
            get(attempt_socket),
        )
        .add_undescribed(
            RouteAccess::FirstMessage,
            "/ws/v1/proctor",
            get(proctor_socket),
        )
}

async fn attempt_socket(
    State(app): State<AppState>,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let (upgrade, encoding) = accept_upgrade(&app, address, &headers, upgrade)?;
    Ok(upgrade
        .on_upgrade(move |socket| {
            let tasks = app.tasks.clone();
            let (metrics, open) = (Arc::clone(&app.metrics), app.metrics.sockets.clone());
            let wire = MessageSocket::new(socket, encoding, codec::decode_client, metrics, open);
            // Boxed: else the task of the upgrade, which continues with this future,
            // would keep the size of both.
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
    let (upgrade, encoding) = accept_upgrade(&app, address, &headers, upgrade)?;
    Ok(upgrade
        .on_upgrade(move |socket| {
            let tasks = app.tasks.clone();
            let (metrics, open) = (Arc::clone(&app.metrics), app.metrics.consoles.clone());
            let wire = MessageSocket::new(
                socket,
                encoding,
                codec::decode_proctor_client,
                metrics,
                open,
            );
            tasks.track_future(Box::pin(proctor::run(app, wire, address)))
        })
        .into_response())
}

/// Checks a new socket against the limits; returns its upgrade and encoding.
fn accept_upgrade(
    app: &AppState,
    address: IpAddr,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<(WebSocketUpgrade, Encoding), Problem> {
    let upgrade = upgrade.map_err(|rejection| Problem::BadRequest(rejection.body_text()))?;
    let (encoding, echo) = negotiate_encoding(headers)?;
    app.limits.count_socket(address)?;
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

fn negotiate_encoding(headers: &HeaderMap) -> Result<(Encoding, bool), Problem> {
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
