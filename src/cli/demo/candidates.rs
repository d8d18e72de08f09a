//! Simulated candidates: they take the sample exam as people would, slowly and
//! with a look elsewhere now and then, so that a console has something to show.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use invigil::{
    domain::roster::{self, RosterEntry},
    engine::Clock,
};
use invigil_client::{
    Attempt, Client, Options, Paper, Update,
    protocol::{candidate::ServerMessage, paper::Question},
    sample,
};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

/// Between two answers, at least; every candidate adds to it.
const THINKING: Duration = Duration::from_secs(4);

/// After so many answers a candidate looks elsewhere.
const ANSWERS_A_GLANCE: u32 = 5;

/// How long the candidate looks elsewhere.
const GLANCE: Duration = Duration::from_secs(2);

/// How long it takes to read a notice.
const READING: Duration = Duration::from_secs(3);

/// So many of them, who may take one exam.
pub(super) fn people(count: u16, exam: &str) -> Vec<RosterEntry> {
    let person = |n| format!("sim-{n},Sim {n},,candidate,simulated-{n},{exam}\n");
    let people: String = (1..=count).map(person).collect();
    roster::parse(&format!("id,name,email,role,code,exams\n{people}"))
        .expect("made by the rules of rosters")
}

/// Lets them take an exam of the engine at `address`, each until its end.
pub(super) fn begin(people: Vec<RosterEntry>, address: SocketAddr, exam: &str) {
    let base = format!("http://{address}");
    let tasks = TaskTracker::new();
    for (entry, thinking) in people.into_iter().zip(1..) {
        let (base, exam) = (base.clone(), exam.to_owned());
        let thinking = THINKING + Duration::from_millis(700) * thinking;
        let sockets = tasks.clone();
        tasks.spawn(async move {
            let name = entry.person.id.to_string();
            match take(&entry, &base, &exam, thinking, &sockets).await {
                Ok(()) => tracing::info!(name, "the simulated candidate is done"),
                Err(error) => tracing::warn!(name, "the simulated candidate ended: {error:#}"),
            }
        });
    }
}

async fn take(
    entry: &RosterEntry,
    base: &str,
    exam: &str,
    thinking: Duration,
    tasks: &TaskTracker,
) -> anyhow::Result<()> {
    let id = entry.person.id.as_str();
    let client = Client::login(base, id, &entry.code)
        .await
        .context("sign in")?;
    let started = client.start(exam, None).await.context("start")?;
    let attempt = Attempt::take(
        &client,
        &started,
        Options {
            device: Some(format!("{id}-device")),
            ..Options::default()
        },
        tasks,
    );
    let mut candidate = Candidate {
        attempt,
        questions: Vec::new(),
        answers: 0,
        unread: None,
        away: false,
        clock: Clock::system(),
    };
    let mut next = Instant::now() + thinking;
    loop {
        tokio::select! {
            update = candidate.attempt.next() => match update {
                Some(Update::Entered(welcome)) if candidate.questions.is_empty() => {
                    let paper = client.paper(&welcome.paper.url, &started.token).await;
                    if let Paper::Open(paper) = paper.context("read the paper")? {
                        let sections = paper.sections.into_iter();
                        candidate.questions = sections.flat_map(|all| all.questions).collect();
                    }
                }
                Some(Update::Message(message)) => candidate.hear(&message),
                Some(Update::Submitted(_) | Update::Closed { .. }) | None => return Ok(()),
                Some(_) => {}
            },
            () = sleep_until(next) => next = Instant::now() + candidate.act(thinking).await,
        }
    }
}

struct Candidate {
    attempt: Attempt,
    questions: Vec<Question>,
    answers: u32,
    /// A notice that waits for a yes, and when it came.
    unread: Option<(String, Instant)>,
    away: bool,
    clock: Clock,
}

impl Candidate {
    fn hear(&mut self, message: &ServerMessage) {
        if let ServerMessage::Notice(notice) = message
            && notice.ack
        {
            self.unread = Some((notice.id.clone(), Instant::now()));
        }
    }

    /// Does the next thing, and says how long it takes.
    async fn act(&mut self, thinking: Duration) -> Duration {
        if let Some((notice, _)) = self.unread.take_if(|(_, since)| since.elapsed() >= READING) {
            self.attempt.seen(&notice).await;
        }
        let now = self.clock.now().as_ms();
        if std::mem::take(&mut self.away) {
            self.attempt.event("focus_gained", now, None).await;
            return thinking;
        }
        if !self.questions.is_empty() {
            let question = &self.questions[self.answers as usize % self.questions.len()];
            let value = sample::answer(question, self.answers);
            self.attempt.answer(&question.id, value).await;
            self.answers += 1;
            if self.answers.is_multiple_of(ANSWERS_A_GLANCE) {
                self.attempt.event("focus_lost", now, None).await;
                self.away = true;
                return GLANCE;
            }
        }
        thinking
    }
}
