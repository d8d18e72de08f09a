//! Time for which attempts stay in memory.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use invigil_protocol::codec;
use tokio::time::{Instant, sleep};

use crate::{
    ConnectRequest, Engine, JoinRequest,
    fixture::{MemoryStore, start_engine},
};
use invigil_domain::id::AttemptId;
use invigil_telemetry::metrics::Metrics;

const ATTEMPT: AttemptId = AttemptId(1);
const IDLE_STOP: Duration = Duration::from_mins(2);
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Time that a stop may come later: the actor looks at most a second later.
const SLACK: Duration = Duration::from_secs(2);

async fn start_with_attempt() -> (Engine, Arc<Metrics>) {
    let store = Arc::new(MemoryStore::default());
    store.add_attempt(ATTEMPT);
    start_engine(&store, IDLE_STOP).await
}

async fn exchange(engine: &Engine, json: &str) {
    let request = codec::decode_exchange(json.as_bytes()).expect("a valid exchange");
    let done = engine.run_exchange(ATTEMPT, request, json, ADDRESS).await;
    done.expect("the exchange is accepted");
}

/// Checks that the attempt leaves memory `after` now, and neither earlier nor later.
async fn expect_stop(metrics: &Metrics, after: Duration) {
    let begun = Instant::now();
    while metrics.live_attempts.get() > 0 && begun.elapsed() < 2 * after {
        sleep(Duration::from_millis(100)).await;
    }
    let stayed = begun.elapsed();
    let expected = after..=after + SLACK;
    assert!(expected.contains(&stayed), "stayed {stayed:?}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_a_connection_leaves_memory_after_the_idle_stop() {
    let (engine, metrics) = start_with_attempt().await;
    let answer = r#"{"commands": [{"t": "answer", "seq": 1, "q": "q1", "value": true}]}"#;
    exchange(&engine, answer).await;
    assert_eq!(metrics.live_attempts.get(), 1);
    expect_stop(&metrics, IDLE_STOP).await;
}

#[tokio::test(start_paused = true)]
async fn a_finished_attempt_leaves_memory_after_five_seconds() {
    let (engine, metrics) = start_with_attempt().await;
    exchange(&engine, r#"{"commands": [{"t": "submit", "seq": 1}]}"#).await;
    assert_eq!(metrics.live_attempts.get(), 1);
    expect_stop(&metrics, Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_connected_attempt_stays_in_memory_until_it_is_idle() {
    let (engine, metrics) = start_with_attempt().await;
    let request = ConnectRequest {
        join: JoinRequest {
            resume: None,
            address: ADDRESS,
            asked_at: None,
        },
        device: None,
        outbox: Arc::default(),
        until: Instant::now() + Duration::from_secs(5),
    };
    let connecting = engine.connect_candidate(ATTEMPT, request).await;
    let (handle, connected) = connecting.expect("the candidate may enter");
    sleep(2 * IDLE_STOP).await;
    assert_eq!(metrics.live_attempts.get(), 1);
    handle.report_disconnect(connected.connection).await;
    expect_stop(&metrics, IDLE_STOP).await;
}
