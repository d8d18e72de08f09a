//! The life of one proctor's console: `hello`, then boards and commands until
//! one side ends it.
//!
//! One task reads and writes; commands run beside it, so that a slow one holds
//! up nothing. Who the person is and what is within reach is asked again for
//! every command and every exam, and once in a while: a proctor who signs out
//! or loses an exam loses the console.

mod exams;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use invigil_protocol::{
    candidate,
    code::{CloseCode, ErrorCode},
    codec,
    proctor::{
        Command, CommandResult, ConsoleLimits, ConsoleMessage, Hello, Inspect, ProctorMessage,
        Pulse, WatchableExam, Welcome,
    },
    rest::User,
};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};

use self::exams::{Exams, Heard};
use super::{
    attempt::{HELLO_PATIENCE, IDLE_AFTER, PING_AFTER, explain},
    pace::{Pace, Verdict},
    wire::{Incoming, Wire},
};
use crate::{
    domain::{
        id::ExamCode,
        person::{Person, Role},
        time::duration_ms,
    },
    engine::{Closing, CommandError, SystemEntropy, fresh_session},
    telemetry::chain,
    web::{AppState, access::staff_standing, token::login_token_hash},
};

/// How often a console says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How often it is asked whether the person may still watch.
const RIGHTS_INTERVAL: Duration = Duration::from_secs(30);

/// How soon it is asked where somebody's rights were changed.
const RIGHTS_DELAY: Duration = Duration::from_millis(500);

/// Commands of one console that are under way at once; more wait.
const COMMANDS_AT_ONCE: usize = 16;

/// What commands have to say may wait for the socket.
const ANSWERS_WAITING: usize = 64;

const STORE_AWAY: &str = "the store is away: try again";

/// Runs a console to its end.
pub(super) async fn run(app: AppState, mut wire: Wire<ProctorMessage>, address: IpAddr) {
    let closing = match Box::pin(greet(&app, &mut wire, address)).await {
        Ok(mut console) => {
            let closing = console.run(&mut wire).await;
            console.exams.clear();
            closing
        }
        Err(closing) => closing,
    };
    if let Some(closing) = closing {
        wire.close(closing).await;
    }
}

/// Waits for `hello` and says who this is. An error of none: the console left.
async fn greet(
    app: &AppState,
    wire: &mut Wire<ProctorMessage>,
    address: IpAddr,
) -> Result<Console, Option<Closing>> {
    let hello = tokio::select! {
        () = app.stop.cancelled() => return Err(Some(Closing::new(CloseCode::Draining))),
        hello = tokio::time::timeout(HELLO_PATIENCE, first(wire)) => hello,
    };
    let Ok(hello) = hello else {
        app.limits.hello_failed(address);
        return Err(Some(explain(CloseCode::Unauthorized, "no hello in time")));
    };
    let token = login_token_hash(&hello?.token);
    let person = match signed_in(app, &token).await {
        Ok(person) => person,
        Err(closing) => {
            app.limits.hello_failed(address);
            return Err(Some(closing));
        }
    };
    let console = Console {
        app: Arc::clone(app),
        token,
        exams: Exams::new(app.engine.clone(), &person),
        slots: Arc::new(Semaphore::new(COMMANDS_AT_ONCE)),
        answers: mpsc::channel(ANSWERS_WAITING),
        pace: Pace::new(*app.engine.limits(), 0, 0, Instant::now()),
        heard_at: Instant::now(),
        pinged: false,
        rights_at: Instant::now() + RIGHTS_INTERVAL,
        changes: app.engine.changes(),
    };
    let welcome = welcome(app, &person).await.map_err(Some)?;
    if send(wire, &ConsoleMessage::Welcome(welcome)).await {
        Ok(console)
    } else {
        Err(None)
    }
}

/// The first frame, which must be `hello`.
async fn first(wire: &mut Wire<ProctorMessage>) -> Result<Hello, Option<Closing>> {
    loop {
        match wire.receive().await {
            Incoming::Message(ProctorMessage::Hello(hello)) => return Ok(hello),
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

/// The member of staff whose log-in this is.
async fn signed_in(app: &AppState, token: &[u8; 32]) -> Result<Person, Closing> {
    match app.catalog.login(token, app.engine.now()).await {
        Ok(Some(person)) if person.role == Role::Candidate => {
            Err(explain(CloseCode::Forbidden, "candidates have no console"))
        }
        Ok(Some(person)) => Ok(person),
        Ok(None) => Err(explain(CloseCode::Unauthorized, "no such log-in")),
        Err(error) => {
            tracing::warn!(error = chain(&error), "cannot look a log-in up");
            Err(Closing::new(CloseCode::Overloaded))
        }
    }
}

/// An open console.
struct Console {
    app: AppState,
    token: [u8; 32],
    exams: Exams,
    slots: Arc<Semaphore>,
    answers: (mpsc::Sender<ConsoleMessage>, mpsc::Receiver<ConsoleMessage>),
    pace: Pace,
    heard_at: Instant,
    /// Whether the console was asked since it was last heard.
    pinged: bool,
    /// When the person's rights are looked at again.
    rights_at: Instant,
    /// Somebody's were changed.
    changes: watch::Receiver<u64>,
}

impl Console {
    /// Runs until one side ends it. None: the console is gone already.
    async fn run(&mut self, wire: &mut Wire<ProctorMessage>) -> Option<Closing> {
        let timer = tokio::time::sleep_until(self.wake_at());
        tokio::pin!(timer);
        let stop = self.app.stop.clone();
        // Every branch takes something only when it wins; sending happens outside.
        loop {
            timer.as_mut().reset(self.wake_at());
            let sent = tokio::select! {
                biased;
                () = stop.cancelled() => return Some(Closing::new(CloseCode::Draining)),
                Some(answer) = self.answers.1.recv() => send(wire, &answer).await,
                // Before the news: who reads slowly can still act.
                incoming = wire.receive() => match self.take(wire, incoming).await {
                    Ok(sent) => sent,
                    Err(closing) => return closing,
                },
                () = &mut timer => match self.look_at_the_clock(wire).await {
                    Ok(sent) => sent,
                    Err(closing) => return Some(closing),
                },
                Ok(()) = self.changes.changed() => {
                    // Many may sign out at once: not oftener than twice a second.
                    let soon = Instant::now() + RIGHTS_DELAY;
                    self.rights_at = self.rights_at.min(soon);
                    true
                }
                Some(heard) = self.exams.next() => self.pass_on(wire, heard).await,
            };
            if !sent {
                return Some(Closing::new(CloseCode::SlowConsumer));
            }
        }
    }

    /// Sends what happened on a board. Who missed something gets the whole board.
    async fn pass_on(&mut self, wire: &mut Wire<ProctorMessage>, heard: Heard) -> bool {
        match heard {
            Heard::Nothing => true,
            Heard::Frame(frame) => wire.send_bytes(frame.bytes(wire.encoding())).await,
            Heard::Missed(exam) => self.send_board(wire, &exam).await,
        }
    }

    async fn send_board(&mut self, wire: &mut Wire<ProctorMessage>, exam: &ExamCode) -> bool {
        for frame in self.exams.snapshot(exam) {
            if !wire.send_bytes(frame.bytes(wire.encoding())).await {
                return false;
            }
        }
        true
    }

    /// Deals with what came in. False: the answer could not be sent.
    async fn take(
        &mut self,
        wire: &mut Wire<ProctorMessage>,
        incoming: Incoming<ProctorMessage>,
    ) -> Result<bool, Option<Closing>> {
        let now = Instant::now();
        self.heard_at = now;
        self.pinged = false;
        let message = match incoming {
            Incoming::Message(message) => message,
            Incoming::Unknown(name) => {
                let detail = format!("there is no message {name:?}");
                return Ok(complain(wire, ErrorCode::UnknownMessage, &detail).await);
            }
            Incoming::Alive => return Ok(true),
            Incoming::Violation(closing) => return Err(Some(closing)),
            Incoming::Gone => return Err(None),
        };
        match self.pace.frame(now) {
            Verdict::Fine => {}
            Verdict::Warn => {
                let detail = "too many frames a second";
                return Ok(complain(wire, ErrorCode::RateLimited, detail).await);
            }
            Verdict::Close => return Err(Some(Closing::new(CloseCode::RateLimited))),
        }
        match message {
            ProctorMessage::Hello(_) => Err(Some(explain(CloseCode::BadMessage, "a second hello"))),
            ProctorMessage::Watch(watch) => self.watch(wire, watch.exam.as_str().into()).await,
            ProctorMessage::Unwatch(watch) => {
                self.exams.remove(&watch.exam.as_str().into());
                Ok(true)
            }
            ProctorMessage::Inspect(inspect) => self.inspect(wire, inspect).await,
            ProctorMessage::Command(command) => self.command(wire, command).await,
            ProctorMessage::Heartbeat(heartbeat) => {
                let now_at = self.app.engine.now().as_ms();
                let n = heartbeat.n;
                Ok(send(wire, &ConsoleMessage::Pulse(Pulse { n, now_at })).await)
            }
        }
    }

    async fn watch(
        &mut self,
        wire: &mut Wire<ProctorMessage>,
        exam: ExamCode,
    ) -> Result<bool, Option<Closing>> {
        let Some(person) = self.person().await? else {
            return Ok(complain(wire, ErrorCode::Unavailable, STORE_AWAY).await);
        };
        let known = match self.app.engine.exam(&exam).await {
            Ok(known) => known,
            Err(error) => return Ok(unavailable(wire, &error).await),
        };
        if known.is_none() || staff_standing(&person, &exam).is_none() {
            let detail = "no such exam within reach";
            return Ok(complain(wire, ErrorCode::Forbidden, detail).await);
        }
        if !self.see_others(wire, &person).await {
            return Ok(false);
        }
        if let Err(error) = self.exams.add(exam.clone(), &person).await {
            return Ok(unavailable(wire, &error).await);
        }
        Ok(self.send_board(wire, &exam).await)
    }

    /// Sends the boards again where the person sees other candidates than before.
    async fn see_others(&mut self, wire: &mut Wire<ProctorMessage>, person: &Person) -> bool {
        for exam in self.exams.set_scope(person.candidates()) {
            if !self.send_board(wire, &exam).await {
                return false;
            }
        }
        true
    }

    async fn inspect(
        &mut self,
        wire: &mut Wire<ProctorMessage>,
        inspect: Inspect,
    ) -> Result<bool, Option<Closing>> {
        let attempt = inspect.attempt.parse().ok();
        let detail = match attempt {
            Some(attempt) => self.exams.inspect(attempt, inspect.on).await,
            None => Ok(None),
        };
        match detail {
            Ok(Some(detail)) if inspect.on => Ok(send(wire, &ConsoleMessage::Detail(detail)).await),
            Ok(Some(_)) => Ok(true),
            Ok(None) => {
                let detail = "no such attempt on a board that is watched";
                Ok(complain(wire, ErrorCode::Forbidden, detail).await)
            }
            Err(error) => Ok(unavailable(wire, &error).await),
        }
    }

    /// Begins a command; its result follows.
    async fn command(
        &mut self,
        wire: &mut Wire<ProctorMessage>,
        command: Command,
    ) -> Result<bool, Option<Closing>> {
        let id = command.id.clone();
        let Some(person) = self.person().await? else {
            let detail = format!("command {id}: {STORE_AWAY}");
            return Ok(complain(wire, ErrorCode::Unavailable, &detail).await);
        };
        let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() else {
            // Later its rights may be others: nothing is kept back.
            let detail = format!("command {id}: too many are under way");
            return Ok(complain(wire, ErrorCode::Unavailable, &detail).await);
        };
        let (app, answers) = (Arc::clone(&self.app), self.answers.0.clone());
        self.app.tasks.spawn(async move {
            let _permit = permit;
            let reach = |exam: &ExamCode| staff_standing(&person, exam).is_some();
            let progress = |result: CommandResult| {
                // The next one says more.
                answers.try_send(ConsoleMessage::Result(result)).ok();
            };
            let done = app
                .engine
                .command(&person, &reach, command, &progress)
                .await;
            let answer = match done {
                Ok(result) => ConsoleMessage::Result(result),
                Err(error) => refusal(&id, &error),
            };
            // The console may be gone: the command is done all the same.
            answers.send(answer).await.ok();
        });
        Ok(true)
    }

    /// Whose console this is, as things stand now. None: the store is away, and
    /// nobody loses a console for that.
    async fn person(&mut self) -> Result<Option<Person>, Closing> {
        match signed_in(&self.app, &self.token).await {
            Ok(person) => Ok(Some(person)),
            Err(closing) if closing.code == CloseCode::Overloaded => Ok(None),
            Err(closing) => Err(closing),
        }
    }

    /// Asks a silent console, ends one that is gone, and looks at the rights.
    async fn look_at_the_clock(
        &mut self,
        wire: &mut Wire<ProctorMessage>,
    ) -> Result<bool, Closing> {
        let now = Instant::now();
        let silent = now.duration_since(self.heard_at);
        if silent >= HEARTBEAT * IDLE_AFTER {
            return Err(Closing::new(CloseCode::Idle));
        }
        if self.rights_at <= now {
            self.rights_at = now + RIGHTS_INTERVAL;
            if let Some(person) = self.person().await? {
                self.exams
                    .keep_only(|exam| staff_standing(&person, exam).is_some());
                if !self.see_others(wire, &person).await {
                    return Ok(false);
                }
            }
        }
        if silent >= HEARTBEAT * PING_AFTER && !self.pinged {
            self.pinged = true;
            return Ok(wire.ping().await);
        }
        Ok(true)
    }

    fn wake_at(&self) -> Instant {
        let intervals = if self.pinged { IDLE_AFTER } else { PING_AFTER };
        (self.heard_at + HEARTBEAT * intervals).min(self.rights_at)
    }
}

/// What a console begins with.
async fn welcome(app: &AppState, person: &Person) -> Result<Welcome, Closing> {
    let engine = &app.engine;
    let overloaded = |_error| Closing::new(CloseCode::Overloaded);
    let exams = engine.exams().await.map_err(overloaded)?;
    let session = fresh_session(&SystemEntropy)
        .map_err(|_no_randomness| Closing::new(CloseCode::InternalError))?;
    let mut exams = exams.to_vec();
    exams.retain(|exam| staff_standing(person, &exam.code).is_some());
    let codes = exams.iter().map(|exam| exam.code.clone()).collect();
    let live = engine.live_attempts(codes, person.candidates()).await;
    Ok(Welcome {
        session: session.to_string(),
        now_at: engine.now().as_ms(),
        user: User {
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
        limits: ConsoleLimits {
            heartbeat_ms: duration_ms(HEARTBEAT),
            frame_bytes: engine.limits().frame_bytes as u64,
        },
    })
}

async fn send(wire: &mut Wire<ProctorMessage>, message: &ConsoleMessage) -> bool {
    let bytes: Bytes = codec::encode_console(wire.encoding(), message).into();
    wire.send_bytes(bytes).await
}

async fn complain(wire: &mut Wire<ProctorMessage>, code: ErrorCode, detail: &str) -> bool {
    let detail = Some(detail.to_owned());
    send(
        wire,
        &ConsoleMessage::Error(candidate::Error { code, detail }),
    )
    .await
}

async fn unavailable(wire: &mut Wire<ProctorMessage>, error: &crate::engine::Error) -> bool {
    tracing::warn!(error = chain(error), "a console cannot be served");
    complain(wire, ErrorCode::Unavailable, STORE_AWAY).await
}

/// Why a command was not even begun, for the console.
fn refusal(id: &str, error: &CommandError) -> ConsoleMessage {
    let code = match error {
        CommandError::Conflict => ErrorCode::Conflict,
        CommandError::BadRequest(_) => ErrorCode::BadCommand,
        CommandError::Forbidden => ErrorCode::Forbidden,
        CommandError::Failed(_) => ErrorCode::Unavailable,
    };
    if let CommandError::Failed(error) = error {
        tracing::warn!(error = chain(error), "a command failed");
    }
    ConsoleMessage::Error(candidate::Error {
        code,
        detail: Some(format!("command {id}: {error}")),
    })
}
