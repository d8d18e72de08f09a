//! Boards show what every node has.

use std::time::Duration;

use invigil_domain::{
    id::AttemptId,
    person::{CandidateScope, PersonRole},
};
use invigil_engine::{BoardMessage, BoardSubscription, ConsoleAudience};
use invigil_protocol::proctor::{
    ActionName, CommandArgs, CommandTarget, ConsoleRow, ProctorCommand, ProctorServerMessage,
};
use tokio::sync::broadcast;

use crate::harness::{Cluster, Node, PATIENCE, person, until_heard};

/// A console, as far as the engine knows it.
pub(crate) struct Console {
    watching: BoardSubscription,
    news: broadcast::Receiver<std::sync::Arc<BoardMessage>>,
}

impl Console {
    pub(crate) async fn open(node: &Node) -> Self {
        let pat = person("pat", PersonRole::Proctor);
        let watching = node.engine.watch_exam(&"NODES-takeover".into(), &pat).await;
        let mut watching = watching.unwrap();
        let news = watching.take_messages().unwrap();
        Self { watching, news }
    }

    fn row(&self, attempt: AttemptId) -> ConsoleRow {
        let frames = self.watching.snapshot_frames();
        let rows = frames.iter().flat_map(|frame| match frame.message() {
            ProctorServerMessage::Board(board) => board.rows.clone(),
            other => panic!("{other:?} is no board"),
        });
        let name = attempt.to_string();
        let mut rows: Vec<ConsoleRow> = rows.filter(|row| row.attempt == name).collect();
        rows.pop().unwrap()
    }

    fn is_partial(&self) -> bool {
        self.watching.snapshot_frames().iter().any(
            |frame| matches!(frame.message(), ProctorServerMessage::Board(board) if board.partial),
        )
    }

    /// Waits for a message of a kind.
    async fn heard<T>(&mut self, pick: impl Fn(&ProctorServerMessage) -> Option<T>) -> T {
        let listening = async {
            loop {
                let news = self.news.recv().await.unwrap();
                if let Some(found) = pick(news.frame.message()) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, listening)
            .await
            .expect("it is told")
    }

    /// Waits until the board shows something.
    pub(crate) async fn shows(
        &self,
        attempt: AttemptId,
        is_such: impl Fn(&ConsoleRow) -> bool,
    ) -> ConsoleRow {
        let waiting = async {
            loop {
                let row = self.row(attempt);
                if is_such(&row) {
                    return row;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let shown = tokio::time::timeout(PATIENCE, waiting).await;
        shown.unwrap_or_else(|_| panic!("{:?}", self.row(attempt)))
    }
}

#[tokio::test]
async fn a_console_sees_candidates_of_every_node() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    until_heard(&[&one, &two]).await;
    let attempt = one.start("ann", "takeover").await;
    let socket = one.open(attempt, None).await.unwrap();
    let live = async |node: &Node| {
        let exams = vec!["NODES-takeover".into(), "NODES-reject".into()];
        node.engine.live_attempts(exams, CandidateScope::All).await
    };
    assert_eq!(live(&two).await, [1, 0]);

    let console = Console::open(&two).await;
    let row = console.row(attempt);
    assert_eq!((row.online, row.answered), (Some(true), Some(0)));
    assert_eq!(row.node, Some(Some("one".to_owned())));
    assert!(!console.is_partial());

    // A console that comes back gets the present board, not the old one.
    two.engine.end_watch(console.watching);
    let mut console = Console::open(&two).await;
    let row = console.row(attempt);
    assert_eq!(row.online, Some(true));
    assert_eq!(row.node, Some(Some("one".to_owned())));

    socket.answer(1, "q1", "it").await;
    socket.saved(1).await;
    let answered = |message: &ProctorServerMessage| match message {
        ProctorServerMessage::Delta(delta) => delta
            .rows
            .iter()
            .any(|row| row.answered == Some(1))
            .then_some(()),
        _ => None,
    };
    console.heard(answered).await;

    // The candidate comes to this node, and goes.
    let resume = Some((socket.welcome.session.as_str(), 2));
    let here = two.open(attempt, resume).await.unwrap();
    let at_two = Some(Some("two".to_owned()));
    let row = console.shows(attempt, |row| row.node == at_two).await;
    assert_eq!((row.online, row.answered), (Some(true), Some(1)));
    here.handle.report_disconnect(here.opened.connection).await;
    console
        .shows(attempt, |row| row.online == Some(false))
        .await;

    // An attempt that starts on the other node is on this board.
    let other = one.start("bob", "takeover").await;
    console
        .heard(|message| match message {
            ProctorServerMessage::Delta(delta) => {
                let name = other.to_string();
                delta
                    .rows
                    .iter()
                    .any(|row| row.attempt == name)
                    .then_some(())
            }
            _ => None,
        })
        .await;
    cluster.remove().await;
}

#[tokio::test]
async fn consoles_of_two_nodes_know_of_each_other_and_of_what_is_done() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    until_heard(&[&one, &two]).await;
    let attempt = one.start("ann", "takeover").await;
    let socket = one.open(attempt, None).await.unwrap();
    let mut first = Console::open(&one).await;
    let mut second = Console::open(&two).await;
    let inspected = |message: &ProctorServerMessage| match message {
        ProctorServerMessage::Presence(presence) => presence
            .proctors
            .iter()
            .any(|own| !own.inspects.is_empty())
            .then_some(()),
        _ => None,
    };
    second.watching.set_inspecting(attempt, true).unwrap();
    first.heard(inspected).await;

    socket.answer(1, "q1", "it").await;
    let entry = second.heard(|message| match message {
        ProctorServerMessage::Event(event) => Some(event.event.kind.clone()),
        _ => None,
    });
    assert_eq!(entry.await, "answer");

    let message = ProctorCommand {
        id: "hello".to_owned(),
        target: CommandTarget::Attempt(attempt.to_string()),
        action: ActionName::Message,
        args: CommandArgs {
            text: Some("hello".to_owned()),
            ..CommandArgs::default()
        },
    };
    let pat = person("pat", PersonRole::Proctor);
    let done = two.engine.run_command(&pat, &|_| true, message, &|_| ());
    assert_eq!(done.await.unwrap().done, 1);
    let action = first.heard(|message| match message {
        ProctorServerMessage::Action(action) => Some(action.action),
        _ => None,
    });
    assert_eq!(action.await, ActionName::Message);
    // The author of the command gets its receipt.
    let receipt = async {
        loop {
            let news = second.news.recv().await.unwrap();
            if let (ConsoleAudience::Person(_), ProctorServerMessage::Receipt(receipt)) =
                (&news.audience, news.frame.message())
                && receipt.delivered == 1
            {
                return receipt.total;
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, receipt).await.unwrap(), 1);
    cluster.remove().await;
}

#[tokio::test]
async fn the_candidates_of_a_node_that_ends_turn_offline() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    until_heard(&[&one, &two]).await;
    let attempt = one.start("ann", "takeover").await;
    let socket = one.open(attempt, None).await.unwrap();
    let console = Console::open(&two).await;
    assert_eq!(console.row(attempt).online, Some(true));
    one.engine.drain(PATIENCE).await;
    let row = console
        .shows(attempt, |row| row.online == Some(false))
        .await;
    assert_eq!(row.node, None);
    let resume = Some((socket.welcome.session.as_str(), 1));
    let again = two.open(attempt, resume).await.unwrap();
    assert!(again.welcome.resumed);
    console.shows(attempt, |row| row.online == Some(true)).await;
    cluster.remove().await;
}
