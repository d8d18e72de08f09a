//! A candidate with the real SDK, who answers at a steady rate whatever happens.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use invigil_client::{Attempt, Client, Options, Update, protocol::Encoding};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;

use super::{
    database::{StoredAnswer, StoredAttempt},
    dice::Dice,
    exam::{EXAM, QUESTIONS},
    history::{History, question_id},
};

/// How long entering, or handing in, may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// One of so many answers comes with an integrity event.
const ANSWERS_PER_EVENT: usize = 5;

/// What candidates do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Phase {
    Answer,
    /// No more answers; what was given is to be saved by then.
    SettleBy(Instant),
}

/// A history that others look at.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<History>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(crate) struct Candidate {
    pub(crate) number: usize,
    client: Client,
    attempt: Attempt,
    pub(crate) history: Shared,
    dice: Dice,
}

impl Candidate {
    /// Signs in, starts the exam and waits until it is there.
    pub(crate) async fn enter(
        http: reqwest::Client,
        base: &str,
        number: usize,
        seed: u64,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let (id, code) = (format!("load-{number:05}"), format!("code-{number:05}"));
        let client = Client::login_with(http, base, &id, &code).await?;
        let started = client.start(EXAM, None).await?;
        let options = Options {
            // Half of the candidates each.
            encoding: if number.is_multiple_of(2) {
                Encoding::Json
            } else {
                Encoding::MessagePack
            },
            device: Some(id),
            ..Options::default()
        };
        let mut candidate = Self {
            number,
            attempt: Attempt::take(&client, &started, options, tasks),
            client,
            history: Shared(Arc::new(Mutex::new(History::new(number)))),
            dice: Dice::new(seed.wrapping_add(number as u64)),
        };
        let entering = async {
            loop {
                match candidate.attempt.next().await {
                    Some(update @ Update::Entered(_)) => {
                        candidate.note(Some(update)).await;
                        return Ok(());
                    }
                    Some(Update::Closed { code, .. }) => bail!("closed with {code}"),
                    Some(_) => {}
                    None => bail!("the connection ended"),
                }
            }
        };
        timeout(PATIENCE, entering)
            .await
            .context("wait for `welcome`")??;
        Ok(candidate)
    }

    /// The attempt's id.
    pub(crate) fn attempt(&self) -> &str {
        &self.attempt.id
    }

    /// Answers every `period` until the phase changes, then waits until all of it
    /// is settled. When it was.
    pub(crate) async fn answer(
        mut self,
        period: Duration,
        mut phase: watch::Receiver<Phase>,
    ) -> (Self, Instant) {
        let mut due = Instant::now() + self.dice.between(Duration::ZERO, period);
        loop {
            let now = *phase.borrow_and_update();
            if self.history.lock().closed.is_some() {
                break;
            }
            match now {
                Phase::Answer => tokio::select! {
                    update = self.attempt.next() => self.note(update).await,
                    changed = phase.changed() => if changed.is_err() { break },
                    () = sleep_until(due) => {
                        due += period;
                        let question = self.dice.below(QUESTIONS);
                        self.give(question).await;
                        if self.dice.below(ANSWERS_PER_EVENT) == 0 {
                            self.report().await;
                        }
                    }
                },
                Phase::SettleBy(until) => {
                    if self.history.lock().is_settled() {
                        break;
                    }
                    match timeout_at(until, self.attempt.next()).await {
                        Ok(update) => self.note(update).await,
                        Err(_elapsed) => break,
                    }
                }
            }
        }
        (self, Instant::now())
    }

    /// Hands in and takes note of receipts until the engine ends the connection.
    pub(crate) async fn submit(&mut self) {
        self.attempt.submit().await;
        let until = Instant::now() + PATIENCE;
        while let Ok(Some(update)) = timeout_at(until, self.attempt.next()).await {
            self.history.lock().note(update);
        }
    }

    /// Compares with the store, and with what the engine says is in it, once
    /// everything should be saved.
    pub(crate) async fn check_settled(&self, stored: Option<&StoredAttempt>) -> Vec<String> {
        let Some(stored) = stored else {
            return vec![format!("c{}: the attempt is not stored", self.number)];
        };
        let told = self.answers().await;
        let history = self.history.lock();
        let mut violations = history.check_settled(stored);
        if let Some(why) = &history.closed {
            violations.push(format!("c{}: gave up, {why}", self.number));
        }
        if history.waiting() > 0 {
            let waiting = history.waiting();
            violations.push(format!("c{}: {waiting} answers are not saved", self.number));
        }
        match told {
            Ok(told) if told == stored.answers => {}
            Ok(_) => violations.push(format!(
                "c{}: the engine tells other answers than are stored",
                self.number
            )),
            Err(error) => violations.push(format!("c{}: {error:#}", self.number)),
        }
        violations
    }

    /// Compares with the store once everyone has handed in.
    pub(crate) fn check_submitted(&self, stored: Option<&StoredAttempt>) -> Vec<String> {
        let Some(stored) = stored else {
            return vec![format!("c{}: the attempt is not stored", self.number)];
        };
        let history = self.history.lock();
        let mut violations = history.check_settled(stored);
        if !["submitted", "graded"].contains(&stored.status.as_str()) {
            violations.push(format!("c{}: its status is {}", self.number, stored.status));
        }
        match (history.receipts.as_slice(), &stored.receipt) {
            ([], _) => violations.push(format!("c{}: no receipt came", self.number)),
            (_, None) => violations.push(format!("c{}: no receipt is stored", self.number)),
            (came, Some(stored)) if came.iter().all(|receipt| receipt == stored) => {}
            (_, Some(_)) => {
                violations.push(format!("c{}: another receipt is stored", self.number));
            }
        }
        violations
    }

    /// The stored answers, as the engine tells them.
    async fn answers(&self) -> anyhow::Result<BTreeMap<String, StoredAnswer>> {
        let (attempt, token) = (&self.attempt.id, &self.attempt.token);
        let stored = self.client.answers(attempt, token).await;
        let stored = stored.context("read the answers")?;
        let answers = stored.answers.into_iter().map(|(question, answer)| {
            let (value, rev) = (answer.value, u64::from(answer.rev));
            (question, StoredAnswer { value, rev })
        });
        Ok(answers.collect())
    }

    async fn give(&mut self, question: usize) {
        let value = self.history.lock().give(question);
        let ticket = self.attempt.answer(&question_id(question), value).await;
        debug_assert_eq!(
            usize::try_from(ticket).ok(),
            Some(self.history.lock().given())
        );
    }

    /// Notices something that an exam would want to know.
    async fn report(&mut self) {
        let (kind, name, at) = {
            let mut history = self.history.lock();
            let (kind, name) = history.events.next();
            (kind, name, history.engine_ms())
        };
        let data = [("name".to_owned(), name.into())].into_iter().collect();
        self.attempt.event(kind, at, Some(data)).await;
    }

    async fn note(&mut self, update: Option<Update>) {
        let Some(update) = update else {
            let mut history = self.history.lock();
            let ended = || "the client ended".to_owned();
            history.closed.get_or_insert_with(ended);
            return;
        };
        let (again, seen) = {
            let mut history = self.history.lock();
            (history.note(update), history.seen())
        };
        for notice in seen {
            self.attempt.seen(&notice).await;
        }
        if let Some(question) = again {
            self.give(question).await;
        }
    }
}
