//! A candidate: the client's own core, on a network that breaks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use invigil_client::{
    ClientCommand, ClientUpdate, Ticket,
    core::ClientCore,
    protocol::{
        candidate::{AttemptStatus, CandidateHeartbeat, ClientMessage, ServerMessage},
        code::CloseCode,
        paper::RecordedAnswers,
    },
};
use invigil_domain::{
    id::AttemptId,
    person::{ExamScope, GroupSet, PersonRole, RosterPerson},
};
use invigil_engine::{
    ActorHandle, CloseReason, ConnectRefusal, ConnectRequest, Connected, Engine, ExchangeRefusal,
    JoinRequest, Outbox, OutboxItem,
};
use rust_decimal::Decimal;
use serde_json::json;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    dice::Dice,
    mutation::Mutation,
    node::Node,
    oracle::Count,
    stage::{EXAM, Stage},
    variant::Variant,
};

pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Questions of the exam.
const QUESTIONS: usize = 4;

/// Time that a client waits for a silent node.
const OPEN_MAX: Duration = Duration::from_secs(5);
const EXCHANGE_MAX: Duration = Duration::from_secs(25);
const SILENCE_MAX: Duration = Duration::from_secs(15);
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Time that a client in doubt waits before it reads the stored answers.
const READ_AFTER: Duration = Duration::from_millis(200);

/// Returns a person of the exam.
pub(crate) fn person(id: &str, role: PersonRole) -> RosterPerson {
    RosterPerson {
        id: id.into(),
        name: id.to_owned(),
        email: String::new(),
        role,
        exams: ExamScope::All,
        groups: GroupSet::default(),
        time_factor: Decimal::ONE,
        extra_time: Duration::ZERO,
    }
}

/// A candidate at work.
pub(crate) struct Candidate {
    stage: Arc<Stage>,
    number: usize,
    dice: Dice,
    core: ClientCore,
    attempt: AttemptId,
    /// Answers so far; the next one's value.
    count: Count,
    /// Answers of unknown outcome.
    unknown: BTreeMap<Ticket, (String, Count)>,
    /// The answers to each question that were not refused.
    standing: BTreeMap<String, Vec<Count>>,
    submits_at: Option<Instant>,
    /// The instant at which the candidate goes away for good.
    leaves_at: Option<Instant>,
    over: bool,
}

/// The client's end of a connection.
struct Line {
    up: mpsc::Sender<ClientMessage>,
    down: mpsc::Receiver<OutboxItem>,
    /// Carries both ways; what is under way is lost with it.
    _carriers: JoinSet<()>,
}

/// Takes an attempt from its start to its end.
pub(crate) async fn take(stage: Arc<Stage>, number: usize, mut dice: Dice) {
    sleep(Duration::from_millis(dice.next() % 10_000)).await;
    let attempt = start(&stage, number, &mut dice).await;
    if stage.world.variant == Variant::OneDevice {
        tokio::spawn(intrude(Arc::clone(&stage), attempt, dice.fork()));
    }
    let (submits, leaves) = (dice.below(3) == 0, dice.below(5) == 0);
    let at = Instant::now() + Duration::from_millis(10_000 + dice.next() % 60_000);
    let mut candidate = Candidate {
        stage,
        number,
        dice,
        core: ClientCore::new(),
        attempt,
        count: 0,
        unknown: BTreeMap::new(),
        standing: BTreeMap::new(),
        submits_at: submits.then_some(at),
        leaves_at: leaves.then_some(at),
        over: false,
    };
    candidate.work().await;
    candidate.look_up().await;
    candidate.finish();
}

async fn start(stage: &Arc<Stage>, number: usize, dice: &mut Dice) -> AttemptId {
    let candidate = person(&format!("c{number}"), PersonRole::Candidate);
    loop {
        if let Some(node) = stage.pick(dice) {
            let (engine, who) = (node.engine.clone(), candidate.clone());
            let starting = tokio::spawn(async move {
                engine
                    .start_attempt(&who, &EXAM.into(), None, ADDRESS)
                    .await
            });
            if let Ok(Ok(Ok(started))) = timeout(EXCHANGE_MAX, starting).await {
                return started.identity.id;
            }
        }
        sleep(Duration::from_millis(200 + dice.next() % 800)).await;
    }
}

impl Candidate {
    async fn work(&mut self) {
        while !self.over && !self.has_left() {
            sleep(Duration::from_millis(self.dice.next() % 1_000)).await;
            if self.stage.goes_on_offline && self.dice.below(2) == 0 {
                self.act();
            }
            let Some(node) = self.stage.pick(&mut self.dice) else {
                continue;
            };
            if self.dice.below(8) == 0 {
                self.exchange(&node).await;
            } else {
                self.connect(&node).await;
            }
            self.look();
        }
    }

    /// Resolves the answers of unknown outcome once the attempt is over: each is stored, or
    /// void.
    async fn look_up(&mut self) {
        while self.core.is_over() && !self.core.is_clean() {
            let Some(node) = self.stage.pick(&mut self.dice) else {
                sleep(READ_AFTER).await;
                continue;
            };
            if let Some(stored) = read(node, self.attempt).await {
                for update in self.core.apply_record(&stored) {
                    self.note_end(update);
                }
            }
        }
    }

    /// Notes the end of an answer; most void answers then never arrived.
    fn note_end(&mut self, update: ClientUpdate) {
        if let ClientUpdate::Unheard { ticket } = update {
            self.refused(ticket);
        } else {
            self.note(vec![update]);
        }
    }

    /// Saves without a socket.
    async fn exchange(&mut self, node: &Node) {
        self.stage.count("exchanges");
        let (engine, switch) = (node.engine.clone(), node.switch.clone());
        let (attempt, request) = (self.attempt, self.core.exchange_request());
        let json = serde_json::to_string(&request).unwrap();
        let asking = tokio::spawn(async move {
            switch.is_on().await;
            let reply = engine.run_exchange(attempt, request, &json, ADDRESS).await;
            switch.is_on().await;
            reply
        });
        let refusal = match timeout(EXCHANGE_MAX, asking).await {
            Ok(Ok(Ok(reply))) => {
                self.over |= matches!(
                    reply.status,
                    AttemptStatus::Submitted | AttemptStatus::AutoSubmitted | AttemptStatus::Graded
                );
                self.stage.let_in(self.attempt);
                let updates = self.core.apply_exchange_reply(*reply);
                return self.note(updates);
            }
            Ok(Ok(Err(refusal))) => Some(refusal),
            Ok(Err(_)) | Err(_) => None,
        };
        self.core.mark_disconnected();
        match refusal {
            Some(ExchangeRefusal::Closed) => self.over = true,
            Some(ExchangeRefusal::AnotherDevice) => self.locked_out(),
            Some(
                ExchangeRefusal::Superseded
                | ExchangeRefusal::Forbidden(_)
                | ExchangeRefusal::Unavailable,
            )
            | None => {}
        }
    }

    /// A single connection, as long as it holds.
    async fn connect(&mut self, node: &Node) {
        let hello = self.core.hello_message("token");
        let entry = JoinRequest {
            resume: hello
                .resume
                .map(|resume| (resume.session.into(), resume.next_seq)),
            address: ADDRESS,
            asked_at: Some(node.engine.now()),
        };
        let outbox = Arc::new(Outbox::default());
        let opening = ConnectRequest {
            join: entry,
            device: None,
            outbox: Arc::clone(&outbox),
            until: Instant::now() + OPEN_MAX,
        };
        let opening = open(Arc::clone(&self.stage), node.clone(), self.attempt, opening);
        match timeout(OPEN_MAX, opening).await {
            Ok(Ok(Ok((handle, opened)))) => {
                self.stage.count("connections");
                self.stage.let_in(self.attempt);
                let line = Line::new(&self.stage, node, &handle, opened, outbox);
                self.talk(node, line).await;
                self.core.mark_disconnected();
                hang_up(node.clone(), handle, opened, self.dice.next() % 3_000);
            }
            Ok(Ok(Err(ConnectRefusal(closing)))) => self.closed(&closing),
            // The client gives up, and tries another node.
            Ok(Err(_)) | Err(_) => self.stage.count("openings given up"),
        }
    }

    async fn talk(&mut self, node: &Node, mut line: Line) {
        let mut heard_at = Instant::now();
        let mut beat_at = heard_at + HEARTBEAT;
        let mut act_at = heard_at + self.pause();
        let mut beats = 0;
        let mut record = None;
        loop {
            if record.is_none() && self.core.is_in_doubt() {
                record = Some(Box::pin(read(node.clone(), self.attempt)));
            }
            for message in self.core.due_messages() {
                if self.stage.world.is(Mutation::ClientTrustsTheWire) {
                    self.trust();
                }
                line.up.try_send(message).ok();
            }
            tokio::select! {
                biased;
                () = node.switch.is_dead() => return,
                () = self.stage.cut(self.number) => return,
                outgoing = line.down.recv() => {
                    heard_at = Instant::now();
                    match outgoing {
                        Some(OutboxItem::Message(message)) => self.hear(message),
                        Some(OutboxItem::Close(closing)) => return self.closed(&closing),
                        None => return,
                    }
                }
                stored = finished(&mut record) => {
                    record = None;
                    if let Some(stored) = stored {
                        let updates = self.core.apply_record(&stored);
                        self.note(updates);
                    }
                }
                () = sleep_until(act_at) => {
                    act_at = Instant::now() + self.pause();
                    self.act();
                }
                () = sleep_until(beat_at) => {
                    beats += 1;
                    beat_at += HEARTBEAT;
                    line.up.try_send(heartbeat(beats)).ok();
                }
                () = sleep_until(heard_at + SILENCE_MAX) => return,
            }
            self.look();
            if self.has_left() {
                return;
            }
        }
    }

    fn has_left(&self) -> bool {
        self.leaves_at.is_some_and(|at| at <= Instant::now())
    }

    /// Returns the time until the next answer; now and then it takes some thought.
    fn pause(&mut self) -> Duration {
        let most_ms = if self.dice.below(20) == 0 {
            15_000
        } else {
            2_500
        };
        Duration::from_millis(100 + self.dice.next() % most_ms)
    }

    fn act(&mut self) {
        match self.submits_at {
            Some(at) if at <= Instant::now() => {
                self.submits_at = None;
                // A command after it would be refused.
                self.count = Count::MAX;
                self.core.push_command(ClientCommand::Submit);
            }
            _ if self.count == Count::MAX => {}
            _ => {
                let question = format!("q{}", self.dice.below(QUESTIONS));
                if self.dice.below(6) == 0 {
                    let on = self.dice.below(2) == 0;
                    self.core.push_command(ClientCommand::Flag { question, on });
                } else {
                    self.answer(question);
                }
            }
        }
    }

    fn answer(&mut self, question: String) {
        self.count += 1;
        self.stage.count("answers");
        let ticket = self.core.push_command(ClientCommand::Answer {
            question: question.clone(),
            value: json!(self.count.to_string()),
        });
        let standing = self.standing.entry(question.clone()).or_default();
        standing.push(self.count);
        self.unknown.insert(ticket, (question, self.count));
    }

    fn hear(&mut self, message: ServerMessage) {
        let updates = self.core.handle_message(message);
        self.note(updates);
    }

    fn note(&mut self, updates: Vec<ClientUpdate>) {
        for update in updates {
            match update {
                ClientUpdate::Saved(tickets) => {
                    for ticket in tickets {
                        if let Some((question, count)) = self.unknown.remove(&ticket) {
                            self.told(&question, count);
                        }
                    }
                }
                ClientUpdate::Refused { ticket, .. } => self.refused(ticket),
                ClientUpdate::Unheard { ticket } => {
                    if let Some((question, count)) = self.unknown.get(&ticket) {
                        self.unheard(question, *count);
                    }
                    self.refused(ticket);
                }
                ClientUpdate::Conflict {
                    ticket, question, ..
                } => {
                    self.stage.count("conflicts");
                    self.refused(ticket);
                    if self.count != Count::MAX {
                        // The client shows both values, and the person chooses.
                        self.answer(question);
                    }
                }
                ClientUpdate::Submitted(submitted) => {
                    self.over = true;
                    let attempt = self.attempt;
                    self.stage.world.oracle(|oracle, tables| {
                        oracle.submitted(attempt, &submitted.receipt, tables);
                    });
                }
                ClientUpdate::Entered(_)
                | ClientUpdate::Timing { .. }
                | ClientUpdate::Open { .. }
                | ClientUpdate::Message(_)
                | ClientUpdate::Closed { .. } => {}
            }
        }
    }

    fn told(&self, question: &str, count: Count) {
        self.stage
            .world
            .oracle(|oracle, tables| oracle.told(self.attempt, question, count, tables));
    }

    /// The stored answers show that an answer was refused.
    fn unheard(&self, question: &str, count: Count) {
        if self.stage.world.is(Mutation::ClientTrustsTheNumber) {
            return self.told(question, count);
        }
        self.stage
            .world
            .oracle(|oracle, tables| oracle.unheard(self.attempt, question, count, tables));
    }

    /// An answer that does not count.
    fn void(&mut self, question: &str, count: Count) {
        if let Some(standing) = self.standing.get_mut(question) {
            standing.retain(|other| *other != count);
        }
    }

    /// Acts on the belief of a faulty client.
    fn trust(&mut self) {
        for (question, count) in std::mem::take(&mut self.unknown).into_values() {
            self.told(&question, count);
        }
    }

    fn refused(&mut self, ticket: Ticket) {
        self.stage.count("refusals");
        if let Some((question, count)) = self.unknown.remove(&ticket) {
            self.void(&question, count);
        }
    }

    fn closed(&mut self, closing: &CloseReason) {
        self.stage.count(closing.code.as_str());
        if closing.code == CloseCode::Forbidden
            && closing.detail.as_deref() == Some("another_device")
        {
            return self.locked_out();
        }
        self.over |= matches!(closing.code, CloseCode::Finished | CloseCode::Closed);
        let attempt = self.attempt;
        self.stage.world.oracle(|oracle, tables| {
            // Staff let a second device in, which asked and went away: the first device
            // gets `superseded` all the same, and a person goes on there.
            let makes_room = closing.code == CloseCode::Superseded
                && crate::oracle::is_released(tables, attempt);
            oracle.check(
                self.over || closing.code.allows_reconnect() || makes_room,
                || format!("attempt {attempt}: closed for good with {closing:?}"),
            );
        });
    }

    /// Another device has the attempt, or had it: staff must let this one in.
    fn locked_out(&mut self) {
        self.stage.lock_out(self.attempt);
        let hello = self.core.hello_message("token");
        let mine = hello.resume.map(|resume| resume.session);
        self.stage.world.oracle(|oracle, tables| {
            oracle.another_device(self.attempt, mine.as_deref(), tables);
        });
    }

    /// Tells whether everything came to rest after the faults.
    fn look(&self) {
        if self.stage.network.is_calm() && self.core.is_clean() && self.unknown.is_empty() {
            self.stage.settle(self.number);
        }
    }

    /// Checks that the client's state in the end is the stored one.
    fn finish(self) {
        self.stage.settle(self.number);
        let unknown: Vec<&String> = self
            .unknown
            .values()
            .map(|(question, _)| question)
            .collect();
        self.stage.world.oracle(|oracle, tables| {
            for (question, standing) in &self.standing {
                if unknown.contains(&question) {
                    continue;
                }
                let newest = standing.last().copied().unwrap_or_default();
                let stored = crate::oracle::stored(tables, self.attempt, &question.as_str().into());
                oracle.check(stored == newest, || {
                    format!(
                        "attempt {}: the client has {question}={newest}, stored is {stored}",
                        self.attempt
                    )
                });
            }
        });
        self.stage.finish(self.number);
    }
}

/// Another person tries to come in on another device, for as long as there are faults.
async fn intrude(stage: Arc<Stage>, attempt: AttemptId, mut dice: Dice) {
    while !stage.network.is_calm() {
        sleep(Duration::from_millis(2_000 + dice.next() % 15_000)).await;
        let Some(node) = stage.pick(&mut dice) else {
            continue;
        };
        let opening = open(Arc::clone(&stage), node.clone(), attempt, new_device(&node));
        match timeout(OPEN_MAX, opening).await {
            Ok(Ok(Ok((handle, opened)))) => {
                stage.count("second devices let in");
                hang_up(node, handle, opened, dice.next() % 5_000);
            }
            Ok(Ok(Err(_))) => stage.count("second devices refused"),
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

/// Returns the request of a device that was never in.
pub(crate) fn new_device(node: &Node) -> ConnectRequest {
    ConnectRequest {
        join: JoinRequest {
            resume: None,
            address: ADDRESS,
            asked_at: Some(node.engine.now()),
        },
        device: None,
        outbox: Arc::default(),
        until: Instant::now() + OPEN_MAX,
    }
}

/// Reads the stored answers, by way of a node, after a moment.
async fn read(node: Node, attempt: AttemptId) -> Option<RecordedAnswers> {
    sleep(READ_AFTER).await;
    let reading = tokio::spawn(async move {
        node.switch.is_on().await;
        let stored = node.engine.current_answers(attempt).await;
        node.switch.is_on().await;
        stored.ok().flatten()
    });
    timeout(EXCHANGE_MAX, reading).await.ok()?.ok()?
}

/// Waits for a request; never resolves without one.
async fn finished<T>(asked: &mut Option<impl Future<Output = T> + Unpin>) -> T {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}

fn heartbeat(n: u64) -> ClientMessage {
    ClientMessage::Heartbeat(CandidateHeartbeat {
        n,
        ..CandidateHeartbeat::default()
    })
}

/// The node's half of an opening, which goes on after the client has given up.
async fn open(
    stage: Arc<Stage>,
    node: Node,
    attempt: AttemptId,
    opening: ConnectRequest,
) -> Result<Result<(ActorHandle, Connected), ConnectRefusal>, oneshot::error::RecvError> {
    let (reply, opened) = oneshot::channel();
    tokio::spawn(async move {
        sleep(stage.network.latency()).await;
        node.switch.is_on().await;
        let engine: &Engine = &node.engine;
        let outcome = engine.connect_candidate(attempt, opening).await;
        node.switch.is_on().await;
        if let Err(Ok((handle, opened))) = reply.send(outcome) {
            handle.report_disconnect(opened.connection).await;
        }
    });
    opened.await
}

/// The node learns that a connection is gone, sooner or later.
fn hang_up(node: Node, handle: ActorHandle, opened: Connected, late_ms: u64) {
    tokio::spawn(async move {
        sleep(Duration::from_millis(late_ms)).await;
        node.switch.is_on().await;
        handle.report_disconnect(opened.connection).await;
    });
}

impl Line {
    fn new(
        stage: &Arc<Stage>,
        node: &Node,
        handle: &ActorHandle,
        opened: Connected,
        outbox: Arc<Outbox>,
    ) -> Self {
        let mut carriers = JoinSet::new();
        let (up, mut sent) = mpsc::channel(1_024);
        let (network, switch, handle) = (
            Arc::clone(&stage.network),
            node.switch.clone(),
            handle.clone(),
        );
        carriers.spawn(async move {
            while let Some(message) = sent.recv().await {
                sleep(network.latency()).await;
                switch.is_on().await;
                handle
                    .deliver_client_message(opened.connection, message)
                    .await;
            }
        });
        let (said, down) = mpsc::channel(1_024);
        let (network, switch) = (Arc::clone(&stage.network), node.switch.clone());
        carriers.spawn(async move {
            loop {
                let outgoing = outbox.next().await;
                switch.is_on().await;
                sleep(network.latency()).await;
                if said.send(outgoing).await.is_err() {
                    return;
                }
            }
        });
        Self {
            up,
            down,
            _carriers: carriers,
        }
    }
}
