//! A candidate who answers, and moves to another node again and again while the
//! connection to the previous one is still open.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use invigil_client::{
    ApiClient, ClientUpdate,
    core::{ClientCommand, ClientCore},
    protocol::candidate::{ClientMessage, ServerMessage},
};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{
    super::chaos::{
        database::DatabaseAttempt,
        dice::SeededRandom,
        exam::{EXAM, QUESTIONS},
        history::{CandidateHistory, question_id},
    },
    line::BareSocket,
};
use crate::util::pace::SendPace;

/// Timeout of entering.
const ENTER_TIMEOUT: Duration = Duration::from_secs(15);

/// Time after the last answer in which everything must be saved.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Time between two tries to enter.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// A candidate who moves; see the module.
pub(super) struct MovingCandidate {
    number: usize,
    attempt: String,
    token: String,
    socket: String,
    client: ApiClient,
    core: ClientCore,
    line: Option<BareSocket>,
    /// Index of the present node.
    at: usize,
    history: CandidateHistory,
    dice: SeededRandom,
    pub(super) moved: MoveTally,
}

/// Counts and latencies of a candidate's moves.
#[derive(Debug, Default)]
pub(super) struct MoveTally {
    /// Times from sending `hello` to `welcome`.
    pub(super) took: Vec<Duration>,
    /// Number of moves that resumed the session.
    pub(super) resumed: u64,
    /// Reasons of tries that did not lead to `welcome`.
    pub(super) turned_away: Vec<String>,
    /// Number of moves begun too late.
    pub(super) missed: u64,
    /// Violations found.
    pub(super) violations: Vec<String>,
}

impl MovingCandidate {
    /// Signs in, starts the exam and enters at a node.
    pub(super) async fn enter_exam(
        http: reqwest::Client,
        bases: &[String],
        number: usize,
    ) -> anyhow::Result<Self> {
        let at = number % bases.len();
        let (id, code) = (format!("load-{number:05}"), format!("code-{number:05}"));
        let client = ApiClient::sign_in_with(http, &bases[at], &id, &code).await?;
        let started = client.start_attempt(EXAM, None).await?;
        let mut mover = Self {
            number,
            attempt: started.attempt,
            token: started.token,
            socket: started.socket,
            client,
            core: ClientCore::new(),
            line: None,
            at,
            history: CandidateHistory::new(number),
            dice: SeededRandom::new(number as u64),
            moved: MoveTally::default(),
        };
        mover.enter_node(&bases[at]).await?;
        mover.moved = MoveTally::default();
        Ok(mover)
    }

    /// Moves at each due time, with one answer before each move; then waits until
    /// everything is saved.
    pub(super) async fn run(mut self, bases: &[String], pace: SendPace, number: u32) -> Self {
        if let Err(error) = self.take_turns(bases, pace, number).await {
            let wrong = format!("c{}: {error:#}", self.number);
            self.moved.violations.push(wrong);
        }
        self
    }

    async fn take_turns(
        &mut self,
        bases: &[String],
        pace: SendPace,
        number: u32,
    ) -> anyhow::Result<()> {
        let mut before = pace.start;
        for nth in 0.. {
            let Some(due) = pace.due_at(number, nth) else {
                break;
            };
            // At a random moment in between: sometimes just before the move.
            let answer_at = before + self.dice.duration_between(Duration::ZERO, due - before);
            self.talk_until(answer_at).await?;
            self.give_answer(self.history.given_count() % QUESTIONS)
                .await?;
            self.talk_until(due).await?;
            self.at = (self.at + 1) % bases.len();
            self.moved.missed += u64::from(SendPace::is_missed(due));
            self.enter_node(&bases[self.at]).await?;
            before = due;
        }
        let until = Instant::now() + SETTLE_TIMEOUT;
        while self.history.waiting_count() > 0 {
            ensure!(Instant::now() < until, "answers are not saved");
            self.talk_until(Instant::now() + RETRY_INTERVAL).await?;
            if self.core.is_in_doubt() {
                let stored = self
                    .client
                    .fetch_answers(&self.attempt, &self.token)
                    .await?;
                for update in self.core.apply_record(&stored) {
                    self.history.note_update(update);
                }
            }
        }
        Ok(())
    }

    /// Compares with the store.
    pub(super) fn check_stored(&self, stored: Option<&DatabaseAttempt>) -> Vec<String> {
        stored.map_or_else(
            || vec![format!("c{}: the attempt is not stored", self.number)],
            |stored| self.history.check_settled(stored),
        )
    }

    /// Id of the attempt.
    pub(super) fn attempt_id(&self) -> &str {
        &self.attempt
    }

    /// Number of answers reported as saved.
    pub(super) fn saved_count(&self) -> usize {
        self.history.saved_count()
    }

    /// Enters at a node, by a new connection beside the present one.
    async fn enter_node(&mut self, base: &str) -> anyhow::Result<()> {
        let mut begun = None;
        let until = Instant::now() + ENTER_TIMEOUT;
        let line = loop {
            let mut line = BareSocket::open(base, &self.socket).await?;
            self.core.mark_disconnected();
            let hello = self.core.hello_message(&self.token);
            let sent_at = *begun.get_or_insert_with(Instant::now);
            line.send_all(vec![ClientMessage::Hello(hello)]).await?;
            let welcomed = timeout_at(until, self.wait_for_welcome(&mut line, sent_at)).await;
            match welcomed.context("no `welcome` came")? {
                Ok(()) => break line,
                Err(error) => self.moved.turned_away.push(format!("{error:#}")),
            }
            sleep(RETRY_INTERVAL).await;
        };
        self.line = Some(line);
        self.send_due().await
    }

    async fn wait_for_welcome(
        &mut self,
        line: &mut BareSocket,
        sent_at: Instant,
    ) -> anyhow::Result<()> {
        let mut bye = String::new();
        loop {
            let message = line.receive().await.context(bye.clone())?;
            match &message {
                ServerMessage::Welcome(welcome) => {
                    self.moved.took.push(sent_at.elapsed());
                    self.moved.resumed += u64::from(welcome.resumed);
                    self.note_message(message);
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

    /// Handles messages of the engine until the given time.
    async fn talk_until(&mut self, until: Instant) -> anyhow::Result<()> {
        loop {
            let line = self.line.as_mut().context("there is no connection")?;
            let message = tokio::select! {
                biased;
                message = line.receive() => message?,
                () = sleep_until(until) => return Ok(()),
            };
            if let Some(question) = self.note_message(message) {
                self.give_answer(question).await?;
            }
            self.send_due().await?;
        }
    }

    async fn give_answer(&mut self, question: usize) -> anyhow::Result<()> {
        let value = self.history.give_answer(question);
        let question = question_id(question);
        self.core
            .push_command(ClientCommand::Answer { question, value });
        self.send_due().await
    }

    async fn send_due(&mut self) -> anyhow::Result<()> {
        let due = self.core.due_messages();
        match &mut self.line {
            Some(line) if !due.is_empty() => line.send_all(due).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Applies a message. Returns a question to be answered again, if there is one.
    fn note_message(&mut self, message: ServerMessage) -> Option<usize> {
        let mut again = None;
        for update in self.core.handle_message(message) {
            if matches!(update, ClientUpdate::Conflict { .. }) {
                again = self.history.note_update(update).or(again);
            } else {
                self.history.note_update(update);
            }
        }
        again
    }
}
