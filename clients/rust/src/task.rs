//! The task that takes an attempt: sockets, back-off, heartbeats, and the
//! exchange where no socket comes through.

use std::{net::IpAddr, time::Duration};

use invigil_protocol::{
    candidate::{ClientMessage, Heartbeat, ServerMessage},
    code::{CloseCode, may_reconnect},
    codec::Encoding,
    rest::StartReply,
};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;

use crate::{
    backoff::Backoff,
    connection::{Connection, Incoming},
    core::{Command, Core, Ticket, Update},
    rest::{Client, Error},
};

/// Commands that may wait for the task. It takes them as fast as they come, so
/// this only bridges moments.
const COMMANDS: usize = 1_024;

/// Updates that may wait for the application; then the socket is read no more.
const UPDATES: usize = 1_024;

/// Sockets that fail in a row before commands go by exchange.
const SOCKET_FAILURES: u32 = 2;

/// A value over this goes by exchange: a frame has at most 16 KiB.
const INLINE_BYTES_MAX: usize = 12 * 1024;

/// The heartbeat until the engine names one.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How a client connects.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How messages are encoded.
    pub encoding: Encoding,
    /// The source address of sockets, where it matters.
    pub from: Option<IpAddr>,
}

/// An attempt that is being taken. Dropping it ends the connection; what is not
/// saved by then is lost with it.
#[derive(Debug)]
pub struct Attempt {
    /// The attempt's id.
    pub id: String,
    /// The attempt's token.
    pub token: String,
    commands: mpsc::Sender<Push>,
    updates: mpsc::Receiver<Update>,
    tickets: Ticket,
}

enum Push {
    Command(Command),
    Event { kind: String, at: i64 },
    Break,
}

impl Attempt {
    /// Takes an attempt that was started. Its task runs on `tasks`.
    pub fn take(
        client: &Client,
        started: &StartReply,
        options: Options,
        tasks: &TaskTracker,
    ) -> Self {
        let (commands, pushes) = mpsc::channel(COMMANDS);
        let (sender, updates) = mpsc::channel(UPDATES);
        let task = Task {
            client: client.clone(),
            attempt: started.attempt.clone(),
            token: started.token.clone(),
            socket: started.socket.clone(),
            options,
            core: Core::new(),
            pushes,
            updates: sender,
            backoff: Backoff::default(),
            heartbeat: HEARTBEAT,
            heartbeats: 0,
            ended: false,
        };
        tasks.spawn(Box::pin(task.run()));
        let (id, token) = (started.attempt.clone(), started.token.clone());
        Self {
            id,
            token,
            commands,
            updates,
            tickets: 0,
        }
    }

    /// Answers a question. The ticket names the command in updates.
    pub async fn answer(&mut self, question: &str, value: Value) -> Ticket {
        self.push(Command::Answer {
            question: question.to_owned(),
            value,
        })
        .await
    }

    /// Marks a question for review.
    pub async fn flag(&mut self, question: &str, on: bool) -> Ticket {
        self.push(Command::Flag {
            question: question.to_owned(),
            on,
        })
        .await
    }

    /// Hands in.
    pub async fn submit(&mut self) -> Ticket {
        self.push(Command::Submit).await
    }

    /// Reports an integrity event, at a time of the client's own clock.
    pub async fn event(&self, kind: &str, at: i64) {
        // Where the task has ended, so has the attempt.
        self.commands
            .send(Push::Event {
                kind: kind.to_owned(),
                at,
            })
            .await
            .ok();
    }

    /// Cuts the connection, as a bad network would.
    pub async fn cut(&self) {
        self.commands.send(Push::Break).await.ok();
    }

    /// The next thing that happens. None: the task has ended.
    ///
    /// # Cancel safety
    /// Nothing is taken unless it is returned.
    pub async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }

    async fn push(&mut self, command: Command) -> Ticket {
        // The core counts the same way, in the same order.
        self.tickets += 1;
        self.commands.send(Push::Command(command)).await.ok();
        self.tickets
    }
}

struct Task {
    client: Client,
    attempt: String,
    token: String,
    socket: String,
    options: Options,
    core: Core,
    pushes: mpsc::Receiver<Push>,
    updates: mpsc::Sender<Update>,
    backoff: Backoff,
    heartbeat: Duration,
    heartbeats: u64,
    /// The application is gone, or the engine wants no more of this client.
    ended: bool,
}

impl Task {
    async fn run(mut self) {
        while !self.ended {
            let wait = match self.connect().await {
                Some(retry) => retry,
                None => self.backoff.next(),
            };
            self.core.disconnected();
            if !self.ended && self.backoff.failures() >= SOCKET_FAILURES {
                self.exchange().await;
            }
            if !self.ended {
                self.wait(wait).await;
            }
        }
    }

    /// One connection, from `hello` to its end. How long to wait after it, where
    /// the engine said so.
    async fn connect(&mut self) -> Option<Duration> {
        let Options { encoding, from } = self.options.clone();
        let opening = Connection::open(self.client.base(), &self.socket, encoding, from);
        let mut connection = opening.await?;
        let hello = self.core.hello(&self.token);
        if !connection.send(vec![ClientMessage::Hello(hello)]).await {
            return None;
        }
        let mut retry = None;
        let mut entered = false;
        let mut detail = None;
        let mut beat = Instant::now() + self.heartbeat;
        loop {
            tokio::select! {
                biased;
                incoming = connection.receive() => match incoming {
                    Incoming::Message(message) => {
                        if let ServerMessage::Bye(bye) = &message {
                            retry = bye.retry_ms.map(Duration::from_millis);
                            detail.clone_from(&bye.detail);
                        }
                        entered |= matches!(message, ServerMessage::Welcome(_));
                        self.note(&message);
                        let updates = self.core.receive(message);
                        self.tell(updates).await;
                    }
                    Incoming::Closed(code) => {
                        self.closed(code, detail).await;
                        return retry;
                    }
                    Incoming::Gone => return retry,
                },
                push = self.pushes.recv() => match push {
                    Some(Push::Break) => return Some(Duration::ZERO),
                    push => self.take(push),
                },
                () = sleep_until(beat), if entered => {
                    beat = Instant::now() + self.heartbeat;
                    self.heartbeats += 1;
                    let n = self.heartbeats;
                    let heartbeat = Heartbeat { n, ..Heartbeat::default() };
                    if !connection.send(vec![ClientMessage::Heartbeat(heartbeat)]).await {
                        return retry;
                    }
                }
            }
            if self.ended {
                return retry;
            }
            if entered && !self.send_due(&mut connection).await {
                return retry;
            }
        }
    }

    /// Sends what may go out. False: the connection is gone.
    async fn send_due(&mut self, connection: &mut Connection) -> bool {
        self.backoff.reset();
        let due = self.core.due();
        if due.is_empty() {
            return true;
        }
        if due.iter().any(is_long) {
            // The same numbers, by another way.
            self.exchange().await;
            return true;
        }
        connection.send(due).await
    }

    async fn exchange(&mut self) {
        if self.core.is_clean() {
            return;
        }
        let request = self.core.exchange();
        match self
            .client
            .exchange(&self.attempt, &self.token, &request)
            .await
        {
            Ok(reply) => {
                let updates = self.core.exchanged(reply);
                self.tell(updates).await;
            }
            Err(Error::Refused(problem)) if problem.code == "superseded" => {
                self.closed(CloseCode::Superseded.number(), None).await;
            }
            Err(error) => tracing::debug!(%error, "no exchange"),
        }
    }

    /// Waits before the next socket, taking commands meanwhile.
    async fn wait(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                push = self.pushes.recv() => self.take(push),
            }
            if self.ended {
                return;
            }
        }
    }

    fn take(&mut self, push: Option<Push>) {
        match push {
            Some(Push::Command(command)) => {
                self.core.push(command);
            }
            Some(Push::Event { kind, at }) => self.core.push_event(&kind, at),
            Some(Push::Break) => {}
            None => self.ended = true,
        }
    }

    fn note(&mut self, message: &ServerMessage) {
        let heartbeat_ms = if let ServerMessage::Welcome(welcome) = message {
            welcome.limits.heartbeat_ms
        } else if let ServerMessage::Health(health) = message {
            health.heartbeat_ms
        } else {
            return;
        };
        if let Ok(ms @ 1..) = u64::try_from(heartbeat_ms) {
            self.heartbeat = Duration::from_millis(ms);
        }
    }

    async fn closed(&mut self, code: u16, detail: Option<String>) {
        if !may_reconnect(code) {
            self.ended = true;
            self.tell(vec![Update::Closed { code, detail }]).await;
        }
    }

    async fn tell(&mut self, updates: Vec<Update>) {
        for update in updates {
            if self.updates.send(update).await.is_err() {
                self.ended = true;
            }
        }
    }
}

fn is_long(message: &ClientMessage) -> bool {
    match message {
        ClientMessage::Answer(answer) => {
            serde_json::to_string(&answer.value).is_ok_and(|json| json.len() > INLINE_BYTES_MAX)
        }
        ClientMessage::Hello(_)
        | ClientMessage::Flag(_)
        | ClientMessage::Submit(_)
        | ClientMessage::Heartbeat(_)
        | ClientMessage::Event(_)
        | ClientMessage::NoticeAck(_) => false,
    }
}
