//! A MongoDB database of its own for a test, behind a line that can be cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use mongodb::{Client, bson::Document};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::task::TaskTracker;

use crate::servers::server_address;

/// Databases that this process made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A fresh database.
pub(crate) struct Database {
    /// Its address, over the line.
    pub(crate) url: String,
    /// Its name.
    pub(crate) name: String,
    /// Straight to the server.
    pub(crate) client: Client,
    whole: Arc<watch::Sender<bool>>,
}

impl Database {
    /// Creates a database; none if the run skips MongoDB.
    pub(crate) async fn create() -> Option<Self> {
        let server = server_address("mongodb")?;
        let client = Client::with_uri_str(&server).await.expect("an address");
        let rest = server.strip_prefix("mongodb://").expect("an address");
        let (host, _) = rest.split_once('/').expect("a path");
        let whole = Arc::new(watch::Sender::new(true));
        let line = line(host.to_owned(), Arc::clone(&whole)).await;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            url: format!("mongodb://{line}/?directConnection=true"),
            name: format!("invigil_test_{}_{number}", std::process::id()),
            client,
            whole,
        })
    }

    /// Cuts the line, with everything that is under way on it.
    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Mends the line.
    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }

    /// Documents of a collection.
    pub(crate) async fn documents(&self, collection: &str) -> Vec<Document> {
        use futures_util::TryStreamExt as _;
        let collection = self.client.database(&self.name).collection(collection);
        let found = collection.find(Document::new()).await.expect("it answers");
        found.try_collect().await.expect("it answers")
    }
}

/// A line to the server, which can be cut.
async fn line(server: String, whole: Arc<watch::Sender<bool>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let tasks = TaskTracker::new();
    let lines = tasks.clone();
    tasks.spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            let (server, mut state) = (server.clone(), whole.subscribe());
            lines.spawn(async move {
                if !*state.borrow() {
                    return;
                }
                let Ok(mut there) = TcpStream::connect(server).await else {
                    return;
                };
                tokio::select! {
                    _ = copy_bidirectional(&mut here, &mut there) => {}
                    _ = state.wait_for(|whole| !whole) => {}
                }
            });
        }
    });
    address
}
