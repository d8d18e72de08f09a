//! One candidate of a run, and what it remembers to be able to check.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use invigil_client::{
    Attempt, Client, Options, Paper, Ticket, Update, protocol::paper::Question, sample,
};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use crate::util::pace::Pace;

/// How long entering, or handing in, may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long after the last answer everything must be saved.
const DRAIN: Duration = Duration::from_mins(1);

/// The questions that are answered, for everyone.
pub(crate) type Questions = Arc<[Question]>;

/// An answer that was sent.
#[derive(Debug)]
struct Sent {
    due: Instant,
    /// Index of the question, and which answer to it.
    question: usize,
    variant: u32,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    Saved { after: Duration },
    Void,
}

impl Fate {
    const fn is_saved(self) -> bool {
        match self {
            Self::Saved { .. } => true,
            Self::Unknown | Self::Void => false,
        }
    }
}

/// See the module.
pub(crate) struct Candidate {
    id: String,
    client: Client,
    attempt: Attempt,
    questions: Questions,
    /// By ticket; the first ticket is 1.
    sent: Vec<Sent>,
    /// Answers that went out too late.
    pub(crate) missed: u64,
    /// Refusals by code, conflicts among them.
    pub(crate) refused: BTreeMap<String, u64>,
    closed: bool,
}

/// What comparing found.
pub(crate) struct Checked {
    pub(crate) compared: u64,
    pub(crate) differences: Vec<String>,
}

impl Candidate {
    /// Signs in, starts the exam and waits for `welcome`.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of it is needed to begin, once"
    )]
    pub(crate) async fn enter(
        http: reqwest::Client,
        base: &str,
        exam: &str,
        id: &str,
        code: &str,
        options: Options,
        questions: Option<Questions>,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let client = Client::login_with(http, base, id, code)
            .await
            .context("sign in")?;
        let started = client
            .start(exam, None)
            .await
            .context("start the attempt")?;
        let mut attempt = Attempt::take(&client, &started, options, tasks);
        let welcome = timeout(PATIENCE, async {
            loop {
                match attempt.next().await {
                    Some(Update::Entered(welcome)) => return Ok(welcome),
                    Some(Update::Closed { code, detail }) => {
                        bail!("closed with {code}: {}", detail.unwrap_or_default())
                    }
                    Some(_) => {}
                    None => bail!("the connection ended"),
                }
            }
        });
        let welcome = welcome.await.context("wait for `welcome`")??;
        if welcome.record.version > 0 {
            // An attempt of an earlier run: its revisions are not to be conflicts.
            let stored = client.answers(&attempt.id, &attempt.token).await?;
            for (question, answer) in &stored.answers {
                attempt.know(question, answer.rev).await;
            }
        }
        let questions = match questions {
            Some(questions) => questions,
            None => match client.paper(&welcome.paper.url, &attempt.token).await? {
                Paper::Open(paper) => paper
                    .sections
                    .into_iter()
                    .flat_map(|section| section.questions)
                    .collect(),
                Paper::Sealed(_) => bail!("the exam has not opened"),
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

    pub(crate) fn questions(&self) -> Questions {
        Arc::clone(&self.questions)
    }

    /// Sends what is due, and then waits until all of it is settled.
    pub(crate) async fn answer(mut self, pace: Pace, number: u32) -> Self {
        for nth in 0.. {
            let Some(due) = pace.due(number, nth) else {
                break;
            };
            self.wait_until(due).await;
            if self.closed {
                return self;
            }
            // From one to the next question, beginning anywhere.
            let question = (nth as usize + number as usize) % self.questions.len();
            let (variant, asked) = (nth + number, &self.questions[question]);
            let value = sample::answer(asked, variant);
            self.sent.push(Sent {
                due,
                question,
                variant,
                fate: Fate::Unknown,
            });
            let ticket = self.attempt.answer(&asked.id, value).await;
            debug_assert_eq!(ticket, self.sent.len() as Ticket);
            self.missed += u64::from(Pace::is_missed(due));
        }
        let patience = Instant::now() + DRAIN;
        while self.unsettled() > 0 && !self.closed && Instant::now() < patience {
            match timeout_at(patience, self.attempt.next()).await {
                Ok(update) => self.note(update),
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
                match self.attempt.next().await {
                    Some(Update::Submitted(_)) => return Ok(()),
                    None | Some(Update::Closed { .. }) => bail!("{}: no receipt", self.id),
                    Some(_) => {}
                }
            }
        };
        timeout(PATIENCE, submitted)
            .await
            .context("wait for the receipt")?
    }

    /// Latencies of what was saved, from when it was due.
    pub(crate) fn latencies(&self) -> impl Iterator<Item = Duration> + '_ {
        self.sent.iter().filter_map(|sent| match sent.fate {
            Fate::Saved { after } => Some(after),
            Fate::Unknown | Fate::Void => None,
        })
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.len() as u64
    }

    /// Answers that were sent and neither saved nor refused.
    pub(crate) fn unsettled(&self) -> u64 {
        // Nearly always the last ones.
        self.sent
            .iter()
            .rev()
            .filter(|sent| sent.fate == Fate::Unknown)
            .count() as u64
    }

    /// Compares what was called saved with what is stored.
    pub(crate) async fn check(&mut self) -> anyhow::Result<Checked> {
        let stored = self
            .client
            .answers(&self.attempt.id, &self.attempt.token)
            .await?;
        let asked: BTreeSet<usize> = self.sent.iter().map(|sent| sent.question).collect();
        let mut checked = Checked {
            compared: 0,
            differences: Vec::new(),
        };
        for question in asked {
            let to_it: Vec<&Sent> = self
                .sent
                .iter()
                .filter(|sent| sent.question == question)
                .collect();
            let Some(last) = to_it.iter().rposition(|sent| sent.fate.is_saved()) else {
                continue;
            };
            checked.compared += 1;
            // What was sent later and never settled may be stored too.
            let mut possible = to_it[last..].iter().filter(|sent| sent.fate != Fate::Void);
            let asked = &self.questions[question];
            let value = stored.answers.get(&asked.id).map(|answer| &answer.value);
            if !possible.any(|sent| Some(&sample::answer(asked, sent.variant)) == value) {
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
                update = self.attempt.next() => self.note(update),
                () = sleep_until(due) => return,
            }
        }
    }

    fn note(&mut self, update: Option<Update>) {
        match update {
            Some(Update::Saved(tickets)) => {
                let now = Instant::now();
                for ticket in tickets {
                    if let Some(sent) = self.by_ticket(ticket) {
                        sent.fate = Fate::Saved {
                            after: now.duration_since(sent.due),
                        };
                    }
                }
            }
            Some(Update::Refused { ticket, refused }) => self.void(ticket, refused.code.as_str()),
            Some(Update::Unheard { ticket }) => self.void(ticket, "unheard"),
            Some(Update::Conflict { ticket, .. }) => self.void(ticket, "conflict"),
            Some(Update::Closed { .. }) | None => self.closed = true,
            Some(
                Update::Entered(_)
                | Update::Timing { .. }
                | Update::Open { .. }
                | Update::Message(_)
                | Update::Submitted(_),
            ) => {}
        }
    }

    fn void(&mut self, ticket: Ticket, code: &str) {
        *self.refused.entry(code.to_owned()).or_default() += 1;
        if let Some(sent) = self.by_ticket(ticket) {
            sent.fate = Fate::Void;
        }
    }

    fn by_ticket(&mut self, ticket: Ticket) -> Option<&mut Sent> {
        let index = usize::try_from(ticket).ok()?.checked_sub(1)?;
        self.sent.get_mut(index)
    }
}
