//! A server process, which is started, killed and started again.

use std::{
    fs::{File, OpenOptions},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tokio::{
    net::TcpStream,
    task::spawn_blocking,
    time::{Instant, sleep},
};

/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// How long a server may take to start, on a machine that is busy.
const START: Duration = Duration::from_mins(1);

/// A server and how it is started. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Its log is there, and where it says something on standard output, that.
    dir: PathBuf,
    pub(crate) child: Option<Child>,
}

impl Process {
    /// One that does not run yet.
    pub(crate) fn new(
        name: &str,
        program: impl Into<PathBuf>,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            arguments,
            environment,
            dir: dir.into(),
            child: None,
        }
    }

    /// Starts it, if it does not run.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let log = self.dir.join(format!("{}.log", self.name));
        let log = OpenOptions::new().create(true).append(true).open(log);
        let said = File::create(self.said());
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(said.context("make a log")?)
            .stderr(log.context("make a log")?)
            .spawn();
        self.child = Some(child.with_context(|| format!("start {}", self.name))?);
        Ok(())
    }

    /// Where its standard output goes.
    pub(crate) fn said(&self) -> PathBuf {
        self.dir.join(format!("{}.out", self.name))
    }

    /// Whether it was started and has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills it at once, as a loss of power does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it has ended by itself.
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Sends it a signal by name.
    pub(crate) async fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("it does not run")?;
        let id = child.id().to_string();
        run("kill", &["-s", signal, &id], &[]).await?;
        Ok(())
    }

    /// Waits until it has ended. False: it has not by then.
    pub(crate) async fn ends_within(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.is_running() {
            if Instant::now() > until {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Waits until it accepts connections on a port of this machine.
    pub(crate) async fn accepts(&mut self, port: u16) -> anyhow::Result<()> {
        let until = Instant::now() + START;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            ensure!(self.is_running(), "{} ended at its start", self.name);
            ensure!(Instant::now() < until, "{} does not start", self.name);
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits for a line of its output, and what stands behind `prefix` there.
    pub(crate) async fn says(&mut self, prefix: &str) -> anyhow::Result<String> {
        let until = Instant::now() + START;
        loop {
            let said = tokio::fs::read_to_string(self.said()).await;
            let said = said.unwrap_or_default();
            // A line that has no end yet may not be whole.
            let line = said
                .split_inclusive('\n')
                .find_map(|line| line.strip_prefix(prefix)?.strip_suffix('\n'));
            if let Some(line) = line {
                return Ok(line.to_owned());
            }
            ensure!(self.is_running(), "{} ended at its start", self.name);
            if Instant::now() > until {
                bail!("{} does not start", self.name);
            }
            sleep(LOOK).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end, and what it printed.
pub(crate) async fn run(
    program: &str,
    arguments: &[&str],
    environment: &[(String, String)],
) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null());
    let output = spawn_blocking(move || command.output()).await;
    let output = output?.with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", said.trim());
    String::from_utf8(output.stdout).context("read what it printed")
}

/// A port of this machine that nothing listens on, under the range that the
/// system gives to outgoing connections.
pub(crate) async fn free_port() -> u16 {
    // Where several runs begin at once, each looks somewhere else.
    let mut port = 20_000 + u16::try_from(std::process::id() % 12_000).unwrap_or(0);
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        port = 20_000 + (port - 19_999) % 12_000;
    }
    port
}
