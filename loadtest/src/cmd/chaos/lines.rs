//! The links between the nodes and one server: a proxy for each node, so that a
//! single node can be cut off.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    proxy::TcpProxy,
    servers::{NODES, node_name},
};

/// The links to one server; see the module.
#[derive(Debug)]
pub(crate) struct ServerLinks(Vec<Arc<TcpProxy>>);

/// Selection of links: those of one node, or of all.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LinkSelection {
    Node(usize),
    All,
}

impl ServerLinks {
    /// Starts proxies to a local port, which run until `stop`.
    pub(crate) async fn start_proxies(
        port: u16,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut lines = Vec::new();
        for _ in 0..NODES {
            let line = TcpProxy::start(1, tasks, stop.clone()).await?;
            line.set_target(0, SocketAddr::from(([127, 0, 0, 1], port)));
            lines.push(line);
        }
        Ok(Self(lines))
    }

    /// Port at which a node reaches the server.
    pub(crate) fn port_for(&self, node: usize) -> u16 {
        self.0[node].address.port()
    }

    /// Cuts every connection; new ones are forwarded.
    pub(crate) fn cut_connections(&self, whose: LinkSelection) {
        self.for_each_link(whose, TcpProxy::cut_connections);
    }

    /// Stops or resumes all forwarding.
    pub(crate) fn hold_traffic(&self, whose: LinkSelection, held: bool) {
        self.for_each_link(whose, |line| line.hold_traffic(held));
    }

    /// Sets the delay of every piece.
    pub(crate) fn delay_traffic(&self, whose: LinkSelection, delay: Duration) {
        self.for_each_link(whose, |line| line.delay_traffic(delay));
    }

    /// Resumes forwarding, without delay.
    pub(crate) fn restore_traffic(&self) {
        self.for_each_link(LinkSelection::All, TcpProxy::restore_traffic);
    }

    fn for_each_link(&self, whose: LinkSelection, act: impl Fn(&TcpProxy)) {
        let lines = match whose {
            LinkSelection::Node(node) => &self.0[node..=node],
            LinkSelection::All => &self.0[..],
        };
        for line in lines {
            act(line);
        }
    }
}

impl std::fmt::Display for LinkSelection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(node) => formatter.write_str(&node_name(*node)),
            Self::All => formatter.write_str("all nodes"),
        }
    }
}
