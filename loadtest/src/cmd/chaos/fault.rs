//! Faults in two lanes, one for the nodes and one for the servers around them, so that
//! faults coincide. A lane inflicts its faults in an order given by the seed, all of
//! them before any is repeated. Both lanes make about 12 faults a minute.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    dice::SeededRandom,
    lines::{LinkSelection, ServerLinks},
    servers::{ChaosServers, NODES, node_name},
};
use crate::util::output;

/// Time between the end of a fault and the next one of its lane.
const FAULT_INTERVAL: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(6));

/// Length of a fault that is not over at once.
const FAULT_LENGTH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// Delay of every piece on a slow network.
const CLIENT_DELAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// Delay of every piece on a slow line to a server. A statement takes several pieces.
const SERVER_DELAY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

/// Time that a stopped node needs to lose all its attempts: longer than every timeout
/// that concerns it. The end of the run ends it early.
const STALE_LENGTH: Duration = Duration::from_secs(20);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FaultKind {
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

/// Faults of nodes. Common ones are listed more often.
pub(super) const NODE_FAULTS: [FaultKind; 7] = [
    FaultKind::KillNode,
    FaultKind::HangNode,
    FaultKind::RestartNodes,
    FaultKind::KillNode,
    FaultKind::HangNode,
    FaultKind::StaleNode,
    FaultKind::KillAllNodes,
];

/// Faults of the servers and networks around the nodes.
pub(super) const OTHER_FAULTS: [FaultKind; 16] = [
    FaultKind::CrashPostgres,
    FaultKind::CutPostgres,
    FaultKind::HoldPostgres,
    FaultKind::SlowPostgres,
    FaultKind::KillRedis,
    FaultKind::FlushRedis,
    FaultKind::CutRedis,
    FaultKind::HoldRedis,
    FaultKind::SlowRedis,
    FaultKind::KillMongodb,
    FaultKind::CutMongodb,
    FaultKind::HoldMongodb,
    FaultKind::SlowMongodb,
    FaultKind::CutClients,
    FaultKind::HoldClients,
    FaultKind::SlowClients,
];

impl FaultKind {
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

    /// True if connections of candidates end by it.
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

    /// True if it concerns MongoDB, which a run may lack.
    pub(super) const fn is_of_mongodb(self) -> bool {
        matches!(
            self,
            Self::KillMongodb | Self::CutMongodb | Self::HoldMongodb | Self::SlowMongodb
        )
    }
}

/// A fault that was inflicted.
#[derive(Debug, Clone)]
pub(super) struct InflictedFault {
    pub(super) kind: FaultKind,
    pub(super) at: Instant,
    pub(super) lasted: Duration,
    /// Target and outcome.
    pub(super) note: String,
    /// True if a server did not come back.
    pub(super) failed: bool,
}

/// The log of all inflicted faults.
#[derive(Debug, Clone, Default)]
pub(super) struct FaultLog(Arc<Mutex<Vec<InflictedFault>>>);

impl FaultLog {
    pub(super) fn faults(&self) -> Vec<InflictedFault> {
        let mut faults = self.lock().clone();
        faults.sort_by_key(|fault| fault.at);
        faults
    }

    fn lock(&self) -> MutexGuard<'_, Vec<InflictedFault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane: a sequence of faults.
pub(super) struct FaultLane {
    pub(super) servers: Arc<ChaosServers>,
    pub(super) kinds: Vec<FaultKind>,
    pub(super) dice: SeededRandom,
    pub(super) hang: Duration,
    pub(super) log: FaultLog,
    pub(super) start: Instant,
    pub(super) stop: CancellationToken,
}

impl FaultLane {
    /// Inflicts one fault after the other until `stop`, which also ends the last one.
    pub(super) async fn run(mut self) {
        loop {
            for kind in self.dice.shuffled(&self.kinds) {
                let breath = self
                    .dice
                    .duration_between(FAULT_INTERVAL.0, FAULT_INTERVAL.1);
                self.rest_for(breath).await;
                if self.stop.is_cancelled() {
                    return;
                }
                let at = Instant::now();
                let seconds = at.duration_since(self.start).as_secs_f64();
                output::print_progress(&format!("{seconds:7.2} s  {}", kind.name()));
                let (note, failed) = match self.inflict_fault(kind).await {
                    Ok(note) => (note, false),
                    Err(error) => (format!("{error:#}"), true),
                };
                let lasted = at.elapsed();
                let until = seconds + lasted.as_secs_f64();
                output::print_progress(&format!("{until:7.2} s  over: {} {note}", kind.name()));
                self.log.lock().push(InflictedFault {
                    kind,
                    at,
                    lasted,
                    note,
                    failed,
                });
            }
        }
    }

    /// Inflicts a fault and repairs it. Returns a note.
    async fn inflict_fault(&mut self, kind: FaultKind) -> anyhow::Result<String> {
        let servers = Arc::clone(&self.servers);
        let lasts = self.dice.duration_between(FAULT_LENGTH.0, FAULT_LENGTH.1);
        match kind {
            FaultKind::KillNode => return self.kill_nodes(1, lasts).await,
            FaultKind::KillAllNodes => return self.kill_nodes(NODES, lasts).await,
            FaultKind::HangNode => return self.hang_node(self.hang).await,
            FaultKind::StaleNode => return self.hang_node(STALE_LENGTH).await,
            FaultKind::RestartNodes => return self.restart_nodes().await,
            FaultKind::CrashPostgres => {
                servers.database.control_server("crash").await?;
                self.rest_for(lasts).await;
                servers.database.control_server("start").await?;
            }
            FaultKind::CutPostgres => return Ok(self.cut_links(&servers.to_postgres)),
            FaultKind::CutRedis => return Ok(self.cut_links(&servers.to_redis)),
            FaultKind::CutMongodb => return Ok(self.cut_links(&servers.to_mongodb)),
            FaultKind::HoldPostgres => {
                return Ok(self.hold_links(&servers.to_postgres, lasts).await);
            }
            FaultKind::HoldRedis => return Ok(self.hold_links(&servers.to_redis, lasts * 2).await),
            FaultKind::HoldMongodb => {
                return Ok(self.hold_links(&servers.to_mongodb, lasts * 2).await);
            }
            FaultKind::SlowPostgres => {
                return Ok(self.slow_links(&servers.to_postgres, lasts * 2).await);
            }
            FaultKind::SlowRedis => return Ok(self.slow_links(&servers.to_redis, lasts * 2).await),
            FaultKind::SlowMongodb => {
                return Ok(self.slow_links(&servers.to_mongodb, lasts * 2).await);
            }
            FaultKind::KillRedis => {
                servers.redis.lock().await.kill();
                self.rest_for(lasts).await;
                servers.start_redis().await?;
            }
            FaultKind::FlushRedis => servers.flush_redis().await?,
            FaultKind::KillMongodb => {
                if let Some(mongodb) = &servers.mongodb {
                    mongodb.lock().await.kill();
                    self.rest_for(lasts).await;
                    servers.start_mongodb().await?;
                }
            }
            FaultKind::CutClients => servers.front.cut_connections(),
            FaultKind::HoldClients => return Ok(self.hold_clients(lasts * 2).await),
            FaultKind::SlowClients => {
                servers
                    .front
                    .delay_traffic(self.dice.duration_between(CLIENT_DELAY.0, CLIENT_DELAY.1));
                self.rest_for(lasts * 2).await;
                servers.front.delay_traffic(Duration::ZERO);
            }
        }
        Ok(String::new())
    }

    async fn kill_nodes(&mut self, count: usize, lasts: Duration) -> anyhow::Result<String> {
        let first = self.dice.pick_below(NODES);
        let killed = (first..first + count).map(|index| index % NODES);
        for index in killed.clone() {
            self.servers.kill_node(index).await;
        }
        self.rest_for(lasts).await;
        for index in killed {
            self.servers.start_node(index).await?;
        }
        Ok(format!("from {} on", node_name(first)))
    }

    /// Stops a node for some time. Once it wakes up, others own its attempts.
    async fn hang_node(&mut self, time: Duration) -> anyhow::Result<String> {
        let node = self.dice.pick_below(NODES);
        self.servers.signal_node(node, "STOP").await?;
        self.rest_for(time).await;
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

    fn cut_links(&mut self, lines: &ServerLinks) -> String {
        let whose = self.pick_links();
        lines.cut_connections(whose);
        format!("from {whose}")
    }

    /// Holds traffic: connections are accepted, and nothing is forwarded.
    async fn hold_links(&mut self, lines: &ServerLinks, lasts: Duration) -> String {
        let whose = self.pick_links();
        lines.hold_traffic(whose, true);
        self.rest_for(lasts).await;
        lines.hold_traffic(whose, false);
        format!("to {whose}")
    }

    async fn slow_links(&mut self, lines: &ServerLinks, lasts: Duration) -> String {
        let whose = self.pick_links();
        let delay = self.dice.duration_between(SERVER_DELAY.0, SERVER_DELAY.1);
        lines.delay_traffic(whose, delay);
        self.rest_for(lasts).await;
        lines.delay_traffic(whose, Duration::ZERO);
        format!("to {whose}, by {} ms", delay.as_millis())
    }

    /// Picks the links of one node or those of all, with equal chance.
    fn pick_links(&mut self) -> LinkSelection {
        if self.dice.pick_below(2) == 0 {
            LinkSelection::All
        } else {
            LinkSelection::Node(self.dice.pick_below(NODES))
        }
    }

    /// Holds the traffic of candidates. Afterwards it is forwarded, or cut.
    async fn hold_clients(&mut self, lasts: Duration) -> String {
        let front = Arc::clone(&self.servers.front);
        front.hold_traffic(true);
        self.rest_for(lasts).await;
        let cut = self.dice.pick_below(2) == 0;
        if cut {
            front.cut_connections();
        }
        front.hold_traffic(false);
        if cut { "then cut" } else { "then whole" }.to_owned()
    }

    /// Waits, unless the run ends.
    async fn rest_for(&self, time: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep(time) => {}
        }
    }
}
