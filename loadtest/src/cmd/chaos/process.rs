//! A server process, which can be started, killed and started again.

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

/// Interval of polling.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Timeout of a server's start, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A server with its command line. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    pub(crate) name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Folder of its log and its standard output.
    dir: PathBuf,
    pub(crate) child: Option<Child>,
}

impl ServerProcess {
    /// Describes a server without starting it.
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

    /// Starts the server, if it does not run.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let log = self.dir.join(format!("{}.log", self.name));
        let log = OpenOptions::new().create(true).append(true).open(log);
        let said = File::create(self.output_path());
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

    /// File of its standard output.
    pub(crate) fn output_path(&self) -> PathBuf {
        self.dir.join(format!("{}.out", self.name))
    }

    /// True while it runs.
    pub(crate) fn is_running(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills it at once, as a loss of power does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it had already ended.
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Sends it a signal by name.
    pub(crate) async fn send_signal(&self, signal: &str) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("it does not run")?;
        let id = child.id().to_string();
        run_program("kill", &["-s", signal, &id], &[]).await?;
        Ok(())
    }

    /// Waits for its end. Returns false after the timeout.
    pub(crate) async fn ends_within(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.is_running() {
            if Instant::now() > until {
                return false;
            }
            sleep(POLL_INTERVAL).await;
        }
        true
    }

    /// Waits until it accepts connections on a local port.
    pub(crate) async fn wait_for_port(&mut self, port: u16) -> anyhow::Result<()> {
        let until = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            ensure!(self.is_running(), "{} ended at its start", self.name);
            ensure!(Instant::now() < until, "{} does not start", self.name);
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Waits for a line of its output with this prefix, and returns the rest of the line.
    pub(crate) async fn wait_for_line(&mut self, prefix: &str) -> anyhow::Result<String> {
        let until = Instant::now() + START_TIMEOUT;
        loop {
            let said = tokio::fs::read_to_string(self.output_path()).await;
            let said = said.unwrap_or_default();
            // A line without an end may be incomplete.
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
            sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end and returns its output.
pub(crate) async fn run_program(
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
    String::from_utf8(output.stdout).context("read its output")
}

/// Returns a local port that nothing listens on, below the system's range for
/// outgoing connections.
pub(crate) async fn free_port() -> u16 {
    // Several runs that begin at once start their search at different ports.
    let mut port = 20_000 + u16::try_from(std::process::id() % 12_000).unwrap_or(0);
    while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
        port = 20_000 + (port - 19_999) % 12_000;
    }
    port
}
