//! A proctor's console: watches exams and acts, and comes back by itself.
//!
//! A command that was sent and has no result yet is sent again after a break,
//! with the same id, so that it is done once.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{SinkExt, StreamExt};
use invigil_protocol::{
    code,
    codec::{self, Encoding},
    proctor::{Command, ConsoleMessage, Heartbeat, Hello, ProctorMessage, Watch},
};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use tokio_util::task::TaskTracker;

use crate::{backoff::Backoff, connection::connect};

/// How often the engine hears of a console that does nothing.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a connection may take to be made, and a message to be sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages that may wait either way.
const WAITING: usize = 1024;

/// What a console hears.
#[derive(Debug)]
pub enum Heard {
    /// A message of the engine.
    Message(Box<ConsoleMessage>),
    /// The connection broke, or could not be made; the next try follows.
    Lost,
    /// The engine closed with a code after which nobody comes back.
    Ended(u16),
}

/// A console. It ends when it is dropped.
#[derive(Debug)]
pub struct Console {
    say: mpsc::Sender<ProctorMessage>,
    heard: mpsc::Receiver<Heard>,
}

impl Console {
    /// Opens a console at an engine (`http://127.0.0.1:8080`) with a log-in token.
    pub fn open(base: &str, token: &str) -> Self {
        let (say, to_say) = mpsc::channel(WAITING);
        let (hear, heard) = mpsc::channel(WAITING);
        let task = Task {
            base: base.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
            to_say,
            hear,
            watched: BTreeSet::new(),
            unanswered: Vec::new(),
            beats: 0,
        };
        TaskTracker::new().spawn(task.run());
        Self { say, heard }
    }

    /// Says something: `watch`, `inspect`, a command. False: the console has ended.
    pub async fn say(&self, message: ProctorMessage) -> bool {
        self.say.send(message).await.is_ok()
    }

    /// What comes next; none: the console has ended.
    ///
    /// # Cancel safety
    /// Nothing is taken unless it is returned.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }
}

type Socket = WebSocketStream<TcpStream>;

struct Task {
    base: String,
    token: String,
    to_say: mpsc::Receiver<ProctorMessage>,
    hear: mpsc::Sender<Heard>,
    watched: BTreeSet<String>,
    unanswered: Vec<Command>,
    beats: u64,
}

/// How a connection ended.
enum End {
    /// Nobody holds the console any more.
    Dropped,
    /// It broke, or the engine wants it back: after so long, where it says so.
    Lost(Option<Duration>),
    /// Closed for good.
    Closed(u16),
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let end = match self.connect().await {
                Some(socket) => {
                    let begun = Instant::now();
                    let end = self.converse(socket).await;
                    if begun.elapsed() >= PATIENCE {
                        backoff.reset();
                    }
                    end
                }
                None => End::Lost(None),
            };
            let wait = match end {
                End::Dropped => return,
                End::Closed(code) => {
                    // Who dropped the console needs to hear nothing.
                    self.hear.send(Heard::Ended(code)).await.ok();
                    return;
                }
                End::Lost(wait) => wait.unwrap_or_else(|| backoff.next()),
            };
            if self.hear.send(Heard::Lost).await.is_err() {
                return;
            }
            sleep(wait).await;
        }
    }

    /// A socket that has said who it is, and asked for what it wants.
    async fn connect(&mut self) -> Option<Socket> {
        let path = "/ws/v1/proctor";
        let connecting = connect(&self.base, path, Encoding::MessagePack, None);
        let mut socket = timeout(PATIENCE, connecting).await.ok()?.ok()?;
        let token = self.token.clone();
        let watches = self.watched.iter().cloned();
        let watches = watches.map(|exam| ProctorMessage::Watch(Watch { exam }));
        let commands = self.unanswered.iter().cloned().map(ProctorMessage::Command);
        let hello = ProctorMessage::Hello(Hello { token });
        for message in [hello].into_iter().chain(watches).chain(commands) {
            if !send(&mut socket, &message).await {
                return None;
            }
        }
        Some(socket)
    }

    async fn converse(&mut self, mut socket: Socket) -> End {
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retry = None;
        loop {
            tokio::select! {
                message = self.to_say.recv() => {
                    let Some(message) = message else { return End::Dropped };
                    self.note(&message);
                    if !send(&mut socket, &message).await {
                        return End::Lost(None);
                    }
                }
                frame = socket.next() => match frame {
                    Some(Ok(Message::Binary(bytes))) => {
                        let decoded = codec::decode_console(Encoding::MessagePack, &bytes);
                        // A newer engine may say what this client does not know.
                        let Ok(message) = decoded else { continue };
                        if let ConsoleMessage::Bye(bye) = &message {
                            retry = bye.retry_ms.map(Duration::from_millis);
                        }
                        self.settle(&message);
                        if self.hear.send(Heard::Message(Box::new(message))).await.is_err() {
                            return End::Dropped;
                        }
                    }
                    Some(Ok(Message::Close(close))) => {
                        let code = close.map_or(1005, |close| close.code.into());
                        if code::may_reconnect(code) {
                            return End::Lost(retry);
                        }
                        return End::Closed(code);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return End::Lost(retry),
                },
                _ = beat.tick() => {
                    self.beats += 1;
                    let message = ProctorMessage::Heartbeat(Heartbeat { n: self.beats });
                    if !send(&mut socket, &message).await {
                        return End::Lost(None);
                    }
                }
            }
        }
    }

    /// Remembers what is wanted again after a break.
    fn note(&mut self, message: &ProctorMessage) {
        match message {
            ProctorMessage::Watch(watch) => {
                self.watched.insert(watch.exam.clone());
            }
            ProctorMessage::Unwatch(watch) => {
                self.watched.remove(&watch.exam);
            }
            ProctorMessage::Command(command) => self.unanswered.push(command.clone()),
            ProctorMessage::Hello(_)
            | ProctorMessage::Inspect(_)
            | ProctorMessage::Heartbeat(_) => {}
        }
    }

    /// Forgets commands that have their last result, or were refused.
    fn settle(&mut self, message: &ConsoleMessage) {
        if let ConsoleMessage::Result(result) = message {
            let failed = u32::try_from(result.failed.len()).unwrap_or(u32::MAX);
            if result.done.saturating_add(failed) >= result.total {
                self.unanswered.retain(|command| command.id != result.id);
            }
        } else if let ConsoleMessage::Error(error) = message
            && let Some(detail) = &error.detail
        {
            self.unanswered
                .retain(|command| !detail.starts_with(&format!("command {}:", command.id)));
        }
    }
}

/// False: the connection is gone, or the engine does not read.
async fn send(socket: &mut Socket, message: &ProctorMessage) -> bool {
    let bytes = codec::encode_proctor(Encoding::MessagePack, message);
    let sending = socket.send(Message::Binary(bytes.into()));
    matches!(timeout(PATIENCE, sending).await, Ok(Ok(())))
}
