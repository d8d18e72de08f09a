//! A node's link to the others: who lives, questions and answers, news.
//!
//! Every node says that it lives twice a second, over the bus to all, itself
//! included: what a node does not hear of itself, the others will not have heard
//! either, and silence then says nothing about them.

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

use super::{Bus, Heard, To};
use crate::{domain::id::NodeId, telemetry::metrics::Metrics};

/// The version of everything that is said. Fields may be added under the same one;
/// what an older node could not do without, or would misread, needs the next.
const VERSION: u16 = 1;

/// How often a node says that it lives.
const BEAT: Duration = Duration::from_millis(500);

/// How long a node may be silent. A console sees a death within 3 s: this, a beat,
/// and a tick of its board.
const SILENT_MAX: Duration = Duration::from_secs(2);

/// An answer that takes longer is announced, so that whoever asked knows that the
/// question arrived.
const ANNOUNCED_AFTER: Duration = Duration::from_millis(50);

/// Questions that are answered at once. What is beyond finds no answer, and is asked
/// again or done elsewhere.
const ANSWERED_AT_ONCE: usize = 4_096;

/// What nodes say: three kinds of messages.
pub trait Language: Send + Sync + 'static {
    /// Wants an answer.
    type Question: Serialize + DeserializeOwned + Send + Sync;
    /// To a question.
    type Answer: Serialize + DeserializeOwned + Send + Sync;
    /// Wants none.
    type News: Serialize + DeserializeOwned + Send + Sync;
}

/// What a node does with what the others say.
#[async_trait]
pub trait Service<L: Language>: Send + Sync {
    /// Answers a question; none: whoever asked is better served elsewhere.
    async fn answer(&self, from: NodeId, question: L::Question) -> Option<L::Answer>;

    /// Deals with news, without waiting.
    fn hear(&self, from: NodeId, news: L::News);

    /// Deals with a change among the nodes, without waiting.
    fn change(&self, change: Change);
}

/// A change among the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A node is there.
    Joined(NodeId),
    /// A node is gone: it said so, or it was not heard for too long.
    Gone(NodeId),
    /// This node does not hear the others any more; what they do is not known.
    Cut,
    /// Messages may have been missed, or this node hears again.
    Gap,
}

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until the other node at least says that it is at it.
    pub first: Duration,
    /// In all.
    pub whole: Duration,
}

impl Patience {
    /// One limit for both.
    pub const fn short(limit: Duration) -> Self {
        Self {
            first: limit,
            whole: limit,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The other node has none.
    Nothing,
    /// It is at it, and was not done in time.
    Working,
    /// It is not there, or does not react.
    Silent,
}

/// A node's link to the others.
pub struct Link<L: Language> {
    node: NodeId,
    bus: Arc<dyn Bus>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    asked: Mutex<BTreeMap<u64, Asked<L>>>,
    asked_last: AtomicU64,
    answering: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    /// When each other node was last heard.
    others: BTreeMap<NodeId, Instant>,
    /// When this one heard itself.
    own: Option<Instant>,
    /// Whether it hears itself.
    up: bool,
}

/// A question under way.
struct Asked<L: Language> {
    whom: NodeId,
    progress: mpsc::Sender<Progress<L>>,
}

enum Progress<L: Language> {
    Working,
    Done(Option<L::Answer>),
}

/// Read before anything else: an envelope of another version may look otherwise.
#[derive(Deserialize)]
struct Head {
    v: u16,
}

#[derive(Serialize, Deserialize)]
struct Envelope<B> {
    v: u16,
    from: NodeId,
    body: B,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body<Q, A, N> {
    /// The sender lives; `fresh` where it has not heard anybody yet.
    Alive { fresh: bool },
    /// The sender ends in good order.
    Leaving,
    /// A question.
    Question { id: u64, question: Q },
    /// The question has arrived; its answer takes time.
    Working { id: u64 },
    /// An answer; none: the sender has none.
    Answer { id: u64, answer: Option<A> },
    /// News.
    News(N),
}

type BodyOf<L> = Body<<L as Language>::Question, <L as Language>::Answer, <L as Language>::News>;

/// The same, for what is sent: nothing is taken from whoever says it.
type Said<'a, L> =
    Body<&'a <L as Language>::Question, &'a <L as Language>::Answer, &'a <L as Language>::News>;

impl<L: Language> fmt::Debug for Link<L> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Link").field(&self.node).finish()
    }
}

impl<L: Language> Link<L> {
    /// A link on a bus; [`Link::run`] brings it to life.
    pub fn new(node: NodeId, bus: Arc<dyn Bus>, metrics: Arc<Metrics>) -> Self {
        Self {
            node,
            bus,
            metrics,
            state: Mutex::default(),
            asked: Mutex::default(),
            asked_last: AtomicU64::new(0),
            answering: Arc::new(Semaphore::new(ANSWERED_AT_ONCE)),
        }
    }

    /// This node.
    pub const fn node(&self) -> &NodeId {
        &self.node
    }

    /// Whether this node hears the bus.
    pub fn is_up(&self) -> bool {
        self.lock().up
    }

    /// The other nodes that live.
    pub fn others(&self) -> Vec<NodeId> {
        self.lock().others.keys().cloned().collect()
    }

    /// Whether another node lives.
    pub fn lives(&self, node: &NodeId) -> bool {
        self.lock().others.contains_key(node)
    }

    /// Tells all others.
    pub fn tell(&self, news: &L::News) {
        if !self.lock().others.is_empty() {
            self.say(To::All, &Body::News(news));
        }
    }

    /// Tells one other.
    pub fn tell_one(&self, node: NodeId, news: &L::News) {
        self.say(To::Node(node), &Body::News(news));
    }

    /// Asks another node.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask(
        &self,
        node: &NodeId,
        question: &L::Question,
        patience: Patience,
    ) -> Result<L::Answer, Unanswered> {
        let id = self.asked_last.fetch_add(1, Ordering::Relaxed) + 1;
        let (progress, mut told) = mpsc::channel(2);
        let entry = Asked {
            whom: node.clone(),
            progress,
        };
        // Entered before it is asked whether the node lives: whoever finds it dead
        // clears what is asked of it.
        self.asked().insert(id, entry);
        let _forgotten = Forgotten { link: self, id };
        if !self.lives(node) {
            return Err(Unanswered::Silent);
        }
        self.say(To::Node(node.clone()), &Body::Question { id, question });
        let begun = Instant::now();
        let (mut until, mut late) = (begun + patience.first, Unanswered::Silent);
        loop {
            match tokio::time::timeout_at(until, told.recv()).await {
                Ok(Some(Progress::Done(answer))) => return answer.ok_or(Unanswered::Nothing),
                Ok(Some(Progress::Working)) => {
                    (until, late) = (begun + patience.whole, Unanswered::Working);
                }
                Ok(None) => return Err(Unanswered::Silent),
                Err(_) => return Err(late),
            }
        }
    }

    /// Says that this node ends.
    pub fn leave(&self) {
        self.say(To::All, &Body::Leaving);
    }

    /// Hears and answers until `stop`.
    pub async fn run(
        self: Arc<Self>,
        service: Arc<dyn Service<L>>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = beat.tick() => self.beat(&*service),
                heard = self.bus.hear() => match heard {
                    Heard::Message(message) => self.take(&message, &service, &tasks),
                    Heard::Gap => {
                        self.metrics.bus_gaps.inc();
                        service.change(Change::Gap);
                    }
                },
            }
        }
    }

    /// Says that this node lives, and looks who does not.
    fn beat(&self, service: &dyn Service<L>) {
        let fresh = self.lock().others.is_empty();
        self.say(To::All, &Body::Alive { fresh });
        let now = Instant::now();
        let mut state = self.lock();
        let heard = |at: Instant| now.duration_since(at) < SILENT_MAX;
        let mut changes = Vec::new();
        if state.up && !state.own.is_some_and(heard) {
            state.up = false;
            state.others.clear();
            changes.push(Change::Cut);
        }
        let silent: Vec<NodeId> = state
            .others
            .iter()
            .filter(|(_, at)| !heard(**at))
            .map(|(node, _)| node.clone())
            .collect();
        for node in silent {
            state.others.remove(&node);
            changes.push(Change::Gone(node));
        }
        self.count(&state);
        drop(state);
        for change in changes {
            self.changed(service, change);
        }
    }

    fn take(&self, message: &[u8], service: &Arc<dyn Service<L>>, tasks: &TaskTracker) {
        let known = rmp_serde::from_slice::<Head>(message).is_ok_and(|head| head.v == VERSION);
        let envelope = known.then(|| rmp_serde::from_slice::<Envelope<BodyOf<L>>>(message));
        let Some(Ok(Envelope { from, body, .. })) = envelope else {
            // Another release runs beside this one; what must be done is in the store.
            self.metrics.bus_unknown.inc();
            return;
        };
        if from == self.node {
            self.heard_self(&**service);
            return;
        }
        match body {
            Body::Leaving => {
                let known = self.lock().others.remove(&from).is_some();
                if known {
                    self.changed(&**service, Change::Gone(from));
                }
                return;
            }
            Body::Alive { fresh } => {
                if fresh {
                    // It learns at once that this one is there.
                    self.say(To::Node(from.clone()), &Body::Alive { fresh: false });
                }
            }
            Body::Question { id, question } => {
                self.answer(from.clone(), id, question, service, tasks);
            }
            Body::Working { id } => self.progress(id, Progress::Working),
            Body::Answer { id, answer } => self.progress(id, Progress::Done(answer)),
            Body::News(news) => service.hear(from.clone(), news),
        }
        self.heard(from, &**service);
    }

    fn heard_self(&self, service: &dyn Service<L>) {
        let mut state = self.lock();
        state.own = Some(Instant::now());
        let again = !std::mem::replace(&mut state.up, true);
        self.count(&state);
        drop(state);
        if again {
            service.change(Change::Gap);
        }
    }

    fn heard(&self, from: NodeId, service: &dyn Service<L>) {
        let mut state = self.lock();
        let new = state.others.insert(from.clone(), Instant::now()).is_none();
        self.count(&state);
        drop(state);
        if new {
            service.change(Change::Joined(from));
        }
    }

    fn changed(&self, service: &dyn Service<L>, change: Change) {
        let is_gone = |asked: &Asked<L>| match &change {
            Change::Gone(node) => asked.whom == *node,
            Change::Cut => true,
            Change::Joined(_) | Change::Gap => false,
        };
        // Whoever waits for an answer learns that there will be none.
        self.asked().retain(|_, asked| !is_gone(asked));
        service.change(change);
    }

    fn answer(
        &self,
        from: NodeId,
        id: u64,
        question: L::Question,
        service: &Arc<dyn Service<L>>,
        tasks: &TaskTracker,
    ) {
        let Ok(permit) = Arc::clone(&self.answering).try_acquire_owned() else {
            self.metrics.bus_dropped.inc();
            return;
        };
        let (service, bus) = (Arc::clone(service), Arc::clone(&self.bus));
        let (node, metrics) = (self.node.clone(), Arc::clone(&self.metrics));
        tasks.spawn(async move {
            let say = |body: &Said<'_, L>| {
                send::<L>(&*bus, &metrics, &node, To::Node(from.clone()), body);
            };
            let answering = service.answer(from.clone(), question);
            tokio::pin!(answering);
            let answer = tokio::select! {
                biased;
                answer = &mut answering => answer,
                () = tokio::time::sleep(ANNOUNCED_AFTER) => {
                    say(&Body::Working { id });
                    answering.await
                }
            };
            let answer = answer.as_ref();
            say(&Body::Answer { id, answer });
            drop(permit);
        });
    }

    fn progress(&self, id: u64, progress: Progress<L>) {
        let asked = self.asked().get(&id).map(|asked| asked.progress.clone());
        // Where nobody waits any more, it was too late.
        if let Some(asked) = asked {
            asked.try_send(progress).ok();
        }
    }

    fn say(&self, to: To, body: &Said<'_, L>) {
        send::<L>(&*self.bus, &self.metrics, &self.node, to, body);
    }

    fn count(&self, state: &State) {
        let others = i64::try_from(state.others.len()).unwrap_or(i64::MAX);
        self.metrics.bus_nodes.set(others + 1);
        self.metrics.bus_up.set(i64::from(state.up));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder of this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<u64, Asked<L>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question is under way until whoever asked has gone on.
struct Forgotten<'a, L: Language> {
    link: &'a Link<L>,
    id: u64,
}

impl<L: Language> Drop for Forgotten<'_, L> {
    fn drop(&mut self) {
        self.link.asked().remove(&self.id);
    }
}

fn send<L: Language>(bus: &dyn Bus, metrics: &Metrics, node: &NodeId, to: To, body: &Said<'_, L>) {
    let envelope = Envelope {
        v: VERSION,
        from: node.clone(),
        body,
    };
    match rmp_serde::to_vec_named(&envelope) {
        Ok(bytes) => bus.send(to, bytes.into()),
        Err(error) => {
            metrics.bus_dropped.inc();
            tracing::error!(%error, "a message to other nodes cannot be written");
        }
    }
}

#[cfg(test)]
mod tests;
