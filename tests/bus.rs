//! The bus over a real Redis, and the view of an independent client of Redis.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests panic and say what they saw"
)]

#[path = "support/servers.rs"]
mod servers;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fred::{
    clients::Client,
    interfaces::{ClientLike as _, EventInterface as _, PubsubInterface as _},
    types::{Builder, CustomCommand, config::Config},
};
use invigil_cluster::{
    Bus as _, BusEvent, BusRecipient,
    redis::{RedisAddress, RedisBus},
};
use invigil_telemetry::metrics::Metrics;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::servers::server_address;

const PATIENCE: Duration = Duration::from_secs(30);

/// Every test has channels of its own.
static PREFIXES: AtomicU32 = AtomicU32::new(0);

struct Node {
    bus: Arc<RedisBus>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Node {
    /// Connects a node; its first event is a gap.
    async fn connect(url: &str, prefix: &str, name: &str) -> Self {
        let node = Self::new(url, prefix, name);
        assert_eq!(node.hear().await, BusEvent::Gap);
        node
    }

    fn new(url: &str, prefix: &str, name: &str) -> Self {
        let metrics = Arc::new(Metrics::default());
        let address = RedisAddress::parse(url).unwrap();
        let bus = RedisBus::new(&address, prefix, name.into(), Arc::clone(&metrics)).unwrap();
        let (bus, stop) = (Arc::new(bus), CancellationToken::new());
        let (running, until) = (Arc::clone(&bus), stop.clone());
        let tasks = TaskTracker::new();
        tasks.spawn(async move { running.run(until).await });
        Self {
            bus,
            metrics,
            stop,
            tasks,
        }
    }

    async fn hear(&self) -> BusEvent {
        timeout(PATIENCE, self.bus.next_event())
            .await
            .expect("something is heard")
    }

    async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn setting() -> Option<(String, String)> {
    let url = server_address("redis")?;
    let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("test-{}-{number}", std::process::id());
    Some((url, prefix))
}

/// The independent client.
async fn fred(url: &str, waiting_max: usize) -> Client {
    let client = Builder::from_config(Config::from_url(url).unwrap())
        .with_performance_config(|config| config.broadcast_channel_capacity = waiting_max)
        .build()
        .unwrap();
    client.init().await.unwrap();
    client
}

fn message(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn an_address_with_tls_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rediss://{}", listener.local_addr().unwrap());
    let node = Node::new(&url, "tls", "one");
    for _ in 0..2 {
        // The connection ends at once. A program with two providers of TLS does not come again.
        let accepted = timeout(PATIENCE, listener.accept()).await;
        drop(accepted.expect("a connection").unwrap());
    }
    node.close().await;
}

#[tokio::test]
async fn a_node_hears_its_channel_and_that_of_all_and_so_does_another_client() {
    let Some((url, prefix)) = setting() else {
        return;
    };
    let observer = fred(&url, 64).await;
    let channels = [format!("{prefix}:all"), format!("{prefix}:node:two")];
    observer.subscribe(channels.to_vec()).await.unwrap();
    let mut observed = observer.message_rx();
    let one = Node::connect(&url, &prefix, "one").await;
    let two = Node::connect(&url, &prefix, "two").await;

    one.bus
        .send(BusRecipient::Node("two".into()), message("for two"));
    one.bus.send(BusRecipient::All, message("for all"));
    assert_eq!(two.hear().await, BusEvent::Message(message("for two")));
    assert_eq!(two.hear().await, BusEvent::Message(message("for all")));
    assert_eq!(one.hear().await, BusEvent::Message(message("for all")));
    for (channel, text) in [(&channels[1], "for two"), (&channels[0], "for all")] {
        let seen = timeout(PATIENCE, observed.recv()).await.unwrap().unwrap();
        assert_eq!(
            (&*seen.channel, seen.value.as_string().unwrap().as_str()),
            (&**channel, text)
        );
    }
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_anew_and_the_gap_is_told() {
    let Some((url, prefix)) = setting() else {
        return;
    };
    let operator = fred(&url, 64).await;
    let one = Node::connect(&url, &prefix, "one").await;
    let two = Node::connect(&url, &prefix, "two").await;
    let kill = CustomCommand::new_static("CLIENT", None, false);
    let killed: i64 = operator
        .custom(kill, vec!["KILL", "TYPE", "pubsub"])
        .await
        .unwrap();
    assert!(killed >= 2, "{killed}");
    assert_eq!(one.hear().await, BusEvent::Gap);
    assert_eq!(two.hear().await, BusEvent::Gap);
    // Messages without a connection are lost, and counted; then the bus goes on.
    let told = async {
        loop {
            one.bus
                .send(BusRecipient::Node("two".into()), message("again"));
            if let Ok(BusEvent::Message(heard)) =
                timeout(Duration::from_millis(50), two.bus.next_event()).await
            {
                return heard;
            }
        }
    };
    assert_eq!(timeout(PATIENCE, told).await.unwrap(), message("again"));
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_burst_arrives_whole_or_the_gap_is_told() {
    const BURST: u32 = 10_000;
    let Some((url, prefix)) = setting() else {
        return;
    };
    let observer = fred(&url, 32).await;
    observer.subscribe(format!("{prefix}:all")).await.unwrap();
    let mut observed = observer.message_rx();
    let one = Node::connect(&url, &prefix, "one").await;
    let two = Node::connect(&url, &prefix, "two").await;
    for number in 0..BURST {
        one.bus.send(
            BusRecipient::All,
            Bytes::copy_from_slice(&number.to_be_bytes()),
        );
    }
    let mut next = 0;
    while next < BURST {
        match two.hear().await {
            BusEvent::Message(heard) => assert_eq!(heard, next.to_be_bytes().as_slice()),
            BusEvent::Gap => panic!("a gap before {next}"),
        }
        next += 1;
    }
    assert_eq!(
        one.metrics.bus_dropped.get() + two.metrics.bus_dropped.get(),
        0
    );
    // The figure by which the crate of the bus was chosen.
    let (mut seen, mut lost) = (0_u64, 0);
    while seen + lost < u64::from(BURST) {
        match timeout(PATIENCE, observed.recv()).await.unwrap() {
            Ok(_) => seen += 1,
            Err(tokio::sync::broadcast::error::RecvError::Lagged(missed)) => lost += missed,
            Err(error) => panic!("{error}"),
        }
    }
    eprintln!("of {BURST} messages fred, as it comes, gave {seen} and lost {lost}");
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn without_a_server_nothing_is_sent_and_nobody_waits() {
    let node = Node::new("redis://127.0.0.1:1", "nowhere", "one");
    node.bus.send(BusRecipient::All, message("lost"));
    assert_eq!(node.metrics.bus_dropped.get(), 1);
    assert!(
        timeout(Duration::from_millis(200), node.bus.next_event())
            .await
            .is_err()
    );
    node.close().await;
}
