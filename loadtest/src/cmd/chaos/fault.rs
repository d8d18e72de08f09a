//! What goes wrong, when, and how: two lanes of faults, one for the nodes and one
//! for everything around them, so that they meet. A lane deals its faults out
//! in an order that the seed gives, all of them before any comes again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    dice::Dice,
    servers::{NODES, Servers},
};
use crate::util::output;

/// Between the end of a fault and the next one of its lane.
const BREATH: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(6));

/// How long a fault lasts that is not over at once.
const LASTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// What a slow network adds to every piece.
const SLOW: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    KillNode,
    KillAllNodes,
    HangNode,
    RestartNodes,
    CrashPostgres,
    CutPostgres,
    HoldPostgres,
    KillRedis,
    FlushRedis,
    KillMongodb,
    CutClients,
    HoldClients,
    SlowClients,
}

/// Faults of nodes. The common ones are there more often.
pub(super) const NODE_FAULTS: [Kind; 6] = [
    Kind::KillNode,
    Kind::HangNode,
    Kind::RestartNodes,
    Kind::KillNode,
    Kind::HangNode,
    Kind::KillAllNodes,
];

/// Faults of what is around them.
pub(super) const OTHER_FAULTS: [Kind; 9] = [
    Kind::CrashPostgres,
    Kind::CutPostgres,
    Kind::HoldPostgres,
    Kind::KillRedis,
    Kind::FlushRedis,
    Kind::KillMongodb,
    Kind::CutClients,
    Kind::HoldClients,
    Kind::SlowClients,
];

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::KillNode => "kill -9 of a node",
            Self::KillAllNodes => "kill -9 of all nodes",
            Self::HangNode => "a node hangs (SIGSTOP)",
            Self::RestartNodes => "rolling restart",
            Self::CrashPostgres => "crash of PostgreSQL",
            Self::CutPostgres => "cut to PostgreSQL",
            Self::HoldPostgres => "silence of PostgreSQL",
            Self::KillRedis => "kill -9 of Redis",
            Self::FlushRedis => "FLUSHALL of Redis",
            Self::KillMongodb => "kill -9 of MongoDB",
            Self::CutClients => "cut to candidates",
            Self::HoldClients => "half-open to candidates",
            Self::SlowClients => "slow network",
        }
    }

    /// Whether connections of candidates end by it.
    pub(super) const fn ends_connections(self) -> bool {
        match self {
            Self::KillNode
            | Self::KillAllNodes
            | Self::HangNode
            | Self::RestartNodes
            | Self::CutClients
            | Self::HoldClients => true,
            Self::CrashPostgres
            | Self::CutPostgres
            | Self::HoldPostgres
            | Self::KillRedis
            | Self::FlushRedis
            | Self::KillMongodb
            | Self::SlowClients => false,
        }
    }
}

/// A fault that was.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) at: Instant,
    pub(super) lasted: Duration,
    /// What it met, and what it came to.
    pub(super) note: String,
    /// Something did not come back.
    pub(super) failed: bool,
}

/// Everything that went wrong on purpose, in the order of its beginning.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<Fault>>>);

impl Log {
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = self.lock().clone();
        faults.sort_by_key(|fault| fault.at);
        faults
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sequence of faults.
pub(super) struct Lane {
    pub(super) servers: Arc<Servers>,
    pub(super) kinds: Vec<Kind>,
    pub(super) dice: Dice,
    pub(super) hang: Duration,
    pub(super) log: Log,
    pub(super) start: Instant,
    pub(super) stop: CancellationToken,
}

impl Lane {
    /// One fault after the other until `stop`; then the last one is ended.
    pub(super) async fn run(mut self) {
        loop {
            for kind in self.dice.shuffled(&self.kinds) {
                let breath = self.dice.between(BREATH.0, BREATH.1);
                self.rest(breath).await;
                if self.stop.is_cancelled() {
                    return;
                }
                let at = Instant::now();
                let seconds = at.duration_since(self.start).as_secs_f64();
                output::progress(&format!("{seconds:7.2} s  {}", kind.name()));
                let (note, failed) = match self.inflict(kind).await {
                    Ok(note) => (note, false),
                    Err(error) => (format!("{error:#}"), true),
                };
                let lasted = at.elapsed();
                let until = seconds + lasted.as_secs_f64();
                output::progress(&format!("{until:7.2} s  over: {} {note}", kind.name()));
                self.log.lock().push(Fault {
                    kind,
                    at,
                    lasted,
                    note,
                    failed,
                });
            }
        }
    }

    /// Lets it fail and brings it back; what there is to say about it.
    async fn inflict(&mut self, kind: Kind) -> anyhow::Result<String> {
        let servers = Arc::clone(&self.servers);
        let lasts = self.dice.between(LASTS.0, LASTS.1);
        match kind {
            Kind::KillNode => return self.kill_nodes(1, lasts).await,
            Kind::KillAllNodes => return self.kill_nodes(NODES, lasts).await,
            Kind::HangNode => return self.hang_node().await,
            Kind::RestartNodes => return self.restart_nodes().await,
            Kind::CrashPostgres => {
                servers.database.control("crash").await?;
                self.rest(lasts).await;
                servers.database.control("start").await?;
            }
            Kind::CutPostgres => servers.line.cut(),
            Kind::HoldPostgres => {
                servers.line.hold(true);
                self.rest(lasts).await;
                servers.line.hold(false);
            }
            Kind::KillRedis => {
                servers.redis.lock().await.kill();
                self.rest(lasts).await;
                servers.start_redis().await?;
            }
            Kind::FlushRedis => servers.flush_redis().await?,
            Kind::KillMongodb => {
                if let Some(mongodb) = &servers.mongodb {
                    mongodb.lock().await.kill();
                    self.rest(lasts).await;
                    servers.start_mongodb().await?;
                }
            }
            Kind::CutClients => servers.front.cut(),
            Kind::HoldClients => return Ok(self.hold_clients(lasts * 2).await),
            Kind::SlowClients => {
                servers.front.delay(self.dice.between(SLOW.0, SLOW.1));
                self.rest(lasts * 2).await;
                servers.front.delay(Duration::ZERO);
            }
        }
        Ok(String::new())
    }

    async fn kill_nodes(&mut self, count: usize, lasts: Duration) -> anyhow::Result<String> {
        let first = self.dice.below(NODES);
        let killed = (first..first + count).map(|index| index % NODES);
        for index in killed.clone() {
            self.servers.kill_node(index).await;
        }
        self.rest(lasts).await;
        for index in killed {
            self.servers.start_node(index).await?;
        }
        Ok(format!("from node-{} on", first + 1))
    }

    /// Once it wakes up, others have what it believes to have.
    async fn hang_node(&mut self) -> anyhow::Result<String> {
        let node = self.dice.below(NODES);
        self.servers.signal_node(node, "STOP").await?;
        self.rest(self.hang).await;
        self.servers.signal_node(node, "CONT").await?;
        Ok(format!("node-{}", node + 1))
    }

    async fn restart_nodes(&self) -> anyhow::Result<String> {
        let mut note = String::new();
        for index in 0..NODES {
            if !self.servers.stop_node(index).await? {
                note = format!("{note} node-{} did not end by itself", index + 1);
            }
            self.servers.start_node(index).await?;
        }
        Ok(note)
    }

    /// What was under way comes through in the end, or never does.
    async fn hold_clients(&mut self, lasts: Duration) -> String {
        let front = Arc::clone(&self.servers.front);
        front.hold(true);
        self.rest(lasts).await;
        let cut = self.dice.below(2) == 0;
        if cut {
            front.cut();
        }
        front.hold(false);
        if cut { "then cut" } else { "then whole" }.to_owned()
    }

    /// Waits, unless the run is at its end.
    async fn rest(&self, time: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep(time) => {}
        }
    }
}
