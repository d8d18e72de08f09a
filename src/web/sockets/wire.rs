//! One WebSocket, as messages of the protocol: frames in and out, and the ways
//! in which a connection ends.

use std::{error::Error as _, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use invigil_protocol::{
    candidate::{Bye, ServerMessage},
    code::CloseCode,
    codec::{self, DecodeError, Encoding},
};
use prometheus_client::metrics::gauge::Gauge;
use tungstenite::error::{CapacityError, Error as SocketError};

use crate::{
    engine::Closing,
    telemetry::metrics::{Code, Metrics},
};

/// How long one frame may take to be written. A client that reads so slowly is
/// gone, or is not reading.
const SEND_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client has to answer a close. Closing without waiting would reset
/// a connection whose last frames are still under way.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Reads one frame as a message.
pub(super) type Decode<M> = fn(Encoding, &[u8]) -> Result<M, DecodeError>;

/// A socket with its encoding, on which messages `M` come in.
pub(super) struct Wire<M> {
    socket: Box<WebSocket>,
    encoding: Encoding,
    decode: Decode<M>,
    metrics: Arc<Metrics>,
    /// Counts the sockets of this kind.
    open: Gauge,
}

/// What came in.
#[derive(Debug)]
pub(super) enum Incoming<M> {
    /// A message of the protocol.
    Message(M),
    /// A frame with a type that the protocol does not have.
    Unknown(String),
    /// A ping or a pong: somebody is there.
    Alive,
    /// The connection must be closed.
    Violation(Closing),
    /// The connection is gone.
    Gone,
}

impl<M> Wire<M> {
    /// Takes a socket, and counts it for as long as it lives.
    pub(super) fn new(
        socket: WebSocket,
        encoding: Encoding,
        decode: Decode<M>,
        metrics: Arc<Metrics>,
        open: Gauge,
    ) -> Self {
        open.inc();
        Self {
            socket: Box::new(socket),
            encoding,
            decode,
            metrics,
            open,
        }
    }

    /// How messages look on this socket.
    pub(super) const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The next thing that comes in.
    ///
    /// # Cancel safety
    /// A frame is taken only when it is returned.
    pub(super) async fn receive(&mut self) -> Incoming<M> {
        match self.socket.recv().await {
            None | Some(Ok(Message::Close(_))) => Incoming::Gone,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Incoming::Alive,
            Some(Ok(Message::Text(text))) => self.decode(Encoding::Json, text.as_bytes()),
            Some(Ok(Message::Binary(bytes))) => self.decode(Encoding::MessagePack, &bytes),
            Some(Err(error)) => broken(&error),
        }
    }

    fn decode(&self, encoding: Encoding, frame: &[u8]) -> Incoming<M> {
        if encoding != self.encoding {
            return violation("the wrong kind of frame");
        }
        match (self.decode)(encoding, frame) {
            Ok(message) => Incoming::Message(message),
            Err(DecodeError::UnknownMessage(name)) => Incoming::Unknown(name),
            Err(DecodeError::BadMessage(detail)) => violation(&detail),
        }
    }

    /// Sends a message to a candidate. False: the connection is gone, or nobody
    /// reads it.
    pub(super) async fn send(&mut self, message: &ServerMessage) -> bool {
        let bytes = codec::encode(self.encoding, message);
        self.send_bytes(bytes.into()).await
    }

    /// Sends a message that is encoded already.
    pub(super) async fn send_bytes(&mut self, bytes: Bytes) -> bool {
        let frame = match self.encoding {
            Encoding::MessagePack => Message::Binary(bytes),
            Encoding::Json => match Utf8Bytes::try_from(bytes) {
                Ok(text) => Message::Text(text),
                Err(error) => {
                    tracing::error!(%error, "a message is not UTF-8");
                    return false;
                }
            },
        };
        self.write(frame).await
    }

    /// Asks whether somebody is there.
    pub(super) async fn ping(&mut self) -> bool {
        self.write(Message::Ping(Vec::new().into())).await
    }

    async fn write(&mut self, frame: Message) -> bool {
        let sent = tokio::time::timeout(SEND_PATIENCE, self.socket.send(frame)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// Says `bye`, closes, and waits a moment for the client to do the same.
    pub(super) async fn close(mut self, closing: Closing) {
        let Closing {
            code,
            detail,
            retry_ms,
        } = closing;
        let labels = Code {
            code: code.number().to_string(),
        };
        self.metrics.closes.get_or_create(&labels).inc();
        // `bye` is the same for candidates and consoles.
        let bye = code.bye_code().map(|_| {
            ServerMessage::Bye(Bye {
                code,
                detail,
                retry_ms,
            })
        });
        let close = CloseFrame {
            code: code.number(),
            reason: code.as_str().into(),
        };
        let closed = async {
            if let Some(bye) = bye
                && !self.send(&bye).await
            {
                return;
            }
            if self.write(Message::Close(Some(close))).await {
                // What still comes is not read; it only must not be in the way.
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        tokio::time::timeout(CLOSE_PATIENCE, closed).await.ok();
    }
}

impl<M> Drop for Wire<M> {
    fn drop(&mut self) {
        self.open.dec();
    }
}

fn violation<M>(detail: &str) -> Incoming<M> {
    let code = CloseCode::BadMessage;
    Incoming::Violation(Closing {
        code,
        detail: Some(detail.to_owned()),
        retry_ms: None,
    })
}

/// What a failed read means.
fn broken<M>(error: &axum::Error) -> Incoming<M> {
    let cause = error
        .source()
        .and_then(|source| source.downcast_ref::<SocketError>());
    match cause {
        Some(SocketError::Capacity(CapacityError::MessageTooLong { .. })) => {
            Incoming::Violation(Closing::new(CloseCode::FrameTooBig))
        }
        Some(SocketError::Utf8(_)) => violation("the text is not UTF-8"),
        _ => Incoming::Gone,
    }
}
