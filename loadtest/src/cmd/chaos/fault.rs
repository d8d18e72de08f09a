//! What goes wrong, when, and how: two lanes of faults, one for the nodes and one
//! for everything around them, so that they meet. A lane deals its faults out
//! in an order that the seed gives, all of them before any comes again. The two
//! make about 12 faults a minute.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    dice::Dice,
    lines::{Lines, Whose},
    servers::{NODES, Servers, node_name},
};
use crate::util::output;

/// Between the end of a fault and the next one of its lane.
const BREATH: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(6));

/// How long a fault lasts that is not over at once.
const LASTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// What a slow network adds to every piece.
const SLOW: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// What a slow line to a server adds to every piece. A statement takes several.
const SLOW_LINE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

/// How long a node stands still that is then the owner of nothing any more: longer
/// than any patience that somebody has with it. The end of a run ends it.
const STALE: Duration = Duration::from_secs(20);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    KillNode,
    KillAllNodes,
    HangNode,
    StaleNode,
    RestartNodes,
    CrashPostgres,
    CutPostgres,
    HoldPostgres,
    SlowPostgres,
    KillRedis,
    FlushRedis,
    CutRedis,
    HoldRedis,
    SlowRedis,
    KillMongodb,
    CutMongodb,
    HoldMongodb,
    SlowMongodb,
    CutClients,
    HoldClients,
    SlowClients,
}

/// Faults of nodes. The common ones are there more often.
pub(super) const NODE_FAULTS: [Kind; 7] = [
    Kind::KillNode,
    Kind::HangNode,
    Kind::RestartNodes,
    Kind::KillNode,
    Kind::HangNode,
    Kind::StaleNode,
    Kind::KillAllNodes,
];

/// Faults of what is around them.
pub(super) const OTHER_FAULTS: [Kind; 16] = [
    Kind::CrashPostgres,
    Kind::CutPostgres,
    Kind::HoldPostgres,
    Kind::SlowPostgres,
    Kind::KillRedis,
    Kind::FlushRedis,
    Kind::CutRedis,
    Kind::HoldRedis,
    Kind::SlowRedis,
    Kind::KillMongodb,
    Kind::CutMongodb,
    Kind::HoldMongodb,
    Kind::SlowMongodb,
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
            Self::StaleNode => "a node stands still for 20 s",
            Self::RestartNodes => "rolling restart",
            Self::CrashPostgres => "crash of PostgreSQL",
            Self::CutPostgres => "cut to PostgreSQL",
            Self::HoldPostgres => "silence of PostgreSQL",
            Self::SlowPostgres => "slow PostgreSQL",
            Self::KillRedis => "kill -9 of Redis",
            Self::FlushRedis => "FLUSHALL of Redis",
            Self::CutRedis => "cut to Redis",
            Self::HoldRedis => "silence of Redis",
            Self::SlowRedis => "slow Redis",
            Self::KillMongodb => "kill -9 of MongoDB",
            Self::CutMongodb => "cut to MongoDB",
            Self::HoldMongodb => "silence of MongoDB",
            Self::SlowMongodb => "slow MongoDB",
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
            | Self::StaleNode
            | Self::RestartNodes
            | Self::CutClients
            | Self::HoldClients => true,
            Self::CrashPostgres
            | Self::CutPostgres
            | Self::HoldPostgres
            | Self::SlowPostgres
            | Self::KillRedis
            | Self::FlushRedis
            | Self::CutRedis
            | Self::HoldRedis
            | Self::SlowRedis
            | Self::KillMongodb
            | Self::CutMongodb
            | Self::HoldMongodb
            | Self::SlowMongodb
            | Self::SlowClients => false,
        }
    }

    /// Whether it is about MongoDB, which a run may be without.
    pub(super) const fn is_of_mongodb(self) -> bool {
        matches!(
            self,
            Self::KillMongodb | Self::CutMongodb | Self::HoldMongodb | Self::SlowMongodb
        )
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
            Kind::HangNode => return self.hang_node(self.hang).await,
            Kind::StaleNode => return self.hang_node(STALE).await,
            Kind::RestartNodes => return self.restart_nodes().await,
            Kind::CrashPostgres => {
                servers.database.control("crash").await?;
                self.rest(lasts).await;
                servers.database.control("start").await?;
            }
            Kind::CutPostgres => return Ok(self.cut(&servers.to_postgres)),
            Kind::CutRedis => return Ok(self.cut(&servers.to_redis)),
            Kind::CutMongodb => return Ok(self.cut(&servers.to_mongodb)),
            Kind::HoldPostgres => return Ok(self.hold(&servers.to_postgres, lasts).await),
            Kind::HoldRedis => return Ok(self.hold(&servers.to_redis, lasts * 2).await),
            Kind::HoldMongodb => return Ok(self.hold(&servers.to_mongodb, lasts * 2).await),
            Kind::SlowPostgres => return Ok(self.slow(&servers.to_postgres, lasts * 2).await),
            Kind::SlowRedis => return Ok(self.slow(&servers.to_redis, lasts * 2).await),
            Kind::SlowMongodb => return Ok(self.slow(&servers.to_mongodb, lasts * 2).await),
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
        Ok(format!("from {} on", node_name(first)))
    }

    /// Once it wakes up, others have what it believes to have.
    async fn hang_node(&mut self, time: Duration) -> anyhow::Result<String> {
        let node = self.dice.below(NODES);
        self.servers.signal_node(node, "STOP").await?;
        self.rest(time).await;
        self.servers.signal_node(node, "CONT").await?;
        Ok(node_name(node))
    }

    async fn restart_nodes(&self) -> anyhow::Result<String> {
        let mut note = String::new();
        for index in 0..NODES {
            if !self.servers.stop_node(index).await? {
                note = format!("{note} {} did not end by itself", node_name(index));
            }
            self.servers.start_node(index).await?;
        }
        Ok(note)
    }

    fn cut(&mut self, lines: &Lines) -> String {
        let whose = self.whose();
        lines.cut(whose);
        format!("from {whose}")
    }

    /// It accepts, and passes nothing on.
    async fn hold(&mut self, lines: &Lines, lasts: Duration) -> String {
        let whose = self.whose();
        lines.hold(whose, true);
        self.rest(lasts).await;
        lines.hold(whose, false);
        format!("to {whose}")
    }

    async fn slow(&mut self, lines: &Lines, lasts: Duration) -> String {
        let whose = self.whose();
        let delay = self.dice.between(SLOW_LINE.0, SLOW_LINE.1);
        lines.delay(whose, delay);
        self.rest(lasts).await;
        lines.delay(whose, Duration::ZERO);
        format!("to {whose}, by {} ms", delay.as_millis())
    }

    /// One node's line is as likely as the lines of all.
    fn whose(&mut self) -> Whose {
        if self.dice.below(2) == 0 {
            Whose::All
        } else {
            Whose::Node(self.dice.below(NODES))
        }
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
