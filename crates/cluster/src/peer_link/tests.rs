//! Links over a bus within the process, with a paused clock.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::local::{LocalBus, LocalHub};

/// A protocol of numbers.
struct NumberProtocol;

impl LinkProtocol for NumberProtocol {
    type Request = u32;
    type Response = u32;
    type Event = u32;
}

/// A handler that returns the next number after a while, and nothing from a thousand on.
#[derive(Default)]
struct CountingHandler {
    takes: Duration,
    heard: Mutex<Vec<(NodeId, u32)>>,
    changes: Mutex<Vec<PeerChange>>,
}

#[async_trait]
impl PeerHandler<NumberProtocol> for CountingHandler {
    async fn handle_request(&self, _from: NodeId, question: u32) -> Option<u32> {
        tokio::time::sleep(self.takes).await;
        (question < 1_000).then_some(question + 1)
    }

    fn handle_event(&self, from: NodeId, news: u32) {
        self.heard.lock().unwrap().push((from, news));
    }

    fn handle_change(&self, change: PeerChange) {
        self.changes.lock().unwrap().push(change);
    }
}

struct TestNode {
    link: Arc<PeerLink<NumberProtocol>>,
    service: Arc<CountingHandler>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl TestNode {
    fn new(bus: Arc<dyn Bus>, name: &str, takes: Duration) -> Self {
        let metrics = Arc::new(Metrics::default());
        let link = Arc::new(PeerLink::new(name.into(), bus, metrics));
        let service = Arc::new(CountingHandler {
            takes,
            ..CountingHandler::default()
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let running = Arc::clone(&link).run(
            Arc::clone(&service) as Arc<dyn PeerHandler<NumberProtocol>>,
            tasks.clone(),
            stop.clone(),
        );
        tasks.spawn(running);
        Self {
            link,
            service,
            stop,
            tasks,
        }
    }

    fn take_changes(&self) -> Vec<PeerChange> {
        std::mem::take(&mut *self.service.changes.lock().unwrap())
    }
}

const AT_ONCE: Duration = Duration::from_millis(1);

async fn pass_time(time: Duration) {
    tokio::time::sleep(time).await;
}

fn two_nodes(takes: Duration) -> (TestNode, TestNode) {
    let hub = Arc::new(LocalHub::default());
    let one = TestNode::new(hub.connect_node("one".into()), "one", takes);
    let two = TestNode::new(hub.connect_node("two".into()), "two", takes);
    (one, two)
}

#[tokio::test(start_paused = true)]
async fn nodes_know_each_other_at_once_and_miss_who_is_silent() {
    let (one, two) = two_nodes(Duration::ZERO);
    pass_time(AT_ONCE).await;
    assert_eq!(one.link.peers(), ["two".into()]);
    assert_eq!(two.link.peers(), ["one".into()]);
    assert_eq!(
        one.take_changes(),
        [PeerChange::Gap, PeerChange::Joined("two".into())]
    );

    two.stop.cancel();
    pass_time(3 * HEARTBEAT_INTERVAL).await;
    assert!(one.link.is_alive(&"two".into()));
    pass_time(2 * HEARTBEAT_INTERVAL).await;
    assert_eq!(one.take_changes(), [PeerChange::Gone("two".into())]);
    assert!(one.link.is_up());
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_is_gone_at_once() {
    let (one, two) = two_nodes(Duration::ZERO);
    pass_time(AT_ONCE).await;
    one.take_changes();
    two.stop.cancel();
    pass_time(AT_ONCE).await;
    two.link.announce_leave();
    pass_time(AT_ONCE).await;
    assert_eq!(one.take_changes(), [PeerChange::Gone("two".into())]);
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_or_not() {
    let (one, _two) = two_nodes(Duration::ZERO);
    pass_time(AT_ONCE).await;
    let short = PeerTimeouts::uniform(Duration::from_millis(250));
    let ask = async |whom: &str, what| one.link.send_request(&whom.into(), &what, short).await;
    assert_eq!(ask("two", 7).await, Ok(8));
    assert_eq!(ask("two", 1_000).await, Err(PeerError::Declined));
    assert_eq!(ask("six", 7).await, Err(PeerError::Unreachable));
    assert!(one.link.lock_pending().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_time_is_announced() {
    let (one, _two) = two_nodes(Duration::from_secs(1));
    pass_time(AT_ONCE).await;
    let (first, whole) = (Duration::from_millis(250), Duration::from_secs(20));
    let begun = Instant::now();
    let whom = "two".into();
    let ask = async |patience| one.link.send_request(&whom, &7, patience).await;
    assert_eq!(
        ask(PeerTimeouts::uniform(first)).await,
        Err(PeerError::TimedOut)
    );
    assert_eq!(begun.elapsed(), first, "it had better be done elsewhere");
    assert_eq!(
        ask(PeerTimeouts {
            first_reply: first,
            total: whole
        })
        .await,
        Ok(8)
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_node_that_has_died() {
    let (one, two) = two_nodes(Duration::from_mins(1));
    pass_time(AT_ONCE).await;
    let patience = PeerTimeouts {
        first_reply: Duration::from_millis(250),
        total: Duration::from_secs(30),
    };
    let (stop, whom) = (two.stop.clone(), "two".into());
    let begun = Instant::now();
    let asked = one.link.send_request(&whom, &7, patience);
    let (answer, ()) = tokio::join!(asked, async move {
        pass_time(Duration::from_millis(100)).await;
        stop.cancel();
    });
    assert_eq!(answer, Err(PeerError::Unreachable));
    assert!(begun.elapsed() <= SILENT_MAX + 2 * HEARTBEAT_INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn news_are_for_the_others() {
    let (one, two) = two_nodes(Duration::ZERO);
    pass_time(AT_ONCE).await;
    one.link.broadcast_event(&1);
    two.link.send_event("one".into(), &2);
    pass_time(AT_ONCE).await;
    assert_eq!(*two.service.heard.lock().unwrap(), [("one".into(), 1)]);
    assert_eq!(*one.service.heard.lock().unwrap(), [("two".into(), 2)]);
}

/// A bus that can be cut.
struct CutBus {
    bus: Arc<LocalBus>,
    cut: AtomicBool,
}

#[async_trait]
impl Bus for CutBus {
    fn send(&self, to: BusRecipient, message: bytes::Bytes) {
        if !self.cut.load(Ordering::Acquire) {
            self.bus.send(to, message);
        }
    }

    async fn next_event(&self) -> BusEvent {
        self.bus.next_event().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_hear_itself_knows_nothing_of_others() {
    let hub = Arc::new(LocalHub::default());
    let bus = Arc::new(CutBus {
        bus: hub.connect_node("one".into()),
        cut: AtomicBool::new(false),
    });
    let one = TestNode::new(Arc::clone(&bus) as Arc<dyn Bus>, "one", Duration::ZERO);
    let _two = TestNode::new(hub.connect_node("two".into()), "two", Duration::ZERO);
    pass_time(AT_ONCE).await;
    one.take_changes();
    bus.cut.store(true, Ordering::Release);
    pass_time(SILENT_MAX + HEARTBEAT_INTERVAL).await;
    assert!(!one.link.is_up());
    // It still hears the other; its own messages do not arrive.
    assert_eq!(one.take_changes()[0], PeerChange::Isolated);
    bus.cut.store(false, Ordering::Release);
    pass_time(HEARTBEAT_INTERVAL).await;
    assert!(one.link.is_up());
    assert!(one.take_changes().contains(&PeerChange::Gap));
}

/// A message of another version.
#[derive(Serialize)]
struct NewerEnvelope {
    v: u16,
    from: &'static str,
}

#[tokio::test(start_paused = true)]
async fn another_language_is_counted_and_skipped() {
    let hub = Arc::new(LocalHub::default());
    let one = TestNode::new(hub.connect_node("one".into()), "one", Duration::ZERO);
    let other = hub.connect_node("other".into());
    let newer = NewerEnvelope {
        v: VERSION + 1,
        from: "other",
    };
    other.send(
        BusRecipient::All,
        rmp_serde::to_vec_named(&newer).unwrap().into(),
    );
    other.send(BusRecipient::All, bytes::Bytes::from_static(b"\xff\x00"));
    pass_time(AT_ONCE).await;
    assert!(one.link.peers().is_empty());
    assert_eq!(one.link.metrics.bus_unknown.get(), 2);
    one.stop.cancel();
    one.tasks.close();
    one.tasks.wait().await;
}
