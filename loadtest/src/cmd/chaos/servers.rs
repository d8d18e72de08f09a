//! The servers of a run: PostgreSQL, Redis, MongoDB and three nodes, with all files in
//! one folder, on local ports only.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use mongodb::bson::{Document, doc};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    database::RunDatabase,
    exam,
    lines::ServerLinks,
    process::{ServerProcess, free_port, run_program},
    proxy::TcpProxy,
};
use crate::util::output;

/// Number of nodes.
pub(crate) const NODES: usize = 3;

/// Timeout of stopping a node: its drain time, and some more.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Timeout of starting a node, whatever other servers are away.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// Time between two tries to start a node.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Most restarts of a stand-in that does not respond.
const REVIVALS_MAX: usize = 5;

/// Timeout of reading the records of an attempt, as on a node.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The servers; see the module.
pub(crate) struct ChaosServers {
    pub(crate) database: RunDatabase,
    pub(crate) redis: Mutex<ServerProcess>,
    redis_port: u16,
    pub(crate) mongodb: Option<Mutex<ServerProcess>>,
    mongodb_port: u16,
    /// Times of the restarts of a stand-in that did not respond; none for a real
    /// MongoDB.
    revived: Option<Mutex<Vec<Instant>>>,
    nodes: Vec<Mutex<ServerProcess>>,
    /// The proxy before the nodes.
    pub(crate) front: Arc<TcpProxy>,
    pub(crate) to_postgres: ServerLinks,
    pub(crate) to_redis: ServerLinks,
    /// Links to MongoDB; unused without it.
    pub(crate) to_mongodb: ServerLinks,
}

impl ChaosServers {
    /// Starts all servers, with the exam and its candidates in the database.
    pub(crate) async fn start(
        dir: &Path,
        (bin, mongodb): (&Path, Option<&Path>),
        roster: &Path,
        seconds: u64,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let database = RunDatabase::create(&dir.join("postgres")).await?;
        let to_postgres = ServerLinks::start_proxies(database.port, tasks, stop).await?;
        let redis_port = free_port().await;
        let (redis_dir, mongodb_dir) = (dir.join("redis"), dir.join("mongodb"));
        for folder in [&redis_dir, &mongodb_dir] {
            std::fs::create_dir(folder).context("make a folder")?;
        }
        let redis = ServerProcess::new(
            "redis",
            "redis-server",
            redis_arguments(redis_port),
            vec![],
            &redis_dir,
        );
        let redis = start_process(redis, redis_port).await?;
        let to_redis = ServerLinks::start_proxies(redis_port, tasks, stop).await?;
        let mongodb_port = free_port().await;
        let stand_in = mongodb.is_some_and(|program| !is_mongod(program));
        let mongodb = match mongodb {
            Some(program) => {
                let arguments = mongodb_arguments(program, &mongodb_dir, mongodb_port);
                let server = ServerProcess::new("mongodb", program, arguments, vec![], dir);
                Some(Mutex::new(start_process(server, mongodb_port).await?))
            }
            None => None,
        };

        let to_mongodb = ServerLinks::start_proxies(mongodb_port, tasks, stop).await?;
        let settings: Vec<_> = (0..NODES)
            .map(|index| {
                let mongodb = mongodb.as_ref().map(|_| to_mongodb.port_for(index));
                let database = database.url_through(to_postgres.port_for(index));
                node_settings(dir, index, database, to_redis.port_for(index), mongodb)
            })
            .collect();
        let exam = dir.join("exam.yaml");
        std::fs::write(&exam, exam::exam_file(seconds)).context("write the exam")?;
        let program = bin.display().to_string();
        let (exam, roster) = (exam.display().to_string(), roster.display().to_string());
        for arguments in [
            vec!["migrate"],
            vec!["import", "exam", &exam],
            vec!["import", "roster", &roster],
        ] {
            run_program(&program, &arguments, &settings[0]).await?;
        }

        let front = TcpProxy::start(NODES, tasks, stop.clone()).await?;
        let nodes = (0..NODES).zip(settings);
        let nodes =
            nodes.map(|(index, settings)| Mutex::new(node_process(index, dir, bin, settings)));
        let servers = Self {
            database,
            redis: Mutex::new(redis),
            redis_port,
            mongodb,
            mongodb_port,
            revived: stand_in.then(Mutex::default),
            nodes: nodes.collect(),
            front,
            to_postgres,
            to_redis,
            to_mongodb,
        };
        for index in 0..NODES {
            servers.start_node(index).await?;
        }
        Ok(servers)
    }

    /// Starts a node, if it does not run, and waits until it listens. Like a service
    /// supervisor it tries again: PostgreSQL may be away.
    pub(crate) async fn start_node(&self, index: usize) -> anyhow::Result<()> {
        let mut node = self.nodes[index].lock().await;
        let until = Instant::now() + START_TIMEOUT;
        while !node.is_running() {
            node.start()?;
            match node.wait_for_line("listening on ").await {
                Ok(address) => {
                    let address = address.parse().context("read a node's address")?;
                    self.front.set_target(index, address);
                }
                Err(error) if Instant::now() > until => return Err(error),
                Err(_not_yet) => {
                    node.kill();
                    sleep(RETRY_INTERVAL).await;
                }
            }
        }
        Ok(())
    }

    /// Kills a node.
    pub(crate) async fn kill_node(&self, index: usize) {
        self.nodes[index].lock().await.kill();
    }

    /// Sends a signal to a node, to stop or resume it.
    pub(crate) async fn signal_node(&self, index: usize, signal: &str) -> anyhow::Result<()> {
        self.nodes[index].lock().await.send_signal(signal).await
    }

    /// Stops a node gracefully. Returns false if it did not end and was killed.
    pub(crate) async fn stop_node(&self, index: usize) -> anyhow::Result<bool> {
        let mut node = self.nodes[index].lock().await;
        node.send_signal("TERM").await?;
        let ended = node.ends_within(STOP_TIMEOUT).await;
        node.kill();
        Ok(ended)
    }

    /// Starts Redis again.
    pub(crate) async fn start_redis(&self) -> anyhow::Result<()> {
        let mut redis = self.redis.lock().await;
        redis.start()?;
        redis.wait_for_port(self.redis_port).await
    }

    /// Deletes everything in Redis.
    pub(crate) async fn flush_redis(&self) -> anyhow::Result<()> {
        let port = self.redis_port.to_string();
        run_program("redis-cli", &["-p", &port, "FLUSHALL"], &[]).await?;
        Ok(())
    }

    /// Starts MongoDB again, if there is one.
    pub(crate) async fn start_mongodb(&self) -> anyhow::Result<()> {
        if let Some(mongodb) = &self.mongodb {
            let mut mongodb = mongodb.lock().await;
            mongodb.start()?;
            mongodb.wait_for_port(self.mongodb_port).await?;
        }
        Ok(())
    }

    /// Restarts the stand-in for MongoDB if it does not respond to a direct query about an
    /// attempt: after a crash it may accept requests and never respond, which is no fault of
    /// the engine. A real `mongod` is left alone. Returns false if a restart is not due, or
    /// was tried often enough. One restart serves all callers that began to wait before it.
    pub(crate) async fn revive_stand_in(
        &self,
        attempt: i64,
        begun: Instant,
    ) -> anyhow::Result<bool> {
        let (Some(mongodb), Some(revived)) = (&self.mongodb, &self.revived) else {
            return Ok(false);
        };
        let mut revived = revived.lock().await;
        if revived.last().is_some_and(|&last| last > begun) {
            return Ok(true);
        }
        if revived.len() == REVIVALS_MAX || self.stand_in_answers(attempt).await {
            return Ok(false);
        }
        output::print_progress("the stand-in for MongoDB does not respond; restarting it");
        revived.push(Instant::now());
        mongodb.lock().await.kill();
        self.start_mongodb().await?;
        Ok(true)
    }

    /// True if the stand-in returns the records of an attempt, without a node.
    async fn stand_in_answers(&self, attempt: i64) -> bool {
        let url = mongodb_url(self.mongodb_port);
        let found = async {
            let client = mongodb::Client::with_uri_str(&url).await?;
            let events = client.database("invigil").collection::<Document>("events");
            let filter = doc! { "attempt": attempt };
            let found = events.find(filter).sort(doc! { "number": 1 }).await?;
            found.try_collect::<Vec<_>>().await
        };
        matches!(timeout(ANSWER_TIMEOUT, found).await, Ok(Ok(_)))
    }

    /// Number of restarts of the stand-in.
    pub(crate) async fn revival_count(&self) -> usize {
        match &self.revived {
            Some(revived) => revived.lock().await.len(),
            None => 0,
        }
    }

    /// Starts every server and restores all traffic, whatever the state before.
    pub(crate) async fn restore_all(&self) -> anyhow::Result<()> {
        self.front.restore_traffic();
        for lines in [&self.to_postgres, &self.to_redis, &self.to_mongodb] {
            lines.restore_traffic();
        }
        self.database.control_server("start").await?;
        self.start_redis().await?;
        self.start_mongodb().await?;
        for index in 0..NODES {
            if self.nodes[index].lock().await.is_running() {
                self.signal_node(index, "CONT").await?;
            }
            self.start_node(index).await?;
        }
        Ok(())
    }
}

pub(crate) async fn start_process(
    mut process: ServerProcess,
    port: u16,
) -> anyhow::Result<ServerProcess> {
    process.start()?;
    process.wait_for_port(port).await?;
    Ok(process)
}

fn to_strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

pub(crate) fn redis_arguments(port: u16) -> Vec<String> {
    let port = port.to_string();
    let fixed = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    let mut arguments = to_strings(&fixed);
    arguments.extend(to_strings(&["--port", &port]));
    arguments
}

fn is_mongod(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "mongod")
}

/// Arguments of `mongod`, or of the tests' stand-in, whose folder option differs.
fn mongodb_arguments(program: &Path, dir: &Path, port: u16) -> Vec<String> {
    let (dir, port) = (dir.display().to_string(), port.to_string());
    if is_mongod(program) {
        to_strings(&["--bind_ip", "127.0.0.1", "--dbpath", &dir, "--port", &port])
    } else {
        to_strings(&[
            "--host",
            "127.0.0.1",
            "--storage-path",
            &dir,
            "--port",
            &port,
        ])
    }
}

fn mongodb_url(port: u16) -> String {
    format!("mongodb://127.0.0.1:{port}/?directConnection=true")
}

/// Returns the name of a node.
pub(crate) fn node_name(index: usize) -> String {
    format!("node-{}", index + 1)
}

/// Returns the settings of a node, which reaches the other servers only by its links.
pub(crate) fn node_settings(
    dir: &Path,
    index: usize,
    database: String,
    redis: u16,
    mongodb: Option<u16>,
) -> Vec<(String, String)> {
    let name = node_name(index);
    let file = |name: &str| dir.join(name).display().to_string();
    let mongodb = mongodb.map_or_else(String::new, mongodb_url);
    [
        ("DATABASE__URL", database),
        ("DATABASE__KEY_FILE", file("keys")),
        ("MEDIA__FOLDER", file("media")),
        ("EVIDENCE__URL", file("evidence")),
        ("REDIS__URL", format!("redis://127.0.0.1:{redis}/0")),
        ("MONGODB__URL", mongodb),
        ("SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("DRAIN__SECONDS", "5".to_owned()),
        ("RECORDER__SPOOL", file(&format!("{name}.spool"))),
        ("CLUSTER__NODE", name),
    ]
    .map(|(name, value)| (format!("INVIGIL__{name}"), value))
    .into()
}

pub(crate) fn node_process(
    index: usize,
    dir: &Path,
    bin: &Path,
    settings: Vec<(String, String)>,
) -> ServerProcess {
    ServerProcess::new(
        &node_name(index),
        bin,
        to_strings(&["serve"]),
        settings,
        dir,
    )
}
