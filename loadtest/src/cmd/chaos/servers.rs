//! The servers of a run: PostgreSQL, Redis, MongoDB and three nodes, all of
//! their files in one folder, on ports of this machine alone.

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
    database::Database,
    exam,
    lines::Lines,
    process::{Process, free_port, run},
    proxy::Proxy,
};
use crate::util::output;

/// Nodes of the exam.
pub(crate) const NODES: usize = 3;

/// How long a node that is told to stop may take: its patience, and some more.
const STOP: Duration = Duration::from_secs(20);

/// How long a node may need to come back, whatever else is away.
const COME_BACK: Duration = Duration::from_mins(1);

/// Between two tries to start a node.
const AGAIN: Duration = Duration::from_millis(500);

/// How often a stand-in that does not answer is started again.
const REVIVALS: usize = 5;

/// How long records of an attempt may take, as a node has it.
const ANSWER: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Servers {
    pub(crate) database: Database,
    pub(crate) redis: Mutex<Process>,
    redis_port: u16,
    pub(crate) mongodb: Option<Mutex<Process>>,
    mongodb_port: u16,
    /// Where a stand-in takes MongoDB's place: when it was started again as it did
    /// not answer.
    revived: Option<Mutex<Vec<Instant>>>,
    nodes: Vec<Mutex<Process>>,
    /// Before the nodes.
    pub(crate) front: Arc<Proxy>,
    pub(crate) to_postgres: Lines,
    pub(crate) to_redis: Lines,
    /// Where there is no MongoDB, they lead nowhere.
    pub(crate) to_mongodb: Lines,
}

impl Servers {
    /// Starts all of them, with the exam and its candidates in the database.
    pub(crate) async fn start(
        dir: &Path,
        (bin, mongodb): (&Path, Option<&Path>),
        roster: &Path,
        seconds: u64,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let database = Database::create(&dir.join("postgres")).await?;
        let to_postgres = Lines::start(database.port, tasks, stop).await?;
        let redis_port = free_port().await;
        let (redis_dir, mongodb_dir) = (dir.join("redis"), dir.join("mongodb"));
        for folder in [&redis_dir, &mongodb_dir] {
            std::fs::create_dir(folder).context("make a folder")?;
        }
        let redis = Process::new(
            "redis",
            "redis-server",
            redis(redis_port),
            vec![],
            &redis_dir,
        );
        let redis = start(redis, redis_port).await?;
        let to_redis = Lines::start(redis_port, tasks, stop).await?;
        let mongodb_port = free_port().await;
        let stand_in = mongodb.is_some_and(|program| !is_mongod(program));
        let mongodb = match mongodb {
            Some(program) => {
                let arguments = mongodb_arguments(program, &mongodb_dir, mongodb_port);
                let server = Process::new("mongodb", program, arguments, vec![], dir);
                Some(Mutex::new(start(server, mongodb_port).await?))
            }
            None => None,
        };

        let to_mongodb = Lines::start(mongodb_port, tasks, stop).await?;
        let settings: Vec<_> = (0..NODES)
            .map(|index| {
                let mongodb = mongodb.as_ref().map(|_| to_mongodb.port(index));
                let database = database.url_through(to_postgres.port(index));
                settings(dir, index, database, to_redis.port(index), mongodb)
            })
            .collect();
        let exam = dir.join("exam.yaml");
        std::fs::write(&exam, exam::text(seconds)).context("write the exam")?;
        let program = bin.display().to_string();
        let (exam, roster) = (exam.display().to_string(), roster.display().to_string());
        for arguments in [
            vec!["migrate"],
            vec!["import", "exam", &exam],
            vec!["import", "roster", &roster],
        ] {
            run(&program, &arguments, &settings[0]).await?;
        }

        let front = Proxy::start(NODES, tasks, stop.clone()).await?;
        let nodes = (0..NODES).zip(settings);
        let nodes = nodes.map(|(index, settings)| Mutex::new(node(index, dir, bin, settings)));
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

    /// Starts a node, if it does not run, and waits until it listens. Like the
    /// supervisor of a service it tries again: PostgreSQL may be away.
    pub(crate) async fn start_node(&self, index: usize) -> anyhow::Result<()> {
        let mut node = self.nodes[index].lock().await;
        let until = Instant::now() + COME_BACK;
        while !node.is_running() {
            node.start()?;
            match node.says("listening on ").await {
                Ok(address) => {
                    let address = address.parse().context("read a node's address")?;
                    self.front.open(index, address);
                }
                Err(error) if Instant::now() > until => return Err(error),
                Err(_not_yet) => {
                    node.kill();
                    sleep(AGAIN).await;
                }
            }
        }
        Ok(())
    }

    /// Kills a node.
    pub(crate) async fn kill_node(&self, index: usize) {
        self.nodes[index].lock().await.kill();
    }

    /// Stops a node where it stands, or lets it go on.
    pub(crate) async fn signal_node(&self, index: usize, signal: &str) -> anyhow::Result<()> {
        self.nodes[index].lock().await.signal(signal).await
    }

    /// Ends a node in good order. False: it did not end, and was killed.
    pub(crate) async fn stop_node(&self, index: usize) -> anyhow::Result<bool> {
        let mut node = self.nodes[index].lock().await;
        node.signal("TERM").await?;
        let ended = node.ends_within(STOP).await;
        node.kill();
        Ok(ended)
    }

    /// Starts Redis again.
    pub(crate) async fn start_redis(&self) -> anyhow::Result<()> {
        let mut redis = self.redis.lock().await;
        redis.start()?;
        redis.accepts(self.redis_port).await
    }

    /// Forgets everything that Redis has.
    pub(crate) async fn flush_redis(&self) -> anyhow::Result<()> {
        let port = self.redis_port.to_string();
        run("redis-cli", &["-p", &port, "FLUSHALL"], &[]).await?;
        Ok(())
    }

    /// Starts MongoDB again, where there is one.
    pub(crate) async fn start_mongodb(&self) -> anyhow::Result<()> {
        if let Some(mongodb) = &self.mongodb {
            let mut mongodb = mongodb.lock().await;
            mongodb.start()?;
            mongodb.accepts(self.mongodb_port).await?;
        }
        Ok(())
    }

    /// Kills the stand-in for MongoDB and starts it again, where it does not answer for an
    /// attempt by itself: after a death it may accept what it is asked and never say
    /// anything, which says nothing of the engine. A real `mongod` is left alone. False:
    /// that was not to be done, or was tried often enough. Once for all who began to wait
    /// before it.
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
        if revived.len() == REVIVALS || self.stand_in_answers(attempt).await {
            return Ok(false);
        }
        output::progress("the stand-in for MongoDB does not answer; it is started again");
        revived.push(Instant::now());
        mongodb.lock().await.kill();
        self.start_mongodb().await?;
        Ok(true)
    }

    /// Whether records of an attempt are to be had where no node is asked.
    async fn stand_in_answers(&self, attempt: i64) -> bool {
        let url = mongodb_url(self.mongodb_port);
        let found = async {
            let client = mongodb::Client::with_uri_str(&url).await?;
            let events = client.database("invigil").collection::<Document>("events");
            let filter = doc! { "attempt": attempt };
            let found = events.find(filter).sort(doc! { "number": 1 }).await?;
            found.try_collect::<Vec<_>>().await
        };
        matches!(timeout(ANSWER, found).await, Ok(Ok(_)))
    }

    /// How often that was done.
    pub(crate) async fn revivals(&self) -> usize {
        match &self.revived {
            Some(revived) => revived.lock().await.len(),
            None => 0,
        }
    }

    /// Everything runs, and every line is whole, whatever was before.
    pub(crate) async fn restore(&self) -> anyhow::Result<()> {
        self.front.mend();
        for lines in [&self.to_postgres, &self.to_redis, &self.to_mongodb] {
            lines.mend();
        }
        self.database.control("start").await?;
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

pub(crate) async fn start(mut process: Process, port: u16) -> anyhow::Result<Process> {
    process.start()?;
    process.accepts(port).await?;
    Ok(process)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

pub(crate) fn redis(port: u16) -> Vec<String> {
    let port = port.to_string();
    let fixed = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    let mut arguments = words(&fixed);
    arguments.extend(words(&["--port", &port]));
    arguments
}

fn is_mongod(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == "mongod")
}

/// `mongod`, or the stand-in of the test suite, which names its folder otherwise.
fn mongodb_arguments(program: &Path, dir: &Path, port: u16) -> Vec<String> {
    let (dir, port) = (dir.display().to_string(), port.to_string());
    if is_mongod(program) {
        words(&["--bind_ip", "127.0.0.1", "--dbpath", &dir, "--port", &port])
    } else {
        words(&[
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

/// The name of a node.
pub(crate) fn node_name(index: usize) -> String {
    format!("node-{}", index + 1)
}

/// What a node is told. It knows the other servers only by its lines to them.
pub(crate) fn settings(
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

pub(crate) fn node(
    index: usize,
    dir: &Path,
    bin: &Path,
    settings: Vec<(String, String)>,
) -> Process {
    Process::new(&node_name(index), bin, words(&["serve"]), settings, dir)
}
