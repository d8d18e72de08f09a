//! The live part: attempts as actors, and what they need to be durable.
//!
//! [`Engine`] is the door for the web layer. Behind it: `registry` (which
//! attempts are in memory), `actor` (one attempt), `slot` and `writer` (the way
//! to the store), `outbox` (the way to the candidate), `sweeper` (attempts that
//! nobody watches). No HTTP and no SQL here. Authorization is the web layer's;
//! the engine decides admission, because it must be decided where attempts are
//! made.

mod actor;
mod board;
mod clock;
mod command;
mod content;
mod devices;
mod entropy;
mod hand_in;
mod load;
mod nodes;
mod outbox;
mod ownership;
mod read;
mod recorder;
mod registry;
mod replay;
mod routing;
mod shared;
mod slot;
mod start;
mod strain;
mod sweeper;
mod watching;
mod writer;

use std::{
    net::IpAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    actor::message::{Exchange, Message},
    board::Boards,
    content::Contents,
    devices::Devices,
    hand_in::Keys,
    nodes::{Answer, Desk, Owners, Question},
    recorder::Recorder,
    registry::{Missing, Registry, Why},
    routing::Done,
    shared::Shared,
    strain::Strain,
    writer::Writer,
};
pub use self::{
    actor::{ExchangeRefusal, Handle, Opened, Opening, OpeningRefusal, StaffRefusal},
    board::{Frame, News, Topic, Watching},
    clock::Clock,
    command::CommandError,
    content::{Content, PaperBody},
    entropy::{Entropy, SystemEntropy, fresh_session},
    nodes::Entry,
    outbox::{Closing, Outbox, Outgoing},
    recorder::RecorderSettings,
    replay::replay,
    shared::Limits,
    start::{StartError, StartedAttempt},
    watching::FoundIncident,
    writer::Flush,
};
use crate::{
    cluster::{Bus, Link},
    domain::{
        id::{AttemptId, NodeId},
        time::{Timestamp, duration_ms},
    },
    store::{self, AttemptStore, Catalog, records::RecordStore},
    telemetry::{chain, metrics::Metrics},
};
use invigil_protocol::{code::CloseCode, exchange};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::Instant,
};

/// How often a node says that it lives. What lies between its last word and the
/// next start is an outage, so this is also how exactly outages are known.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked at what is short.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// How long a caller without a socket waits for a commit before it is told to
/// try again.
const COMMIT_PATIENCE: Duration = Duration::from_secs(20);

/// How long the questions of other nodes may take to end at the stop.
const UNLINK_MAX: Duration = Duration::from_secs(1);

/// A wall clock that is further behind what the store has seen is wrong.
const CLOCK_BEHIND_MAX: Duration = Duration::from_secs(5);

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// Stored data is not what this program writes.
    #[error("attempt {attempt}: the stored {what} cannot be read")]
    Damaged {
        /// Which attempt.
        attempt: AttemptId,
        /// What of it.
        what: &'static str,
    },
    /// The exam version of an attempt is not in the store, or not valid.
    #[error("exam version {0} cannot be read")]
    Content(String),
    /// The stored result of a staff command cannot be read.
    #[error("the stored result of command {0} cannot be read")]
    Command(String),
    /// What waits for the store of records cannot be read.
    #[error("{path}: records cannot wait in this folder")]
    Spool {
        /// The folder.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// The wall clock is behind what the store has seen.
    #[error(
        "the system clock is {behind_seconds} s behind the last time that was recorded here; \
         set the clock and start again"
    )]
    ClockBehind {
        /// By how much.
        behind_seconds: i64,
    },
}

/// Settings of the engine.
#[derive(Clone)]
pub struct Settings {
    /// This node's name, which no other has and had.
    pub node: NodeId,
    /// What it hears the others by.
    pub bus: Arc<dyn Bus>,
    /// The clock.
    pub clock: Clock,
    /// Random numbers.
    pub entropy: Arc<dyn Entropy>,
    /// What a connection may ask.
    pub limits: Limits,
    /// The writer's.
    pub flush: Flush,
    /// An interruption of the engine shorter than this is bridged by clients.
    pub outage_min: Duration,
    /// How long an attempt without a connection stays in memory.
    pub idle_stop: Duration,
    /// Where records go; none: they are part of every commit.
    pub records: Option<(Arc<dyn RecordStore>, RecorderSettings)>,
}

/// The engine. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    contents: Arc<Contents>,
    attempts: Arc<dyn AttemptStore>,
    actors: TaskTracker,
    background: TaskTracker,
    recording: TaskTracker,
    linked: TaskTracker,
    stop: CancellationToken,
    /// Ends the link to other nodes, after everything else.
    unlink: CancellationToken,
}

impl Engine {
    /// Starts the engine on a store.
    ///
    /// # Errors
    /// Where the store fails, or its past lies in this machine's future.
    pub async fn start_up(
        attempts: Arc<dyn AttemptStore>,
        catalog: Arc<dyn Catalog>,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let clock = settings.clock;
        note_outage(&*attempts, &settings, clock.now()).await?;
        let keys = Arc::new(Keys::from_store(&*catalog).await?);
        let strain = Arc::new(Strain::default());
        let recorder = settings.records.map(|(store, settings)| {
            let (attempts, metrics) = (Arc::clone(&attempts), Arc::clone(&metrics));
            let strain = Arc::clone(&strain);
            Arc::new(Recorder::new(store, attempts, metrics, strain, settings))
        });
        let link = Arc::new(Link::new(
            settings.node.clone(),
            settings.bus,
            Arc::clone(&metrics),
        ));
        let shared = Arc::new(Shared {
            nodes: Arc::clone(&link),
            owners: Owners::default(),
            entropy: settings.entropy,
            recorder: recorder.clone(),
            changes: watch::Sender::new(0),
            boards: Boards::new(link, clock),
            devices: Devices::default(),
            strain,
            node: settings.node,
            clock,
            writer: Writer::new(),
            metrics,
            limits: settings.limits,
            idle_stop: settings.idle_stop,
            outage_min: settings.outage_min,
            keys: Arc::clone(&keys),
            outages: attempts.outages().await?.into(),
            draining: AtomicBool::new(false),
        });
        let contents = Arc::new(Contents::new(catalog, keys));
        let actors = TaskTracker::new();
        let doubts = Arc::new(Notify::new());
        let registry = Registry::new(
            Arc::clone(&shared),
            Arc::clone(&contents),
            Arc::clone(&attempts),
            Arc::clone(&doubts),
            actors.clone(),
        );
        let (background, stop) = (TaskTracker::new(), CancellationToken::new());
        let recording = TaskTracker::new();
        if let Some(recorder) = recorder {
            start_recording(recorder, clock, &recording, &stop)?;
        }
        let engine = Self {
            inner: Arc::new(Inner {
                shared,
                registry,
                contents,
                attempts,
                actors,
                background,
                recording,
                linked: TaskTracker::new(),
                stop,
                unlink: CancellationToken::new(),
            }),
        };
        engine.spawn_background(settings.flush);
        engine.spawn_link(doubts);
        Ok(engine)
    }

    fn spawn_background(&self, flush: Flush) {
        let Inner {
            shared,
            registry,
            contents,
            attempts,
            background,
            stop,
            ..
        } = &*self.inner;
        let (writer, store) = (Arc::clone(shared), Arc::clone(attempts));
        background.spawn(async move {
            writer
                .writer
                .run(store, flush, Arc::clone(&writer.metrics))
                .await;
        });
        background.spawn(sweeper::run(
            Arc::clone(registry),
            Arc::clone(attempts),
            Arc::clone(shared),
            stop.clone(),
        ));
        background.spawn(tell_health(
            Arc::clone(registry),
            Arc::clone(shared),
            shared.writer.available(),
            stop.clone(),
        ));
        let (measured, until) = (Arc::clone(shared), stop.clone());
        background.spawn(async move { measured.strain.measure(&measured.metrics, until).await });
        let (followed, until) = (Arc::clone(contents), stop.clone());
        let changes = shared.changes.subscribe();
        background.spawn(async move { followed.follow_rules(changes, until).await });
        background.spawn(shared.clock.watch(stop.clone()));
        background.spawn(say_alive(
            Arc::clone(attempts),
            Arc::clone(shared),
            stop.clone(),
        ));
    }

    fn spawn_link(&self, doubts: Arc<Notify>) {
        let Inner {
            shared,
            registry,
            attempts,
            background,
            linked,
            stop,
            unlink,
            ..
        } = &*self.inner;
        let desk = Desk {
            registry: Arc::clone(registry),
            shared: Arc::clone(shared),
            tasks: linked.clone(),
        };
        linked.spawn(Arc::clone(&shared.nodes).run(Arc::new(desk), linked.clone(), unlink.clone()));
        background.spawn(ownership::run(
            Arc::clone(registry),
            Arc::clone(attempts),
            Arc::clone(shared),
            doubts,
            stop.clone(),
        ));
        background.spawn(self.clone().follow_nodes(stop.clone()));
    }

    /// The instant that it is.
    pub fn now(&self) -> Timestamp {
        self.inner.shared.clock.now()
    }

    /// People, their rights or exams were changed at this node: it is told to the
    /// others.
    pub fn note_changed(&self) {
        let Inner { shared, .. } = &*self.inner;
        shared.note_changed();
        shared.nodes.tell(&nodes::News::Changed);
    }

    /// Counts changes of people, their rights and exams, at whichever node.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.shared.changes.subscribe()
    }

    /// What a connection may ask.
    pub fn limits(&self) -> &Limits {
        &self.inner.shared.limits
    }

    /// Opens a connection of a candidate. The handle is for what follows on it.
    ///
    /// # Errors
    /// The closing to send, where the connection is not taken.
    pub async fn open(
        &self,
        attempt: AttemptId,
        opening: Opening,
    ) -> Result<(Handle, Opened), OpeningRefusal> {
        let overloaded = || OpeningRefusal(Closing::new(CloseCode::Overloaded));
        let registry = &self.inner.registry;
        let (why, until) = (Why::entry(&opening), opening.until);
        loop {
            let handle = match registry.get(attempt, &why).await {
                Ok(Some(handle)) => handle,
                Ok(None) => return Err(OpeningRefusal(Closing::new(CloseCode::Unauthorized))),
                Err(Missing::Refused(closing)) => return Err(OpeningRefusal(closing)),
                Err(Missing::Elsewhere { .. }) => return Err(overloaded()),
                Err(Missing::Failed(error)) => {
                    tracing::warn!(attempt.id = %attempt, error = chain(&error), "cannot load");
                    return Err(overloaded());
                }
            };
            let (reply, opened) = oneshot::channel();
            let message = Message::Open(Box::new((opening.clone(), reply)));
            if handle.deliver(message).await.is_ok() {
                // A refusal waits for the store, and no longer than the client.
                let opened = tokio::time::timeout_at(until, opened).await;
                match opened.map_err(|_late| overloaded())? {
                    Ok(opened) => return Ok((handle, opened?)),
                    Err(_ended) if handle.is_closed() && Instant::now() < until => {}
                    Err(_) => return Err(overloaded()),
                }
            }
        }
    }

    /// Commands without a socket, and the JSON that they came in. Answers once they
    /// are durable.
    ///
    /// # Errors
    /// Why nothing was done, or that it is not known to be durable.
    pub async fn exchange(
        &self,
        attempt: AttemptId,
        request: exchange::Request,
        json: &str,
        address: IpAddr,
    ) -> Result<Box<exchange::Reply>, ExchangeRefusal> {
        // Drawn once, so that what is done twice begins one session.
        let fresh = fresh_session(&*self.inner.shared.entropy).map_err(|error| {
            tracing::error!(%error, "the system gives no random bytes");
            ExchangeRefusal::Unavailable
        })?;
        let asked = |again| Question::Exchange {
            attempt,
            request: json.to_owned(),
            fresh: Some(fresh.clone()),
            address,
            again,
        };
        let message = |reply, again| {
            let exchange = Exchange {
                request: request.clone(),
                fresh: fresh.clone(),
                address,
                again,
            };
            Message::Exchange(Box::new((exchange, reply)))
        };
        match self.have_done(attempt, asked, message).await {
            Done::Here(done) | Done::There(Answer::Exchanged(done)) => done,
            Done::NoSuchAttempt => Err(ExchangeRefusal::Closed),
            Done::There(_) | Done::Not => Err(ExchangeRefusal::Unavailable),
        }
    }

    /// Whether the store took the last batch. One that answers may still have no
    /// room on its disk.
    pub fn is_saving(&self) -> bool {
        *self.inner.shared.writer.available().borrow()
    }

    /// Shuts down: closes every connection, writes what waits, and ends all
    /// tasks. What is not durable within `patience` stays with the clients.
    pub async fn drain(&self, patience: Duration) {
        let Inner {
            registry,
            actors,
            background,
            recording,
            shared,
            attempts,
            linked,
            stop,
            unlink,
            ..
        } = &*self.inner;
        stop.cancel();
        registry.drain().await;
        shared.writer.stop();
        background.close();
        actors.close();
        if tokio::time::timeout(patience, background.wait())
            .await
            .is_err()
        {
            tracing::error!("the store did not take everything in time; clients send it again");
        }
        // Only now is nothing left that could be recorded.
        if let Some(recorder) = &shared.recorder {
            recorder.stop();
        }
        recording.close();
        if tokio::time::timeout(patience, recording.wait())
            .await
            .is_err()
        {
            tracing::error!("not every record was written; what was acknowledged is on disk");
        }
        if let Err(error) = attempts.node_left(&shared.node).await {
            tracing::debug!(error = chain(&error), "cannot say that this node ends");
        }
        shared.nodes.leave();
        unlink.cancel();
        // Nobody hears this node any more.
        shared.boards.lose(None);
        linked.close();
        if tokio::time::timeout(UNLINK_MAX, linked.wait())
            .await
            .is_err()
        {
            tracing::debug!("other nodes still wait for this one");
        }
    }
}

/// Starts what brings records to their store.
fn start_recording(
    recorder: Arc<Recorder>,
    clock: Clock,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let spool = recorder.open_spool().map_err(|source| Error::Spool {
        path: recorder.settings().spool_dir.display().to_string(),
        source,
    })?;
    let (writing, relaying) = (Arc::clone(&recorder), Arc::clone(&recorder));
    tasks.spawn(async move { writing.run(spool).await });
    let relay_stop = stop.clone();
    tasks.spawn(async move { relaying.relay(clock, relay_stop).await });
    let stop = stop.clone();
    tasks.spawn(async move { recorder.prepare(stop).await });
    Ok(())
}

/// Records how long no node was alive before this one.
async fn note_outage(
    store: &dyn AttemptStore,
    settings: &Settings,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(last) = store.node_alive(&settings.node, now).await? else {
        return Ok(());
    };
    let behind_ms = last.as_ms() - now.as_ms();
    if behind_ms > duration_ms(CLOCK_BEHIND_MAX) {
        return Err(Error::ClockBehind {
            behind_seconds: behind_ms / 1_000,
        });
    }
    if now.since(last) >= settings.outage_min {
        store.record_outage(last, now).await?;
    }
    Ok(())
}

/// Tells every attempt when the engine's health changes. One task for all: ten
/// thousand that watch the same value would wake over each other.
async fn tell_health(
    registry: Arc<Registry>,
    shared: Arc<Shared>,
    mut available: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut told = shared.health_level();
    let mut interval = tokio::time::interval(HEALTH_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = available.changed() => if changed.is_err() {
                return;
            },
            _ = interval.tick() => {}
        }
        let level = shared.health_level();
        shared.metrics.health.set(level.into());
        if std::mem::replace(&mut told, level) != level {
            registry.tell_all(|| Message::Health).await;
        }
    }
}

async fn say_alive(store: Arc<dyn AttemptStore>, shared: Arc<Shared>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(ALIVE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        if let Err(error) = store.node_alive(&shared.node, shared.clock.now()).await {
            tracing::debug!(error = chain(&error), "cannot say that this node lives");
        }
    }
}
