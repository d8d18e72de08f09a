//! Drives an echo server at a constant rate, as `steady` drives the engine, to compare
//! the cost of a message with that of a saved answer.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::util::{latency::LatencyPercentiles, output, pace::SendPace, process::ProcessUsage};

/// A message as long as an answer to a choice question.
const FRAME: &str = r#"{"t":"answer","seq":1234,"q":"question-17","value":"b","base_rev":3}"#;

/// Timeout of the echoes after the last send.
const DRAIN: Duration = Duration::from_secs(10);

/// Drive an echo server at a constant rate
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address and port of the echo server
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    address: String,
    /// Number of connections
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    connections: u32,
    /// Messages a second, all connections together
    #[arg(long, value_name = "R", default_value_t = 500.0)]
    rate: f64,
    /// Length of the run
    #[arg(long, value_name = "S", default_value_t = 20)]
    seconds: u64,
    /// Process id of the echo server, to measure its usage
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct EchoReport {
    connections: u32,
    rate: f64,
    seconds: u64,
    sent: u64,
    missed: u64,
    latency_ms: LatencyPercentiles,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_us_per_message: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_kb_per_connection: Option<f64>,
}

type EchoSocket = WebSocketStream<TcpStream>;

/// Counts and latencies of a connection.
#[derive(Default)]
struct EchoTally {
    sent: u64,
    missed: u64,
    latencies: Vec<Duration>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let usage = || args.pid.map(ProcessUsage::of_process).transpose();
    let idle = usage()?;
    let mut sockets = Vec::new();
    for _ in 0..args.connections {
        sockets.push(connect_socket(&args.address).await?);
    }
    let pace = SendPace {
        start: Instant::now() + Duration::from_millis(500),
        per_second: args.rate,
        length: Duration::from_secs(args.seconds),
        connections: args.connections,
    };
    let before = usage()?;
    let mut tasks = JoinSet::new();
    for (number, socket) in (0..).zip(sockets) {
        tasks.spawn(drive_connection(socket, pace, number));
    }
    let mut all = EchoTally::default();
    while let Some(seen) = tasks.join_next().await {
        let seen = seen.context("drive a connection")??;
        all.sent += seen.sent;
        all.missed += seen.missed;
        all.latencies.extend(seen.latencies);
    }
    let after = usage()?;
    let echoed = all.latencies.len() as u64;
    let report = EchoReport {
        connections: args.connections,
        rate: args.rate,
        seconds: args.seconds,
        sent: all.sent,
        missed: all.missed,
        latency_ms: LatencyPercentiles::from_latencies(all.latencies),
        cpu_us_per_message: before
            .zip(after)
            .map(|(then, now)| now.cpu_us_each(then, echoed)),
        rss_kb_per_connection: idle
            .zip(after)
            .map(|(then, now)| now.kb_each(then, args.connections)),
    };
    print_report(&args, &report)?;
    Ok(if echoed == report.sent {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn connect_socket(address: &str) -> anyhow::Result<EchoSocket> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4 * 1024);
    let url = format!("ws://{address}/");
    let (socket, _) = client_async_with_config(url, stream, Some(config)).await?;
    Ok(socket)
}

/// Drives one connection through the run. Echoes come in order.
async fn drive_connection(
    mut socket: EchoSocket,
    pace: SendPace,
    number: u32,
) -> anyhow::Result<EchoTally> {
    let mut seen = EchoTally::default();
    let mut under_way = std::collections::VecDeque::new();
    for nth in 0.. {
        let due = pace.due_at(number, nth);
        let until = due.unwrap_or_else(|| Instant::now() + DRAIN);
        while due.is_some() || !under_way.is_empty() {
            tokio::select! {
                biased;
                echo = socket.next() => {
                    echo.context("the echo server is gone")??;
                    let sent: Instant = under_way.pop_front().context("an echo of nothing")?;
                    seen.latencies.push(sent.elapsed());
                }
                () = sleep_until(until) => break,
            }
        }
        let Some(due) = due else { break };
        seen.missed += u64::from(SendPace::is_missed(due));
        seen.sent += 1;
        under_way.push_back(due);
        socket.send(Message::text(FRAME)).await?;
    }
    timeout(DRAIN, socket.close(None)).await.ok();
    Ok(seen)
}

fn print_report(args: &Args, report: &EchoReport) -> anyhow::Result<()> {
    let title = format!(
        "echo: {} connections, {}/s for {} s",
        report.connections, report.rate, report.seconds
    );
    let mut rows = vec![
        ("sent", report.sent.to_string()),
        ("missed", report.missed.to_string()),
    ];
    rows.extend(report.latency_ms.table_rows());
    if let Some(us) = report.cpu_us_per_message {
        rows.push(("server CPU a message", format!("{us:.1} \u{b5}s")));
    }
    if let Some(kb) = report.rss_kb_per_connection {
        rows.push(("memory a connection", format!("{kb:.1} KB")));
    }
    output::print_result(args.json, report, &title, &rows)
}
