//! The HTTP server: `axum::serve` has no header timeout, no bound on
//! connections, and does not wait for sockets.
//!
//! A guard inside its stream counts a connection until the stream is closed, by
//! the HTTP task or, after the upgrade, by a socket's. Closing lingers: a stream
//! dropped with unread bytes would be reset, and the client would lose the last
//! message, such as the reason of the close.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    os::fd::AsFd as _,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::task::TaskTracker;
use tower::Service as _;

use super::{AppState, router};

/// Connections that wait to be accepted: the default limit of Linux
/// (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Bytes of a request's headers, and of a connection's read buffer.
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// Pause after a failed accept. It fails for want of descriptors or memory, which
/// closing connections return.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time and bytes in which input is read and discarded after this end has
/// closed.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Interval at which the limiters remove expired entries.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// Response to a connection over the maximum.
const TOO_MANY_RESPONSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Retry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Binds a listener to an address.
///
/// # Errors
/// Fails if the system refuses, for example because the port is in use.
pub fn bind_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves until [`super::WebApp::stop`] is cancelled, then waits for connections
/// to end, for at most the drain time.
pub async fn serve_until_stopped(listener: TcpListener, app: AppState) {
    accept_connections(listener, &app).await;
    app.tasks.close();
    let drain = app.config.drain.time;
    if tokio::time::timeout(drain, app.tasks.wait()).await.is_err() {
        tracing::warn!(
            open = app.tasks.len(),
            "connections did not end within the drain time"
        );
    }
}

async fn accept_connections(listener: TcpListener, app: &AppState) {
    let router = router(app);
    let places = Arc::new(Semaphore::new(app.config.server.connections_max as usize));
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        let accepted = tokio::select! {
            () = app.stop.cancelled() => return,
            _ = sweep.tick() => {
                app.limits.forget_expired();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    app.metrics.connections_refused.inc();
                    // At best: a client that is not ready to read sees only the end.
                    stream.try_write(TOO_MANY_RESPONSE).ok();
                    continue;
                };
                let place = ConnectionPermit::new(place, app.metrics.connections.clone());
                let connection = CountedStream::new(stream, place, app.tasks.clone());
                app.tasks.spawn(serve_connection(
                    connection,
                    peer,
                    router.clone(),
                    Arc::clone(app),
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves the requests of a connection until it ends or becomes a socket.
async fn serve_connection(
    connection: CountedStream,
    peer: SocketAddr,
    router: Router,
    app: AppState,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.config.server.header_timeout)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(connection, service)
        .with_upgrades();
    let mut conversation = pin!(conversation);
    let ended = tokio::select! {
        ended = &mut conversation => ended,
        () = app.stop.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection broke");
    }
}

/// The permit of an open connection, returned on drop.
struct ConnectionPermit {
    count: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionPermit {
    fn new(permit: OwnedSemaphorePermit, count: Gauge) -> Self {
        count.inc();
        Self {
            count,
            _permit: permit,
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.count.dec();
    }
}

/// A stream that holds its permit until it is closed.
struct CountedStream {
    stream: TokioIo<TcpStream>,
    permit: Arc<ConnectionPermit>,
    tasks: TaskTracker,
}

impl CountedStream {
    fn new(stream: TcpStream, place: ConnectionPermit, tasks: TaskTracker) -> Self {
        // Small frames must not wait for each other. This fails only for a broken
        // stream, which shows at the first read.
        stream.set_nodelay(true).ok();
        Self {
            stream: TokioIo::new(stream),
            permit: Arc::new(place),
            tasks,
        }
    }

    fn pinned_stream(self: Pin<&mut Self>) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl Drop for CountedStream {
    fn drop(&mut self) {
        let stream = self.stream.inner();
        let ended = match stream.try_read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        // Without a runtime the process is ending, and its connections end with it.
        let (false, Ok(runtime)) = (ended, tokio::runtime::Handle::try_current()) else {
            return;
        };
        // This value drops the stream itself.
        match stream.as_fd().try_clone_to_owned() {
            Ok(stream) => {
                let lingering = read_until_closed(stream.into(), Arc::clone(&self.permit));
                self.tasks.spawn_on(lingering, &runtime);
            }
            Err(error) => tracing::debug!(%error, "a connection is closed at once"),
        }
    }
}

/// Closes this end, and discards input until the other end closes too.
async fn read_until_closed(stream: std::net::TcpStream, _place: Arc<ConnectionPermit>) {
    // Each of these fails only if the other end has closed.
    let Ok(mut stream) = stream
        .shutdown(Shutdown::Write)
        .and_then(|()| TcpStream::from_std(stream))
    else {
        return;
    };
    let reading = async {
        let mut buffer = [0; 4096];
        let mut read = 0;
        while read < LINGER_BYTES
            && let Ok(more @ 1..) = stream.read(&mut buffer).await
        {
            read += more;
        }
    };
    tokio::time::timeout(LINGER, reading).await.ok();
}

impl Read for CountedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.pinned_stream().poll_read(ctx, buffer)
    }
}

impl Write for CountedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pinned_stream().poll_write(ctx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned_stream().poll_flush(ctx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pinned_stream().poll_shutdown(ctx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pinned_stream().poll_write_vectored(ctx, buffers)
    }
}

#[cfg(test)]
mod tests;
