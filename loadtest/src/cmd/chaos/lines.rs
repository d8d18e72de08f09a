//! The lines between the nodes and one server: a proxy for each node, so that one
//! node may be cut off while the others are not.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    proxy::Proxy,
    servers::{NODES, node_name},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Lines(Vec<Arc<Proxy>>);

/// Whose lines: of one node, or of all.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose {
    Node(usize),
    All,
}

impl Lines {
    /// Lines to a port of this machine, which are there until `stop`.
    pub(crate) async fn start(
        port: u16,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut lines = Vec::new();
        for _ in 0..NODES {
            let line = Proxy::start(1, tasks, stop.clone()).await?;
            line.open(0, SocketAddr::from(([127, 0, 0, 1], port)));
            lines.push(line);
        }
        Ok(Self(lines))
    }

    /// Where a node finds the server.
    pub(crate) fn port(&self, node: usize) -> u16 {
        self.0[node].address.port()
    }

    /// Cuts every connection; new ones come through.
    pub(crate) fn cut(&self, whose: Whose) {
        self.each(whose, Proxy::cut);
    }

    /// Passes nothing on any more, or goes on.
    pub(crate) fn hold(&self, whose: Whose, held: bool) {
        self.each(whose, |line| line.hold(held));
    }

    /// What every piece waits from now on.
    pub(crate) fn delay(&self, whose: Whose, delay: Duration) {
        self.each(whose, |line| line.delay(delay));
    }

    /// Passes everything on, and at once.
    pub(crate) fn mend(&self) {
        self.each(Whose::All, Proxy::mend);
    }

    fn each(&self, whose: Whose, act: impl Fn(&Proxy)) {
        let lines = match whose {
            Whose::Node(node) => &self.0[node..=node],
            Whose::All => &self.0[..],
        };
        for line in lines {
            act(line);
        }
    }
}

impl std::fmt::Display for Whose {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(node) => formatter.write_str(&node_name(*node)),
            Self::All => formatter.write_str("all nodes"),
        }
    }
}
