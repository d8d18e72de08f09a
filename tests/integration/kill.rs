//! Saved means saved: the engine dies at random moments under load, and no answer that it
//! called saved is ever missing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use invigil_client::{ApiClient, ClientAttempt, ClientOptions, ClientUpdate, Ticket};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};
use tokio_util::task::TaskTracker;

use crate::{
    dice::Dice,
    harness::{PATIENCE, Server, Site, exam, free_port, question, roll_dice, until},
    postgres_server::Database,
};

const CANDIDATES: usize = 40;
const QUESTIONS: usize = 30;
const KILLS: usize = 20;

/// Answers a second of one candidate, about.
const PACE: Duration = Duration::from_millis(100);

/// By question, the number in the newest answer.
type Newest = HashMap<String, u64>;

/// The answers of one candidate, and the replies to them.
#[derive(Debug, Default)]
struct Record {
    sent: Newest,
    saved: Newest,
    unsaved: HashMap<Ticket, (String, u64)>,
    /// Replies that no candidate should get here.
    faults: Vec<ClientUpdate>,
    submitted: bool,
}

/// A candidate and the record of their answers.
struct Candidate {
    client: ApiClient,
    attempt: String,
    token: String,
    record: Arc<Mutex<Record>>,
    deadline_at: i64,
}

impl Candidate {
    fn saved(&self) -> Newest {
        self.record.lock().unwrap().saved.clone()
    }

    /// The stored answers as numbers.
    async fn stored(&self) -> Newest {
        let deadline = Instant::now() + PATIENCE;
        let stored = loop {
            match self.client.fetch_answers(&self.attempt, &self.token).await {
                Ok(stored) => break stored,
                Err(error) => assert!(Instant::now() < deadline, "no answers: {error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let answers = stored.answers.into_iter();
        answers
            .map(|(question, answer)| (question, number(&answer.value)))
            .collect()
    }

    /// Every answer saved by then is stored, or a later answer of this candidate is.
    async fn check(&self, saved: &Newest, round: usize) {
        let stored = self.stored().await;
        let sent = self.record.lock().unwrap().sent.clone();
        for (question, saved) in saved {
            let found = stored.get(question).copied().unwrap_or_default();
            assert!(
                (*saved..=sent[question]).contains(&found),
                "after kill {round}: {question} of attempt {} was called saved with {saved}, \
                 {} was sent last, {found} is stored",
                self.attempt,
                sent[question],
            );
        }
    }

    /// Every answer that was sent is stored, and no time is lost or won except for outages
    /// of `away` at most.
    async fn check_all(&self, away: Duration) {
        until(
            "everything to be saved",
            async || self.record.lock().unwrap().unsaved.clone(),
            HashMap::is_empty,
        )
        .await;
        let stored = self.stored().await;
        {
            let record = self.record.lock().unwrap();
            assert_eq!(record.faults, [], "nobody else wrote");
            assert_eq!(stored, record.sent, "all that was sent is stored");
        }
        let view = self.client.fetch_view(&self.attempt).await.unwrap();
        let given = view.deadline_at.unwrap() - self.deadline_at;
        let most = i64::try_from(away.as_millis()).unwrap();
        assert!(
            (0..=most).contains(&given),
            "{given} ms of {most} given back"
        );
    }
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

/// The present task of all candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Answer,
    Wait,
    HandIn,
}

/// Answers at random until it may hand in.
async fn take(
    mut attempt: ClientAttempt,
    record: Arc<Mutex<Record>>,
    mut phase: watch::Receiver<Phase>,
    mut dice: Dice,
) {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut numbers = 0..;
    let mut handed_in = false;
    loop {
        let now = *phase.borrow_and_update();
        if now == Phase::HandIn && !handed_in {
            attempt.submit().await;
            handed_in = true;
        }
        tokio::select! {
            update = attempt.next_update() => match update {
                Some(update) => note(&mut record.lock().unwrap(), update),
                None => return,
            },
            Ok(()) = phase.changed() => {}
            _ = pace.tick(), if now == Phase::Answer => {
                let (question, number) = (question(dice.below(QUESTIONS)), numbers.next().unwrap());
                let number = number + 1;
                // The entry comes before the send, so that no answer is stored unnoticed.
                record.lock().unwrap().sent.insert(question.clone(), number);
                let ticket = attempt.answer_question(&question, json!(number.to_string())).await;
                let unsaved = (question, number);
                record.lock().unwrap().unsaved.insert(ticket, unsaved);
            }
        }
    }
}

fn note(record: &mut Record, update: ClientUpdate) {
    match update {
        ClientUpdate::Saved(tickets) => {
            for ticket in tickets {
                if let Some((question, number)) = record.unsaved.remove(&ticket) {
                    let newest = record.saved.entry(question).or_default();
                    *newest = number.max(*newest);
                }
            }
        }
        ClientUpdate::Submitted(_) => record.submitted = true,
        ClientUpdate::Refused { .. }
        | ClientUpdate::Unheard { .. }
        | ClientUpdate::Conflict { .. } => {
            record.faults.push(update);
        }
        // A close after a hand-in has code 1000.
        ClientUpdate::Closed { code, .. } if code != 1000 => record.faults.push(update),
        ClientUpdate::Closed { .. }
        | ClientUpdate::Entered(_)
        | ClientUpdate::Timing { .. }
        | ClientUpdate::Open { .. }
        | ClientUpdate::Message(_) => {}
    }
}

async fn enter(
    server: &Server,
    number: usize,
    phase: watch::Receiver<Phase>,
    dice: Dice,
    tasks: &TaskTracker,
) -> Candidate {
    let (client, started) = server.begin(number).await;
    let attempt = ClientAttempt::connect(&client, &started, ClientOptions::default(), tasks);
    let record = Arc::new(Mutex::new(Record::default()));
    tasks.spawn(take(attempt, Arc::clone(&record), phase, dice));
    let view = until(
        "the clock to run",
        || async { client.fetch_view(&started.attempt).await.unwrap() },
        |view| view.deadline_at.is_some(),
    )
    .await;
    Candidate {
        client,
        attempt: started.attempt,
        token: started.token,
        record,
        deadline_at: view.deadline_at.unwrap(),
    }
}

/// Kills and restarts the engine again and again.
async fn survive(site: &Site, kills: usize) {
    let mut dice = roll_dice();
    let port = free_port();
    let mut server = site.start_on(port).await;
    let (phase, watching) = watch::channel(Phase::Answer);
    let tasks = TaskTracker::new();
    let entering: Vec<_> = (0..CANDIDATES)
        .map(|number| enter(&server, number, watching.clone(), dice.fork(), &tasks))
        .collect();
    let candidates = join_all(entering).await;

    let mut away = Duration::ZERO;
    for round in 1..=kills {
        let before = saved_count(&candidates);
        tokio::time::sleep(Duration::from_millis(dice.next() % 1_000)).await;
        // Some rounds die in the middle of coming back, before anything is saved.
        if dice.below(4) > 0 {
            until(
                "something to be saved",
                async || saved_count(&candidates),
                |now| *now > before,
            )
            .await;
        }
        let died = Instant::now();
        server.kill().await;
        phase.send_replace(Phase::Wait);
        let saved: Vec<_> = candidates.iter().map(Candidate::saved).collect();
        server = site.start_on(port).await;
        // The engine writes a sign of life every second, so one more may be known.
        away += died.elapsed() + Duration::from_secs(2);
        let checks = candidates.iter().zip(&saved);
        join_all(checks.map(|(candidate, saved)| candidate.check(saved, round))).await;
        phase.send_replace(Phase::Answer);
    }
    println!(
        "{} answers were saved in {kills} lives",
        saved_count(&candidates)
    );

    phase.send_replace(Phase::Wait);
    for candidate in &candidates {
        candidate.check_all(away).await;
    }

    phase.send_replace(Phase::HandIn);
    for candidate in &candidates {
        until(
            "the hand-in",
            async || candidate.record.lock().unwrap().submitted,
            |submitted| *submitted,
        )
        .await;
    }
    tasks.close();
    assert!(tokio::time::timeout(PATIENCE, tasks.wait()).await.is_ok());
    assert!(server.stop().await.success());
}

fn saved_count(candidates: &[Candidate]) -> u64 {
    let newest = candidates.iter().map(|candidate| {
        let record = candidate.record.lock().unwrap();
        record.saved.values().copied().max().unwrap_or_default()
    });
    newest.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_called_saved_survives_kill_9() {
    survive(&Site::embedded(&exam("", QUESTIONS), CANDIDATES), KILLS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_called_saved_survives_kill_9_beside_postgresql() {
    let Some(database) = Database::create().await else {
        return;
    };
    let site = Site::postgres(&database.url, &exam("", QUESTIONS), CANDIDATES).await;
    survive(&site, KILLS).await;
    database.remove().await;
}
