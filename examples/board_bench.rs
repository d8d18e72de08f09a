//! What boards cost, and how far they are behind.
//!
//! `cargo run --release --example board_bench -- [attempts] [seconds]`
//!
//! One process on an embedded store: so many live attempts (10,000) with 2,000
//! heartbeats and 500 events a second, given to the actors without sockets. First
//! nobody watches, then one console, then fifty, each for so long (10 s): the
//! processor time of the whole process in between is what a board costs. The lag
//! is from handing a heartbeat to the actor until a console has the row with it.

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
use invigil::{
    engine::{Engine, Outgoing},
    store::sqlite::Sqlite,
};
use invigil_protocol::{
    candidate::{ClientMessage, Event, Heartbeat},
    codec::Encoding,
    proctor::{ActionName, Args, Command, ConsoleMessage, Target},
};
use seats::{Seat, proctor, seat, start};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

const HEARTBEATS_PER_SECOND: usize = 2_000;
const EVENTS_PER_SECOND: usize = 500;
const TICK: Duration = Duration::from_millis(10);

/// When each marked heartbeat was given to its actor, by its `rtt_ms`.
type Marks = Arc<Mutex<HashMap<i64, Instant>>>;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |usual: u64| arguments.next().map_or(usual, |text| text.parse().unwrap());
    let (attempts, seconds) = (usize::try_from(number(10_000)).unwrap(), number(10));
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    let engine = start(&store, None).await;
    let seats = seat(&engine, &store, attempts).await;
    println!("{attempts} attempts are live");
    let marks: Marks = Arc::default();
    let load = TaskTracker::new();
    load.spawn(drive(seats, Arc::clone(&marks)));

    let time = Duration::from_secs(seconds);
    println!(
        "{:>9} {:>10} {:>9} {:>9} {:>9}",
        "consoles", "CPU cores", "p50 ms", "p99 ms", "max ms"
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    let quiet = cpu(time).await;
    println!("{:>9} {quiet:>10.3}", 0);
    for consoles in [1, 50] {
        let (cores, lag) = watched(&engine, &marks, consoles, time).await;
        let ms = |quantile| lag.value_at_quantile(quantile) as f64 / 1_000.0;
        println!(
            "{consoles:>9} {cores:>10.3} {:>9.1} {:>9.1} {:>9.1}   {:+.3} cores",
            ms(0.5),
            ms(0.99),
            lag.max() as f64 / 1_000.0,
            cores - quiet,
        );
    }
    whole_board(&engine).await;
    extend(&engine, attempts).await;
}

/// Heartbeats and events, evenly over the seats, for ever.
async fn drive(mut seats: Vec<Seat>, marks: Marks) {
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
            let heartbeat = ClientMessage::Heartbeat(Heartbeat {
                n: 1,
                q: Some("q1".to_owned()),
                visible: Some(true),
                focused: Some(true),
                fullscreen: None,
                rtt_ms: Some(mark),
            });
            seat.handle.client(seat.opened.connection, heartbeat).await;
            read(seat);
            next = (next + 1) % seats.len();
        }
        for index in 0..EVENTS_PER_SECOND / per_second {
            let place = (next + 7 * index) % seats.len();
            events[place] += 1;
            let event = ClientMessage::Event(Event {
                n: events[place],
                kind: ["focus_lost", "copy"][sent % 2].to_owned(),
                at: 0,
                data: None,
                bad_field: None,
            });
            let seat = &mut seats[place];
            seat.handle.client(seat.opened.connection, event).await;
            read(seat);
        }
    }
}

/// Reads what a client would, so that no outbox fills.
fn read(seat: &Seat) {
    use futures_util::FutureExt as _;
    while let Some(Outgoing::Message(_)) = seat.outbox.next().now_or_never() {}
}

/// Processor time of this process, in cores, over a while.
async fn cpu(time: Duration) -> f64 {
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

/// So many consoles on the board: processor time and lag.
async fn watched(
    engine: &Engine,
    marks: &Marks,
    consoles: usize,
    time: Duration,
) -> (f64, Histogram<u64>) {
    let lag = Arc::new(Mutex::new(Histogram::<u64>::new(3).unwrap()));
    let tasks = TaskTracker::new();
    let stop = tokio_util::sync::CancellationToken::new();
    for console in 0..consoles {
        let mut watching = engine.watch(&"BENCH".into(), &proctor()).await.unwrap();
        let mut news = watching.news().unwrap();
        let (lag, marks) = (Arc::clone(&lag), Arc::clone(marks));
        let (engine, stop) = (engine.clone(), stop.clone());
        tasks.spawn(async move {
            loop {
                let heard = tokio::select! {
                    () = stop.cancelled() => break,
                    heard = news.recv() => heard,
                };
                let Ok(heard) = heard else { continue };
                // As its socket would: encoded once for all.
                assert!(!heard.frame.bytes(Encoding::MessagePack).is_empty());
                let ConsoleMessage::Delta(delta) = heard.frame.message() else {
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
            engine.unwatch(watching);
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // What was under way before somebody watched is nobody's lag.
    lag.lock().unwrap().reset();
    marks.lock().unwrap().clear();
    let cores = cpu(time).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let lag = lag.lock().unwrap().clone();
    (cores, lag)
}

/// How long and how large a whole board is for a console that comes.
async fn whole_board(engine: &Engine) {
    let begun = Instant::now();
    let watching = engine.watch(&"BENCH".into(), &proctor()).await.unwrap();
    let frames = watching.snapshot();
    let sizes = frames
        .iter()
        .map(|frame| frame.bytes(Encoding::MessagePack).len());
    let bytes: usize = sizes.sum();
    println!(
        "a whole board: {} frames, {:.2} MB of MessagePack, {:.3} s",
        frames.len(),
        bytes as f64 / 1e6,
        begun.elapsed().as_secs_f64()
    );
    engine.unwatch(watching);
}

/// An extension of everybody's time, durable.
async fn extend(engine: &Engine, attempts: usize) {
    let command = Command {
        id: "extend".to_owned(),
        target: Target::Exam("BENCH".to_owned()),
        action: ActionName::Extend,
        args: Args {
            ms: Some(60_000),
            ..Args::default()
        },
    };
    let begun = Instant::now();
    let done = engine
        .command(&proctor(), &|_| true, command, &|_| ())
        .await;
    let result = done.unwrap();
    println!(
        "an extension of {} of {attempts} attempts: durable in {:.2} s",
        result.done,
        begun.elapsed().as_secs_f64()
    );
}
