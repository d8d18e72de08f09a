//! Tests of the server over real connections on loopback.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::web::tests::WebBench;

const TEST_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct TestServer {
    bench: WebBench,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl TestServer {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test itself waits for the task"
    )]
    async fn start(settings: &[(&str, &str)]) -> Self {
        let bench = WebBench::new(settings).await;
        let listener = bind_listener(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve_until_stopped(listener, Arc::clone(&bench.app)));
        Self {
            bench,
            address,
            serving,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Stops the server; the test fails if it does not end in time.
    async fn stop(self) {
        self.bench.app.stop.cancel();
        timeout(TEST_TIMEOUT, self.serving)
            .await
            .expect("the server ends")
            .unwrap();
    }
}

/// Reads until `text` has arrived.
async fn read_until(stream: &mut TcpStream, text: &str) {
    let mut seen = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            assert_ne!(
                stream.read_buf(&mut seen).await.unwrap(),
                0,
                "ended before {text}"
            );
        }
    };
    timeout(TEST_TIMEOUT, reading)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {text}"));
}

/// Returns true if the other side ends the connection in time, whatever it sends
/// before.
async fn ends_in_time(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    timeout(TEST_TIMEOUT, stream.read_to_end(&mut seen))
        .await
        .is_ok()
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = TestServer::start(&[]).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(REQUEST).await.unwrap();
        read_until(&mut stream, "alive").await;
    }
    assert_eq!(server.bench.app.metrics.connections.get(), 1);
    server.stop().await;
}

#[tokio::test]
async fn headers_that_do_not_arrive_end_the_connection() {
    let server = TestServer::start(&[("INVIGIL__SERVER__HEADER_TIMEOUT_SECONDS", "1")]).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: lo")
        .await
        .unwrap();
    let mut silent = server.connect().await;
    assert!(ends_in_time(&mut slow).await);
    assert!(ends_in_time(&mut silent).await);
    server.stop().await;
}

#[tokio::test]
async fn connections_over_the_maximum_are_turned_away_until_one_ends() {
    let server = TestServer::start(&[("INVIGIL__SERVER__CONNECTIONS_MAX", "2")]).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(REQUEST).await.unwrap();
        read_until(&mut stream, "alive").await;
        held.push(stream);
    }
    let mut refused = server.connect().await;
    read_until(&mut refused, "503 Service Unavailable").await;
    assert_eq!(server.bench.app.metrics.connections_refused.get(), 1);

    held.pop();
    let free = async {
        while server.bench.app.metrics.connections.get() > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(TEST_TIMEOUT, free)
        .await
        .expect("the place becomes free");
    let mut stream = server.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    read_until(&mut stream, "alive").await;
    server.stop().await;
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_stop() {
    let server = TestServer::start(&[]).await;
    let mut idle = server.connect().await;
    idle.write_all(REQUEST).await.unwrap();
    read_until(&mut idle, "alive").await;
    let address = server.address;
    server.stop().await;
    assert!(ends_in_time(&mut idle).await);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused() {
    let first = bind_listener(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let second = bind_listener(first.local_addr().unwrap());
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn what_is_said_last_is_read_by_who_is_still_sending() {
    let server = TestServer::start(&[]).await;
    let mut stream = server.connect().await;
    let head = "POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 4000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // Far more than a request may have, and than buffers hold: a reset would
    // show as an error here, or instead of the response.
    stream.write_all(&vec![b' '; 4_000_000]).await.unwrap();
    read_until(&mut stream, "413 Payload Too Large").await;
    drop(stream);
    server.stop().await;
}
