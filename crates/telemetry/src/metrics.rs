//! The metrics at `/metrics`, in the text form of Prometheus.
//!
//! The program creates one [`Metrics`] at its start and shares it; every figure is
//! counted where it happens. `docs/operations.md` explains each of them.

use std::{fmt, sync::atomic::AtomicU64};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Buckets from half a millisecond to eight seconds: around the time of a save.
const SAVE_SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0,
];

/// Buckets up to the largest batch that may be configured.
const BATCH_ROWS: [f64; 12] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 10_000.0,
];

/// The kind of a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// The protocol's name of it.
    pub kind: &'static str,
}

/// A stable code of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    /// The protocol's name of it; a number for a close.
    pub code: String,
}

/// The outcome of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// A short name.
    pub outcome: &'static str,
}

/// A job of the maintenance, and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct JobLabels {
    /// The job's name.
    pub job: &'static str,
    /// A short name.
    pub outcome: &'static str,
}

/// A class of records, and their outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ClassLabels {
    /// The name of the class.
    pub class: &'static str,
    /// A short name.
    pub outcome: &'static str,
}

/// An operation of the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OperationLabel {
    /// As `invigil_store::Error` names it.
    pub operation: &'static str,
}

/// A route of HTTP requests, and their status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The route with its parameters as names, so that there are few of them.
    pub route: String,
    /// The HTTP status.
    pub status: u16,
}

/// All metrics of the program.
pub struct Metrics {
    registry: Registry,
    /// Open connections, HTTP and sockets.
    pub connections: Gauge,
    /// Connections turned away because there are too many.
    pub connections_refused: Counter,
    /// Open sockets of candidates.
    pub sockets: Gauge,
    /// Open sockets of proctors' consoles.
    pub consoles: Gauge,
    /// The `health` that clients get, 0 to 10.
    pub health: Gauge,
    /// Attempts in memory.
    pub live_attempts: Gauge,
    /// Commands of candidates, by kind.
    pub commands: Family<KindLabel, Counter>,
    /// Commands of staff, by action.
    pub staff_commands: Family<KindLabel, Counter>,
    /// Commands refused, by refusal code.
    pub refusals: Family<CodeLabel, Counter>,
    /// Sockets closed by the engine, by close code.
    pub closes: Family<CodeLabel, Counter>,
    /// Seconds from receiving a command to its commit.
    pub save_seconds: Histogram,
    /// Rows of one batch.
    pub writer_batch_rows: Histogram,
    /// Seconds from handing a batch to the store to its commit.
    pub writer_batch_seconds: Histogram,
    /// Attempts with changes that wait for the writer.
    pub writer_queue_depth: Gauge,
    /// Tasks of attempts that panicked.
    pub actor_panics: Counter,
    /// Attempts handed in, by who did it.
    pub hand_ins: Family<OutcomeLabel, Counter>,
    /// Calls of the store that failed, by operation.
    pub store_errors: Family<OperationLabel, Counter>,
    /// HTTP requests, by route and status.
    pub http_requests: Family<RouteLabels, Counter>,
    /// Log-ins, by outcome: `ok`, `wrong`, `limited`.
    pub logins: Family<OutcomeLabel, Counter>,
    /// Jobs of the maintenance, by job and outcome: `done`, `elsewhere`, `failed`.
    pub maintenance_jobs: Family<JobLabels, Counter>,
    /// Records, by class and outcome: `stored`, `spooled`, `drained`, `moved`,
    /// `dropped`, `refused`.
    pub records: Family<ClassLabels, Counter>,
    /// Age of the oldest record in memory, seconds.
    pub recorder_lag: Gauge<f64, AtomicU64>,
    /// Delay of a due task, seconds, the worst of late.
    pub scheduling_delay: Gauge<f64, AtomicU64>,
    /// Share of the memory that is in use.
    pub memory_used: Gauge<f64, AtomicU64>,
    /// Bytes of records on local disk.
    pub spool_bytes: Gauge,
    /// Parts of the spool that could not be read.
    pub spool_damaged: Counter,
    /// Nodes that are alive, with this one.
    pub bus_nodes: Gauge,
    /// 1 if this node hears the others, else 0.
    pub bus_up: Gauge,
    /// Gaps: messages of other nodes may have been missed.
    pub bus_gaps: Counter,
    /// Messages to or from other nodes that were dropped.
    pub bus_dropped: Counter,
    /// Messages of other nodes in an unknown format.
    pub bus_unknown: Counter,
    /// Attempts acquired from another node, by how: `handed_over`, `taken`.
    pub takeovers: Family<OutcomeLabel, Counter>,
    /// Seconds from requesting an attempt from its owner to acquiring it.
    pub hand_over_seconds: Histogram,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("invigil");
        let build: Family<Vec<(&str, &str)>, Gauge<i64, std::sync::atomic::AtomicI64>> =
            Family::default();
        build
            .get_or_create(&vec![("version", env!("CARGO_PKG_VERSION"))])
            .set(1);
        registry.register("build_info", "The program's version", build);
        let mut metrics = Self {
            registry,
            connections: Gauge::default(),
            connections_refused: Counter::<u64, AtomicU64>::default(),
            sockets: Gauge::default(),
            consoles: Gauge::default(),
            health: Gauge::default(),
            live_attempts: Gauge::default(),
            commands: Family::default(),
            staff_commands: Family::default(),
            refusals: Family::default(),
            closes: Family::default(),
            save_seconds: Histogram::new(SAVE_SECONDS),
            writer_batch_rows: Histogram::new(BATCH_ROWS),
            writer_batch_seconds: Histogram::new(SAVE_SECONDS),
            writer_queue_depth: Gauge::default(),
            actor_panics: Counter::default(),
            hand_ins: Family::default(),
            store_errors: Family::default(),
            http_requests: Family::default(),
            logins: Family::default(),
            maintenance_jobs: Family::default(),
            records: Family::default(),
            recorder_lag: Gauge::default(),
            scheduling_delay: Gauge::default(),
            memory_used: Gauge::default(),
            spool_bytes: Gauge::default(),
            spool_damaged: Counter::default(),
            bus_nodes: Gauge::default(),
            bus_up: Gauge::default(),
            bus_gaps: Counter::default(),
            bus_dropped: Counter::default(),
            bus_unknown: Counter::default(),
            takeovers: Family::default(),
            hand_over_seconds: Histogram::new(SAVE_SECONDS),
        };
        metrics.register_all();
        metrics
    }
}

impl Metrics {
    /// Counts an attempt acquired from another node that was asked for it.
    pub fn record_takeover(&self, outcome: &'static str, took: std::time::Duration) {
        self.takeovers
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
        self.hand_over_seconds.observe(took.as_secs_f64());
    }

    fn register_all(&mut self) {
        let registry = &mut self.registry;
        macro_rules! register {
            ($($field:ident: $help:literal,)*) => {
                $(registry.register(stringify!($field), $help, self.$field.clone());)*
            };
        }
        register! {
            connections: "Open connections, HTTP and sockets",
            connections_refused: "Connections turned away because there are too many",
            sockets: "Open sockets of candidates",
            consoles: "Open sockets of proctors' consoles",
            health: "The health that clients get, 0 to 10",
            live_attempts: "Attempts in memory",
            commands: "Commands of candidates",
            staff_commands: "Commands of staff",
            refusals: "Commands refused",
            closes: "Sockets closed by the engine",
            save_seconds: "Seconds from receiving a command to its commit",
            writer_batch_rows: "Rows of one batch",
            writer_batch_seconds: "Seconds from handing a batch to the store to its commit",
            writer_queue_depth: "Attempts with changes that wait for the writer",
            actor_panics: "Tasks of attempts that panicked",
            hand_ins: "Attempts handed in",
            store_errors: "Calls of the store that failed",
            http_requests: "HTTP requests",
            logins: "Log-ins",
            maintenance_jobs: "Maintenance jobs",
            records: "Records on their way to their store",
            recorder_lag: "Seconds that the oldest record waits in memory",
            scheduling_delay: "Seconds that a due task was delayed, the worst of late",
            memory_used: "Share of the memory that is in use",
            spool_bytes: "Bytes of records on local disk",
            spool_damaged: "Parts of the spool that could not be read",
            bus_nodes: "Nodes that are alive, with this one",
            bus_up: "1 if this node hears the others, else 0",
            bus_gaps: "Gaps: messages of other nodes may have been missed",
            bus_dropped: "Messages to or from other nodes that were dropped",
            bus_unknown: "Messages of other nodes in an unknown format",
            takeovers: "Attempts acquired from another node, by how",
            hand_over_seconds: "Seconds from requesting an attempt from its owner to acquiring it",
        }
    }

    /// Counts a candidate's command.
    pub fn count_command(&self, kind: &'static str) {
        self.commands.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts a staff command.
    pub fn count_staff_command(&self, kind: &'static str) {
        self.staff_commands.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts a refused command.
    pub fn count_refusal(&self, code: &str) {
        self.refusals
            .get_or_create(&CodeLabel {
                code: code.to_owned(),
            })
            .inc();
    }

    /// Counts a hand-in, by who did it.
    pub fn count_hand_in(&self, outcome: &'static str) {
        self.hand_ins.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a failed call of the store.
    pub fn count_store_failure(&self, operation: &'static str) {
        self.store_errors
            .get_or_create(&OperationLabel { operation })
            .inc();
    }

    /// Returns the metrics in their text form.
    pub fn encode_text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    /// Returns metrics with a member in each family, as empty families are not shown.
    fn touched_metrics() -> Metrics {
        let metrics = Metrics::default();
        metrics.count_command("");
        metrics.count_staff_command("");
        metrics.count_refusal("");
        metrics.count_hand_in("");
        metrics.count_store_failure("");
        let (code, route) = (String::new(), String::new());
        drop(metrics.closes.get_or_create(&CodeLabel { code }));
        drop(
            metrics
                .http_requests
                .get_or_create(&RouteLabels { route, status: 0 }),
        );
        drop(metrics.logins.get_or_create(&OutcomeLabel { outcome: "" }));
        let job = JobLabels {
            job: "",
            outcome: "",
        };
        drop(metrics.maintenance_jobs.get_or_create(&job));
        let class = ClassLabels {
            class: "",
            outcome: "",
        };
        drop(metrics.records.get_or_create(&class));
        metrics
    }

    #[test]
    fn the_list_of_metrics_is_stable() {
        let text = touched_metrics().encode_text();
        let list: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("# TYPE"))
            .collect();
        expect![[r"
            # TYPE invigil_build_info gauge
            # TYPE invigil_connections gauge
            # TYPE invigil_connections_refused counter
            # TYPE invigil_sockets gauge
            # TYPE invigil_consoles gauge
            # TYPE invigil_health gauge
            # TYPE invigil_live_attempts gauge
            # TYPE invigil_commands counter
            # TYPE invigil_staff_commands counter
            # TYPE invigil_refusals counter
            # TYPE invigil_closes counter
            # TYPE invigil_save_seconds histogram
            # TYPE invigil_writer_batch_rows histogram
            # TYPE invigil_writer_batch_seconds histogram
            # TYPE invigil_writer_queue_depth gauge
            # TYPE invigil_actor_panics counter
            # TYPE invigil_hand_ins counter
            # TYPE invigil_store_errors counter
            # TYPE invigil_http_requests counter
            # TYPE invigil_logins counter
            # TYPE invigil_maintenance_jobs counter
            # TYPE invigil_records counter
            # TYPE invigil_recorder_lag gauge
            # TYPE invigil_scheduling_delay gauge
            # TYPE invigil_memory_used gauge
            # TYPE invigil_spool_bytes gauge
            # TYPE invigil_spool_damaged counter
            # TYPE invigil_bus_nodes gauge
            # TYPE invigil_bus_up gauge
            # TYPE invigil_bus_gaps counter
            # TYPE invigil_bus_dropped counter
            # TYPE invigil_bus_unknown counter
            # TYPE invigil_hand_over_seconds histogram"]]
        .assert_eq(&list.join("\n"));
    }

    #[test]
    fn figures_are_shown_with_their_labels() {
        let metrics = Metrics::default();
        metrics
            .commands
            .get_or_create(&KindLabel { kind: "answer" })
            .inc_by(3);
        metrics.save_seconds.observe(0.003);
        let route = "/api/v1/exams".to_owned();
        metrics
            .http_requests
            .get_or_create(&RouteLabels { route, status: 200 })
            .inc();
        let text = metrics.encode_text();
        for line in [
            "invigil_commands_total{kind=\"answer\"} 3",
            "invigil_save_seconds_bucket{le=\"0.005\"} 1",
            "invigil_http_requests_total{route=\"/api/v1/exams\",status=\"200\"} 1",
        ] {
            assert!(text.contains(line), "{line} in:\n{text}");
        }
    }
}
