//! The task that takes an attempt: sockets, back-off, heartbeats, and the
//! exchange where no socket comes through or an answer is too long for one.

use std::{pin::Pin, time::Duration};

use invigil_protocol::{
    candidate::{ClientInfo, ClientMessage, Heartbeat, Hello, ServerMessage},
    code::{CloseCode, may_reconnect},
    exchange,
    paper::StoredAnswers,
    rest::{Problem, StartReply},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    attempt::{Options, Push},
    backoff::Backoff,
    connection::{Connection, Incoming},
    core::{Core, Update},
    rest::{Client, Error},
};

/// Sockets that fail in a row before commands go by exchange.
const SOCKET_FAILURES: u32 = 2;

/// How often the stored answers are asked for once an attempt is over.
const RECORDS_AT_END: u32 = 8;

/// The heartbeat until the engine names one; also how long `welcome` may take.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Heartbeats without a word of the engine after which a connection is dead.
const SILENT_HEARTBEATS: u32 = 3;

type Asking<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// See the module.
pub(crate) struct Task {
    client: Client,
    attempt: String,
    token: String,
    socket: String,
    options: Options,
    core: Core,
    pushes: mpsc::Receiver<Push>,
    updates: mpsc::Sender<Update>,
    sockets: Backoff,
    exchanges: Backoff,
    /// Not before this instant.
    exchange_at: Instant,
    /// The stored answers, on their way while the client is in doubt.
    record: Option<Asking<StoredAnswers>>,
    records: Backoff,
    heartbeat: Duration,
    heartbeats: u64,
    rtt: Option<Duration>,
    /// The application is gone, or the engine wants no more of this client.
    ended: bool,
}

/// One connection, from `hello` to its end.
struct Talk {
    connection: Connection,
    entered: bool,
    heard: Instant,
    beat: Instant,
    exchanging: Option<Asking<exchange::Reply>>,
    /// What `bye` said.
    retry: Option<Duration>,
    detail: Option<String>,
}

/// The connection is of no more use.
struct Ended;

impl Task {
    pub(crate) fn new(
        client: Client,
        started: &StartReply,
        options: Options,
        pushes: mpsc::Receiver<Push>,
        updates: mpsc::Sender<Update>,
    ) -> Self {
        Self {
            client,
            attempt: started.attempt.clone(),
            token: started.token.clone(),
            socket: started.socket.clone(),
            options,
            core: Core::new(),
            pushes,
            updates,
            sockets: Backoff::default(),
            exchanges: Backoff::default(),
            exchange_at: Instant::now(),
            record: None,
            records: Backoff::default(),
            heartbeat: HEARTBEAT,
            heartbeats: 0,
            rtt: None,
            ended: false,
        }
    }

    /// Takes the attempt to its end.
    pub(crate) async fn run(mut self) {
        while !self.ended {
            let wait = match self.connect().await {
                Some(retry) => retry,
                None => self.sockets.next(),
            };
            self.core.disconnected();
            self.wait(Instant::now() + wait).await;
        }
    }

    /// One connection. How long to wait after it, where that is known.
    async fn connect(&mut self) -> Option<Duration> {
        let Options {
            encoding,
            from,
            device,
        } = self.options.clone();
        let opening = Connection::open(self.client.base(), &self.socket, encoding, from);
        let mut connection = opening.await?;
        let hello = Hello {
            client: Some(ClientInfo {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                device,
            }),
            ..self.core.hello(&self.token)
        };
        if !connection.send(vec![ClientMessage::Hello(hello)]).await {
            return None;
        }
        let now = Instant::now();
        let mut talk = Talk {
            connection,
            entered: false,
            heard: now,
            beat: now + HEARTBEAT,
            exchanging: None,
            retry: None,
            detail: None,
        };
        while !self.ended && self.turn(&mut talk).await.is_ok() {}
        talk.retry
    }

    /// Waits for the next thing to happen on a connection and deals with it.
    async fn turn(&mut self, talk: &mut Talk) -> Result<(), Ended> {
        // All branches are cancel-safe: what they take, they return.
        tokio::select! {
            biased;
            incoming = talk.connection.receive() => self.incoming(talk, incoming).await?,
            reply = finished(&mut talk.exchanging) => {
                talk.exchanging = None;
                self.exchanged(reply).await;
            }
            record = finished(&mut self.record) => self.recorded(record).await,
            push = self.pushes.recv(), if self.core.has_room() => {
                if self.take(push) {
                    talk.retry = Some(Duration::ZERO);
                    return Err(Ended);
                }
            }
            () = sleep_until(talk.beat) => self.beat(talk).await?,
        }
        if talk.entered && talk.exchanging.is_none() {
            self.send_due(talk).await
        } else {
            Ok(())
        }
    }

    async fn incoming(&mut self, talk: &mut Talk, incoming: Incoming) -> Result<(), Ended> {
        talk.heard = Instant::now();
        let message = match incoming {
            Incoming::Message(message) => message,
            Incoming::Alive => return Ok(()),
            Incoming::Gone => return Err(Ended),
            Incoming::Closed(code) => {
                if !may_reconnect(code) {
                    self.settle().await;
                    self.give_up(code, talk.detail.take()).await;
                }
                return Err(Ended);
            }
        };
        match &message {
            ServerMessage::Welcome(welcome) => {
                talk.entered = true;
                self.sockets.reset();
                self.set_heartbeat(talk, welcome.limits.heartbeat_ms);
            }
            ServerMessage::Health(health) => self.set_heartbeat(talk, health.heartbeat_ms),
            ServerMessage::Pulse(pulse) if pulse.n == self.heartbeats => {
                let sent = talk.beat.checked_sub(self.heartbeat);
                self.rtt = sent.map(|sent| talk.heard.duration_since(sent));
            }
            ServerMessage::Bye(bye) => {
                talk.retry = bye.retry_ms.map(Duration::from_millis);
                talk.detail.clone_from(&bye.detail);
            }
            ServerMessage::Pulse(_)
            | ServerMessage::Saved(_)
            | ServerMessage::Refused(_)
            | ServerMessage::EventAck(_)
            | ServerMessage::Open(_)
            | ServerMessage::Timing(_)
            | ServerMessage::Status(_)
            | ServerMessage::Notice(_)
            | ServerMessage::Submitted(_)
            | ServerMessage::Error(_) => {}
        }
        let updates = self.core.receive(message);
        self.tell(updates).await;
        Ok(())
    }

    fn set_heartbeat(&mut self, talk: &mut Talk, heartbeat_ms: i64) {
        if let Ok(ms @ 1..) = u64::try_from(heartbeat_ms) {
            self.heartbeat = Duration::from_millis(ms);
            talk.beat = talk.heard + self.heartbeat;
        }
    }

    /// Time for a heartbeat, if the engine is there at all.
    async fn beat(&mut self, talk: &mut Talk) -> Result<(), Ended> {
        let now = Instant::now();
        if !talk.entered || now.duration_since(talk.heard) >= self.heartbeat * SILENT_HEARTBEATS {
            return Err(Ended);
        }
        talk.beat = now + self.heartbeat;
        self.heartbeats += 1;
        let rtt_ms = self
            .rtt
            .take()
            .and_then(|rtt| i64::try_from(rtt.as_millis()).ok());
        let heartbeat = Heartbeat {
            n: self.heartbeats,
            rtt_ms,
            ..Heartbeat::default()
        };
        send(talk, vec![ClientMessage::Heartbeat(heartbeat)]).await
    }

    /// Sends what may go out, or begins an exchange where it must.
    async fn send_due(&mut self, talk: &mut Talk) -> Result<(), Ended> {
        let due = self.core.due();
        if !due.is_empty() {
            send(talk, due).await?;
        }
        if self.core.wants_exchange() {
            // The same numbers, by another way, once the last one is not too recent.
            let request = self.core.exchange();
            let (client, at) = (self.client.clone(), self.exchange_at);
            let (attempt, token) = (self.attempt.clone(), self.token.clone());
            talk.exchanging = Some(Box::pin(async move {
                sleep_until(at).await;
                client.exchange(&attempt, &token, &request).await
            }));
        }
        Ok(())
    }

    /// Waits before the next socket, taking commands meanwhile, and where sockets
    /// keep failing, saving by exchange.
    async fn wait(&mut self, until: Instant) {
        while !self.ended {
            let exchanges = self.sockets.failures() >= SOCKET_FAILURES && self.core.has_commands();
            tokio::select! {
                () = sleep_until(until) => return,
                record = finished(&mut self.record) => self.recorded(record).await,
                () = sleep_until(self.exchange_at), if exchanges => {
                    let request = self.core.exchange();
                    let reply = self.client.exchange(&self.attempt, &self.token, &request).await;
                    self.exchanged(reply).await;
                }
                push = self.pushes.recv(), if self.core.has_room() => {
                    self.take(push);
                }
            }
        }
    }

    async fn exchanged(&mut self, reply: Result<exchange::Reply, Error>) {
        match reply {
            Ok(reply) => {
                self.exchanges.reset();
                let updates = self.core.exchanged(reply);
                self.tell(updates).await;
            }
            Err(error) => {
                self.exchange_at = Instant::now() + self.exchanges.next();
                self.core.disconnected();
                match error {
                    Error::Refused(problem) => {
                        if let Some(code) = end_of(&problem) {
                            self.give_up(code.number(), Some(problem.detail)).await;
                        }
                    }
                    Error::Unreachable(_) | Error::Sealed => {
                        tracing::debug!(%error, "no exchange");
                    }
                }
            }
        }
    }

    /// The stored answers are here, or not.
    async fn recorded(&mut self, record: Result<StoredAnswers, Error>) {
        self.record = None;
        let updates = match record {
            Ok(stored) => self.core.recorded(&stored),
            Err(error) => {
                tracing::debug!(%error, "no stored answers");
                Vec::new()
            }
        };
        if self.core.is_in_doubt() {
            let wait = self.records.next();
            self.ask_for_record(wait);
        } else {
            self.records.reset();
        }
        self.tell(updates).await;
    }

    /// The attempt is over: what its client has heard nothing of is looked up.
    async fn settle(&mut self) {
        for _ in 0..RECORDS_AT_END {
            if !self.core.is_over() || self.core.is_clean() {
                return;
            }
            match self.client.answers(&self.attempt, &self.token).await {
                Ok(stored) => {
                    let updates = self.core.recorded(&stored);
                    self.tell(updates).await;
                }
                Err(error) => tracing::debug!(%error, "no stored answers"),
            }
            if !self.core.is_clean() {
                sleep(self.records.next()).await;
            }
        }
    }

    fn ask_for_record(&mut self, wait: Duration) {
        let client = self.client.clone();
        let (attempt, token) = (self.attempt.clone(), self.token.clone());
        self.record = Some(Box::pin(async move {
            sleep(wait).await;
            client.answers(&attempt, &token).await
        }));
    }

    /// Takes what the application gave, and what waits behind it. Whether the
    /// connection is to be cut.
    fn take(&mut self, push: Option<Push>) -> bool {
        let Some(mut push) = push else {
            self.ended = true;
            return false;
        };
        let mut cut = false;
        loop {
            match push {
                Push::Command(command) => {
                    self.core.push(command);
                }
                Push::Event { kind, at, data } => self.core.push_event(&kind, at, data),
                Push::Seen(notice) => self.core.push_seen(notice),
                Push::Know(question, rev) => self.core.know(&question, rev),
                Push::Cut => cut = true,
            }
            if !self.core.has_room() {
                return cut;
            }
            match self.pushes.try_recv() {
                Ok(next) => push = next,
                Err(_none) => return cut,
            }
        }
    }

    async fn give_up(&mut self, code: u16, detail: Option<String>) {
        self.ended = true;
        self.tell(vec![Update::Closed { code, detail }]).await;
    }

    async fn tell(&mut self, updates: Vec<Update>) {
        if self.record.is_none() && self.core.is_in_doubt() {
            self.ask_for_record(Duration::ZERO);
        }
        for update in updates {
            if self.updates.send(update).await.is_err() {
                self.ended = true;
            }
        }
    }
}

async fn send(talk: &mut Talk, messages: Vec<ClientMessage>) -> Result<(), Ended> {
    if talk.connection.send(messages).await {
        Ok(())
    } else {
        Err(Ended)
    }
}

/// The answer to a question; never, where none was asked.
async fn finished<T>(asking: &mut Option<Asking<T>>) -> Result<T, Error> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// The close code that says the same as an exchange's problem, where that is an
/// end and no passing trouble.
fn end_of(problem: &Problem) -> Option<CloseCode> {
    match (problem.status, problem.code.as_str()) {
        (_, "superseded") => Some(CloseCode::Superseded),
        (_, "closed") => Some(CloseCode::Closed),
        (401, _) => Some(CloseCode::Unauthorized),
        (403 | 404, _) => Some(CloseCode::Forbidden),
        _ => None,
    }
}
