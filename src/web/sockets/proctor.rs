//! The console of a proctor: `hello`, then boards and commands until one side
//! ends it.
//!
//! A task reads and writes; commands run in tasks of their own, so that a slow
//! one delays no other. The person's log-in and rights are checked again for
//! every command and exam, and at intervals: a proctor who signs out or loses an
//! exam loses the console or its board.

mod exams;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use invigil_protocol::{
    candidate,
    code::{CloseCode, ErrorCode},
    codec,
    proctor::{
        CommandResult, InspectRequest, ProctorClientMessage, ProctorCommand, ProctorHello,
        ProctorLimits, ProctorPulse, ProctorServerMessage, ProctorWelcome, WatchableExam,
    },
    rest::LoginUser,
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use self::exams::{BoardDelivery, WatchedBoards};
use super::{
    attempt::{HELLO_TIMEOUT, IDLE_AFTER, PING_AFTER, closing_with},
    pace::{ConnectionPace, FrameVerdict},
    wire::{MessageSocket, SocketInput},
};
use crate::web::{AppState, access::staff_role, token::login_token_hash};
use invigil_domain::{
    id::ExamCode,
    person::{PersonRole, RosterPerson},
    time::duration_ms,
};
use invigil_engine::{CloseReason, CommandError, SystemEntropy, fresh_session};
use invigil_management::Principal;
use invigil_telemetry::error_chain;

/// Interval of a console's heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Interval at which the person's rights are checked.
const RIGHTS_INTERVAL: Duration = Duration::from_secs(30);

/// Delay of that check after a change of rights.
const RIGHTS_DELAY: Duration = Duration::from_millis(500);

/// Commands of a console that run at once; further ones are refused.
const COMMANDS_AT_ONCE: usize = 16;

/// Replies of commands that wait for the socket.
const REPLIES_WAITING: usize = 64;

const STORE_AWAY: &str = "the store is away: try again";

/// Runs a console to its end.
pub(super) async fn run(
    app: AppState,
    mut wire: MessageSocket<ProctorClientMessage>,
    address: IpAddr,
) {
    let closing = match Box::pin(open_console(&app, &mut wire, address)).await {
        Ok(mut console) => {
            let closing = console.run(&mut wire).await;
            console.exams.unwatch_all();
            closing
        }
        Err(closing) => closing,
    };
    if let Some(closing) = closing {
        wire.close(closing).await;
    }
}

/// Waits for `hello` and sends `welcome`. The error is none if the console left.
async fn open_console(
    app: &AppState,
    wire: &mut MessageSocket<ProctorClientMessage>,
    address: IpAddr,
) -> Result<ProctorConsole, Option<CloseReason>> {
    let hello = tokio::select! {
        () = app.stop.cancelled() => return Err(Some(CloseReason::new(CloseCode::Draining))),
        hello = tokio::time::timeout(HELLO_TIMEOUT, read_hello(wire)) => hello,
    };
    let Ok(hello) = hello else {
        app.limits.count_failed_hello(address);
        return Err(Some(closing_with(
            CloseCode::Unauthorized,
            "no hello in time",
        )));
    };
    let token = login_token_hash(&hello?.token);
    let person = match find_staff(app, &token).await {
        Ok(person) => person,
        Err(closing) => {
            app.limits.count_failed_hello(address);
            return Err(Some(closing));
        }
    };
    let console = ProctorConsole {
        app: Arc::clone(app),
        token,
        exams: WatchedBoards::new(app.engine.clone(), &person),
        permits: Arc::new(Semaphore::new(COMMANDS_AT_ONCE)),
        replies: mpsc::channel(REPLIES_WAITING),
        pace: ConnectionPace::new(*app.engine.limits(), 0, 0, Instant::now()),
        heard_at: Instant::now(),
        pinged: false,
        rights_at: Instant::now() + RIGHTS_INTERVAL,
        changes: app.engine.subscribe_changes(),
    };
    let welcome = welcome_message(app, &person).await.map_err(Some)?;
    if send_message(wire, &ProctorServerMessage::Welcome(welcome)).await {
        Ok(console)
    } else {
        Err(None)
    }
}

/// Reads the first frame, which must be `hello`.
async fn read_hello(
    wire: &mut MessageSocket<ProctorClientMessage>,
) -> Result<ProctorHello, Option<CloseReason>> {
    loop {
        match wire.receive().await {
            SocketInput::Message(ProctorClientMessage::Hello(hello)) => return Ok(hello),
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

/// Returns the member of staff with this log-in.
async fn find_staff(app: &AppState, token: &[u8; 32]) -> Result<RosterPerson, CloseReason> {
    match app.catalog.verify_login(token, app.engine.now()).await {
        Ok(Some(person)) if person.role == PersonRole::Candidate => Err(closing_with(
            CloseCode::Forbidden,
            "candidates have no console",
        )),
        Ok(Some(person)) => Ok(person),
        Ok(None) => Err(closing_with(CloseCode::Unauthorized, "no such log-in")),
        Err(error) => {
            tracing::warn!(error = error_chain(&error), "cannot read a log-in");
            Err(CloseReason::new(CloseCode::Overloaded))
        }
    }
}

/// An open console.
struct ProctorConsole {
    app: AppState,
    token: [u8; 32],
    exams: WatchedBoards,
    permits: Arc<Semaphore>,
    replies: (
        mpsc::Sender<ProctorServerMessage>,
        mpsc::Receiver<ProctorServerMessage>,
    ),
    pace: ConnectionPace,
    heard_at: Instant,
    /// True if a ping was sent since the console's last frame.
    pinged: bool,
    /// Instant of the next check of the person's rights.
    rights_at: Instant,
    /// Counter of changes of rights.
    changes: watch::Receiver<u64>,
}

impl ProctorConsole {
    /// Runs until one side ends the console. Returns none if the client left.
    async fn run(&mut self, wire: &mut MessageSocket<ProctorClientMessage>) -> Option<CloseReason> {
        let timer = tokio::time::sleep_until(self.wake_at());
        tokio::pin!(timer);
        let stop = self.app.stop.clone();
        // A branch removes an item only if it wins; sending happens outside.
        loop {
            timer.as_mut().reset(self.wake_at());
            let sent = tokio::select! {
                biased;
                () = stop.cancelled() => return Some(CloseReason::new(CloseCode::Draining)),
                Some(answer) = self.replies.1.recv() => send_message(wire, &answer).await,
                // Before the boards: proctors with a slow connection can still act.
                incoming = wire.receive() => match self.handle_incoming(wire, incoming).await {
                    Ok(sent) => sent,
                    Err(closing) => return closing,
                },
                () = &mut timer => match self.check_silence(wire).await {
                    Ok(sent) => sent,
                    Err(closing) => return Some(closing),
                },
                Ok(()) = self.changes.changed() => {
                    // Many may sign out at once: check at most twice a second.
                    let soon = Instant::now() + RIGHTS_DELAY;
                    self.rights_at = self.rights_at.min(soon);
                    true
                }
                Some(heard) = self.exams.next_delivery() => self.forward_update(wire, heard).await,
            };
            if !sent {
                return Some(CloseReason::new(CloseCode::SlowConsumer));
            }
        }
    }

    /// Forwards an update of a board; after missed updates sends the whole board.
    async fn forward_update(
        &mut self,
        wire: &mut MessageSocket<ProctorClientMessage>,
        heard: BoardDelivery,
    ) -> bool {
        match heard {
            BoardDelivery::Nothing => true,
            BoardDelivery::Frame(frame) => {
                wire.send_bytes(frame.encoded_bytes(wire.encoding())).await
            }
            BoardDelivery::Missed(exam) => self.send_board(wire, &exam).await,
        }
    }

    async fn send_board(
        &mut self,
        wire: &mut MessageSocket<ProctorClientMessage>,
        exam: &ExamCode,
    ) -> bool {
        for frame in self.exams.board_frames(exam) {
            if !wire.send_bytes(frame.encoded_bytes(wire.encoding())).await {
                return false;
            }
        }
        true
    }

    /// Handles an input of the socket. Returns false if the reply cannot be sent.
    async fn handle_incoming(
        &mut self,
        wire: &mut MessageSocket<ProctorClientMessage>,
        incoming: SocketInput<ProctorClientMessage>,
    ) -> Result<bool, Option<CloseReason>> {
        let now = Instant::now();
        self.heard_at = now;
        self.pinged = false;
        let message = match incoming {
            SocketInput::Message(message) => message,
            SocketInput::Unknown(name) => {
                let detail = format!("there is no message {name:?}");
                return Ok(send_error(wire, ErrorCode::UnknownMessage, &detail).await);
            }
            SocketInput::Alive => return Ok(true),
            SocketInput::Violation(closing) => return Err(Some(closing)),
            SocketInput::Gone => return Err(None),
        };
        match self.pace.count_frame(now) {
            FrameVerdict::Accept => {}
            FrameVerdict::Warn => {
                let detail = "too many frames a second";
                return Ok(send_error(wire, ErrorCode::RateLimited, detail).await);
            }
            FrameVerdict::Close => return Err(Some(CloseReason::new(CloseCode::RateLimited))),
        }
        match message {
            ProctorClientMessage::Hello(_) => {
                Err(Some(closing_with(CloseCode::BadMessage, "a second hello")))
            }
            ProctorClientMessage::Watch(watch) => {
                self.watch_exam(wire, watch.exam.as_str().into()).await
            }
            ProctorClientMessage::Unwatch(watch) => {
                self.exams.unwatch_exam(&watch.exam.as_str().into());
                Ok(true)
            }
            ProctorClientMessage::Inspect(inspect) => self.inspect_attempt(wire, inspect).await,
            ProctorClientMessage::Command(command) => self.start_command(wire, command).await,
            ProctorClientMessage::Heartbeat(heartbeat) => {
                let now_at = self.app.engine.now().as_ms();
                let n = heartbeat.n;
                Ok(send_message(
                    wire,
                    &ProctorServerMessage::Pulse(ProctorPulse { n, now_at }),
                )
                .await)
            }
        }
    }

    async fn watch_exam(
        &mut self,
        wire: &mut MessageSocket<ProctorClientMessage>,
        exam: ExamCode,
    ) -> Result<bool, Option<CloseReason>> {
        let Some(person) = self.current_person().await? else {
            return Ok(send_error(wire, ErrorCode::Unavailable, STORE_AWAY).await);
        };
        let known = match self.app.engine.newest_exam(&exam).await {
            Ok(known) => known,
            Err(error) => return Ok(send_unavailable(wire, &error).await),
        };
        if known.is_none() || staff_role(&(&person).into(), &exam).is_none() {
            let detail = "no such exam within reach";
            return Ok(send_error(wire, ErrorCode::Forbidden, detail).await);
        }
        if !self.update_scope(wire, &person).await {
            return Ok(false);
        }
        if let Err(error) = self.exams.watch_exam(exam.clone(), &person).await {
            return Ok(send_unavailable(wire, &error).await);
        }
        Ok(self.send_board(wire, &exam).await)
    }

    /// Sends the boards again if the person may see other candidates than before.
    async fn update_scope(
        &mut self,
        wire: &mut MessageSocket<ProctorClientMessage>,
        person: &RosterPerson,
    ) -> bool {
        for exam in self.exams.set_scope(person.candidate_scope()) {
            if !self.send_board(wire, &exam).await {
                return false;
            }
        }
        true
    }

    async fn inspect_attempt(
        &mut self,
        wire: &mut MessageSocket<ProctorClientMessage>,
        inspect: InspectRequest,
    ) -> Result<bool, Option<CloseReason>> {
        let attempt = inspect.attempt.parse().ok();
        let detail = match attempt {
            Some(attempt) => self.exams.set_inspected(attempt, inspect.on).await,
            None => Ok(None),
        };
        match detail {
            Ok(Some(detail)) if inspect.on => {
                Ok(send_message(wire, &ProctorServerMessage::Detail(detail)).await)
            }
            Ok(Some(_)) => Ok(true),
            Ok(None) => {
                let detail = "no such attempt on a board that is watched";
                Ok(send_error(wire, ErrorCode::Forbidden, detail).await)
            }
            Err(error) => Ok(send_unavailable(wire, &error).await),
        }
    }

    /// Starts a command; its result follows.
    async fn start_command(
        &mut self,
        wire: &mut MessageSocket<ProctorClientMessage>,
        command: ProctorCommand,
    ) -> Result<bool, Option<CloseReason>> {
        let id = command.id.clone();
        let Some(person) = self.current_person().await? else {
            let detail = format!("command {id}: {STORE_AWAY}");
            return Ok(send_error(wire, ErrorCode::Unavailable, &detail).await);
        };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            // Rights may change meanwhile: no command is queued.
            let detail = format!("command {id}: too many are under way");
            return Ok(send_error(wire, ErrorCode::Unavailable, &detail).await);
        };
        let (app, answers) = (Arc::clone(&self.app), self.replies.0.clone());
        self.app.tasks.spawn(async move {
            let _permit = permit;
            let caller = Principal::from(&person);
            let reach = |exam: &ExamCode| staff_role(&caller, exam).is_some();
            let progress = |result: CommandResult| {
                // A lost progress is harmless: the next one includes it.
                answers.try_send(ProctorServerMessage::Result(result)).ok();
            };
            let done = app
                .engine
                .run_command(&person, &reach, command, &progress)
                .await;
            let answer = match done {
                Ok(result) => ProctorServerMessage::Result(result),
                Err(error) => refusal_message(&id, &error),
            };
            // The command is complete even if the console has closed.
            answers.send(answer).await.ok();
        });
        Ok(true)
    }

    /// Returns the console's person, read again. Returns none while the store is
    /// away, which does not close the console.
    async fn current_person(&mut self) -> Result<Option<RosterPerson>, CloseReason> {
        match find_staff(&self.app, &self.token).await {
            Ok(person) => Ok(Some(person)),
            Err(closing) if closing.code == CloseCode::Overloaded => Ok(None),
            Err(closing) => Err(closing),
        }
    }

    /// Sends a ping to a silent console, closes an idle one, and checks the rights.
    async fn check_silence(
        &mut self,
        wire: &mut MessageSocket<ProctorClientMessage>,
    ) -> Result<bool, CloseReason> {
        let now = Instant::now();
        let silent = now.duration_since(self.heard_at);
        if silent >= HEARTBEAT * IDLE_AFTER {
            return Err(CloseReason::new(CloseCode::Idle));
        }
        if self.rights_at <= now {
            self.rights_at = now + RIGHTS_INTERVAL;
            if let Some(person) = self.current_person().await? {
                let caller = Principal::from(&person);
                self.exams
                    .keep_only(|exam| staff_role(&caller, exam).is_some());
                if !self.update_scope(wire, &person).await {
                    return Ok(false);
                }
            }
        }
        if silent >= HEARTBEAT * PING_AFTER && !self.pinged {
            self.pinged = true;
            return Ok(wire.send_ping().await);
        }
        Ok(true)
    }

    fn wake_at(&self) -> Instant {
        let intervals = if self.pinged { IDLE_AFTER } else { PING_AFTER };
        (self.heard_at + HEARTBEAT * intervals).min(self.rights_at)
    }
}

/// Returns the first message to a console.
async fn welcome_message(
    app: &AppState,
    person: &RosterPerson,
) -> Result<ProctorWelcome, CloseReason> {
    let engine = &app.engine;
    let overloaded = |_error| CloseReason::new(CloseCode::Overloaded);
    let exams = engine.newest_exams().await.map_err(overloaded)?;
    let session = fresh_session(&SystemEntropy)
        .map_err(|_no_randomness| CloseReason::new(CloseCode::InternalError))?;
    let mut exams = exams.to_vec();
    let caller = person.into();
    exams.retain(|exam| staff_role(&caller, &exam.code).is_some());
    let codes = exams.iter().map(|exam| exam.code.clone()).collect();
    let live = engine.live_attempts(codes, person.candidate_scope()).await;
    Ok(ProctorWelcome {
        session: session.to_string(),
        now_at: engine.now().as_ms(),
        user: LoginUser {
            id: person.id.to_string(),
            name: person.name.clone(),
            roles: vec![person.role.as_str().to_owned()],
        },
        exams: exams
            .iter()
            .zip(live)
            .map(|(exam, live)| WatchableExam {
                code: exam.code.to_string(),
                title: exam.title.clone(),
                live,
            })
            .collect(),
        limits: ProctorLimits {
            heartbeat_ms: duration_ms(HEARTBEAT),
            frame_bytes: engine.limits().frame_bytes as u64,
        },
    })
}

async fn send_message(
    wire: &mut MessageSocket<ProctorClientMessage>,
    message: &ProctorServerMessage,
) -> bool {
    let bytes: Bytes = codec::encode_proctor_server(wire.encoding(), message).into();
    wire.send_bytes(bytes).await
}

async fn send_error(
    wire: &mut MessageSocket<ProctorClientMessage>,
    code: ErrorCode,
    detail: &str,
) -> bool {
    let detail = Some(detail.to_owned());
    send_message(
        wire,
        &ProctorServerMessage::Error(candidate::ErrorMessage { code, detail }),
    )
    .await
}

async fn send_unavailable(
    wire: &mut MessageSocket<ProctorClientMessage>,
    error: &invigil_engine::Error,
) -> bool {
    tracing::warn!(error = error_chain(error), "cannot serve a console");
    send_error(wire, ErrorCode::Unavailable, STORE_AWAY).await
}

/// Returns the message for a command that could not start.
fn refusal_message(id: &str, error: &CommandError) -> ProctorServerMessage {
    let code = match error {
        CommandError::Conflict => ErrorCode::Conflict,
        CommandError::BadRequest(_) => ErrorCode::BadCommand,
        CommandError::Forbidden => ErrorCode::Forbidden,
        CommandError::Failed(_) => ErrorCode::Unavailable,
    };
    if let CommandError::Failed(error) = error {
        tracing::warn!(error = error_chain(error), "a command failed");
    }
    ProctorServerMessage::Error(candidate::ErrorMessage {
        code,
        detail: Some(format!("command {id}: {error}")),
    })
}
