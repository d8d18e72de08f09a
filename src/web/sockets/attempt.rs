//! The connection of a candidate: `hello`, then messages in both directions
//! until one side ends it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use invigil_protocol::{
    candidate::{self, CandidateHello, ClientMessage, ServerMessage},
    code::{CloseCode, ErrorCode},
};
use tokio::time::Instant;

use super::{
    pace::{ConnectionPace, FrameVerdict, HELD_MAX},
    wire::{MessageSocket, SocketInput},
};
use crate::web::AppState;
use invigil_engine::{
    ActorHandle, CloseReason, ConnectRequest, Connected, JoinRequest, Outbox, OutboxItem,
};

/// Time in which a client must send `hello`.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Heartbeat intervals of silence after which the engine sends a ping.
pub(super) const PING_AFTER: u32 = 2;

/// Time for which clients wait for `welcome` before they reconnect.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// Heartbeat intervals of silence after which the connection is closed.
pub(super) const IDLE_AFTER: u32 = 3;

/// Runs a connection to its end.
pub(super) async fn run(app: AppState, mut wire: MessageSocket<ClientMessage>, address: IpAddr) {
    // Begin and end are boxed, so that the hours between do not hold their memory.
    let closing = match Box::pin(open_attempt(&app, &mut wire, address)).await {
        Ok(mut connection) => connection.run(&mut wire).await,
        Err(closing) => closing,
    };
    if let Some(closing) = closing {
        Box::pin(wire.close(closing)).await;
    }
}

/// Waits for `hello` and opens the attempt. The error is none if the client left.
async fn open_attempt(
    app: &AppState,
    wire: &mut MessageSocket<ClientMessage>,
    address: IpAddr,
) -> Result<Box<CandidateSocket>, Option<CloseReason>> {
    let until = Instant::now() + WELCOME_TIMEOUT;
    let hello = tokio::select! {
        () = app.stop.cancelled() => return Err(Some(CloseReason::new(CloseCode::Draining))),
        hello = tokio::time::timeout(HELLO_TIMEOUT, read_hello(wire)) => hello,
    };
    let hello = match hello {
        Ok(hello) => hello?,
        Err(_elapsed) => {
            app.limits.count_failed_hello(address);
            return Err(Some(closing_with(
                CloseCode::Unauthorized,
                "no hello in time",
            )));
        }
    };
    let token = app
        .tokens
        .verify(&hello.token, app.engine.now())
        .map_err(|error| {
            app.limits.count_failed_hello(address);
            Some(closing_with(CloseCode::Unauthorized, &error.to_string()))
        })?;
    let outbox = Arc::new(Outbox::default());
    let opening = ConnectRequest {
        join: JoinRequest {
            resume: hello
                .resume
                .map(|resume| (resume.session.into(), resume.next_seq)),
            address,
            asked_at: Some(app.engine.now()),
        },
        device: hello.client.and_then(|client| client.device),
        outbox: Arc::clone(&outbox),
        until,
    };
    let opened = app.engine.connect_candidate(token.attempt, opening).await;
    let (handle, opened) = opened.map_err(|refusal| Some(refusal.0))?;
    let now = Instant::now();
    let pace = ConnectionPace::new(
        *app.engine.limits(),
        opened.applied_seq,
        opened.saved_seq,
        now,
    );
    Ok(Box::new(CandidateSocket {
        guard: ConnectionGuard {
            app: Arc::clone(app),
            handle,
            opened,
        },
        outbox,
        pace,
        heard_at: now,
        pinged: false,
        read_from: now,
        held: None,
    }))
}

/// Reads the first frame, which must be `hello`.
async fn read_hello(
    wire: &mut MessageSocket<ClientMessage>,
) -> Result<CandidateHello, Option<CloseReason>> {
    loop {
        match wire.receive().await {
            SocketInput::Message(ClientMessage::Hello(hello)) => return Ok(hello),
            SocketInput::Message(_) | SocketInput::Unknown(_) => {
                let detail = "the first message must be hello";
                return Err(Some(closing_with(CloseCode::BadMessage, detail)));
            }
            SocketInput::Alive => {}
            SocketInput::Violation(closing) => return Err(Some(closing)),
            SocketInput::Gone => return Err(None),
        }
    }
}

/// An open connection.
struct CandidateSocket {
    guard: ConnectionGuard,
    outbox: Arc<Outbox>,
    pace: ConnectionPace,
    heard_at: Instant,
    /// True if a ping was sent since the client's last frame.
    pinged: bool,
    /// Instant before which no frame is read.
    read_from: Instant,
    /// A command held back because too many are unsaved, and the instant it arrived.
    held: Option<Box<(ClientMessage, u64, Instant)>>,
}

/// Guard that tells the actor about the end of the connection, even after a panic.
struct ConnectionGuard {
    app: AppState,
    handle: ActorHandle,
    opened: Connected,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let (handle, connection) = (self.handle.clone(), self.opened.connection);
        self.app
            .tasks
            .spawn(async move { handle.report_disconnect(connection).await });
    }
}

impl CandidateSocket {
    /// Runs until one side ends the connection. Returns none if the client left.
    async fn run(&mut self, wire: &mut MessageSocket<ClientMessage>) -> Option<CloseReason> {
        let timer = tokio::time::sleep_until(self.wake_at());
        tokio::pin!(timer);
        // `next` and `receive` remove an item only if their branch wins, and sending
        // is outside of the branches: no message is lost.
        loop {
            timer.as_mut().reset(self.wake_at());
            let reading = self.held.is_none() && self.read_from <= Instant::now();
            let message = tokio::select! {
                biased;
                outgoing = self.outbox.next() => match outgoing {
                    OutboxItem::Message(message) => {
                        self.note_saved(&message);
                        if !wire.send_message(&message).await {
                            return Some(CloseReason::new(CloseCode::SlowConsumer));
                        }
                        self.release_held()
                    }
                    OutboxItem::Close(closing) => return Some(closing),
                },
                incoming = wire.receive(), if reading => match self.handle_incoming(incoming) {
                    Ok(message) => message,
                    Err(closing) => return closing,
                },
                () = &mut timer => {
                    if let Some(closing) = self.check_silence(wire).await {
                        return Some(closing);
                    }
                    None
                }
            };
            if let Some(message) = message {
                let connection = self.guard.opened.connection;
                // After the actor's end, the outbox has the reason to close.
                self.guard
                    .handle
                    .deliver_client_message(connection, message)
                    .await;
            }
        }
    }

    /// Handles an input of the socket; returns a message for the actor. An error ends
    /// the connection.
    fn handle_incoming(
        &mut self,
        incoming: SocketInput<ClientMessage>,
    ) -> Result<Option<ClientMessage>, Option<CloseReason>> {
        let now = Instant::now();
        self.heard_at = now;
        self.pinged = false;
        match self.pace.count_frame(now) {
            FrameVerdict::Accept => {}
            FrameVerdict::Warn => {
                self.send_error(ErrorCode::RateLimited, "too many frames a second");
            }
            FrameVerdict::Close => return Err(Some(CloseReason::new(CloseCode::RateLimited))),
        }
        match incoming {
            SocketInput::Message(message) => Ok(self.admit_message(message, now)),
            SocketInput::Unknown(name) => {
                self.send_error(
                    ErrorCode::UnknownMessage,
                    &format!("there is no message {name:?}"),
                );
                Ok(None)
            }
            SocketInput::Alive => Ok(None),
            SocketInput::Violation(closing) => Err(Some(closing)),
            SocketInput::Gone => Err(None),
        }
    }

    /// Returns the message, or holds it back and returns none.
    fn admit_message(&mut self, message: ClientMessage, now: Instant) -> Option<ClientMessage> {
        if let Some(seq) = message.seq() {
            if self.pace.must_wait(seq) {
                self.held = Some(Box::new((message, seq, now)));
                return None;
            }
            if let Some(later) = self.pace.count_command(seq, now) {
                self.read_from = later;
            }
        }
        Some(message)
    }

    /// Returns the command held back, if it may proceed.
    fn release_held(&mut self) -> Option<ClientMessage> {
        let held = self.held.take()?;
        if self.pace.must_wait(held.1) {
            self.held = Some(held);
            return None;
        }
        let now = Instant::now();
        self.heard_at = now;
        self.admit_message(held.0, now)
    }

    fn note_saved(&mut self, message: &ServerMessage) {
        match message {
            ServerMessage::Saved(saved) => self.pace.note_saved(saved.seq),
            ServerMessage::Pulse(pulse) => self.pace.note_saved(pulse.saved_seq),
            ServerMessage::Welcome(_)
            | ServerMessage::Refused(_)
            | ServerMessage::EventAck(_)
            | ServerMessage::Open(_)
            | ServerMessage::Timing(_)
            | ServerMessage::Health(_)
            | ServerMessage::Status(_)
            | ServerMessage::Notice(_)
            | ServerMessage::Submitted(_)
            | ServerMessage::Error(_)
            | ServerMessage::Bye(_) => {}
        }
    }

    /// Sends a ping to a silent client; closes a connection that stays silent or floods.
    async fn check_silence(
        &mut self,
        wire: &mut MessageSocket<ClientMessage>,
    ) -> Option<CloseReason> {
        let now = Instant::now();
        if let Some(held) = &self.held {
            let over = now.duration_since(held.2) >= HELD_MAX;
            return over.then(|| {
                closing_with(
                    CloseCode::RateLimited,
                    "too many commands are under way unsaved",
                )
            });
        }
        let silent = now.duration_since(self.heard_at);
        let heartbeat = self.guard.opened.heartbeat;
        if silent >= heartbeat * IDLE_AFTER {
            return Some(CloseReason::new(CloseCode::Idle));
        }
        if silent >= heartbeat * PING_AFTER && !self.pinged {
            self.pinged = true;
            if !wire.send_ping().await {
                return Some(CloseReason::new(CloseCode::SlowConsumer));
            }
        }
        None
    }

    fn wake_at(&self) -> Instant {
        if let Some(held) = &self.held {
            return held.2 + HELD_MAX;
        }
        let intervals = if self.pinged { IDLE_AFTER } else { PING_AFTER };
        let silence = self.heard_at + self.guard.opened.heartbeat * intervals;
        let now = Instant::now();
        if self.read_from > now {
            self.read_from.min(silence)
        } else {
            silence
        }
    }

    fn send_error(&self, code: ErrorCode, detail: &str) {
        let detail = Some(detail.to_owned());
        self.outbox
            .send(ServerMessage::Error(candidate::ErrorMessage {
                code,
                detail,
            }));
    }
}

pub(super) fn closing_with(code: CloseCode, detail: &str) -> CloseReason {
    CloseReason {
        code,
        detail: Some(detail.to_owned()),
        retry_ms: None,
    }
}
