//! Links over a bus within the process, with a clock that stands still.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::cluster::local::{Hub, Local};

/// Nodes that say numbers.
struct Numbers;

impl Language for Numbers {
    type Question = u32;
    type Answer = u32;
    type News = u32;
}

/// A node that knows the next number after a while, and none after a thousand.
#[derive(Default)]
struct Counting {
    takes: Duration,
    heard: Mutex<Vec<(NodeId, u32)>>,
    changes: Mutex<Vec<Change>>,
}

#[async_trait]
impl Service<Numbers> for Counting {
    async fn answer(&self, _from: NodeId, question: u32) -> Option<u32> {
        tokio::time::sleep(self.takes).await;
        (question < 1_000).then_some(question + 1)
    }

    fn hear(&self, from: NodeId, news: u32) {
        self.heard.lock().unwrap().push((from, news));
    }

    fn change(&self, change: Change) {
        self.changes.lock().unwrap().push(change);
    }
}

struct Node {
    link: Arc<Link<Numbers>>,
    service: Arc<Counting>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Node {
    fn new(bus: Arc<dyn Bus>, name: &str, takes: Duration) -> Self {
        let metrics = Arc::new(Metrics::default());
        let link = Arc::new(Link::new(name.into(), bus, metrics));
        let service = Arc::new(Counting {
            takes,
            ..Counting::default()
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let running = Arc::clone(&link).run(
            Arc::clone(&service) as Arc<dyn Service<Numbers>>,
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

    fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.service.changes.lock().unwrap())
    }
}

const AT_ONCE: Duration = Duration::from_millis(1);

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

fn two(takes: Duration) -> (Node, Node) {
    let hub = Arc::new(Hub::default());
    let one = Node::new(hub.connect("one".into()), "one", takes);
    let two = Node::new(hub.connect("two".into()), "two", takes);
    (one, two)
}

#[tokio::test(start_paused = true)]
async fn nodes_know_each_other_at_once_and_miss_who_is_silent() {
    let (one, two) = two(Duration::ZERO);
    pass(AT_ONCE).await;
    assert_eq!(one.link.others(), ["two".into()]);
    assert_eq!(two.link.others(), ["one".into()]);
    assert_eq!(one.changes(), [Change::Gap, Change::Joined("two".into())]);

    two.stop.cancel();
    pass(3 * BEAT).await;
    assert!(one.link.lives(&"two".into()));
    pass(2 * BEAT).await;
    assert_eq!(one.changes(), [Change::Gone("two".into())]);
    assert!(one.link.is_up());
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_is_gone_at_once() {
    let (one, two) = two(Duration::ZERO);
    pass(AT_ONCE).await;
    one.changes();
    two.stop.cancel();
    pass(AT_ONCE).await;
    two.link.leave();
    pass(AT_ONCE).await;
    assert_eq!(one.changes(), [Change::Gone("two".into())]);
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_or_not() {
    let (one, _two) = two(Duration::ZERO);
    pass(AT_ONCE).await;
    let short = Patience::short(Duration::from_millis(250));
    let ask = async |whom: &str, what| one.link.ask(&whom.into(), &what, short).await;
    assert_eq!(ask("two", 7).await, Ok(8));
    assert_eq!(ask("two", 1_000).await, Err(Unanswered::Nothing));
    assert_eq!(ask("six", 7).await, Err(Unanswered::Silent));
    assert!(one.link.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_time_is_announced() {
    let (one, _two) = two(Duration::from_secs(1));
    pass(AT_ONCE).await;
    let (first, whole) = (Duration::from_millis(250), Duration::from_secs(20));
    let begun = Instant::now();
    let whom = "two".into();
    let ask = async |patience| one.link.ask(&whom, &7, patience).await;
    assert_eq!(ask(Patience::short(first)).await, Err(Unanswered::Working));
    assert_eq!(begun.elapsed(), first, "it had better be done elsewhere");
    assert_eq!(ask(Patience { first, whole }).await, Ok(8));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_node_that_has_died() {
    let (one, two) = two(Duration::from_mins(1));
    pass(AT_ONCE).await;
    let patience = Patience {
        first: Duration::from_millis(250),
        whole: Duration::from_secs(30),
    };
    let (stop, whom) = (two.stop.clone(), "two".into());
    let begun = Instant::now();
    let asked = one.link.ask(&whom, &7, patience);
    let (answer, ()) = tokio::join!(asked, async move {
        pass(Duration::from_millis(100)).await;
        stop.cancel();
    });
    assert_eq!(answer, Err(Unanswered::Silent));
    assert!(begun.elapsed() <= SILENT_MAX + 2 * BEAT);
}

#[tokio::test(start_paused = true)]
async fn news_are_for_the_others() {
    let (one, two) = two(Duration::ZERO);
    pass(AT_ONCE).await;
    one.link.tell(&1);
    two.link.tell_one("one".into(), &2);
    pass(AT_ONCE).await;
    assert_eq!(*two.service.heard.lock().unwrap(), [("one".into(), 1)]);
    assert_eq!(*one.service.heard.lock().unwrap(), [("two".into(), 2)]);
}

/// A bus that can be cut, and on which somebody may speak another language.
struct Cut {
    bus: Arc<Local>,
    cut: AtomicBool,
}

#[async_trait]
impl Bus for Cut {
    fn send(&self, to: To, message: bytes::Bytes) {
        if !self.cut.load(Ordering::Acquire) {
            self.bus.send(to, message);
        }
    }

    async fn hear(&self) -> Heard {
        self.bus.hear().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_hear_itself_knows_nothing_of_others() {
    let hub = Arc::new(Hub::default());
    let bus = Arc::new(Cut {
        bus: hub.connect("one".into()),
        cut: AtomicBool::new(false),
    });
    let one = Node::new(Arc::clone(&bus) as Arc<dyn Bus>, "one", Duration::ZERO);
    let _two = Node::new(hub.connect("two".into()), "two", Duration::ZERO);
    pass(AT_ONCE).await;
    one.changes();
    bus.cut.store(true, Ordering::Release);
    pass(SILENT_MAX + BEAT).await;
    assert!(!one.link.is_up());
    // It hears the other all the same; what it says itself does not arrive.
    assert_eq!(one.changes()[0], Change::Cut);
    bus.cut.store(false, Ordering::Release);
    pass(BEAT).await;
    assert!(one.link.is_up());
    assert!(one.changes().contains(&Change::Gap));
}

/// A message of another version.
#[derive(Serialize)]
struct Newer {
    v: u16,
    from: &'static str,
}

#[tokio::test(start_paused = true)]
async fn another_language_is_counted_and_skipped() {
    let hub = Arc::new(Hub::default());
    let one = Node::new(hub.connect("one".into()), "one", Duration::ZERO);
    let other = hub.connect("other".into());
    let newer = Newer {
        v: VERSION + 1,
        from: "other",
    };
    other.send(To::All, rmp_serde::to_vec_named(&newer).unwrap().into());
    other.send(To::All, bytes::Bytes::from_static(b"\xff\x00"));
    pass(AT_ONCE).await;
    assert!(one.link.others().is_empty());
    assert_eq!(one.link.metrics.bus_unknown.get(), 2);
    one.stop.cancel();
    one.tasks.close();
    one.tasks.wait().await;
}
