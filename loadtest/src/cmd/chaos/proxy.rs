//! A TCP proxy whose connections can be cut, held or slowed down.
//!
//! It rotates over the targets that accept. A hanging target still accepts (its kernel
//! does), so the caller can mark a target as down, which cuts its connections, as a
//! load balancer does after failed checks.

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

/// Timeout of connecting to a local target.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes forwarded at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// A target of connections.
#[derive(Debug)]
struct ProxyTarget {
    /// Address; none while it does not run.
    address: Option<SocketAddr>,
    up: bool,
    /// Cuts the connections to it.
    cut: CancellationToken,
}

/// Control of the traffic.
#[derive(Debug, Clone, Copy, Default)]
struct TrafficControl {
    /// True while nothing is forwarded or closed.
    held: bool,
    /// Delay of every piece.
    delay: Duration,
}

/// A proxy; see the module.
#[derive(Debug)]
pub(crate) struct TcpProxy {
    /// Address on which it listens.
    pub(crate) address: SocketAddr,
    targets: Mutex<Vec<ProxyTarget>>,
    cut: Mutex<CancellationToken>,
    line: watch::Sender<TrafficControl>,
    turn: AtomicUsize,
}

impl TcpProxy {
    /// Starts a proxy for this number of targets, which listens until `stop`.
    pub(crate) async fn start(
        targets: usize,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> anyhow::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("listen as a proxy")?;
        let target = || ProxyTarget {
            address: None,
            up: false,
            cut: CancellationToken::new(),
        };
        let proxy = Arc::new(Self {
            address: listener.local_addr().context("listen as a proxy")?,
            targets: Mutex::new((0..targets).map(|_| target()).collect()),
            cut: Mutex::new(stop.child_token()),
            line: watch::Sender::new(TrafficControl::default()),
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
                                () = this.serve_client(client) => {}
                            }
                        });
                    }
                }
            }
        });
        Ok(proxy)
    }

    /// Sets the address of a target and marks it as up.
    pub(crate) fn set_target(&self, index: usize, address: SocketAddr) {
        if let Some(target) = self.lock_targets().get_mut(index) {
            target.address = Some(address);
            target.up = true;
        }
    }

    /// Returns the address of a target, if it runs.
    pub(crate) fn address_of(&self, index: usize) -> Option<SocketAddr> {
        self.lock_targets()
            .get(index)
            .and_then(|target| target.address)
    }

    /// Marks a target as up or down. Down also cuts its connections.
    pub(crate) fn set_up(&self, index: usize, up: bool) {
        if let Some(target) = self.lock_targets().get_mut(index) {
            if target.up && !up {
                std::mem::take(&mut target.cut).cancel();
            }
            target.up = up;
        }
    }

    /// Cuts every connection; new ones are forwarded.
    pub(crate) fn cut_connections(&self) {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *cut).cancel();
    }

    /// Stops or resumes all forwarding.
    pub(crate) fn hold_traffic(&self, held: bool) {
        self.line.send_modify(|line| line.held = held);
    }

    /// Sets the delay of every piece.
    pub(crate) fn delay_traffic(&self, delay: Duration) {
        self.line.send_modify(|line| line.delay = delay);
    }

    /// Resumes forwarding, without delay.
    pub(crate) fn restore_traffic(&self) {
        self.line.send_replace(TrafficControl::default());
    }

    fn lock_targets(&self) -> MutexGuard<'_, Vec<ProxyTarget>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve_client(&self, client: TcpStream) {
        let cut = self
            .cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let connecting = async {
            let mut line = self.line.subscribe();
            line.wait_for(|line| !line.held).await.ok()?;
            self.connect_target().await
        };
        let connected = tokio::select! {
            () = cut.cancelled() => return,
            connected = connecting => connected,
        };
        let Some((server, target_cut)) = connected else {
            return;
        };
        // Small messages are sent without delay.
        client.set_nodelay(true).ok();
        server.set_nodelay(true).ok();
        let (client_in, client_out) = client.into_split();
        let (server_in, server_out) = server.into_split();
        tokio::select! {
            () = cut.cancelled() => {}
            () = target_cut.cancelled() => {}
            _ends = async {
                tokio::join!(
                    forward_bytes(client_in, server_out, self.line.subscribe()),
                    forward_bytes(server_in, client_out, self.line.subscribe()),
                )
            } => {}
        }
    }

    /// Connects to the next target that accepts.
    async fn connect_target(&self) -> Option<(TcpStream, CancellationToken)> {
        let count = self.lock_targets().len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for index in (first..first + count).map(|nth| nth % count) {
            let (address, cut) = {
                let targets = self.lock_targets();
                let target = &targets[index];
                match target.address {
                    Some(address) if target.up => (address, target.cut.clone()),
                    Some(_) | None => continue,
                }
            };
            if let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                return Some((stream, cut));
            }
        }
        None
    }
}

/// Forwards one direction of a connection, to its end.
async fn forward_bytes(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<TrafficControl>,
) {
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
