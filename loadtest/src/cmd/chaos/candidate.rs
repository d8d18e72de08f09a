//! A candidate with the real SDK, who answers at a steady rate under all faults.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use invigil_client::{ApiClient, ClientAttempt, ClientOptions, ClientUpdate, protocol::Encoding};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;

use super::{
    database::{DatabaseAnswer, DatabaseAttempt},
    dice::SeededRandom,
    exam::{EXAM, QUESTIONS},
    history::{CandidateHistory, question_id},
};

/// Timeout of entering and of handing in.
const ENTER_TIMEOUT: Duration = Duration::from_mins(1);

/// Answers for each integrity event.
const ANSWERS_PER_EVENT: usize = 5;

/// Phase of a run, for its candidates.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CandidatePhase {
    Answer,
    /// No more answers; those given must be saved by this time.
    SettleBy(Instant),
}

/// A history shared with the checks.
#[derive(Debug, Clone)]
pub(crate) struct SharedHistory(Arc<Mutex<CandidateHistory>>);

impl SharedHistory {
    pub(crate) fn lock(&self) -> MutexGuard<'_, CandidateHistory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A candidate; see the module.
pub(crate) struct ChaosCandidate {
    pub(crate) number: usize,
    client: ApiClient,
    attempt: ClientAttempt,
    pub(crate) history: SharedHistory,
    dice: SeededRandom,
}

impl ChaosCandidate {
    /// Signs in, starts the exam and waits for `welcome`.
    pub(crate) async fn enter_exam(
        http: reqwest::Client,
        base: &str,
        number: usize,
        seed: u64,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let (id, code) = (format!("load-{number:05}"), format!("code-{number:05}"));
        let client = ApiClient::sign_in_with(http, base, &id, &code).await?;
        let started = client.start_attempt(EXAM, None).await?;
        let options = ClientOptions {
            // Half of the candidates use each encoding.
            encoding: if number.is_multiple_of(2) {
                Encoding::Json
            } else {
                Encoding::MessagePack
            },
            device: Some(id),
            ..ClientOptions::default()
        };
        let mut candidate = Self {
            number,
            attempt: ClientAttempt::connect(&client, &started, options, tasks),
            client,
            history: SharedHistory(Arc::new(Mutex::new(CandidateHistory::new(number)))),
            dice: SeededRandom::new(seed.wrapping_add(number as u64)),
        };
        let entering = async {
            loop {
                match candidate.attempt.next_update().await {
                    Some(update @ ClientUpdate::Entered(_)) => {
                        candidate.note_update(Some(update)).await;
                        return Ok(());
                    }
                    Some(ClientUpdate::Closed { code, .. }) => bail!("closed with {code}"),
                    Some(_) => {}
                    None => bail!("the client ended"),
                }
            }
        };
        timeout(ENTER_TIMEOUT, entering)
            .await
            .context("wait for `welcome`")??;
        Ok(candidate)
    }

    /// Id of the attempt.
    pub(crate) fn attempt_id(&self) -> &str {
        &self.attempt.id
    }

    /// Answers every `period` until the phase changes, then waits until everything is
    /// settled. Returns the time when it was.
    pub(crate) async fn keep_answering(
        mut self,
        period: Duration,
        mut phase: watch::Receiver<CandidatePhase>,
    ) -> (Self, Instant) {
        let mut due = Instant::now() + self.dice.duration_between(Duration::ZERO, period);
        loop {
            let now = *phase.borrow_and_update();
            if self.history.lock().closed.is_some() {
                break;
            }
            match now {
                CandidatePhase::Answer => tokio::select! {
                    update = self.attempt.next_update() => self.note_update(update).await,
                    changed = phase.changed() => if changed.is_err() { break },
                    () = sleep_until(due) => {
                        due += period;
                        let question = self.dice.pick_below(QUESTIONS);
                        self.give_answer(question).await;
                        if self.dice.pick_below(ANSWERS_PER_EVENT) == 0 {
                            self.report_event().await;
                        }
                    }
                },
                CandidatePhase::SettleBy(until) => {
                    if self.history.lock().is_settled() {
                        break;
                    }
                    match timeout_at(until, self.attempt.next_update()).await {
                        Ok(update) => self.note_update(update).await,
                        Err(_elapsed) => break,
                    }
                }
            }
        }
        (self, Instant::now())
    }

    /// Hands in, and notes receipts until the engine ends the connection.
    pub(crate) async fn submit(&mut self) {
        self.attempt.submit().await;
        let until = Instant::now() + ENTER_TIMEOUT;
        while let Ok(Some(update)) = timeout_at(until, self.attempt.next_update()).await {
            self.history.lock().note_update(update);
        }
    }

    /// Compares with the store, and with the engine's view of it, once everything
    /// should be saved.
    pub(crate) async fn check_settled(&self, stored: Option<&DatabaseAttempt>) -> Vec<String> {
        let Some(stored) = stored else {
            return vec![format!("c{}: the attempt is not stored", self.number)];
        };
        let told = self.engine_answers().await;
        let history = self.history.lock();
        let mut violations = history.check_settled(stored);
        if let Some(why) = &history.closed {
            violations.push(format!("c{}: the client ended, {why}", self.number));
        }
        if history.waiting_count() > 0 {
            let waiting = history.waiting_count();
            violations.push(format!("c{}: {waiting} answers are not saved", self.number));
        }
        match told {
            Ok(told) if told == stored.answers => {}
            Ok(_) => violations.push(format!(
                "c{}: the engine reports other answers than the stored ones",
                self.number
            )),
            Err(error) => violations.push(format!("c{}: {error:#}", self.number)),
        }
        violations
    }

    /// Compares with the store once all candidates have handed in.
    pub(crate) fn check_submitted(&self, stored: Option<&DatabaseAttempt>) -> Vec<String> {
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

    /// Returns the stored answers, as reported by the engine.
    async fn engine_answers(&self) -> anyhow::Result<BTreeMap<String, DatabaseAnswer>> {
        let (attempt, token) = (&self.attempt.id, &self.attempt.token);
        let stored = self.client.fetch_answers(attempt, token).await;
        let stored = stored.context("read the answers")?;
        let answers = stored.answers.into_iter().map(|(question, answer)| {
            let (value, rev) = (answer.value, u64::from(answer.rev));
            (question, DatabaseAnswer { value, rev })
        });
        Ok(answers.collect())
    }

    async fn give_answer(&mut self, question: usize) {
        let value = self.history.lock().give_answer(question);
        let ticket = self
            .attempt
            .answer_question(&question_id(question), value)
            .await;
        debug_assert_eq!(
            usize::try_from(ticket).ok(),
            Some(self.history.lock().given_count())
        );
    }

    /// Reports an integrity event.
    async fn report_event(&mut self) {
        let (kind, name, at) = {
            let mut history = self.history.lock();
            let (kind, name) = history.events.next_event();
            (kind, name, history.engine_ms())
        };
        let data = [("name".to_owned(), name.into())].into_iter().collect();
        self.attempt.report_event(kind, at, Some(data)).await;
    }

    async fn note_update(&mut self, update: Option<ClientUpdate>) {
        let Some(update) = update else {
            let mut history = self.history.lock();
            let ended = || "the client ended".to_owned();
            history.closed.get_or_insert_with(ended);
            return;
        };
        let (again, seen) = {
            let mut history = self.history.lock();
            (history.note_update(update), history.take_seen())
        };
        for notice in seen {
            self.attempt.acknowledge_notice(&notice).await;
        }
        if let Some(question) = again {
            self.give_answer(question).await;
        }
    }
}
