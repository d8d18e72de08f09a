//! A bus over Redis, for nodes on several machines.
//!
//! A single connection to a server, to the master that Sentinels name, or to a cluster
//! carries both ways (RESP3): outgoing messages are published in portions, those of others
//! are pushed in. A node hears two channels, its own and the common one, however many
//! attempts there are. A connection that is lost is made anew, and the listener gets a gap.

mod address;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use redis::{
    AsyncConnectionConfig, Client, Pipeline, PushInfo, PushKind, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection, SendError},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::SentinelClient,
};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio_util::sync::CancellationToken;

pub use self::address::{RedisAddress, RedisAddressError};
use crate::{Bus, BusEvent, BusRecipient};
use invigil_domain::id::NodeId;
use invigil_telemetry::{error_chain, metrics::Metrics};

/// Messages that may wait on their way out, and on their way in. Further ones are
/// dropped and counted, and made good by reading the store.
const WAITING_MAX: usize = 16_384;

/// Messages that go out at once.
const PORTION: usize = 128;

/// Silence after which a server counts as away: longer than a loaded machine needs,
/// shorter than a node takes to count as gone.
const RESPONSE_MAX: Duration = Duration::from_millis(1_500);

/// First pause before the connection is made anew; doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(50);

/// Last pause: the limit for noticing that the server is back.
const RETRY_LAST: Duration = Duration::from_secs(1);

/// The client for each kind of installation.
enum RedisServers {
    One(Box<Client>),
    Sentinels(Box<SentinelClient>),
    Cluster(Box<ClusterClient>),
}

/// A bus over Redis. [`RedisBus::run`] brings it to life.
pub struct RedisBus {
    node: NodeId,
    prefix: String,
    metrics: Arc<Metrics>,
    servers: Mutex<RedisServers>,
    outgoing: mpsc::Sender<(BusRecipient, Bytes)>,
    outgoing_receiver: Mutex<mpsc::Receiver<(BusRecipient, Bytes)>>,
    inbox: Arc<PushInbox>,
    incoming_receiver: Mutex<mpsc::Receiver<Bytes>>,
}

/// The inbox for messages that the connection pushes.
struct PushInbox {
    sender: mpsc::Sender<Bytes>,
    metrics: Arc<Metrics>,
    connected: AtomicBool,
    lost: Notify,
    missed: AtomicBool,
    gap_noted: Notify,
}

impl RedisBus {
    /// Creates a bus that connects to an address once it runs. Its channels begin with
    /// `prefix`, so that several installations can share a server.
    ///
    /// # Errors
    /// Fails if the address cannot be used.
    pub fn new(
        address: &RedisAddress,
        prefix: &str,
        node: NodeId,
        metrics: Arc<Metrics>,
    ) -> RedisResult<Self> {
        let (outgoing, going) = mpsc::channel(WAITING_MAX);
        let (sender, coming) = mpsc::channel(WAITING_MAX);
        let incoming = Arc::new(PushInbox {
            sender,
            metrics: Arc::clone(&metrics),
            connected: AtomicBool::new(false),
            lost: Notify::new(),
            missed: AtomicBool::new(false),
            gap_noted: Notify::new(),
        });
        let servers = match address {
            RedisAddress::One(url) => RedisServers::One(Box::new(Client::open(url.as_str())?)),
            RedisAddress::Sentinels(sentinels) => {
                RedisServers::Sentinels(Box::new(sentinels.build_client()?))
            }
            RedisAddress::Cluster(urls) => {
                let pushed = Arc::clone(&incoming);
                let builder = ClusterClient::builder(urls.iter().map(url::Url::as_str))
                    .use_protocol(redis::ProtocolVersion::RESP3)
                    .connection_timeout(RESPONSE_MAX)
                    .response_timeout(RESPONSE_MAX)
                    .push_sender(move |push| -> Result<(), SendError> {
                        pushed.accept_push(push);
                        // An error would end the listening.
                        Ok(())
                    });
                RedisServers::Cluster(Box::new(builder.build()?))
            }
        };
        Ok(Self {
            node,
            prefix: prefix.to_owned(),
            metrics,
            servers: Mutex::new(servers),
            outgoing,
            outgoing_receiver: Mutex::new(going),
            inbox: incoming,
            incoming_receiver: Mutex::new(coming),
        })
    }

    /// Keeps a connection until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut pause = RETRY_FIRST;
        let mut known = false;
        loop {
            let connected = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                connected = self.open_connection() => connected,
            };
            match connected {
                Ok(connection) => {
                    tracing::info!("connected to Redis");
                    (pause, known) = (RETRY_FIRST, false);
                    self.send_outgoing(connection, &stop).await;
                }
                Err(error) if !std::mem::replace(&mut known, true) => {
                    tracing::warn!(
                        error = error_chain(&error),
                        "Redis is unavailable, nodes work on their own"
                    );
                }
                Err(_) => {}
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_LAST);
        }
    }

    async fn open_connection(&self) -> RedisResult<RedisConnection> {
        let pushed = Arc::clone(&self.inbox);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(RESPONSE_MAX))
            .set_response_timeout(Some(RESPONSE_MAX))
            .set_push_sender(move |push| -> Result<(), SendError> {
                pushed.accept_push(push);
                // An error would end the listening.
                Ok(())
            });
        let mut connection = match &mut *self.servers.lock().await {
            RedisServers::One(client) => {
                let connecting = client.get_multiplexed_async_connection_with_config(&config);
                RedisConnection::One(connecting.await?)
            }
            RedisServers::Sentinels(client) => {
                let connecting = client.get_async_connection_with_config(&config);
                RedisConnection::One(connecting.await?)
            }
            RedisServers::Cluster(client) => {
                RedisConnection::Cluster(client.get_async_connection().await?)
            }
        };
        let channels = [
            self.channel_name(&BusRecipient::All),
            self.channel_name(&BusRecipient::Node(self.node.clone())),
        ];
        match &mut connection {
            RedisConnection::One(connection) => connection.subscribe(&channels[..]).await?,
            RedisConnection::Cluster(connection) => connection.subscribe(&channels[..]).await?,
        }
        Ok(connection)
    }

    /// Sends outgoing messages until the connection is lost, or `stop`.
    async fn send_outgoing(&self, mut connection: RedisConnection, stop: &CancellationToken) {
        let mut going = self.outgoing_receiver.lock().await;
        // Messages from before the connection are outdated, and those of others were missed.
        while going.try_recv().is_ok() {}
        self.inbox.connected.store(true, Ordering::Release);
        self.inbox.note_gap();
        let mut portion = Vec::with_capacity(PORTION);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // The last message says that this node ends.
                    while let Ok(message) = going.try_recv() {
                        portion.push(message);
                    }
                    self.publish_messages(&mut connection, &mut portion).await.ok();
                    return;
                }
                () = self.inbox.lost.notified() => break,
                _ = going.recv_many(&mut portion, PORTION) => {
                    if let Err(error) = self.publish_messages(&mut connection, &mut portion).await {
                        tracing::debug!(
                            error = error_chain(&error),
                            "a message cannot be published to Redis"
                        );
                        break;
                    }
                }
            }
        }
        self.inbox.connected.store(false, Ordering::Release);
        self.inbox.note_gap();
        tracing::warn!("the connection to Redis is lost, nodes work on their own");
    }

    async fn publish_messages(
        &self,
        connection: &mut RedisConnection,
        portion: &mut Vec<(BusRecipient, Bytes)>,
    ) -> RedisResult<()> {
        if portion.is_empty() {
            return Ok(());
        }
        match connection {
            RedisConnection::One(connection) => {
                let mut pipeline = Pipeline::with_capacity(portion.len());
                for (to, message) in portion.drain(..) {
                    let publish = pipeline.cmd("PUBLISH").arg(self.channel_name(&to));
                    publish.arg(&message[..]).ignore();
                }
                pipeline.exec_async(connection).await
            }
            RedisConnection::Cluster(connection) => {
                // A pipeline of a cluster is limited to one hash slot.
                for (to, message) in portion.drain(..) {
                    let mut publish = redis::cmd("PUBLISH");
                    publish.arg(self.channel_name(&to)).arg(&message[..]);
                    connection.req_packed_command(&publish).await?;
                }
                Ok(())
            }
        }
    }

    fn channel_name(&self, to: &BusRecipient) -> String {
        match to {
            BusRecipient::All => format!("{}:all", self.prefix),
            BusRecipient::Node(node) => format!("{}:node:{node}", self.prefix),
        }
    }
}

enum RedisConnection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl PushInbox {
    /// Accepts a pushed message.
    fn accept_push(&self, push: PushInfo) {
        if push.kind == PushKind::Disconnection {
            self.lost.notify_one();
        } else if push.kind == PushKind::Message
            && let Some(Value::BulkString(message)) = push.data.into_iter().nth(1)
            && self.sender.try_send(message.into()).is_err()
        {
            self.metrics.bus_dropped.inc();
            self.note_gap();
        }
    }

    fn note_gap(&self) {
        self.missed.store(true, Ordering::Release);
        self.gap_noted.notify_one();
    }
}

#[async_trait]
impl Bus for RedisBus {
    fn send(&self, to: BusRecipient, message: Bytes) {
        let connected = self.inbox.connected.load(Ordering::Acquire);
        if !connected || self.outgoing.try_send((to, message)).is_err() {
            self.metrics.bus_dropped.inc();
        }
    }

    async fn next_event(&self) -> BusEvent {
        let mut coming = self.incoming_receiver.lock().await;
        loop {
            if self.inbox.missed.swap(false, Ordering::AcqRel) {
                return BusEvent::Gap;
            }
            tokio::select! {
                biased;
                () = self.inbox.gap_noted.notified() => {}
                message = coming.recv() => if let Some(message) = message {
                    return BusEvent::Message(message);
                },
            }
        }
    }
}
