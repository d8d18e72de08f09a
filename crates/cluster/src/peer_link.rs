//! A node's link to its peers: liveness, requests and responses, events.
//!
//! Every node sends a heartbeat over the bus twice a second, to all nodes and itself:
//! if it does not hear its own, the others have not heard it either, and their silence
//! says nothing about them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Bus, BusEvent, BusRecipient};
use invigil_domain::id::NodeId;
use invigil_telemetry::metrics::Metrics;

/// Version of all messages. Fields may be added under the same one; a field that an
/// older node could not do without, or would misread, needs the next.
const VERSION: u16 = 1;

/// Interval of heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// Silence after which a node counts as gone. A console sees a death within 3 s: this,
/// a heartbeat, and a tick of its board.
const SILENT_MAX: Duration = Duration::from_secs(2);

/// Time after which a response under way is announced, so
/// that the sender knows that its request arrived.
const WORKING_AFTER: Duration = Duration::from_millis(50);

/// Requests that are handled at once. Further ones get no
/// response, and are sent again or handled elsewhere.
const CONCURRENT_RESPONSES: usize = 4_096;

/// The message types of a link.
pub trait LinkProtocol: Send + Sync + 'static {
    /// A message that expects a response.
    type Request: Serialize + DeserializeOwned + Send + Sync;
    /// The response to a request.
    type Response: Serialize + DeserializeOwned + Send + Sync;
    /// A message without a response.
    type Event: Serialize + DeserializeOwned + Send + Sync;
}

/// The handler of messages from a node's peers.
#[async_trait]
pub trait PeerHandler<L: LinkProtocol>: Send + Sync {
    /// Handles a request; none if the sender is better served elsewhere.
    async fn handle_request(&self, from: NodeId, question: L::Request) -> Option<L::Response>;

    /// Handles an event, without waiting.
    fn handle_event(&self, from: NodeId, news: L::Event);

    /// Handles a change among the nodes, without waiting.
    fn handle_change(&self, change: PeerChange);
}

/// A change among the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerChange {
    /// A node has joined.
    Joined(NodeId),
    /// A node is gone: it left, or was silent for too long.
    Gone(NodeId),
    /// This node no longer hears the others; their state is unknown.
    Isolated,
    /// Messages may have been missed, or this node hears again.
    Gap,
}

/// Limits on the wait for a response.
#[derive(Debug, Clone, Copy)]
pub struct PeerTimeouts {
    /// Until the first sign that the peer works on the request.
    pub first_reply: Duration,
    /// Until the response.
    pub total: Duration,
}

impl PeerTimeouts {
    /// The same limit for both.
    pub const fn uniform(limit: Duration) -> Self {
        Self {
            first_reply: limit,
            total: limit,
        }
    }
}

/// The reason why a request has no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerError {
    /// The peer has none to give.
    Declined,
    /// The peer works on it, and did not finish in time.
    TimedOut,
    /// The peer is gone, or does not react.
    Unreachable,
}

/// A node's link to its peers.
pub struct PeerLink<L: LinkProtocol> {
    node: NodeId,
    bus: Arc<dyn Bus>,
    metrics: Arc<Metrics>,
    state: Mutex<LinkState>,
    pending: Mutex<BTreeMap<u64, PendingRequest<L>>>,
    last_request: AtomicU64,
    response_permits: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct LinkState {
    /// Time at which each peer was last heard.
    peers: BTreeMap<NodeId, Instant>,
    /// Time at which this node last heard itself.
    self_heard_at: Option<Instant>,
    /// True while this node hears itself.
    up: bool,
}

/// A request under way.
struct PendingRequest<L: LinkProtocol> {
    peer: NodeId,
    progress: mpsc::Sender<RequestProgress<L>>,
}

enum RequestProgress<L: LinkProtocol> {
    Working,
    Done(Option<L::Response>),
}

/// Read before the rest, which may differ in an envelope of another version.
#[derive(Deserialize)]
struct EnvelopeHead {
    v: u16,
}

#[derive(Serialize, Deserialize)]
struct MessageEnvelope<B> {
    v: u16,
    from: NodeId,
    body: B,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EnvelopeBody<Q, A, N> {
    /// The sender is alive; `fresh` if it has not heard any peer yet.
    Alive { fresh: bool },
    /// The sender ends in good order.
    Leaving,
    /// A request.
    Question { id: u64, question: Q },
    /// The request has arrived; its response takes time.
    Working { id: u64 },
    /// A response, or that the sender has none.
    Answer { id: u64, answer: Option<A> },
    /// An event.
    News(N),
}

type OwnedBody<L> = EnvelopeBody<
    <L as LinkProtocol>::Request,
    <L as LinkProtocol>::Response,
    <L as LinkProtocol>::Event,
>;

/// The same for sending, which borrows the content.
type BorrowedBody<'a, L> = EnvelopeBody<
    &'a <L as LinkProtocol>::Request,
    &'a <L as LinkProtocol>::Response,
    &'a <L as LinkProtocol>::Event,
>;

impl<L: LinkProtocol> fmt::Debug for PeerLink<L> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Link").field(&self.node).finish()
    }
}

impl<L: LinkProtocol> PeerLink<L> {
    /// Creates a link on a bus; [`PeerLink::run`] brings it to life.
    pub fn new(node: NodeId, bus: Arc<dyn Bus>, metrics: Arc<Metrics>) -> Self {
        Self {
            node,
            bus,
            metrics,
            state: Mutex::default(),
            pending: Mutex::default(),
            last_request: AtomicU64::new(0),
            response_permits: Arc::new(Semaphore::new(CONCURRENT_RESPONSES)),
        }
    }

    /// This node.
    pub const fn node(&self) -> &NodeId {
        &self.node
    }

    /// Returns true if this node hears the bus.
    pub fn is_up(&self) -> bool {
        self.lock_state().up
    }

    /// Returns the peers that are alive.
    pub fn peers(&self) -> Vec<NodeId> {
        self.lock_state().peers.keys().cloned().collect()
    }

    /// Returns true if a peer is alive.
    pub fn is_alive(&self, node: &NodeId) -> bool {
        self.lock_state().peers.contains_key(node)
    }

    /// Sends an event to all peers.
    pub fn broadcast_event(&self, news: &L::Event) {
        if !self.lock_state().peers.is_empty() {
            self.send_body(BusRecipient::All, &EnvelopeBody::News(news));
        }
    }

    /// Sends an event to one peer.
    pub fn send_event(&self, node: NodeId, news: &L::Event) {
        self.send_body(BusRecipient::Node(node), &EnvelopeBody::News(news));
    }

    /// Sends a request to a peer, and waits for the response.
    ///
    /// # Errors
    /// Returns the reason why there is no response.
    pub async fn send_request(
        &self,
        node: &NodeId,
        question: &L::Request,
        patience: PeerTimeouts,
    ) -> Result<L::Response, PeerError> {
        let id = self.last_request.fetch_add(1, Ordering::Relaxed) + 1;
        let (progress, mut told) = mpsc::channel(2);
        let entry = PendingRequest {
            peer: node.clone(),
            progress,
        };
        // Entered before the check: the task that finds a peer dead clears its requests.
        self.lock_pending().insert(id, entry);
        let _forgotten = PendingGuard { link: self, id };
        if !self.is_alive(node) {
            return Err(PeerError::Unreachable);
        }
        self.send_body(
            BusRecipient::Node(node.clone()),
            &EnvelopeBody::Question { id, question },
        );
        let begun = Instant::now();
        let (mut until, mut late) = (begun + patience.first_reply, PeerError::Unreachable);
        loop {
            match tokio::time::timeout_at(until, told.recv()).await {
                Ok(Some(RequestProgress::Done(answer))) => {
                    return answer.ok_or(PeerError::Declined);
                }
                Ok(Some(RequestProgress::Working)) => {
                    (until, late) = (begun + patience.total, PeerError::TimedOut);
                }
                Ok(None) => return Err(PeerError::Unreachable),
                Err(_) => return Err(late),
            }
        }
    }

    /// Announces that this node ends.
    pub fn announce_leave(&self) {
        self.send_body(BusRecipient::All, &EnvelopeBody::Leaving);
    }

    /// Receives and handles messages until `stop`.
    pub async fn run(
        self: Arc<Self>,
        service: Arc<dyn PeerHandler<L>>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) {
        let mut beat = tokio::time::interval(HEARTBEAT_INTERVAL);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = beat.tick() => self.send_heartbeat(&*service),
                heard = self.bus.next_event() => match heard {
                    BusEvent::Message(message) => self.handle_message(&message, &service, &tasks),
                    BusEvent::Gap => {
                        self.metrics.bus_gaps.inc();
                        service.handle_change(PeerChange::Gap);
                    }
                },
            }
        }
    }

    /// Sends a heartbeat, and finds peers that are silent.
    fn send_heartbeat(&self, service: &dyn PeerHandler<L>) {
        let fresh = self.lock_state().peers.is_empty();
        self.send_body(BusRecipient::All, &EnvelopeBody::Alive { fresh });
        let now = Instant::now();
        let mut state = self.lock_state();
        let heard = |at: Instant| now.duration_since(at) < SILENT_MAX;
        let mut changes = Vec::new();
        if state.up && !state.self_heard_at.is_some_and(heard) {
            state.up = false;
            state.peers.clear();
            changes.push(PeerChange::Isolated);
        }
        let silent: Vec<NodeId> = state
            .peers
            .iter()
            .filter(|(_, at)| !heard(**at))
            .map(|(node, _)| node.clone())
            .collect();
        for node in silent {
            state.peers.remove(&node);
            changes.push(PeerChange::Gone(node));
        }
        self.update_metrics(&state);
        drop(state);
        for change in changes {
            self.report_change(service, change);
        }
    }

    fn handle_message(
        &self,
        message: &[u8],
        service: &Arc<dyn PeerHandler<L>>,
        tasks: &TaskTracker,
    ) {
        let known =
            rmp_serde::from_slice::<EnvelopeHead>(message).is_ok_and(|head| head.v == VERSION);
        let envelope =
            known.then(|| rmp_serde::from_slice::<MessageEnvelope<OwnedBody<L>>>(message));
        let Some(Ok(MessageEnvelope { from, body, .. })) = envelope else {
            // Another release runs beside this one; the store has all that must be done.
            self.metrics.bus_unknown.inc();
            return;
        };
        if from == self.node {
            self.note_self_heard(&**service);
            return;
        }
        match body {
            EnvelopeBody::Leaving => {
                let known = self.lock_state().peers.remove(&from).is_some();
                if known {
                    self.report_change(&**service, PeerChange::Gone(from));
                }
                return;
            }
            EnvelopeBody::Alive { fresh } => {
                if fresh {
                    // The new node learns of this one at once.
                    self.send_body(
                        BusRecipient::Node(from.clone()),
                        &EnvelopeBody::Alive { fresh: false },
                    );
                }
            }
            EnvelopeBody::Question { id, question } => {
                self.spawn_response(from.clone(), id, question, service, tasks);
            }
            EnvelopeBody::Working { id } => self.report_progress(id, RequestProgress::Working),
            EnvelopeBody::Answer { id, answer } => {
                self.report_progress(id, RequestProgress::Done(answer));
            }
            EnvelopeBody::News(news) => service.handle_event(from.clone(), news),
        }
        self.note_peer_heard(from, &**service);
    }

    fn note_self_heard(&self, service: &dyn PeerHandler<L>) {
        let mut state = self.lock_state();
        state.self_heard_at = Some(Instant::now());
        let again = !std::mem::replace(&mut state.up, true);
        self.update_metrics(&state);
        drop(state);
        if again {
            service.handle_change(PeerChange::Gap);
        }
    }

    fn note_peer_heard(&self, from: NodeId, service: &dyn PeerHandler<L>) {
        let mut state = self.lock_state();
        let new = state.peers.insert(from.clone(), Instant::now()).is_none();
        self.update_metrics(&state);
        drop(state);
        if new {
            service.handle_change(PeerChange::Joined(from));
        }
    }

    fn report_change(&self, service: &dyn PeerHandler<L>, change: PeerChange) {
        let is_gone = |asked: &PendingRequest<L>| match &change {
            PeerChange::Gone(node) => asked.peer == *node,
            PeerChange::Isolated => true,
            PeerChange::Joined(_) | PeerChange::Gap => false,
        };
        // Requests to a node that is gone fail at once.
        self.lock_pending().retain(|_, asked| !is_gone(asked));
        service.handle_change(change);
    }

    fn spawn_response(
        &self,
        from: NodeId,
        id: u64,
        question: L::Request,
        service: &Arc<dyn PeerHandler<L>>,
        tasks: &TaskTracker,
    ) {
        let Ok(permit) = Arc::clone(&self.response_permits).try_acquire_owned() else {
            self.metrics.bus_dropped.inc();
            return;
        };
        let (service, bus) = (Arc::clone(service), Arc::clone(&self.bus));
        let (node, metrics) = (self.node.clone(), Arc::clone(&self.metrics));
        tasks.spawn(async move {
            let say = |body: &BorrowedBody<'_, L>| {
                send_envelope::<L>(
                    &*bus,
                    &metrics,
                    &node,
                    BusRecipient::Node(from.clone()),
                    body,
                );
            };
            let answering = service.handle_request(from.clone(), question);
            tokio::pin!(answering);
            let answer = tokio::select! {
                biased;
                answer = &mut answering => answer,
                () = tokio::time::sleep(WORKING_AFTER) => {
                    say(&EnvelopeBody::Working { id });
                    answering.await
                }
            };
            let answer = answer.as_ref();
            say(&EnvelopeBody::Answer { id, answer });
            drop(permit);
        });
    }

    fn report_progress(&self, id: u64, progress: RequestProgress<L>) {
        let asked = self
            .lock_pending()
            .get(&id)
            .map(|asked| asked.progress.clone());
        // A response without a waiting request came too late.
        if let Some(asked) = asked {
            asked.try_send(progress).ok();
        }
    }

    fn send_body(&self, to: BusRecipient, body: &BorrowedBody<'_, L>) {
        send_envelope::<L>(&*self.bus, &self.metrics, &self.node, to, body);
    }

    fn update_metrics(&self, state: &LinkState) {
        let others = i64::try_from(state.peers.len()).unwrap_or(i64::MAX);
        self.metrics.bus_nodes.set(others + 1);
        self.metrics.bus_up.set(i64::from(state.up));
    }

    fn lock_state(&self) -> MutexGuard<'_, LinkState> {
        // No holder of this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_pending(&self) -> MutexGuard<'_, BTreeMap<u64, PendingRequest<L>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a request once its sender waits no longer.
struct PendingGuard<'a, L: LinkProtocol> {
    link: &'a PeerLink<L>,
    id: u64,
}

impl<L: LinkProtocol> Drop for PendingGuard<'_, L> {
    fn drop(&mut self) {
        self.link.lock_pending().remove(&self.id);
    }
}

fn send_envelope<L: LinkProtocol>(
    bus: &dyn Bus,
    metrics: &Metrics,
    node: &NodeId,
    to: BusRecipient,
    body: &BorrowedBody<'_, L>,
) {
    let envelope = MessageEnvelope {
        v: VERSION,
        from: node.clone(),
        body,
    };
    match rmp_serde::to_vec_named(&envelope) {
        Ok(bytes) => bus.send(to, bytes.into()),
        Err(error) => {
            metrics.bus_dropped.inc();
            tracing::error!(%error, "a message to other nodes cannot be encoded");
        }
    }
}

#[cfg(test)]
mod tests;
