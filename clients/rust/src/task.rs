//! The task behind an attempt: sockets, back-off, heartbeats, and the exchange while
//! no socket works or an answer is too long for one.

use std::{pin::Pin, time::Duration};

use invigil_protocol::{
    candidate::{
        CandidateHeartbeat, CandidateHello, ClientDescription, ClientMessage, ServerMessage,
    },
    code::{CloseCode, may_reconnect},
    exchange,
    paper::RecordedAnswers,
    rest::{AttemptStartReply, ProblemReply},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    attempt::{ClientOptions, TaskInput},
    backoff::Backoff,
    connection::{AttemptSocket, IncomingFrame},
    core::{ClientCore, ClientUpdate},
    rest::{ApiClient, Error},
};

/// Sockets that must fail in a row before commands go by exchange.
const SOCKET_FAILURES: u32 = 2;

/// Most reads of the stored answers once an attempt is over.
const FINAL_RECORD_READS: u32 = 8;

/// Interval between heartbeats until the engine sets one; also the timeout of `welcome`.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Heartbeat intervals of silence after which a connection is dead.
const SILENT_HEARTBEATS: u32 = 3;

type PendingCall<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// See the module.
pub(crate) struct AttemptTask {
    client: ApiClient,
    attempt: String,
    token: String,
    socket: String,
    options: ClientOptions,
    core: ClientCore,
    inputs: mpsc::Receiver<TaskInput>,
    updates: mpsc::Sender<ClientUpdate>,
    sockets: Backoff,
    exchanges: Backoff,
    /// Earliest time of the next exchange.
    exchange_at: Instant,
    /// The pending read of the stored answers, while the client is in doubt.
    record: Option<PendingCall<RecordedAnswers>>,
    records: Backoff,
    heartbeat: Duration,
    heartbeats: u64,
    rtt: Option<Duration>,
    /// True if the application dropped the attempt, or the engine closed it for good.
    ended: bool,
}

/// State of a connection, from `hello` to its end.
struct ConnectionState {
    connection: AttemptSocket,
    entered: bool,
    heard_at: Instant,
    heartbeat_at: Instant,
    pending_exchange: Option<PendingCall<exchange::ExchangeResponse>>,
    /// Wait from `bye`.
    retry: Option<Duration>,
    detail: Option<String>,
}

/// The connection must end.
struct ConnectionEnded;

impl AttemptTask {
    pub(crate) fn new(
        client: ApiClient,
        started: &AttemptStartReply,
        options: ClientOptions,
        inputs: mpsc::Receiver<TaskInput>,
        updates: mpsc::Sender<ClientUpdate>,
    ) -> Self {
        Self {
            client,
            attempt: started.attempt.clone(),
            token: started.token.clone(),
            socket: started.socket.clone(),
            options,
            core: ClientCore::new(),
            inputs,
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

    /// Runs until the attempt ends.
    pub(crate) async fn run(mut self) {
        while !self.ended {
            let wait = match self.run_connection().await {
                Some(retry) => retry,
                None => self.sockets.next_wait(),
            };
            self.core.mark_disconnected();
            self.wait_until(Instant::now() + wait).await;
        }
    }

    /// Runs one connection. Returns the wait before the next, if it is known.
    async fn run_connection(&mut self) -> Option<Duration> {
        let ClientOptions {
            encoding,
            from,
            device,
        } = self.options.clone();
        let opening = AttemptSocket::open(self.client.base_url(), &self.socket, encoding, from);
        let mut connection = opening.await?;
        let hello = CandidateHello {
            client: Some(ClientDescription {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                device,
            }),
            ..self.core.hello_message(&self.token)
        };
        if !connection.send_all(vec![ClientMessage::Hello(hello)]).await {
            return None;
        }
        let now = Instant::now();
        let mut talk = ConnectionState {
            connection,
            entered: false,
            heard_at: now,
            heartbeat_at: now + HEARTBEAT,
            pending_exchange: None,
            retry: None,
            detail: None,
        };
        while !self.ended && self.handle_next(&mut talk).await.is_ok() {}
        talk.retry
    }

    /// Waits for the next input, frame, reply or heartbeat, and handles it.
    async fn handle_next(&mut self, talk: &mut ConnectionState) -> Result<(), ConnectionEnded> {
        // All branches are cancel-safe: they lose nothing when dropped.
        tokio::select! {
            biased;
            incoming = talk.connection.receive() => self.handle_incoming(talk, incoming).await?,
            reply = await_pending(&mut talk.pending_exchange) => {
                talk.pending_exchange = None;
                self.handle_reply(reply).await;
            }
            record = await_pending(&mut self.record) => self.handle_record(record).await,
            push = self.inputs.recv(), if self.core.has_room() => {
                if self.handle_input(push) {
                    talk.retry = Some(Duration::ZERO);
                    return Err(ConnectionEnded);
                }
            }
            () = sleep_until(talk.heartbeat_at) => self.send_heartbeat(talk).await?,
        }
        if talk.entered && talk.pending_exchange.is_none() {
            self.send_due(talk).await
        } else {
            Ok(())
        }
    }

    async fn handle_incoming(
        &mut self,
        talk: &mut ConnectionState,
        incoming: IncomingFrame,
    ) -> Result<(), ConnectionEnded> {
        talk.heard_at = Instant::now();
        let message = match incoming {
            IncomingFrame::Message(message) => message,
            IncomingFrame::Alive => return Ok(()),
            IncomingFrame::Broken => return Err(ConnectionEnded),
            IncomingFrame::Closed(code) => {
                if !may_reconnect(code) {
                    self.settle_at_end().await;
                    self.give_up(code, talk.detail.take()).await;
                }
                return Err(ConnectionEnded);
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
                let sent = talk.heartbeat_at.checked_sub(self.heartbeat);
                self.rtt = sent.map(|sent| talk.heard_at.duration_since(sent));
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
        let updates = self.core.handle_message(message);
        self.deliver_updates(updates).await;
        Ok(())
    }

    fn set_heartbeat(&mut self, talk: &mut ConnectionState, heartbeat_ms: i64) {
        if let Ok(ms @ 1..) = u64::try_from(heartbeat_ms) {
            self.heartbeat = Duration::from_millis(ms);
            talk.heartbeat_at = talk.heard_at + self.heartbeat;
        }
    }

    /// Sends a heartbeat, unless the engine is silent.
    async fn send_heartbeat(&mut self, talk: &mut ConnectionState) -> Result<(), ConnectionEnded> {
        let now = Instant::now();
        if !talk.entered || now.duration_since(talk.heard_at) >= self.heartbeat * SILENT_HEARTBEATS
        {
            return Err(ConnectionEnded);
        }
        talk.heartbeat_at = now + self.heartbeat;
        self.heartbeats += 1;
        let rtt_ms = self
            .rtt
            .take()
            .and_then(|rtt| i64::try_from(rtt.as_millis()).ok());
        let heartbeat = CandidateHeartbeat {
            n: self.heartbeats,
            rtt_ms,
            ..CandidateHeartbeat::default()
        };
        send_messages(talk, vec![ClientMessage::Heartbeat(heartbeat)]).await
    }

    /// Sends due messages, or begins an exchange if the next command needs one.
    async fn send_due(&mut self, talk: &mut ConnectionState) -> Result<(), ConnectionEnded> {
        let due = self.core.due_messages();
        if !due.is_empty() {
            send_messages(talk, due).await?;
        }
        if self.core.wants_exchange() {
            // The same numbers by the other transport, once the back-off allows it.
            let request = self.core.exchange_request();
            let (client, at) = (self.client.clone(), self.exchange_at);
            let (attempt, token) = (self.attempt.clone(), self.token.clone());
            talk.pending_exchange = Some(Box::pin(async move {
                sleep_until(at).await;
                client.send_exchange(&attempt, &token, &request).await
            }));
        }
        Ok(())
    }

    /// Waits before the next socket. Accepts commands meanwhile, and saves them by
    /// exchange if sockets keep failing.
    async fn wait_until(&mut self, until: Instant) {
        while !self.ended {
            let exchanges = self.sockets.failures() >= SOCKET_FAILURES && self.core.has_commands();
            tokio::select! {
                () = sleep_until(until) => return,
                record = await_pending(&mut self.record) => self.handle_record(record).await,
                () = sleep_until(self.exchange_at), if exchanges => {
                    let request = self.core.exchange_request();
                    let sent = self.client.send_exchange(&self.attempt, &self.token, &request);
                    let reply = sent.await;
                    self.handle_reply(reply).await;
                }
                push = self.inputs.recv(), if self.core.has_room() => {
                    self.handle_input(push);
                }
            }
        }
    }

    async fn handle_reply(&mut self, reply: Result<exchange::ExchangeResponse, Error>) {
        match reply {
            Ok(reply) => {
                self.exchanges.reset();
                let updates = self.core.apply_exchange_reply(reply);
                self.deliver_updates(updates).await;
            }
            Err(error) => {
                self.exchange_at = Instant::now() + self.exchanges.next_wait();
                self.core.mark_disconnected();
                match error {
                    Error::Refused(problem) => {
                        if let Some(code) = final_close_code(&problem) {
                            self.give_up(code.number(), Some(problem.detail)).await;
                        }
                    }
                    Error::Unreachable(_) | Error::Sealed => {
                        tracing::debug!(%error, "an exchange failed");
                    }
                }
            }
        }
    }

    /// Applies the stored answers; reads them again while the client is in doubt.
    async fn handle_record(&mut self, record: Result<RecordedAnswers, Error>) {
        self.record = None;
        let updates = match record {
            Ok(stored) => self.core.apply_record(&stored),
            Err(error) => {
                tracing::debug!(%error, "reading the stored answers failed");
                Vec::new()
            }
        };
        if self.core.is_in_doubt() {
            let wait = self.records.next_wait();
            self.request_record(wait);
        } else {
            self.records.reset();
        }
        self.deliver_updates(updates).await;
    }

    /// Settles commands in doubt by the stored answers, once the attempt is over.
    async fn settle_at_end(&mut self) {
        for _ in 0..FINAL_RECORD_READS {
            if !self.core.is_over() || self.core.is_clean() {
                return;
            }
            match self.client.fetch_answers(&self.attempt, &self.token).await {
                Ok(stored) => {
                    let updates = self.core.apply_record(&stored);
                    self.deliver_updates(updates).await;
                }
                Err(error) => tracing::debug!(%error, "reading the stored answers failed"),
            }
            if !self.core.is_clean() {
                sleep(self.records.next_wait()).await;
            }
        }
    }

    fn request_record(&mut self, wait: Duration) {
        let client = self.client.clone();
        let (attempt, token) = (self.attempt.clone(), self.token.clone());
        self.record = Some(Box::pin(async move {
            sleep(wait).await;
            client.fetch_answers(&attempt, &token).await
        }));
    }

    /// Handles an input and those that wait behind it. Returns true if the connection must
    /// be cut.
    fn handle_input(&mut self, push: Option<TaskInput>) -> bool {
        let Some(mut push) = push else {
            self.ended = true;
            return false;
        };
        let mut cut = false;
        loop {
            match push {
                TaskInput::Command(command) => {
                    self.core.push_command(command);
                }
                TaskInput::Event { kind, at, data } => self.core.push_event(&kind, at, data),
                TaskInput::NoticeSeen(notice) => self.core.push_notice_ack(notice),
                TaskInput::Revision(question, rev) => self.core.set_revision(&question, rev),
                TaskInput::CutConnection => cut = true,
            }
            if !self.core.has_room() {
                return cut;
            }
            match self.inputs.try_recv() {
                Ok(next) => push = next,
                Err(_none) => return cut,
            }
        }
    }

    async fn give_up(&mut self, code: u16, detail: Option<String>) {
        self.ended = true;
        self.deliver_updates(vec![ClientUpdate::Closed { code, detail }])
            .await;
    }

    async fn deliver_updates(&mut self, updates: Vec<ClientUpdate>) {
        if self.record.is_none() && self.core.is_in_doubt() {
            self.request_record(Duration::ZERO);
        }
        for update in updates {
            if self.updates.send(update).await.is_err() {
                self.ended = true;
            }
        }
    }
}

async fn send_messages(
    talk: &mut ConnectionState,
    messages: Vec<ClientMessage>,
) -> Result<(), ConnectionEnded> {
    if talk.connection.send_all(messages).await {
        Ok(())
    } else {
        Err(ConnectionEnded)
    }
}

/// Waits for a pending call; for ever if there is none.
async fn await_pending<T>(asking: &mut Option<PendingCall<T>>) -> Result<T, Error> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Returns the close code that matches the problem of an exchange, if the problem is
/// final.
fn final_close_code(problem: &ProblemReply) -> Option<CloseCode> {
    match (problem.status, problem.code.as_str()) {
        (_, "superseded") => Some(CloseCode::Superseded),
        (_, "closed") => Some(CloseCode::Closed),
        (401, _) => Some(CloseCode::Unauthorized),
        (403 | 404, _) => Some(CloseCode::Forbidden),
        _ => None,
    }
}
