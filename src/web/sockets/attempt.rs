//! The life of one candidate's connection: `hello`, then messages both ways
//! until one side ends it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use invigil_protocol::{
    candidate::{self, ClientMessage, Hello, ServerMessage},
    code::{CloseCode, ErrorCode},
};
use tokio::time::Instant;

use super::{
    pace::{HELD_MAX, Pace, Verdict},
    wire::{Incoming, Wire},
};
use crate::{
    engine::{Closing, Entry, Handle, Opened, Opening, Outbox, Outgoing},
    web::AppState,
};

/// How long a client may take to say `hello`.
pub(super) const HELLO_PATIENCE: Duration = Duration::from_secs(5);

/// Heartbeat intervals of silence after which the engine asks.
pub(super) const PING_AFTER: u32 = 2;

/// How long clients wait for `welcome` before they try another connection.
const WELCOME_PATIENCE: Duration = Duration::from_secs(10);

/// Heartbeat intervals of silence after which nobody is there.
pub(super) const IDLE_AFTER: u32 = 3;

/// Runs a connection to its end.
pub(super) async fn run(app: AppState, mut wire: Wire<ClientMessage>, address: IpAddr) {
    // Begin and end are boxed: the hours between them need not hold their room.
    let closing = match Box::pin(greet(&app, &mut wire, address)).await {
        Ok(mut connection) => connection.run(&mut wire).await,
        Err(closing) => closing,
    };
    if let Some(closing) = closing {
        Box::pin(wire.close(closing)).await;
    }
}

/// Waits for `hello` and opens the attempt. An error of none: the client left.
async fn greet(
    app: &AppState,
    wire: &mut Wire<ClientMessage>,
    address: IpAddr,
) -> Result<Box<Connection>, Option<Closing>> {
    let until = Instant::now() + WELCOME_PATIENCE;
    let hello = tokio::select! {
        () = app.stop.cancelled() => return Err(Some(Closing::new(CloseCode::Draining))),
        hello = tokio::time::timeout(HELLO_PATIENCE, first(wire)) => hello,
    };
    let hello = match hello {
        Ok(hello) => hello?,
        Err(_elapsed) => {
            app.limits.hello_failed(address);
            return Err(Some(explain(CloseCode::Unauthorized, "no hello in time")));
        }
    };
    let token = app
        .tokens
        .verify(&hello.token, app.engine.now())
        .map_err(|error| {
            app.limits.hello_failed(address);
            Some(explain(CloseCode::Unauthorized, &error.to_string()))
        })?;
    let outbox = Arc::new(Outbox::default());
    let opening = Opening {
        entry: Entry {
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
    let opened = app.engine.open(token.attempt, opening).await;
    let (handle, opened) = opened.map_err(|refusal| Some(refusal.0))?;
    let now = Instant::now();
    let pace = Pace::new(
        *app.engine.limits(),
        opened.applied_seq,
        opened.saved_seq,
        now,
    );
    Ok(Box::new(Connection {
        guard: Guard {
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

/// The first frame, which must be `hello`.
async fn first(wire: &mut Wire<ClientMessage>) -> Result<Hello, Option<Closing>> {
    loop {
        match wire.receive().await {
            Incoming::Message(ClientMessage::Hello(hello)) => return Ok(hello),
            Incoming::Message(_) | Incoming::Unknown(_) => {
                let detail = "the first message must be hello";
                return Err(Some(explain(CloseCode::BadMessage, detail)));
            }
            Incoming::Alive => {}
            Incoming::Violation(closing) => return Err(Some(closing)),
            Incoming::Gone => return Err(None),
        }
    }
}

/// An open connection.
struct Connection {
    guard: Guard,
    outbox: Arc<Outbox>,
    pace: Pace,
    heard_at: Instant,
    /// Whether the client was asked since it was last heard.
    pinged: bool,
    /// Not before is the next frame read.
    read_from: Instant,
    /// A command that waits because too many are unsaved, and since when.
    held: Option<Box<(ClientMessage, u64, Instant)>>,
}

/// Tells the actor that the connection is gone, however it ends.
struct Guard {
    app: AppState,
    handle: Handle,
    opened: Opened,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (handle, connection) = (self.handle.clone(), self.opened.connection);
        self.app
            .tasks
            .spawn(async move { handle.gone(connection).await });
    }
}

impl Connection {
    /// Runs until one side ends it. None: the client is gone already.
    async fn run(&mut self, wire: &mut Wire<ClientMessage>) -> Option<Closing> {
        let timer = tokio::time::sleep_until(self.wake_at());
        tokio::pin!(timer);
        // `next` and `receive` take something only when their branch wins, and
        // sending happens outside of the branches: nothing is lost to a race.
        loop {
            timer.as_mut().reset(self.wake_at());
            let reading = self.held.is_none() && self.read_from <= Instant::now();
            let message = tokio::select! {
                biased;
                outgoing = self.outbox.next() => match outgoing {
                    Outgoing::Message(message) => {
                        self.note_saved(&message);
                        if !wire.send(&message).await {
                            return Some(Closing::new(CloseCode::SlowConsumer));
                        }
                        self.released()
                    }
                    Outgoing::Close(closing) => return Some(closing),
                },
                incoming = wire.receive(), if reading => match self.take(incoming) {
                    Ok(message) => message,
                    Err(closing) => return closing,
                },
                () = &mut timer => {
                    if let Some(closing) = self.look_at_the_clock(wire).await {
                        return Some(closing);
                    }
                    None
                }
            };
            if let Some(message) = message {
                let connection = self.guard.opened.connection;
                // Where the actor has ended, the outbox says how to close.
                self.guard.handle.client(connection, message).await;
            }
        }
    }

    /// Deals with what came in: gives back what is for the actor. An error ends
    /// the connection.
    fn take(
        &mut self,
        incoming: Incoming<ClientMessage>,
    ) -> Result<Option<ClientMessage>, Option<Closing>> {
        let now = Instant::now();
        self.heard_at = now;
        self.pinged = false;
        match self.pace.frame(now) {
            Verdict::Fine => {}
            Verdict::Warn => self.complain(ErrorCode::RateLimited, "too many frames a second"),
            Verdict::Close => return Err(Some(Closing::new(CloseCode::RateLimited))),
        }
        match incoming {
            Incoming::Message(message) => Ok(self.pass(message, now)),
            Incoming::Unknown(name) => {
                self.complain(
                    ErrorCode::UnknownMessage,
                    &format!("there is no message {name:?}"),
                );
                Ok(None)
            }
            Incoming::Alive => Ok(None),
            Incoming::Violation(closing) => Err(Some(closing)),
            Incoming::Gone => Err(None),
        }
    }

    /// The message, or none where it must wait.
    fn pass(&mut self, message: ClientMessage, now: Instant) -> Option<ClientMessage> {
        if let Some(seq) = message.seq() {
            if self.pace.must_wait(seq) {
                self.held = Some(Box::new((message, seq, now)));
                return None;
            }
            if let Some(later) = self.pace.command(seq, now) {
                self.read_from = later;
            }
        }
        Some(message)
    }

    /// The command that waited, where it may go.
    fn released(&mut self) -> Option<ClientMessage> {
        let held = self.held.take()?;
        if self.pace.must_wait(held.1) {
            self.held = Some(held);
            return None;
        }
        let now = Instant::now();
        self.heard_at = now;
        self.pass(held.0, now)
    }

    fn note_saved(&mut self, message: &ServerMessage) {
        match message {
            ServerMessage::Saved(saved) => self.pace.saved(saved.seq),
            ServerMessage::Pulse(pulse) => self.pace.saved(pulse.saved_seq),
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

    /// Asks a silent client, and ends what stays silent or floods.
    async fn look_at_the_clock(&mut self, wire: &mut Wire<ClientMessage>) -> Option<Closing> {
        let now = Instant::now();
        if let Some(held) = &self.held {
            let over = now.duration_since(held.2) >= HELD_MAX;
            return over.then(|| {
                explain(
                    CloseCode::RateLimited,
                    "too many commands are under way unsaved",
                )
            });
        }
        let silent = now.duration_since(self.heard_at);
        let heartbeat = self.guard.opened.heartbeat;
        if silent >= heartbeat * IDLE_AFTER {
            return Some(Closing::new(CloseCode::Idle));
        }
        if silent >= heartbeat * PING_AFTER && !self.pinged {
            self.pinged = true;
            if !wire.ping().await {
                return Some(Closing::new(CloseCode::SlowConsumer));
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

    fn complain(&self, code: ErrorCode, detail: &str) {
        let detail = Some(detail.to_owned());
        self.outbox
            .send(ServerMessage::Error(candidate::Error { code, detail }));
    }
}

pub(super) fn explain(code: CloseCode, detail: &str) -> Closing {
    Closing {
        code,
        detail: Some(detail.to_owned()),
        retry_ms: None,
    }
}
