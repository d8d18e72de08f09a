//! Accepts connections: `axum::serve` has no header timeout, no bound on
//! connections, and does not wait for sockets.
//!
//! A connection is counted by a guard inside its stream, so that it counts until
//! the stream is closed, by whichever task: HTTP's, or a socket's after the
//! upgrade. Closing lingers: a stream that is dropped with bytes unread would be
//! reset, and what was said last (why a frame is too big, say) never read.

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

/// Connections that wait to be accepted: what Linux allows where nothing else
/// is configured (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// Bytes of a request's headers, and of a connection's read buffer.
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// How long to wait after an accept failed for want of something: descriptors,
/// memory. They come back when connections close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long what a client still sends is read, and thrown away, after this end
/// has closed; and how much of it at most.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How often the limiters forget what no longer counts.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// All that a connection over the maximum gets.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Retry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Listens at an address.
///
/// # Errors
/// Where the system refuses: the port is taken, say.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
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

/// Serves until [`super::App::stop`] is cancelled, then lets connections end,
/// for at most the drain time.
pub async fn serve(listener: TcpListener, app: AppState) {
    accept(listener, &app).await;
    app.tasks.close();
    let drain = app.config.drain.time;
    if tokio::time::timeout(drain, app.tasks.wait()).await.is_err() {
        tracing::warn!(open = app.tasks.len(), "connections did not end in time");
    }
}

async fn accept(listener: TcpListener, app: &AppState) {
    let router = router(app);
    let places = Arc::new(Semaphore::new(app.config.server.connections_max as usize));
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        let accepted = tokio::select! {
            () = app.stop.cancelled() => return,
            _ = sweep.tick() => {
                app.limits.sweep();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                    app.metrics.connections_refused.inc();
                    // A courtesy: who does not take it at once sees the end of the connection.
                    stream.try_write(TOO_MANY).ok();
                    continue;
                };
                let place = Place::new(place, app.metrics.connections.clone());
                let connection = Connection::new(stream, place, app.tasks.clone());
                app.tasks
                    .spawn(converse(connection, peer, router.clone(), Arc::clone(app)));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers the requests of one connection until it ends or becomes a socket.
async fn converse(connection: Connection, peer: SocketAddr, router: Router, app: AppState) {
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

/// One place among the connections, until it is dropped.
struct Place {
    count: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn new(permit: OwnedSemaphorePermit, count: Gauge) -> Self {
        count.inc();
        Self {
            count,
            _permit: permit,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count.dec();
    }
}

/// A stream that holds its place among the connections until it is closed.
struct Connection {
    stream: TokioIo<TcpStream>,
    place: Arc<Place>,
    tasks: TaskTracker,
}

impl Connection {
    fn new(stream: TcpStream, place: Place, tasks: TaskTracker) -> Self {
        // Small frames must not wait for each other. It fails only for a stream
        // that is gone already, which shows at the first read.
        stream.set_nodelay(true).ok();
        Self {
            stream: TokioIo::new(stream),
            place: Arc::new(place),
            tasks,
        }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let stream = self.stream.inner();
        let ended = match stream.try_read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        // Outside the runtime the program ends, and its connections with it.
        let (false, Ok(runtime)) = (ended, tokio::runtime::Handle::try_current()) else {
            return;
        };
        // The stream itself goes with this value.
        match stream.as_fd().try_clone_to_owned() {
            Ok(stream) => {
                let lingering = linger(stream.into(), Arc::clone(&self.place));
                self.tasks.spawn_on(lingering, &runtime);
            }
            Err(error) => tracing::debug!(%error, "a connection is closed at once"),
        }
    }
}

/// Closes this end, and reads what is still under way until the other end closes
/// too.
async fn linger(stream: std::net::TcpStream, _place: Arc<Place>) {
    // Each of these fails where the other end is gone, which is no news.
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

impl Read for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(ctx, buffer)
    }
}

impl Write for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(ctx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(ctx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(ctx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(ctx, buffers)
    }
}

#[cfg(test)]
mod tests;
