//! A candidate who answers, and goes to another node again and again while the
//! connection to the one before still stands.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use invigil_client::{
    Client, Update,
    core::{Command, Core},
    protocol::candidate::{ClientMessage, ServerMessage},
};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{
    super::chaos::{
        database::StoredAttempt,
        dice::Dice,
        exam::{EXAM, QUESTIONS},
        history::{History, question_id},
    },
    line::Line,
};
use crate::util::pace::Pace;

/// How long a candidate tries to come in.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long after the last answer everything must be saved.
const DRAIN: Duration = Duration::from_secs(30);

/// Between two tries to come in.
const AGAIN: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Mover {
    number: usize,
    attempt: String,
    token: String,
    socket: String,
    client: Client,
    core: Core,
    line: Option<Line>,
    /// The node that it is on.
    at: usize,
    history: History,
    dice: Dice,
    pub(super) moved: Moved,
}

/// What its ways were like.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// From sending `hello` to `welcome`.
    pub(super) took: Vec<Duration>,
    /// Those of them that went on with the session.
    pub(super) resumed: u64,
    /// Tries that did not lead to `welcome`, and why.
    pub(super) turned_away: Vec<String>,
    /// Begun too late.
    pub(super) missed: u64,
    /// What is wrong.
    pub(super) violations: Vec<String>,
}

impl Mover {
    /// Signs in, starts the exam and comes in at a node.
    pub(super) async fn enter(
        http: reqwest::Client,
        bases: &[String],
        number: usize,
    ) -> anyhow::Result<Self> {
        let at = number % bases.len();
        let (id, code) = (format!("load-{number:05}"), format!("code-{number:05}"));
        let client = Client::login_with(http, &bases[at], &id, &code).await?;
        let started = client.start(EXAM, None).await?;
        let mut mover = Self {
            number,
            attempt: started.attempt,
            token: started.token,
            socket: started.socket,
            client,
            core: Core::new(),
            line: None,
            at,
            history: History::new(number),
            dice: Dice::new(number as u64),
            moved: Moved::default(),
        };
        mover.come_to(&bases[at]).await?;
        mover.moved = Moved::default();
        Ok(mover)
    }

    /// Moves whenever it is time, answering once before each time; then waits until
    /// everything is saved.
    pub(super) async fn run(mut self, bases: &[String], pace: Pace, number: u32) -> Self {
        if let Err(error) = self.take_turns(bases, pace, number).await {
            let wrong = format!("c{}: {error:#}", self.number);
            self.moved.violations.push(wrong);
        }
        self
    }

    async fn take_turns(
        &mut self,
        bases: &[String],
        pace: Pace,
        number: u32,
    ) -> anyhow::Result<()> {
        let mut before = pace.start;
        for nth in 0.. {
            let Some(due) = pace.due(number, nth) else {
                break;
            };
            // At any moment in between: sometimes just before the move.
            let answer_at = before + self.dice.between(Duration::ZERO, due - before);
            self.talk_until(answer_at).await?;
            self.give(self.history.given() % QUESTIONS).await?;
            self.talk_until(due).await?;
            self.at = (self.at + 1) % bases.len();
            self.moved.missed += u64::from(Pace::is_missed(due));
            self.come_to(&bases[self.at]).await?;
            before = due;
        }
        let until = Instant::now() + DRAIN;
        while self.history.waiting() > 0 {
            ensure!(Instant::now() < until, "answers are not saved");
            self.talk_until(Instant::now() + AGAIN).await?;
            if self.core.is_in_doubt() {
                let stored = self.client.answers(&self.attempt, &self.token).await?;
                for update in self.core.recorded(&stored) {
                    self.history.note(update);
                }
            }
        }
        Ok(())
    }

    /// Compares with the store.
    pub(super) fn check(&self, stored: Option<&StoredAttempt>) -> Vec<String> {
        stored.map_or_else(
            || vec![format!("c{}: the attempt is not stored", self.number)],
            |stored| self.history.check_settled(stored),
        )
    }

    /// The attempt's id.
    pub(super) fn attempt(&self) -> &str {
        &self.attempt
    }

    /// Answers that were called saved.
    pub(super) fn saved(&self) -> usize {
        self.history.saved()
    }

    /// Comes in at a node, by a new connection beside the one that there is.
    async fn come_to(&mut self, base: &str) -> anyhow::Result<()> {
        let mut begun = None;
        let until = Instant::now() + PATIENCE;
        let line = loop {
            let mut line = Line::open(base, &self.socket).await?;
            self.core.disconnected();
            let hello = self.core.hello(&self.token);
            let sent_at = *begun.get_or_insert_with(Instant::now);
            line.send(vec![ClientMessage::Hello(hello)]).await?;
            let welcomed = timeout_at(until, self.welcome(&mut line, sent_at)).await;
            match welcomed.context("no `welcome` came")? {
                Ok(()) => break line,
                Err(error) => self.moved.turned_away.push(format!("{error:#}")),
            }
            sleep(AGAIN).await;
        };
        self.line = Some(line);
        self.send_due().await
    }

    async fn welcome(&mut self, line: &mut Line, sent_at: Instant) -> anyhow::Result<()> {
        let mut bye = String::new();
        loop {
            let message = line.receive().await.context(bye.clone())?;
            match &message {
                ServerMessage::Welcome(welcome) => {
                    self.moved.took.push(sent_at.elapsed());
                    self.moved.resumed += u64::from(welcome.resumed);
                    self.note(message);
                    return Ok(());
                }
                ServerMessage::Bye(said) => bye = format!("{said:?}"),
                ServerMessage::Pulse(_)
                | ServerMessage::Saved(_)
                | ServerMessage::Refused(_)
                | ServerMessage::EventAck(_)
                | ServerMessage::Open(_)
                | ServerMessage::Timing(_)
                | ServerMessage::Health(_)
                | ServerMessage::Status(_)
                | ServerMessage::Notice(_)
                | ServerMessage::Submitted(_)
                | ServerMessage::Error(_) => bail!("before `welcome` came {message:?}"),
            }
        }
    }

    /// Deals with what the engine says.
    async fn talk_until(&mut self, until: Instant) -> anyhow::Result<()> {
        loop {
            let line = self.line.as_mut().context("it is nowhere")?;
            let message = tokio::select! {
                biased;
                message = line.receive() => message?,
                () = sleep_until(until) => return Ok(()),
            };
            if let Some(question) = self.note(message) {
                self.give(question).await?;
            }
            self.send_due().await?;
        }
    }

    async fn give(&mut self, question: usize) -> anyhow::Result<()> {
        let value = self.history.give(question);
        let question = question_id(question);
        self.core.push(Command::Answer { question, value });
        self.send_due().await
    }

    async fn send_due(&mut self) -> anyhow::Result<()> {
        let due = self.core.due();
        match &mut self.line {
            Some(line) if !due.is_empty() => line.send(due).await,
            Some(_) | None => Ok(()),
        }
    }

    /// A question that is to be answered again, if there is one.
    fn note(&mut self, message: ServerMessage) -> Option<usize> {
        let mut again = None;
        for update in self.core.receive(message) {
            if matches!(update, Update::Conflict { .. }) {
                again = self.history.note(update).or(again);
            } else {
                self.history.note(update);
            }
        }
        again
    }
}
