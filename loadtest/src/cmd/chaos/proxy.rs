//! A TCP proxy whose connections can be cut, held or slowed down.
//!
//! It goes round the targets that accept. One that hangs still accepts (its
//! kernel does), so whoever uses the proxy may mark a target as down: its
//! connections are cut then, as a load balancer does after failed checks.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A target on this machine that takes longer to accept is tried no further.
const CONNECT: Duration = Duration::from_secs(1);

/// Bytes that are passed on at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// Where connections go.
#[derive(Debug)]
struct Target {
    /// None while it does not run.
    address: Option<SocketAddr>,
    up: bool,
    /// Ends the connections to it.
    cut: CancellationToken,
}

/// How the line is.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    /// Nothing is passed on, and nothing closed.
    held: bool,
    /// What every piece waits.
    delay: Duration,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    targets: Mutex<Vec<Target>>,
    cut: Mutex<CancellationToken>,
    line: watch::Sender<Line>,
    turn: AtomicUsize,
}

impl Proxy {
    /// One for so many targets, which listens until `stop`.
    pub(crate) async fn start(
        targets: usize,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> anyhow::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("listen as a proxy")?;
        let target = || Target {
            address: None,
            up: false,
            cut: CancellationToken::new(),
        };
        let proxy = Arc::new(Self {
            address: listener.local_addr().context("listen as a proxy")?,
            targets: Mutex::new((0..targets).map(|_| target()).collect()),
            cut: Mutex::new(stop.child_token()),
            line: watch::Sender::new(Line::default()),
            turn: AtomicUsize::new(0),
        });
        let (this, lines) = (Arc::clone(&proxy), tasks.clone());
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => if let Ok((client, _)) = accepted {
                        let this = Arc::clone(&this);
                        let stop = stop.clone();
                        lines.spawn(async move {
                            tokio::select! {
                                () = stop.cancelled() => {}
                                () = this.serve(client) => {}
                            }
                        });
                    }
                }
            }
        });
        Ok(proxy)
    }

    /// Names the address of a target and sends connections there.
    pub(crate) fn open(&self, index: usize, address: SocketAddr) {
        if let Some(target) = self.targets().get_mut(index) {
            target.address = Some(address);
            target.up = true;
        }
    }

    /// Where a target is, if it runs.
    pub(crate) fn address_of(&self, index: usize) -> Option<SocketAddr> {
        self.targets().get(index).and_then(|target| target.address)
    }

    /// Whether a target gets new connections. Down cuts those that it has.
    pub(crate) fn set_up(&self, index: usize, up: bool) {
        if let Some(target) = self.targets().get_mut(index) {
            if target.up && !up {
                std::mem::take(&mut target.cut).cancel();
            }
            target.up = up;
        }
    }

    /// Cuts every connection; new ones come through.
    pub(crate) fn cut(&self) {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *cut).cancel();
    }

    /// Passes nothing on any more, or goes on.
    pub(crate) fn hold(&self, held: bool) {
        self.line.send_modify(|line| line.held = held);
    }

    /// What every piece waits from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.line.send_modify(|line| line.delay = delay);
    }

    /// Passes everything on, and at once.
    pub(crate) fn mend(&self) {
        self.line.send_replace(Line::default());
    }

    fn targets(&self) -> MutexGuard<'_, Vec<Target>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, client: TcpStream) {
        let cut = self
            .cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let connecting = async {
            let mut line = self.line.subscribe();
            line.wait_for(|line| !line.held).await.ok()?;
            self.connect().await
        };
        let connected = tokio::select! {
            () = cut.cancelled() => return,
            connected = connecting => connected,
        };
        let Some((server, target_cut)) = connected else {
            return;
        };
        // Small messages wait for nothing.
        client.set_nodelay(true).ok();
        server.set_nodelay(true).ok();
        let (client_in, client_out) = client.into_split();
        let (server_in, server_out) = server.into_split();
        tokio::select! {
            () = cut.cancelled() => {}
            () = target_cut.cancelled() => {}
            _ends = async {
                tokio::join!(
                    pass(client_in, server_out, self.line.subscribe()),
                    pass(server_in, client_out, self.line.subscribe()),
                )
            } => {}
        }
    }

    /// The next target that accepts.
    async fn connect(&self) -> Option<(TcpStream, CancellationToken)> {
        let count = self.targets().len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for index in (first..first + count).map(|nth| nth % count) {
            let (address, cut) = {
                let targets = self.targets();
                let target = &targets[index];
                match target.address {
                    Some(address) if target.up => (address, target.cut.clone()),
                    Some(_) | None => continue,
                }
            };
            if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(address)).await {
                return Some((stream, cut));
            }
        }
        None
    }
}

/// One direction of a connection, to its end.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let Ok(delay) = line
            .wait_for(|line| !line.held)
            .await
            .map(|line| line.delay)
        else {
            return;
        };
        if !delay.is_zero() {
            sleep(delay).await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
