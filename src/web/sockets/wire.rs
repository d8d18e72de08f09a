//! A WebSocket as messages of the protocol: frames in both directions, and the
//! ends of a connection.

use std::{error::Error as _, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use invigil_protocol::{
    candidate::{ByeMessage, ServerMessage},
    code::CloseCode,
    codec::{self, DecodeError, Encoding},
};
use prometheus_client::metrics::gauge::Gauge;
use tungstenite::error::{CapacityError, Error as SocketError};

use invigil_engine::CloseReason;
use invigil_telemetry::metrics::{CodeLabel, Metrics};

/// Longest time to write a frame. A client that takes longer is gone, or does not
/// read.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Time in which a client must respond to a close. Closing without waiting would
/// reset the connection while its last frames are under way.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Function that decodes a frame.
pub(super) type DecodeFrame<M> = fn(Encoding, &[u8]) -> Result<M, DecodeError>;

/// A socket with its encoding, which receives messages `M`.
pub(super) struct MessageSocket<M> {
    socket: Box<WebSocket>,
    encoding: Encoding,
    decode: DecodeFrame<M>,
    metrics: Arc<Metrics>,
    /// Gauge of the open sockets of this kind.
    open: Gauge,
}

/// An input of a socket.
#[derive(Debug)]
pub(super) enum SocketInput<M> {
    /// A message of the protocol.
    Message(M),
    /// A frame of an unknown type.
    Unknown(String),
    /// A ping or a pong, which shows that the client is alive.
    Alive,
    /// A violation of the protocol; the connection must be closed.
    Violation(CloseReason),
    /// The end of the connection.
    Gone,
}

impl<M> MessageSocket<M> {
    /// Wraps a socket, and counts it until it is dropped.
    pub(super) fn new(
        socket: WebSocket,
        encoding: Encoding,
        decode: DecodeFrame<M>,
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

    /// Returns the encoding of messages on this socket.
    pub(super) const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Receives the next input.
    ///
    /// # Cancel safety
    /// A frame is removed only when it is returned.
    pub(super) async fn receive(&mut self) -> SocketInput<M> {
        match self.socket.recv().await {
            None | Some(Ok(Message::Close(_))) => SocketInput::Gone,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => SocketInput::Alive,
            Some(Ok(Message::Text(text))) => self.decode_frame(Encoding::Json, text.as_bytes()),
            Some(Ok(Message::Binary(bytes))) => self.decode_frame(Encoding::MessagePack, &bytes),
            Some(Err(error)) => read_failure(&error),
        }
    }

    fn decode_frame(&self, encoding: Encoding, frame: &[u8]) -> SocketInput<M> {
        if encoding != self.encoding {
            return bad_message("the wrong kind of frame");
        }
        match (self.decode)(encoding, frame) {
            Ok(message) => SocketInput::Message(message),
            Err(DecodeError::UnknownMessage(name)) => SocketInput::Unknown(name),
            Err(DecodeError::BadMessage(detail)) => bad_message(&detail),
        }
    }

    /// Sends a message to a candidate. Returns false if the connection is gone, or
    /// the client does not read.
    pub(super) async fn send_message(&mut self, message: &ServerMessage) -> bool {
        let bytes = codec::encode_server(self.encoding, message);
        self.send_bytes(bytes.into()).await
    }

    /// Sends an encoded message.
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
        self.write_frame(frame).await
    }

    /// Sends a ping, which a live client answers.
    pub(super) async fn send_ping(&mut self) -> bool {
        self.write_frame(Message::Ping(Vec::new().into())).await
    }

    async fn write_frame(&mut self, frame: Message) -> bool {
        let sent = tokio::time::timeout(SEND_TIMEOUT, self.socket.send(frame)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// Sends `bye`, closes, and waits shortly for the client to close too.
    pub(super) async fn close(mut self, closing: CloseReason) {
        let CloseReason {
            code,
            detail,
            retry_ms,
        } = closing;
        let labels = CodeLabel {
            code: code.number().to_string(),
        };
        self.metrics.closes.get_or_create(&labels).inc();
        // `bye` is the same for candidates and consoles.
        let bye = code.bye_code().map(|_| {
            ServerMessage::Bye(ByeMessage {
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
                && !self.send_message(&bye).await
            {
                return;
            }
            if self.write_frame(Message::Close(Some(close))).await {
                // Further input is discarded; unread, it would cause a reset.
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        tokio::time::timeout(CLOSE_TIMEOUT, closed).await.ok();
    }
}

impl<M> Drop for MessageSocket<M> {
    fn drop(&mut self) {
        self.open.dec();
    }
}

fn bad_message<M>(detail: &str) -> SocketInput<M> {
    let code = CloseCode::BadMessage;
    SocketInput::Violation(CloseReason {
        code,
        detail: Some(detail.to_owned()),
        retry_ms: None,
    })
}

/// Returns the input that a failed read stands for.
fn read_failure<M>(error: &axum::Error) -> SocketInput<M> {
    let cause = error
        .source()
        .and_then(|source| source.downcast_ref::<SocketError>());
    match cause {
        Some(SocketError::Capacity(CapacityError::MessageTooLong { .. })) => {
            SocketInput::Violation(CloseReason::new(CloseCode::FrameTooBig))
        }
        Some(SocketError::Utf8(_)) => bad_message("the text is not UTF-8"),
        _ => SocketInput::Gone,
    }
}
