//! The socket of an attempt, with small buffers, and the unsealing of papers.

use std::{io, net::IpAddr, time::Duration};

use aes_gcm::{Aes256Gcm, KeyInit, Nonce, aead::Aead};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use invigil_protocol::{
    candidate::{ClientMessage, ServerMessage},
    codec::{self, Encoding},
    paper::{PaperSection, SealedPaper},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

/// Bytes of the read buffer: small, as a load generator has thousands of them.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Timeout of connecting, and of sending.
const IO_TIMEOUT: Duration = Duration::from_secs(10);

/// A received frame, or the end of the connection.
#[derive(Debug)]
pub(crate) enum IncomingFrame {
    /// A message.
    Message(ServerMessage),
    /// A frame without a message, which shows that the engine is alive.
    Alive,
    /// Closed by the engine, with this code.
    Closed(u16),
    /// The connection broke.
    Broken,
}

/// A socket with its encoding.
pub(crate) struct AttemptSocket {
    socket: WebSocketStream<TcpStream>,
    encoding: Encoding,
}

impl AttemptSocket {
    /// Connects to `http://host:port` plus a path; none if that fails.
    pub(crate) async fn open(
        base: &str,
        path: &str,
        encoding: Encoding,
        from: Option<IpAddr>,
    ) -> Option<Self> {
        let connecting = connect_websocket(base, path, encoding, from);
        let socket = timeout(IO_TIMEOUT, connecting).await.ok()?;
        match socket {
            Ok(socket) => Some(Self { socket, encoding }),
            Err(error) => {
                tracing::debug!(%error, "opening a socket failed");
                None
            }
        }
    }

    /// Sends messages, then flushes once. Returns false if the connection is broken or
    /// the engine does not read.
    pub(crate) async fn send_all(&mut self, messages: Vec<ClientMessage>) -> bool {
        let sending = async {
            for message in messages {
                let bytes = codec::encode_client(self.encoding, &message);
                let frame = match self.encoding {
                    Encoding::MessagePack => Message::Binary(bytes.into()),
                    Encoding::Json => match String::from_utf8(bytes) {
                        Ok(text) => Message::Text(text.into()),
                        Err(_) => return false,
                    },
                };
                if self.socket.feed(frame).await.is_err() {
                    return false;
                }
            }
            self.socket.flush().await.is_ok()
        };
        timeout(IO_TIMEOUT, sending).await.unwrap_or(false)
    }

    /// Receives the next frame.
    ///
    /// # Cancel safety
    /// A frame is taken only when it is returned.
    pub(crate) async fn receive(&mut self) -> IncomingFrame {
        let message = match self.socket.next().await {
            Some(Ok(Message::Text(text))) => codec::decode_server(self.encoding, text.as_bytes()),
            Some(Ok(Message::Binary(bytes))) => codec::decode_server(self.encoding, &bytes),
            Some(Ok(Message::Close(Some(close)))) => {
                return IncomingFrame::Closed(close.code.into());
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                return IncomingFrame::Alive;
            }
            Some(Ok(Message::Close(None)) | Err(_)) | None => return IncomingFrame::Broken,
        };
        message.map_or_else(
            |error| {
                // A newer engine may send messages that this client does not know.
                tracing::debug!(%error, "ignored an unknown message");
                IncomingFrame::Alive
            },
            IncomingFrame::Message,
        )
    }
}

pub(crate) async fn connect_websocket(
    base: &str,
    path: &str,
    encoding: Encoding,
    from: Option<IpAddr>,
) -> io::Result<WebSocketStream<TcpStream>> {
    let authority = base.split_once("://").map_or(base, |(_, rest)| rest);
    let address = tokio::net::lookup_host(authority).await?.next();
    let address = address.ok_or_else(|| io::Error::other("the address has no host"))?;
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(from) = from {
        socket.bind((from, 0).into())?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{authority}{path}");
    let mut request = url.into_client_request().map_err(io::Error::other)?;
    let protocol = HeaderValue::from_static(encoding.subprotocol());
    request
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(READ_BUFFER_BYTES)
        .max_write_buffer_size(usize::MAX);
    let (socket, _) = client_async_with_config(request, stream, Some(config))
        .await
        .map_err(io::Error::other)?;
    Ok(socket)
}

/// Opens a sealed paper with a key in base64; none if the key is wrong.
pub(crate) fn unseal_paper(sealed: &SealedPaper, key: &str) -> Option<Vec<PaperSection>> {
    let key = STANDARD.decode(key).ok()?;
    let nonce: [u8; 12] = STANDARD.decode(&sealed.nonce).ok()?.try_into().ok()?;
    let data = STANDARD.decode(&sealed.data).ok()?;
    let cipher = Aes256Gcm::new_from_slice(&key).ok()?;
    let plain = cipher
        .decrypt(Nonce::from_slice(&nonce), data.as_slice())
        .ok()?;
    serde_json::from_slice(&plain).ok()
}
