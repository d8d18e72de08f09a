//! Simulated candidates of the sample exam. They answer as slowly as people and
//! leave the page now and then, so that a console has something to show.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use invigil_client::{
    ApiClient, AttemptPaper, ClientAttempt, ClientOptions, ClientUpdate,
    protocol::{candidate::ServerMessage, paper::PaperQuestion},
    sample,
};
use invigil_domain::roster::{self, RosterEntry};
use invigil_engine::EngineClock;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

/// Least time between two answers; each candidate adds to it.
const THINKING: Duration = Duration::from_secs(4);

/// Answers after which a candidate leaves the page.
const ANSWERS_PER_GLANCE: u32 = 5;

/// Time for which a candidate leaves the page.
const GLANCE: Duration = Duration::from_secs(2);

/// Time until a candidate acknowledges a notice.
const READING: Duration = Duration::from_secs(3);

/// Returns `count` candidates who are enrolled in one exam.
pub(super) fn roster_entries(count: u16, exam: &str) -> Vec<RosterEntry> {
    let person = |n| format!("sim-{n},Sim {n},,candidate,simulated-{n},{exam}\n");
    let people: String = (1..=count).map(person).collect();
    roster::parse_roster(&format!("id,name,email,role,code,exams\n{people}"))
        .expect("the roster is valid")
}

/// Starts a task for each candidate, which takes the exam on the engine at `address`.
pub(super) fn start_candidates(people: Vec<RosterEntry>, address: SocketAddr, exam: &str) {
    let base = format!("http://{address}");
    let tasks = TaskTracker::new();
    for (entry, thinking) in people.into_iter().zip(1..) {
        let (base, exam) = (base.clone(), exam.to_owned());
        let thinking = THINKING + Duration::from_millis(700) * thinking;
        let sockets = tasks.clone();
        tasks.spawn(async move {
            let name = entry.person.id.to_string();
            match take_exam(&entry, &base, &exam, thinking, &sockets).await {
                Ok(()) => tracing::info!(name, "a simulated candidate has ended"),
                Err(error) => tracing::warn!(name, "a simulated candidate failed: {error:#}"),
            }
        });
    }
}

async fn take_exam(
    entry: &RosterEntry,
    base: &str,
    exam: &str,
    thinking: Duration,
    tasks: &TaskTracker,
) -> anyhow::Result<()> {
    let id = entry.person.id.as_str();
    let client = ApiClient::sign_in(base, id, &entry.code)
        .await
        .context("sign in")?;
    let started = client.start_attempt(exam, None).await.context("start")?;
    let attempt = ClientAttempt::connect(
        &client,
        &started,
        ClientOptions {
            device: Some(format!("{id}-device")),
            ..ClientOptions::default()
        },
        tasks,
    );
    let mut candidate = DemoCandidate {
        attempt,
        questions: Vec::new(),
        answers: 0,
        unread: None,
        away: false,
        clock: EngineClock::system(),
    };
    let mut next = Instant::now() + thinking;
    loop {
        tokio::select! {
            update = candidate.attempt.next_update() => match update {
                Some(ClientUpdate::Entered(welcome)) if candidate.questions.is_empty() => {
                    let paper = client.fetch_paper(&welcome.paper.url, &started.token).await;
                    if let AttemptPaper::Open(paper) = paper.context("read the paper")? {
                        let sections = paper.sections.into_iter();
                        candidate.questions = sections.flat_map(|all| all.questions).collect();
                    }
                }
                Some(ClientUpdate::Message(message)) => candidate.note_notice(&message),
                Some(ClientUpdate::Submitted(_) | ClientUpdate::Closed { .. }) | None => {
                    return Ok(());
                }
                Some(_) => {}
            },
            () = sleep_until(next) => {
                next = Instant::now() + candidate.perform_step(thinking).await;
            }
        }
    }
}

struct DemoCandidate {
    attempt: ClientAttempt,
    questions: Vec<PaperQuestion>,
    answers: u32,
    /// A notice to acknowledge, and the instant it arrived.
    unread: Option<(String, Instant)>,
    away: bool,
    clock: EngineClock,
}

impl DemoCandidate {
    fn note_notice(&mut self, message: &ServerMessage) {
        if let ServerMessage::Notice(notice) = message
            && notice.ack
        {
            self.unread = Some((notice.id.clone(), Instant::now()));
        }
    }

    /// Performs the next step; returns the time until the following one.
    async fn perform_step(&mut self, thinking: Duration) -> Duration {
        if let Some((notice, _)) = self.unread.take_if(|(_, since)| since.elapsed() >= READING) {
            self.attempt.acknowledge_notice(&notice).await;
        }
        let now = self.clock.now().as_ms();
        if std::mem::take(&mut self.away) {
            self.attempt.report_event("focus_gained", now, None).await;
            return thinking;
        }
        if !self.questions.is_empty() {
            let question = &self.questions[self.answers as usize % self.questions.len()];
            let value = sample::nth_answer(question, self.answers);
            self.attempt.answer_question(&question.id, value).await;
            self.answers += 1;
            if self.answers.is_multiple_of(ANSWERS_PER_GLANCE) {
                self.attempt.report_event("focus_lost", now, None).await;
                self.away = true;
                return GLANCE;
            }
        }
        thinking
    }
}
