//! A candidate's bare socket: the caller decides when `hello` goes out, which the SDK
//! does by itself.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use invigil_client::protocol::{
    candidate::{ClientMessage, ServerMessage},
    codec::{self, Encoding},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
    },
};

/// Timeout of connecting, and of sending.
const IO_TIMEOUT: Duration = Duration::from_secs(10);

const ENCODING: Encoding = Encoding::Json;

/// A socket; see the module.
pub(super) struct BareSocket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl BareSocket {
    /// Connects to `http://host:port` plus a path. Small messages are sent without delay.
    pub(super) async fn open(base: &str, path: &str) -> anyhow::Result<Self> {
        let url = format!("{}{path}", base.replacen("http", "ws", 1));
        let mut request = url.into_client_request().context("invalid address")?;
        let protocol = HeaderValue::from_static(ENCODING.subprotocol());
        let headers = request.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        let connecting = timeout(IO_TIMEOUT, connect_async_with_config(request, None, true));
        let (socket, _) = connecting.await.context("open a socket")??;
        Ok(Self(socket))
    }

    /// Sends messages, then flushes once.
    pub(super) async fn send_all(&mut self, messages: Vec<ClientMessage>) -> anyhow::Result<()> {
        let sending = async {
            for message in messages {
                let text = String::from_utf8(codec::encode_client(ENCODING, &message))?;
                self.0.feed(Message::Text(text.into())).await?;
            }
            self.0.flush().await?;
            anyhow::Ok(())
        };
        timeout(IO_TIMEOUT, sending).await.context("send")?
    }

    /// Receives the next message of the engine.
    ///
    /// # Errors
    /// If the connection is over.
    ///
    /// # Cancel safety
    /// A message is taken only when it is returned.
    pub(super) async fn receive(&mut self) -> anyhow::Result<ServerMessage> {
        loop {
            match self.0.next().await.context("the connection broke")?? {
                Message::Text(text) => {
                    let message = codec::decode_server(ENCODING, text.as_bytes());
                    return message.context("decode a message of the engine");
                }
                Message::Close(Some(close)) => bail!("closed with {}", close.code),
                Message::Close(None) => bail!("closed"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}
