//! Nodes on several machines, over Redis.
//!
//! One connection to a server, to the master that Sentinels name, or to a cluster
//! carries both ways (RESP3): what is published goes out in portions, what others
//! publish is pushed in. A node hears two channels, its own and that of all, however
//! many attempts there are. Where the connection is lost it is made anew, and whoever
//! listens learns of the gap.

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

pub use self::address::{Address, BadAddress};
use super::{Bus, Heard, To};
use crate::{
    domain::id::NodeId,
    telemetry::{chain, metrics::Metrics},
};

/// Messages that may wait on their way out, and on their way in. What is beyond is
/// dropped, counted, and made good by reading the store.
const WAITING_MAX: usize = 16_384;

/// Messages that go out at once.
const PORTION: usize = 128;

/// A server that says nothing for so long is as good as away: longer than a loaded
/// machine needs, shorter than a node counts as dead.
const RESPONSE_MAX: Duration = Duration::from_millis(1_500);

/// The first pause before the connection is made anew; doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(50);

/// The last pause: how late, at most, it is noticed that the server is back.
const RETRY_LAST: Duration = Duration::from_secs(1);

/// What to connect to.
enum Servers {
    One(Box<Client>),
    Sentinels(Box<SentinelClient>),
    Cluster(Box<ClusterClient>),
}

/// A bus over Redis. [`Redis::run`] brings it to life.
pub struct Redis {
    node: NodeId,
    prefix: String,
    metrics: Arc<Metrics>,
    servers: Mutex<Servers>,
    outgoing: mpsc::Sender<(To, Bytes)>,
    going: Mutex<mpsc::Receiver<(To, Bytes)>>,
    incoming: Arc<Incoming>,
    coming: Mutex<mpsc::Receiver<Bytes>>,
}

/// Where the connection puts what is pushed.
struct Incoming {
    sender: mpsc::Sender<Bytes>,
    metrics: Arc<Metrics>,
    connected: AtomicBool,
    lost: Notify,
    missed: AtomicBool,
    told: Notify,
}

impl Redis {
    /// A bus that connects to an address once it runs. Its channels begin with
    /// `prefix`, so that several installations can share a server.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn new(
        address: &Address,
        prefix: &str,
        node: NodeId,
        metrics: Arc<Metrics>,
    ) -> RedisResult<Self> {
        let (outgoing, going) = mpsc::channel(WAITING_MAX);
        let (sender, coming) = mpsc::channel(WAITING_MAX);
        let incoming = Arc::new(Incoming {
            sender,
            metrics: Arc::clone(&metrics),
            connected: AtomicBool::new(false),
            lost: Notify::new(),
            missed: AtomicBool::new(false),
            told: Notify::new(),
        });
        let servers = match address {
            Address::One(url) => Servers::One(Box::new(Client::open(url.as_str())?)),
            Address::Sentinels(sentinels) => Servers::Sentinels(Box::new(sentinels.client()?)),
            Address::Cluster(urls) => {
                let pushed = Arc::clone(&incoming);
                let builder = ClusterClient::builder(urls.iter().map(url::Url::as_str))
                    .use_protocol(redis::ProtocolVersion::RESP3)
                    .connection_timeout(RESPONSE_MAX)
                    .response_timeout(RESPONSE_MAX)
                    .push_sender(move |push| -> Result<(), SendError> {
                        pushed.take(push);
                        // An error would end the listening.
                        Ok(())
                    });
                Servers::Cluster(Box::new(builder.build()?))
            }
        };
        Ok(Self {
            node,
            prefix: prefix.to_owned(),
            metrics,
            servers: Mutex::new(servers),
            outgoing,
            going: Mutex::new(going),
            incoming,
            coming: Mutex::new(coming),
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
                connected = self.connect() => connected,
            };
            match connected {
                Ok(connection) => {
                    tracing::info!("connected to Redis");
                    (pause, known) = (RETRY_FIRST, false);
                    self.serve(connection, &stop).await;
                }
                Err(error) if !std::mem::replace(&mut known, true) => {
                    tracing::warn!(
                        error = chain(&error),
                        "Redis is away, nodes are on their own"
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

    async fn connect(&self) -> RedisResult<Connection> {
        let pushed = Arc::clone(&self.incoming);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(RESPONSE_MAX))
            .set_response_timeout(Some(RESPONSE_MAX))
            .set_push_sender(move |push| -> Result<(), SendError> {
                pushed.take(push);
                // An error would end the listening.
                Ok(())
            });
        let mut connection = match &mut *self.servers.lock().await {
            Servers::One(client) => {
                let connecting = client.get_multiplexed_async_connection_with_config(&config);
                Connection::One(connecting.await?)
            }
            Servers::Sentinels(client) => {
                let connecting = client.get_async_connection_with_config(&config);
                Connection::One(connecting.await?)
            }
            Servers::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        };
        let channels = [
            self.channel(&To::All),
            self.channel(&To::Node(self.node.clone())),
        ];
        match &mut connection {
            Connection::One(connection) => connection.subscribe(&channels[..]).await?,
            Connection::Cluster(connection) => connection.subscribe(&channels[..]).await?,
        }
        Ok(connection)
    }

    /// Sends what is to be said until the connection is lost, or `stop`.
    async fn serve(&self, mut connection: Connection, stop: &CancellationToken) {
        let mut going = self.going.lock().await;
        // What waited here is of before, and nobody has heard what came meanwhile.
        while going.try_recv().is_ok() {}
        self.incoming.connected.store(true, Ordering::Release);
        self.incoming.miss();
        let mut portion = Vec::with_capacity(PORTION);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // The last words: that this node ends.
                    while let Ok(message) = going.try_recv() {
                        portion.push(message);
                    }
                    self.publish(&mut connection, &mut portion).await.ok();
                    return;
                }
                () = self.incoming.lost.notified() => break,
                _ = going.recv_many(&mut portion, PORTION) => {
                    if let Err(error) = self.publish(&mut connection, &mut portion).await {
                        tracing::debug!(error = chain(&error), "Redis takes no message");
                        break;
                    }
                }
            }
        }
        self.incoming.connected.store(false, Ordering::Release);
        self.incoming.miss();
        tracing::warn!("the connection to Redis is lost, nodes are on their own");
    }

    async fn publish(
        &self,
        connection: &mut Connection,
        portion: &mut Vec<(To, Bytes)>,
    ) -> RedisResult<()> {
        if portion.is_empty() {
            return Ok(());
        }
        match connection {
            Connection::One(connection) => {
                let mut pipeline = Pipeline::with_capacity(portion.len());
                for (to, message) in portion.drain(..) {
                    let publish = pipeline.cmd("PUBLISH").arg(self.channel(&to));
                    publish.arg(&message[..]).ignore();
                }
                pipeline.exec_async(connection).await
            }
            Connection::Cluster(connection) => {
                // A pipeline would have to be for one slot.
                for (to, message) in portion.drain(..) {
                    let mut publish = redis::cmd("PUBLISH");
                    publish.arg(self.channel(&to)).arg(&message[..]);
                    connection.req_packed_command(&publish).await?;
                }
                Ok(())
            }
        }
    }

    fn channel(&self, to: &To) -> String {
        match to {
            To::All => format!("{}:all", self.prefix),
            To::Node(node) => format!("{}:node:{node}", self.prefix),
        }
    }
}

enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Incoming {
    /// Takes what is pushed.
    fn take(&self, push: PushInfo) {
        if push.kind == PushKind::Disconnection {
            self.lost.notify_one();
        } else if push.kind == PushKind::Message
            && let Some(Value::BulkString(message)) = push.data.into_iter().nth(1)
            && self.sender.try_send(message.into()).is_err()
        {
            self.metrics.bus_dropped.inc();
            self.miss();
        }
    }

    fn miss(&self) {
        self.missed.store(true, Ordering::Release);
        self.told.notify_one();
    }
}

#[async_trait]
impl Bus for Redis {
    fn send(&self, to: To, message: Bytes) {
        let connected = self.incoming.connected.load(Ordering::Acquire);
        if !connected || self.outgoing.try_send((to, message)).is_err() {
            self.metrics.bus_dropped.inc();
        }
    }

    async fn hear(&self) -> Heard {
        let mut coming = self.coming.lock().await;
        loop {
            if self.incoming.missed.swap(false, Ordering::AcqRel) {
                return Heard::Gap;
            }
            tokio::select! {
                biased;
                () = self.incoming.told.notified() => {}
                message = coming.recv() => if let Some(message) = message {
                    return Heard::Message(message);
                },
            }
        }
    }
}
