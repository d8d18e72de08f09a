//! The servers of a figure: PostgreSQL, Redis and nodes, all of them new, with their
//! files in one folder and no proxies between them.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep};

use super::super::{
    chaos::{
        database::RunDatabase,
        exam::{EXAM, QUESTIONS},
        process::{ServerProcess, free_port, run_program},
        servers::{node_process, node_settings, redis_arguments, start_process},
    },
    roster,
};
use crate::util::{
    metrics,
    process::{ProcessUsage, cpu_of_family},
};

/// Timeout of the nodes' discovery of each other.
const MEET_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout of stopping a node: its drain time, and some more.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Interval of polling.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The servers; see the module. Fields drop in order: the nodes end first.
pub(super) struct NodeCluster {
    nodes: Vec<(ServerProcess, SocketAddr)>,
    redis: ServerProcess,
    pub(super) database: RunDatabase,
    dir: PathBuf,
    bin: PathBuf,
    redis_port: u16,
}

/// Processor time so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProcessorTime {
    /// Sum over all nodes that were not killed.
    pub(super) engine: Duration,
    pub(super) postgres: Duration,
    pub(super) redis: Duration,
}

/// Attempts that nodes took over from each other, so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TakeoverTotals {
    /// Number of attempts that the other node released.
    pub(super) handed_over: f64,
    /// Number of attempts whose node was asked and did not respond.
    pub(super) taken: f64,
    /// Seconds of both, from the request to owning the attempt.
    pub(super) seconds: f64,
}

impl NodeCluster {
    /// Starts PostgreSQL and Redis, with the exam and this number of candidates. No node yet.
    pub(super) async fn start(dir: &Path, bin: &Path, people: u32) -> anyhow::Result<Self> {
        std::fs::create_dir(dir).context("make a folder")?;
        open_to_all(dir)?;
        let database = RunDatabase::create(&dir.join("postgres")).await?;
        let (redis_port, redis_dir) = (free_port().await, dir.join("redis"));
        std::fs::create_dir(&redis_dir).context("make a folder")?;
        let arguments = redis_arguments(redis_port);
        let redis = ServerProcess::new("redis", "redis-server", arguments, vec![], &redis_dir);
        let redis = start_process(redis, redis_port).await?;

        let settings = node_settings(dir, 0, database.url.clone(), redis_port, None);
        let (exam, people_file) = (dir.join("exam.yaml"), dir.join("roster.csv"));
        std::fs::write(&exam, exam_text()).context("write the exam")?;
        roster::write_to(&people_file, people, EXAM)?;
        let program = bin.display().to_string();
        let (exam, roster) = (
            exam.display().to_string(),
            people_file.display().to_string(),
        );
        for arguments in [
            vec!["migrate"],
            vec!["import", "exam", &exam],
            vec!["import", "roster", &roster],
        ] {
            run_program(&program, &arguments, &settings).await?;
        }
        Ok(Self {
            nodes: Vec::new(),
            redis,
            database,
            dir: dir.to_owned(),
            bin: bin.to_owned(),
            redis_port,
        })
    }

    /// Starts this number of nodes, and waits until each knows all others.
    pub(super) async fn start_nodes(
        &mut self,
        http: &reqwest::Client,
        count: usize,
    ) -> anyhow::Result<()> {
        for index in 0..count {
            let database = self.database.url.clone();
            let settings = node_settings(&self.dir, index, database, self.redis_port, None);
            let mut process = node_process(index, &self.dir, &self.bin, settings);
            process.start()?;
            let address = process.wait_for_line("listening on ").await?;
            let address = address.parse().context("read a node's address")?;
            self.nodes.push((process, address));
        }
        let until = Instant::now() + MEET_TIMEOUT;
        for base in self.base_urls() {
            loop {
                let text = metrics::fetch_metrics(http, &base)
                    .await
                    .unwrap_or_default();
                let known = metrics::sample_value(&text, "invigil_bus_nodes").unwrap_or(0.0);
                if known >= f64::from(u32::try_from(count)?) {
                    break;
                }
                ensure!(
                    Instant::now() < until,
                    "the nodes do not discover each other"
                );
                sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// Stops all nodes gracefully.
    pub(super) async fn stop_nodes(&mut self) -> anyhow::Result<()> {
        for (process, _) in &self.nodes {
            process.send_signal("TERM").await?;
        }
        for (mut process, _) in self.nodes.drain(..) {
            ensure!(
                process.ends_within(STOP_TIMEOUT).await,
                "{} does not end",
                process.name
            );
        }
        Ok(())
    }

    /// Kills a node, as a loss of power does.
    pub(super) fn kill_node(&mut self, index: usize) {
        if let Some((process, _)) = self.nodes.get_mut(index) {
            process.kill();
        }
    }

    /// Address on which a node listens.
    pub(super) fn node_address(&self, index: usize) -> anyhow::Result<SocketAddr> {
        let node = self.nodes.get(index).context("find the node")?;
        Ok(node.1)
    }

    /// Base URLs of all nodes.
    pub(super) fn base_urls(&self) -> Vec<String> {
        let nodes = self.nodes.iter();
        nodes
            .map(|(_, address)| format!("http://{address}"))
            .collect()
    }

    /// Returns the processor time of all servers.
    pub(super) fn processor_time(&self) -> anyhow::Result<ProcessorTime> {
        let mut engine = Duration::ZERO;
        let running = self
            .nodes
            .iter()
            .filter_map(|(process, _)| process.child.as_ref());
        for child in running {
            engine += ProcessUsage::of_process(child.id())?.cpu;
        }
        let file = self.dir.join("postgres/data/postmaster.pid");
        let file = std::fs::read_to_string(file).context("find PostgreSQL's process")?;
        let postmaster = file.lines().next().unwrap_or_default().parse();
        let redis = self.redis.child.as_ref().context("Redis does not run")?;
        Ok(ProcessorTime {
            engine,
            postgres: cpu_of_family(postmaster.context("read PostgreSQL's process id")?)?,
            redis: ProcessUsage::of_process(redis.id())?.cpu,
        })
    }

    /// Returns the takeovers of all running nodes.
    pub(super) async fn takeover_totals(
        &mut self,
        http: &reqwest::Client,
    ) -> anyhow::Result<TakeoverTotals> {
        let mut all = TakeoverTotals::default();
        for (process, address) in &mut self.nodes {
            if !process.is_running() {
                continue;
            }
            let text = metrics::fetch_metrics(http, &format!("http://{address}")).await;
            let text = text.context("read a node's metrics")?;
            let value = |name| metrics::sample_value(&text, name).unwrap_or(0.0);
            all.handed_over += value("invigil_takeovers_total{outcome=\"handed_over\"}");
            all.taken += value("invigil_takeovers_total{outcome=\"taken\"}");
            all.seconds += value("invigil_hand_over_seconds_sum");
        }
        Ok(all)
    }
}

/// Lets PostgreSQL, which may run as another user, enter the folder.
pub(super) fn open_to_all(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))?;
    Ok(())
}

/// The exam: text questions, so that every answer is unique, and defaults for the
/// rest.
fn exam_text() -> String {
    let mut text = format!(
        "code: {EXAM}\ntitle: Figures\ntype: practice\nduration_minutes: 600\n\
         sections:\n  - id: s1\n    title: All\n    questions:\n"
    );
    for number in 1..=QUESTIONS {
        writeln!(
            text,
            "      - {{id: q{number}, type: short_answer, points: 1, answer: [it], \
             content: Say it}}"
        )
        .expect("writing to a string cannot fail");
    }
    text
}
