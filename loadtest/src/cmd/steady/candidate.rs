//! A candidate of a steady run, with its answers for the comparison.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use invigil_client::{
    ApiClient, AttemptPaper, ClientAttempt, ClientOptions, ClientUpdate, Ticket,
    protocol::paper::PaperQuestion, sample,
};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use crate::util::pace::SendPace;

/// Timeout of entering and of handing in.
const ENTER_TIMEOUT: Duration = Duration::from_mins(1);

/// Time after the last answer in which everything must be saved.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(1);

/// The questions, shared by all candidates.
pub(crate) type SharedQuestions = Arc<[PaperQuestion]>;

/// An answer that was sent.
#[derive(Debug)]
struct SentAnswer {
    due: Instant,
    /// Index of the question, and number of the answer's value.
    question: usize,
    variant: u32,
    fate: SentFate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SentFate {
    Unknown,
    Saved { after: Duration },
    Void,
}

impl SentFate {
    const fn is_saved(self) -> bool {
        match self {
            Self::Saved { .. } => true,
            Self::Unknown | Self::Void => false,
        }
    }
}

/// A candidate; see the module.
pub(crate) struct SteadyCandidate {
    id: String,
    client: ApiClient,
    attempt: ClientAttempt,
    questions: SharedQuestions,
    /// By ticket; the first ticket is 1.
    sent: Vec<SentAnswer>,
    /// Number of answers sent too late.
    pub(crate) missed: u64,
    /// Refusals by code, conflicts among them.
    pub(crate) refused: BTreeMap<String, u64>,
    closed: bool,
}

/// Result of a comparison.
pub(crate) struct CheckSummary {
    pub(crate) compared: u64,
    pub(crate) differences: Vec<String>,
}

impl SteadyCandidate {
    /// Signs in, starts the exam and waits for `welcome`.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of it is needed to begin, once"
    )]
    pub(crate) async fn enter_exam(
        http: reqwest::Client,
        base: &str,
        exam: &str,
        id: &str,
        code: &str,
        options: ClientOptions,
        questions: Option<SharedQuestions>,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let client = ApiClient::sign_in_with(http, base, id, code)
            .await
            .context("sign in")?;
        let started = client
            .start_attempt(exam, None)
            .await
            .context("start the attempt")?;
        let mut attempt = ClientAttempt::connect(&client, &started, options, tasks);
        let welcome = timeout(ENTER_TIMEOUT, async {
            loop {
                match attempt.next_update().await {
                    Some(ClientUpdate::Entered(welcome)) => return Ok(welcome),
                    Some(ClientUpdate::Closed { code, detail }) => {
                        bail!("closed with {code}: {}", detail.unwrap_or_default())
                    }
                    Some(_) => {}
                    None => bail!("the client ended"),
                }
            }
        });
        let welcome = welcome.await.context("wait for `welcome`")??;
        if welcome.record.version > 0 {
            // An attempt of an earlier run: its revisions must not cause conflicts.
            let stored = client.fetch_answers(&attempt.id, &attempt.token).await?;
            for (question, answer) in &stored.answers {
                attempt.set_revision(question, answer.rev).await;
            }
        }
        let questions = match questions {
            Some(questions) => questions,
            None => match client
                .fetch_paper(&welcome.paper.url, &attempt.token)
                .await?
            {
                AttemptPaper::Open(paper) => paper
                    .sections
                    .into_iter()
                    .flat_map(|section| section.questions)
                    .collect(),
                AttemptPaper::Sealed(_) => bail!("the exam has not opened"),
            },
        };
        Ok(Self {
            id: id.to_owned(),
            client,
            attempt,
            questions,
            sent: Vec::new(),
            missed: 0,
            refused: BTreeMap::new(),
            closed: false,
        })
    }

    pub(crate) fn questions(&self) -> SharedQuestions {
        Arc::clone(&self.questions)
    }

    /// Sends answers when they are due, then waits until all are settled.
    pub(crate) async fn answer_at_pace(mut self, pace: SendPace, number: u32) -> Self {
        for nth in 0.. {
            let Some(due) = pace.due_at(number, nth) else {
                break;
            };
            self.wait_until(due).await;
            if self.closed {
                return self;
            }
            // Through the questions in order, from a different one for each candidate.
            let question = (nth as usize + number as usize) % self.questions.len();
            let (variant, asked) = (nth + number, &self.questions[question]);
            let value = sample::nth_answer(asked, variant);
            self.sent.push(SentAnswer {
                due,
                question,
                variant,
                fate: SentFate::Unknown,
            });
            let ticket = self.attempt.answer_question(&asked.id, value).await;
            debug_assert_eq!(ticket, self.sent.len() as Ticket);
            self.missed += u64::from(SendPace::is_missed(due));
        }
        let patience = Instant::now() + SETTLE_TIMEOUT;
        while self.unsettled_count() > 0 && !self.closed && Instant::now() < patience {
            match timeout_at(patience, self.attempt.next_update()).await {
                Ok(update) => self.note_update(update),
                Err(_elapsed) => break,
            }
        }
        self
    }

    /// Hands in and waits for the receipt.
    pub(crate) async fn submit(&mut self) -> anyhow::Result<()> {
        self.attempt.submit().await;
        let submitted = async {
            loop {
                match self.attempt.next_update().await {
                    Some(ClientUpdate::Submitted(_)) => return Ok(()),
                    None | Some(ClientUpdate::Closed { .. }) => bail!("{}: no receipt", self.id),
                    Some(_) => {}
                }
            }
        };
        timeout(ENTER_TIMEOUT, submitted)
            .await
            .context("wait for the receipt")?
    }

    /// Latencies of saved answers, from their due time.
    pub(crate) fn latencies(&self) -> impl Iterator<Item = Duration> + '_ {
        self.sent.iter().filter_map(|sent| match sent.fate {
            SentFate::Saved { after } => Some(after),
            SentFate::Unknown | SentFate::Void => None,
        })
    }

    pub(crate) fn sent_count(&self) -> u64 {
        self.sent.len() as u64
    }

    /// Number of sent answers neither saved nor refused.
    pub(crate) fn unsettled_count(&self) -> u64 {
        // They are nearly always the last ones.
        self.sent
            .iter()
            .rev()
            .filter(|sent| sent.fate == SentFate::Unknown)
            .count() as u64
    }

    /// Compares the answers reported as saved with the stored ones.
    pub(crate) async fn check_stored(&mut self) -> anyhow::Result<CheckSummary> {
        let stored = self
            .client
            .fetch_answers(&self.attempt.id, &self.attempt.token)
            .await?;
        let asked: BTreeSet<usize> = self.sent.iter().map(|sent| sent.question).collect();
        let mut checked = CheckSummary {
            compared: 0,
            differences: Vec::new(),
        };
        for question in asked {
            let to_it: Vec<&SentAnswer> = self
                .sent
                .iter()
                .filter(|sent| sent.question == question)
                .collect();
            let Some(last) = to_it.iter().rposition(|sent| sent.fate.is_saved()) else {
                continue;
            };
            checked.compared += 1;
            // A later answer that was never settled may be stored instead.
            let mut possible = to_it[last..]
                .iter()
                .filter(|sent| sent.fate != SentFate::Void);
            let asked = &self.questions[question];
            let value = stored.answers.get(&asked.id).map(|answer| &answer.value);
            if !possible.any(|sent| Some(&sample::nth_answer(asked, sent.variant)) == value) {
                let what = format!("{}, {}: saved, but stored is {value:?}", self.id, asked.id);
                checked.differences.push(what);
            }
        }
        Ok(checked)
    }

    async fn wait_until(&mut self, due: Instant) {
        while !self.closed {
            tokio::select! {
                biased;
                update = self.attempt.next_update() => self.note_update(update),
                () = sleep_until(due) => return,
            }
        }
    }

    fn note_update(&mut self, update: Option<ClientUpdate>) {
        match update {
            Some(ClientUpdate::Saved(tickets)) => {
                let now = Instant::now();
                for ticket in tickets {
                    if let Some(sent) = self.by_ticket(ticket) {
                        sent.fate = SentFate::Saved {
                            after: now.duration_since(sent.due),
                        };
                    }
                }
            }
            Some(ClientUpdate::Refused { ticket, refused }) => {
                self.void_answer(ticket, refused.code.as_str());
            }
            Some(ClientUpdate::Unheard { ticket }) => self.void_answer(ticket, "unheard"),
            Some(ClientUpdate::Conflict { ticket, .. }) => self.void_answer(ticket, "conflict"),
            Some(ClientUpdate::Closed { .. }) | None => self.closed = true,
            Some(
                ClientUpdate::Entered(_)
                | ClientUpdate::Timing { .. }
                | ClientUpdate::Open { .. }
                | ClientUpdate::Message(_)
                | ClientUpdate::Submitted(_),
            ) => {}
        }
    }

    fn void_answer(&mut self, ticket: Ticket, code: &str) {
        *self.refused.entry(code.to_owned()).or_default() += 1;
        if let Some(sent) = self.by_ticket(ticket) {
            sent.fate = SentFate::Void;
        }
    }

    fn by_ticket(&mut self, ticket: Ticket) -> Option<&mut SentAnswer> {
        let index = usize::try_from(ticket).ok()?.checked_sub(1)?;
        self.sent.get_mut(index)
    }
}
