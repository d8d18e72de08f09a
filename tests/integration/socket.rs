//! A candidate's raw socket, for messages that a correct client never sends.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
    },
};

use crate::harness::{PATIENCE, Server};

/// An incoming item.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    /// A message.
    Said(Value),
    /// The end, with its code; 0 where the connection broke.
    Closed(u16),
}

/// A socket that speaks JSON.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Connects, and says nothing.
    pub(crate) async fn connect(server: &Server) -> Self {
        Self::connect_as(server, "invigil.v1.json").await
    }

    /// As [`Socket::connect`], in an encoding.
    pub(crate) async fn connect_as(server: &Server, protocol: &'static str) -> Self {
        let url = format!("ws://{}/ws/v1/attempt", server.address());
        let mut request = url.into_client_request().unwrap();
        let protocol = HeaderValue::from_static(protocol);
        let headers = request.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        let connecting = tokio_tungstenite::connect_async(request).await;
        Self(connecting.unwrap().0)
    }

    /// Connects and says `hello`; returns the reply.
    pub(crate) async fn hello(
        server: &Server,
        token: &str,
        resume: Option<Value>,
    ) -> (Self, Heard) {
        let mut socket = Self::connect(server).await;
        let hello = json!({ "t": "hello", "token": token, "resume": resume });
        socket.say(hello).await;
        let heard = socket.hear().await;
        (socket, heard)
    }

    /// Connects and is welcome.
    pub(crate) async fn enter(server: &Server, token: &str) -> (Self, Value) {
        let (socket, heard) = Self::hello(server, token, None).await;
        match heard {
            Heard::Said(welcome) if welcome["t"] == "welcome" => (socket, welcome),
            other @ (Heard::Said(_) | Heard::Closed(_)) => panic!("no welcome: {other:?}"),
        }
    }

    /// Sends a message.
    pub(crate) async fn say(&mut self, message: Value) {
        let sent = self.0.send(Message::text(message.to_string())).await;
        sent.unwrap();
    }

    /// Sends any frame. False: the connection is gone.
    pub(crate) async fn send(&mut self, frame: Message) -> bool {
        self.0.send(frame).await.is_ok()
    }

    /// Returns the next incoming item.
    pub(crate) async fn hear(&mut self) -> Heard {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
            match next.expect("the engine is silent") {
                Some(Ok(Message::Text(text))) => {
                    return Heard::Said(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(frame))) => {
                    return Heard::Closed(frame.map_or(0, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Closed(0),
            }
        }
    }

    /// The next message of a type; others are passed over.
    pub(crate) async fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            match self.hear().await {
                Heard::Said(message) if message["t"] == kind => return message,
                Heard::Said(_) => {}
                Heard::Closed(code) => panic!("closed with {code} instead of {kind}"),
            }
        }
    }

    /// Returns the close code, after any messages before it.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Heard::Closed(code) = self.hear().await {
                return code;
            }
        }
    }
}
