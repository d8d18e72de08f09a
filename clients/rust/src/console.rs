//! A proctor's console: watches exams, sends commands, and reconnects by itself.
//!
//! A command without a result is sent again after a break, with the same id, so that
//! it takes effect once.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{SinkExt, StreamExt};
use invigil_protocol::{
    code,
    codec::{self, Encoding},
    proctor::{
        ProctorClientMessage, ProctorCommand, ProctorHeartbeat, ProctorHello, ProctorServerMessage,
        WatchRequest,
    },
};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use tokio_util::task::TaskTracker;

use crate::{backoff::Backoff, connection::connect_websocket};

/// Interval between heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Timeout of connecting, and of sending.
const IO_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages that may wait, in either direction.
const CHANNEL_CAPACITY: usize = 1024;

/// An update for the owner of a console.
#[derive(Debug)]
pub enum ConsoleUpdate {
    /// A message of the engine.
    Message(Box<ProctorServerMessage>),
    /// The connection broke, or could not be made; the next try follows.
    Lost,
    /// The engine closed the console for good, with this code.
    Ended(u16),
}

/// A handle on a console, which ends when the handle is dropped.
#[derive(Debug)]
pub struct ConsoleClient {
    messages: mpsc::Sender<ProctorClientMessage>,
    updates: mpsc::Receiver<ConsoleUpdate>,
}

impl ConsoleClient {
    /// Opens a console at an engine (`http://127.0.0.1:8080`) with a login token.
    pub fn open(base: &str, token: &str) -> Self {
        let (messages, to_say) = mpsc::channel(CHANNEL_CAPACITY);
        let (hear, updates) = mpsc::channel(CHANNEL_CAPACITY);
        let task = ConsoleTask {
            base: base.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
            messages: to_say,
            updates: hear,
            watched: BTreeSet::new(),
            pending_commands: Vec::new(),
            heartbeats: 0,
        };
        TaskTracker::new().spawn(task.run());
        Self { messages, updates }
    }

    /// Sends a `watch`, an `inspect` or a command. Returns false if the console has ended.
    pub async fn send_message(&self, message: ProctorClientMessage) -> bool {
        self.messages.send(message).await.is_ok()
    }

    /// Returns the next update; none once the console has ended.
    ///
    /// # Cancel safety
    /// An update is taken only if it is returned.
    pub async fn next_update(&mut self) -> Option<ConsoleUpdate> {
        self.updates.recv().await
    }
}

type ConsoleSocket = WebSocketStream<TcpStream>;

struct ConsoleTask {
    base: String,
    token: String,
    messages: mpsc::Receiver<ProctorClientMessage>,
    updates: mpsc::Sender<ConsoleUpdate>,
    watched: BTreeSet<String>,
    pending_commands: Vec<ProctorCommand>,
    heartbeats: u64,
}

/// End of a connection.
enum ConnectionEnd {
    /// The handle on the console was dropped.
    Dropped,
    /// It broke, or the engine asks for another: after this wait, if it names one.
    Lost(Option<Duration>),
    /// Closed for good.
    Closed(u16),
}

impl ConsoleTask {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let end = match self.open_socket().await {
                Some(socket) => {
                    let begun = Instant::now();
                    let end = self.run_connection(socket).await;
                    if begun.elapsed() >= IO_TIMEOUT {
                        backoff.reset();
                    }
                    end
                }
                None => ConnectionEnd::Lost(None),
            };
            let wait = match end {
                ConnectionEnd::Dropped => return,
                ConnectionEnd::Closed(code) => {
                    // A dropped handle needs no update.
                    self.updates.send(ConsoleUpdate::Ended(code)).await.ok();
                    return;
                }
                ConnectionEnd::Lost(wait) => wait.unwrap_or_else(|| backoff.next_wait()),
            };
            if self.updates.send(ConsoleUpdate::Lost).await.is_err() {
                return;
            }
            sleep(wait).await;
        }
    }

    /// Opens a socket, authenticates, and sends the watches and pending commands.
    async fn open_socket(&mut self) -> Option<ConsoleSocket> {
        let path = "/ws/v1/proctor";
        let connecting = connect_websocket(&self.base, path, Encoding::MessagePack, None);
        let mut socket = timeout(IO_TIMEOUT, connecting).await.ok()?.ok()?;
        let token = self.token.clone();
        let watches = self.watched.iter().cloned();
        let watches = watches.map(|exam| ProctorClientMessage::Watch(WatchRequest { exam }));
        let commands = self
            .pending_commands
            .iter()
            .cloned()
            .map(ProctorClientMessage::Command);
        let hello = ProctorClientMessage::Hello(ProctorHello { token });
        for message in [hello].into_iter().chain(watches).chain(commands) {
            if !send_frame(&mut socket, &message).await {
                return None;
            }
        }
        Some(socket)
    }

    async fn run_connection(&mut self, mut socket: ConsoleSocket) -> ConnectionEnd {
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retry = None;
        loop {
            tokio::select! {
                message = self.messages.recv() => {
                    let Some(message) = message else { return ConnectionEnd::Dropped };
                    self.remember_message(&message);
                    if !send_frame(&mut socket, &message).await {
                        return ConnectionEnd::Lost(None);
                    }
                }
                frame = socket.next() => match frame {
                    Some(Ok(Message::Binary(bytes))) => {
                        let decoded = codec::decode_proctor_server(Encoding::MessagePack, &bytes);
                        // A newer engine may send messages that this client does not know.
                        let Ok(message) = decoded else { continue };
                        if let ProctorServerMessage::Bye(bye) = &message {
                            retry = bye.retry_ms.map(Duration::from_millis);
                        }
                        self.forget_settled(&message);
                        if self.updates.send(ConsoleUpdate::Message(Box::new(message))).await.is_err() {
                            return ConnectionEnd::Dropped;
                        }
                    }
                    Some(Ok(Message::Close(close))) => {
                        let code = close.map_or(1005, |close| close.code.into());
                        if code::may_reconnect(code) {
                            return ConnectionEnd::Lost(retry);
                        }
                        return ConnectionEnd::Closed(code);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return ConnectionEnd::Lost(retry),
                },
                _ = beat.tick() => {
                    self.heartbeats += 1;
                    let heartbeat = ProctorHeartbeat { n: self.heartbeats };
                    let message = ProctorClientMessage::Heartbeat(heartbeat);
                    if !send_frame(&mut socket, &message).await {
                        return ConnectionEnd::Lost(None);
                    }
                }
            }
        }
    }

    /// Remembers watches and commands, to send them again after a break.
    fn remember_message(&mut self, message: &ProctorClientMessage) {
        match message {
            ProctorClientMessage::Watch(watch) => {
                self.watched.insert(watch.exam.clone());
            }
            ProctorClientMessage::Unwatch(watch) => {
                self.watched.remove(&watch.exam);
            }
            ProctorClientMessage::Command(command) => self.pending_commands.push(command.clone()),
            ProctorClientMessage::Hello(_)
            | ProctorClientMessage::Inspect(_)
            | ProctorClientMessage::Heartbeat(_) => {}
        }
    }

    /// Forgets commands that are complete or refused.
    fn forget_settled(&mut self, message: &ProctorServerMessage) {
        if let ProctorServerMessage::Result(result) = message {
            let failed = u32::try_from(result.failed.len()).unwrap_or(u32::MAX);
            if result.done.saturating_add(failed) >= result.total {
                self.pending_commands
                    .retain(|command| command.id != result.id);
            }
        } else if let ProctorServerMessage::Error(error) = message
            && let Some(detail) = &error.detail
        {
            self.pending_commands
                .retain(|command| !detail.starts_with(&format!("command {}:", command.id)));
        }
    }
}

/// Sends one message. Returns false if the connection is broken or the engine does
/// not read.
async fn send_frame(socket: &mut ConsoleSocket, message: &ProctorClientMessage) -> bool {
    let bytes = codec::encode_proctor_client(Encoding::MessagePack, message);
    let sending = socket.send(Message::Binary(bytes.into()));
    matches!(timeout(IO_TIMEOUT, sending).await, Ok(Ok(())))
}
