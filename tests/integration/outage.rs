//! The store goes away for a while and comes back: clients notice only that the word
//! `saved` is missing meanwhile.

use std::{
    io::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use invigil_client::{
    ApiClient, ClientAttempt, ClientOptions, ClientUpdate, protocol::candidate::ServerMessage,
};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{
    harness::{Server, Site, exam, question, setting, until},
    own_postgres::Postgres,
    servers::server_address,
};

const CANDIDATES: usize = 40;
const QUESTIONS: usize = 30;

/// Commands of one candidate a second: the allowed backlog lasts for longer than the
/// longest outage here.
const PACE: Duration = Duration::from_millis(250);

/// The counts of a candidate.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    saved: AtomicU64,
    entered: AtomicU64,
    warned: AtomicU64,
    faults: AtomicU64,
}

impl Counts {
    fn note(&self, update: &ClientUpdate) {
        let one = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        match update {
            ClientUpdate::Saved(tickets) => self
                .saved
                .fetch_add(tickets.len() as u64, Ordering::Relaxed),
            ClientUpdate::Entered(_) => one(&self.entered),
            ClientUpdate::Message(message) if matches!(**message, ServerMessage::Health(_)) => {
                one(&self.warned)
            }
            ClientUpdate::Message(_) | ClientUpdate::Timing { .. } => 0,
            ClientUpdate::Refused { .. }
            | ClientUpdate::Unheard { .. }
            | ClientUpdate::Conflict { .. }
            | ClientUpdate::Open { .. }
            | ClientUpdate::Submitted(_)
            | ClientUpdate::Closed { .. } => one(&self.faults),
        };
    }
}

struct Candidate {
    client: ApiClient,
    attempt: String,
    token: String,
    counts: Arc<Counts>,
}

impl Candidate {
    /// The last answer that was sent is the newest that is stored.
    async fn check(&self) {
        let stored = self.client.fetch_answers(&self.attempt, &self.token).await;
        let stored = stored.unwrap().answers;
        let newest = stored.values().map(|answer| answer.value.as_str().unwrap());
        let newest = newest.map(|value| value.parse::<u64>().unwrap()).max();
        let sent = self.counts.sent.load(Ordering::Relaxed);
        assert_eq!(newest, Some(sent - 1));
    }
}

/// Answers the questions in turn, for as long as it may.
async fn take(mut attempt: ClientAttempt, counts: Arc<Counts>, answering: Arc<AtomicBool>) {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut number = 0;
    loop {
        tokio::select! {
            update = attempt.next_update() => match update {
                Some(update) => counts.note(&update),
                None => return,
            },
            _ = pace.tick() => {
                if answering.load(Ordering::Relaxed) {
                    let value = json!(number.to_string());
                    counts.sent.fetch_add(1, Ordering::Relaxed);
                    attempt.answer_question(&question(number % QUESTIONS), value).await;
                    number += 1;
                }
            }
        }
    }
}

async fn enter(
    server: &Server,
    number: usize,
    answering: &Arc<AtomicBool>,
    tasks: &TaskTracker,
) -> Candidate {
    let (client, started) = server.begin(number).await;
    let attempt = ClientAttempt::connect(&client, &started, ClientOptions::default(), tasks);
    let counts = Arc::default();
    tasks.spawn(take(attempt, Arc::clone(&counts), Arc::clone(answering)));
    Candidate {
        client,
        attempt: started.attempt,
        token: started.token,
        counts,
    }
}

fn sum(candidates: &[Candidate], of: impl Fn(&Counts) -> &AtomicU64) -> u64 {
    let counts = candidates.iter().map(|candidate| of(&candidate.counts));
    counts.map(|count| count.load(Ordering::Relaxed)).sum()
}

/// Returns the lowest count of all candidates.
fn least(candidates: &[Candidate], of: impl Fn(&Counts) -> &AtomicU64) -> u64 {
    let counts = candidates.iter().map(|candidate| of(&candidate.counts));
    counts
        .map(|count| count.load(Ordering::Relaxed))
        .min()
        .unwrap_or(0)
}

/// Lets candidates answer while the store is taken away for a time and given back.
/// `silent`: no save at all is possible meanwhile.
async fn outlast(
    server: Server,
    outage: Duration,
    silent: bool,
    take_away: impl AsyncFnOnce(),
    give_back: impl AsyncFnOnce(),
) {
    let answering = Arc::new(AtomicBool::new(true));
    let tasks = TaskTracker::new();
    let entering = (0..CANDIDATES).map(|number| enter(&server, number, &answering, &tasks));
    let candidates = join_all(entering).await;
    until(
        "everyone to have something saved",
        async || least(&candidates, |counts| &counts.saved),
        |saved| *saved >= 4,
    )
    .await;
    let memory = server.memory();

    take_away().await;
    let warned = async || sum(&candidates, |counts| &counts.warned);
    until("everyone to be warned", warned, |warned| {
        *warned >= CANDIDATES as u64
    })
    .await;
    // Everything committed before is reported by now.
    let away = Instant::now();
    let saved = sum(&candidates, |counts| &counts.saved);
    let sent = sum(&candidates, |counts| &counts.sent);
    // The outage itself has no end but its time.
    tokio::time::sleep_until(away + outage).await;
    let (status, _) = server.get("/readyz").await;
    assert_eq!(status, 503, "an engine without its store takes no traffic");
    if silent {
        assert_eq!(sum(&candidates, |counts| &counts.saved), saved);
    }
    let answered = sum(&candidates, |counts| &counts.sent) - sent;
    assert!(
        answered > CANDIDATES as u64,
        "only {answered} were answered"
    );
    let grown = server.memory();
    println!("{answered} answers waited; {memory} bytes grew to {grown}");
    assert!(grown < 2 * memory, "{memory} bytes grew to {grown}");

    answering.store(false, Ordering::Relaxed);
    give_back().await;
    until(
        "everything to be saved",
        async || {
            let saved = sum(&candidates, |counts| &counts.saved);
            (sum(&candidates, |counts| &counts.sent), saved)
        },
        |(sent, saved)| sent == saved,
    )
    .await;
    assert_eq!(
        sum(&candidates, |counts| &counts.entered),
        CANDIDATES as u64
    );
    assert_eq!(sum(&candidates, |counts| &counts.faults), 0);
    for candidate in &candidates {
        candidate.check().await;
    }
    assert!(server.stop().await.success());
}

async fn lose_postgres(verb: &str, outage: Duration) {
    if server_address("postgres").is_none() {
        return;
    }
    let (postgres, url) = Postgres::create().await;
    let site = Site::postgres(&url, &exam("", QUESTIONS), CANDIDATES).await;
    let server = site.start().await;
    let take_away = async || drop(postgres.control(verb).await);
    let give_back = async || drop(postgres.control("start").await);
    outlast(server, outage, true, take_away, give_back).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_away_for_a_while() {
    let outage = Duration::from_secs(setting("OUTAGE_SECONDS").unwrap_or(10));
    lose_postgres("stop", outage).await;
}

/// Every process of the server is killed at once: its recovery keeps everything that it
/// called committed.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_crashes() {
    lose_postgres("crash", Duration::from_secs(2)).await;
}

/// A file system of its own, which a test may fill.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts a file system; none if this system allows no mount.
    fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(&at)
            .stderr(std::process::Stdio::null())
            .status();
        done.is_ok_and(|status| status.success()).then(|| Self(at))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = std::process::Command::new("umount").arg(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_full_for_a_while() {
    let site = Site::embedded(&exam("", QUESTIONS), CANDIDATES);
    let Some(disk) = SmallDisk::mount(site.path("data")) else {
        eprintln!("skipped: this system lets nobody mount a tmpfs, a full disk is not tested");
        return;
    };
    let server = site.start().await;
    // SQLite may still find room in its own files now and then.
    let (take_away, give_back) = (
        async || disk.fill(),
        async || std::fs::remove_file(disk.filler()).unwrap(),
    );
    outlast(server, Duration::from_secs(2), false, take_away, give_back).await;
}
