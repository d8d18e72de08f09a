//! Processor time and lag of boards.
//!
//! `cargo run --release --example board_bench -- [attempts] [seconds]`
//!
//! A process on an embedded store has many live attempts (10,000) with 2,000
//! heartbeats and 500 events a second, given to the actors without sockets. First no
//! console watches, then one, then fifty, for some seconds each (10): the difference
//! in processor time of the whole process is the cost of a board. The lag counts from
//! handing a heartbeat to the actor until a console has the row with it.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a program to be read at a terminal, which stops where it fails"
)]

#[path = "support/seats.rs"]
mod seats;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use hdrhistogram::Histogram;
use invigil_engine::{Engine, OutboxItem};
use invigil_protocol::{
    candidate::{CandidateHeartbeat, ClientMessage, ReportedEvent},
    codec::Encoding,
    proctor::{ActionName, CommandArgs, CommandTarget, ProctorCommand, ProctorServerMessage},
};
use invigil_store_sql::sqlite::SqliteStore;
use seats::{BenchAttempt, bench_proctor, enter_candidates, start_engine};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

const HEARTBEATS_PER_SECOND: usize = 2_000;
const EVENTS_PER_SECOND: usize = 500;
const TICK: Duration = Duration::from_millis(10);

/// Times when marked heartbeats were given to their actors, by `rtt_ms`.
type HeartbeatMarks = Arc<Mutex<HashMap<i64, Instant>>>;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |usual: u64| arguments.next().map_or(usual, |text| text.parse().unwrap());
    let (attempts, seconds) = (usize::try_from(number(10_000)).unwrap(), number(10));
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path()).await.unwrap();
    let engine = start_engine(&store, None).await;
    let seats = enter_candidates(&engine, &store, attempts).await;
    println!("{attempts} attempts are live");
    let marks: HeartbeatMarks = Arc::default();
    let load = TaskTracker::new();
    load.spawn(drive_load(seats, Arc::clone(&marks)));

    let time = Duration::from_secs(seconds);
    println!(
        "{:>9} {:>10} {:>9} {:>9} {:>9}",
        "consoles", "CPU cores", "p50 ms", "p99 ms", "max ms"
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    let quiet = measure_cpu(time).await;
    println!("{:>9} {quiet:>10.3}", 0);
    for consoles in [1, 50] {
        let (cores, lag) = measure_watched(&engine, &marks, consoles, time).await;
        let ms = |quantile| lag.value_at_quantile(quantile) as f64 / 1_000.0;
        println!(
            "{consoles:>9} {cores:>10.3} {:>9.1} {:>9.1} {:>9.1}   {:+.3} cores",
            ms(0.5),
            ms(0.99),
            lag.max() as f64 / 1_000.0,
            cores - quiet,
        );
    }
    measure_whole_board(&engine).await;
    extend_all(&engine, attempts).await;
}

/// Sends heartbeats and events, evenly over the attempts, for ever.
async fn drive_load(mut seats: Vec<BenchAttempt>, marks: HeartbeatMarks) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let per_second = 1_000 / usize::try_from(TICK.as_millis()).unwrap();
    let (mut next, mut mark, mut sent) = (0, 0_i64, 0_usize);
    let mut events = vec![0_u64; seats.len()];
    loop {
        tick.tick().await;
        sent += 1;
        for _ in 0..HEARTBEATS_PER_SECOND / per_second {
            let seat = &mut seats[next];
            mark += 1;
            marks.lock().unwrap().insert(mark, Instant::now());
            let heartbeat = ClientMessage::Heartbeat(CandidateHeartbeat {
                n: 1,
                q: Some("q1".to_owned()),
                visible: Some(true),
                focused: Some(true),
                fullscreen: None,
                rtt_ms: Some(mark),
            });
            seat.handle
                .deliver_client_message(seat.opened.connection, heartbeat)
                .await;
            drain_outbox(seat);
            next = (next + 1) % seats.len();
        }
        for index in 0..EVENTS_PER_SECOND / per_second {
            let place = (next + 7 * index) % seats.len();
            events[place] += 1;
            let event = ClientMessage::Event(ReportedEvent {
                n: events[place],
                kind: ["focus_lost", "copy"][sent % 2].to_owned(),
                at: 0,
                data: None,
                bad_field: None,
            });
            let seat = &mut seats[place];
            seat.handle
                .deliver_client_message(seat.opened.connection, event)
                .await;
            drain_outbox(seat);
        }
    }
}

/// Reads messages as a client would, so that no outbox fills.
fn drain_outbox(seat: &BenchAttempt) {
    use futures_util::FutureExt as _;
    while let Some(OutboxItem::Message(_)) = seat.outbox.next().now_or_never() {}
}

/// Measures the processor time of this process over some time, in cores.
async fn measure_cpu(time: Duration) -> f64 {
    let (before, begun) = (cpu_seconds(), Instant::now());
    tokio::time::sleep(time).await;
    (cpu_seconds() - before) / begun.elapsed().as_secs_f64()
}

fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// Measures processor time and lag with this number of consoles on the board.
async fn measure_watched(
    engine: &Engine,
    marks: &HeartbeatMarks,
    consoles: usize,
    time: Duration,
) -> (f64, Histogram<u64>) {
    let lag = Arc::new(Mutex::new(Histogram::<u64>::new(3).unwrap()));
    let tasks = TaskTracker::new();
    let stop = tokio_util::sync::CancellationToken::new();
    for console in 0..consoles {
        let mut watching = engine
            .watch_exam(&"BENCH".into(), &bench_proctor())
            .await
            .unwrap();
        let mut news = watching.take_messages().unwrap();
        let (lag, marks) = (Arc::clone(&lag), Arc::clone(marks));
        let (engine, stop) = (engine.clone(), stop.clone());
        tasks.spawn(async move {
            loop {
                let heard = tokio::select! {
                    () = stop.cancelled() => break,
                    heard = news.recv() => heard,
                };
                let Ok(heard) = heard else { continue };
                // As its socket would: encoded once for all consoles.
                assert!(!heard.frame.encoded_bytes(Encoding::MessagePack).is_empty());
                let ProctorServerMessage::Delta(delta) = heard.frame.message() else {
                    continue;
                };
                if console > 0 {
                    continue;
                }
                for mark in delta.rows.iter().filter_map(|row| row.rtt_ms?) {
                    if let Some(sent) = marks.lock().unwrap().remove(&mark) {
                        let micros = u64::try_from(sent.elapsed().as_micros()).unwrap();
                        lag.lock().unwrap().record(micros).unwrap();
                    }
                }
            }
            drop(news);
            engine.end_watch(watching);
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Heartbeats from before the first watch do not count.
    lag.lock().unwrap().reset();
    marks.lock().unwrap().clear();
    let cores = measure_cpu(time).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let lag = lag.lock().unwrap().clone();
    (cores, lag)
}

/// Measures time and size of a whole board for a new console.
async fn measure_whole_board(engine: &Engine) {
    let begun = Instant::now();
    let watching = engine
        .watch_exam(&"BENCH".into(), &bench_proctor())
        .await
        .unwrap();
    let frames = watching.snapshot_frames();
    let sizes = frames
        .iter()
        .map(|frame| frame.encoded_bytes(Encoding::MessagePack).len());
    let bytes: usize = sizes.sum();
    println!(
        "a whole board: {} frames, {:.2} MB of MessagePack, {:.3} s",
        frames.len(),
        bytes as f64 / 1e6,
        begun.elapsed().as_secs_f64()
    );
    engine.end_watch(watching);
}

/// Measures a durable extension of all attempts.
async fn extend_all(engine: &Engine, attempts: usize) {
    let command = ProctorCommand {
        id: "extend".to_owned(),
        target: CommandTarget::Exam("BENCH".to_owned()),
        action: ActionName::Extend,
        args: CommandArgs {
            ms: Some(60_000),
            ..CommandArgs::default()
        },
    };
    let begun = Instant::now();
    let done = engine
        .run_command(&bench_proctor(), &|_| true, command, &|_| ())
        .await;
    let result = done.unwrap();
    println!(
        "an extension of {} of {attempts} attempts: durable in {:.2} s",
        result.done,
        begun.elapsed().as_secs_f64()
    );
}
