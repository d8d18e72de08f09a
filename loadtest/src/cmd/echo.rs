//! A bare echo server: the cost of the same WebSocket library without an engine.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    response::Response,
    routing::get,
    serve::ListenerExt,
};
use tokio::net::TcpListener;

use crate::util::output;

/// Size of the engine's buffers, for a fair comparison.
const BUFFER_BYTES: usize = 4 * 1024;

/// Run a bare WebSocket echo server, to compare with
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address and port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("listen on {}", args.listen))?;
    output::print_progress(&format!("listening on {}", listener.local_addr()?));
    // A failure only makes replies slower.
    let listener = listener.tap_io(|stream| {
        stream.set_nodelay(true).ok();
    });
    let routes = Router::new().route("/", get(upgrade));
    let stop = async {
        tokio::signal::ctrl_c().await.ok();
    };
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop)
        .await?;
    Ok(ExitCode::SUCCESS)
}

async fn upgrade(upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let sent = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => return,
        };
        if sent.is_err() {
            return;
        }
    }
}
