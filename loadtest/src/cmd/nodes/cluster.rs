//! The servers of a figure: PostgreSQL, Redis and nodes, all of them new, their
//! files in one folder. Nothing stands between them but the machine.

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
        database::Database,
        exam::{EXAM, QUESTIONS},
        process::{Process, free_port, run},
        servers::{node, redis, settings, start},
    },
    roster,
};
use crate::util::{
    metrics,
    process::{Usage, cpu_of_family},
};

/// How long nodes may take to hear of each other.
const MEET: Duration = Duration::from_secs(30);

/// How long a node that is told to stop may take: its patience, and some more.
const STOP: Duration = Duration::from_secs(20);

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// See the module. What is used by others ends after them.
pub(super) struct Cluster {
    nodes: Vec<(Process, SocketAddr)>,
    redis: Process,
    pub(super) database: Database,
    dir: PathBuf,
    bin: PathBuf,
    redis_port: u16,
}

/// Processor time up to now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu {
    /// All nodes that were not killed.
    pub(super) engine: Duration,
    pub(super) postgres: Duration,
    pub(super) redis: Duration,
}

/// Attempts that nodes took from each other, up to now.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Takeovers {
    /// The other node let it go.
    pub(super) handed_over: f64,
    /// It was asked, and did not answer.
    pub(super) taken: f64,
    /// Seconds of both, from asking to having.
    pub(super) seconds: f64,
}

impl Cluster {
    /// PostgreSQL and Redis, with the exam and so many candidates. No node yet.
    pub(super) async fn start(dir: &Path, bin: &Path, people: u32) -> anyhow::Result<Self> {
        std::fs::create_dir(dir).context("make a folder")?;
        open_to_all(dir)?;
        let database = Database::create(&dir.join("postgres")).await?;
        let (redis_port, redis_dir) = (free_port().await, dir.join("redis"));
        std::fs::create_dir(&redis_dir).context("make a folder")?;
        let arguments = redis(redis_port);
        let redis = Process::new("redis", "redis-server", arguments, vec![], &redis_dir);
        let redis = start(redis, redis_port).await?;

        let settings = settings(dir, 0, database.url.clone(), redis_port, None);
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
            run(&program, &arguments, &settings).await?;
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

    /// Starts so many nodes, and waits until each knows all others.
    pub(super) async fn start_nodes(
        &mut self,
        http: &reqwest::Client,
        count: usize,
    ) -> anyhow::Result<()> {
        for index in 0..count {
            let database = self.database.url.clone();
            let settings = settings(&self.dir, index, database, self.redis_port, None);
            let mut process = node(index, &self.dir, &self.bin, settings);
            process.start()?;
            let address = process.says("listening on ").await?;
            let address = address.parse().context("read a node's address")?;
            self.nodes.push((process, address));
        }
        let until = Instant::now() + MEET;
        for base in self.bases() {
            loop {
                let text = metrics::text(http, &base).await.unwrap_or_default();
                let known = metrics::value(&text, "invigil_bus_nodes").unwrap_or(0.0);
                if known >= f64::from(u32::try_from(count)?) {
                    break;
                }
                ensure!(
                    Instant::now() < until,
                    "the nodes do not hear of each other"
                );
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Ends all nodes in good order.
    pub(super) async fn stop_nodes(&mut self) -> anyhow::Result<()> {
        for (process, _) in &self.nodes {
            process.signal("TERM").await?;
        }
        for (mut process, _) in self.nodes.drain(..) {
            ensure!(
                process.ends_within(STOP).await,
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

    /// Where a node listens.
    pub(super) fn address(&self, index: usize) -> anyhow::Result<SocketAddr> {
        let node = self.nodes.get(index).context("find the node")?;
        Ok(node.1)
    }

    /// The addresses of all nodes, for HTTP.
    pub(super) fn bases(&self) -> Vec<String> {
        let nodes = self.nodes.iter();
        nodes
            .map(|(_, address)| format!("http://{address}"))
            .collect()
    }

    /// What everything has used.
    pub(super) fn cpu(&self) -> anyhow::Result<Cpu> {
        let mut engine = Duration::ZERO;
        let running = self
            .nodes
            .iter()
            .filter_map(|(process, _)| process.child.as_ref());
        for child in running {
            engine += Usage::of(child.id())?.cpu;
        }
        let file = self.dir.join("postgres/data/postmaster.pid");
        let file = std::fs::read_to_string(file).context("find PostgreSQL's process")?;
        let postmaster = file.lines().next().unwrap_or_default().parse();
        let redis = self.redis.child.as_ref().context("Redis does not run")?;
        Ok(Cpu {
            engine,
            postgres: cpu_of_family(postmaster.context("read PostgreSQL's process id")?)?,
            redis: Usage::of(redis.id())?.cpu,
        })
    }

    /// What the nodes that run have taken from each other.
    pub(super) async fn takeovers(&mut self, http: &reqwest::Client) -> anyhow::Result<Takeovers> {
        let mut all = Takeovers::default();
        for (process, address) in &mut self.nodes {
            if !process.is_running() {
                continue;
            }
            let text = metrics::text(http, &format!("http://{address}")).await;
            let text = text.context("read a node's metrics")?;
            let value = |name| metrics::value(&text, name).unwrap_or(0.0);
            all.handed_over += value("invigil_takeovers_total{outcome=\"handed_over\"}");
            all.taken += value("invigil_takeovers_total{outcome=\"taken\"}");
            all.seconds += value("invigil_hand_over_seconds_sum");
        }
        Ok(all)
    }
}

/// Lets PostgreSQL, which may run as somebody else, come through.
pub(super) fn open_to_all(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))?;
    Ok(())
}

/// The exam: questions for text, so that every answer is its own, and all else as
/// it is where an exam says nothing.
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
