//! Nodes that do not hear each other, and nodes that end.

use std::sync::atomic::Ordering;

use invigil_engine::ExchangeRefusal;
use invigil_protocol::{code::CloseCode, proctor::ActionName};
use invigil_store::AttemptStore as _;

use crate::{
    boards::Console,
    harness::{Cluster, PATIENCE, until_heard},
};

#[tokio::test]
async fn nobody_is_refused_by_a_node_that_has_lost_the_attempt_unheard() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    one.line.cut();
    two.line.cut();
    let attempt = one.start("ann", "takeover").await;
    let _first = one.open(attempt, None).await.unwrap();

    // The first node does not hear events of the second.
    let second = two.open(attempt, None).await.unwrap();
    assert_eq!(two.act(attempt, "stop", ActionName::Pause).await, 1);
    assert_eq!(one.act(attempt, "go on", ActionName::Resume).await, 1);
    assert_eq!(second.closing().await.code, CloseCode::Moved);

    let begun = two.exchange(attempt, None, 1, "this").await.unwrap();
    let session = Some(begun.session.as_str());
    let went_on = one.exchange(attempt, session, 2, "that").await.unwrap();
    assert_eq!((went_on.resumed, went_on.saved_seq), (true, 2));
    cluster.remove().await;
}

#[tokio::test]
async fn an_exchange_whose_answer_gets_lost_between_nodes_is_done_once() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    until_heard(&[&one, &two]).await;
    let attempt = one.start("ann", "takeover").await;
    let first = one.open(attempt, None).await.unwrap();
    first
        .handle
        .report_disconnect(first.opened.connection)
        .await;
    // The first node hears the request, does it, and cannot reply.
    one.line.is_mute.store(true, Ordering::Release);
    let done = two.exchange(attempt, None, 1, "this").await.unwrap();
    assert_eq!(done.saved_seq, 1);
    assert_eq!(two.owner(attempt).await, "two");
    let answers = two.engine.current_answers(attempt).await.unwrap().unwrap();
    assert_eq!(
        (&answers.answers["q1"].value, answers.answers["q1"].rev),
        (&"this".into(), 1)
    );
    cluster.remove().await;
}

#[tokio::test]
async fn what_a_lost_answer_refused_is_not_called_saved_by_the_next_one() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    until_heard(&[&one, &two]).await;
    let attempt = one.start("ann", "takeover").await;
    let first = one.open(attempt, None).await.unwrap();
    first
        .handle
        .report_disconnect(first.opened.connection)
        .await;
    assert_eq!(one.act(attempt, "stop", ActionName::Pause).await, 1);
    // The exchange is of the owning session: the first node refuses it, and cannot reply.
    let session = Some(first.welcome.session.as_str());
    one.line.is_mute.store(true, Ordering::Release);
    let told = two.exchange(attempt, session, 1, "this").await;
    assert_eq!(told.unwrap_err(), ExchangeRefusal::Unavailable);
    // A client that sends it again knows of the repeat.
    let again = two.exchange(attempt, session, 1, "this").await.unwrap();
    assert_eq!((again.saved_seq, &again.refused[..]), (1, &[][..]));
    let stored = two.engine.current_answers(attempt).await.unwrap().unwrap();
    assert_eq!(stored.session.as_deref(), session);
    assert_eq!((stored.saved_seq, stored.answers.len()), (1, 0));
    cluster.remove().await;
}

#[tokio::test]
async fn a_node_that_ends_takes_nothing_and_lets_nobody_in() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    until_heard(&[&one, &two]).await;
    let ann = one.start("ann", "takeover").await;
    let bob = one.start("bob", "takeover").await;
    let first = one.open(ann, None).await.unwrap();
    let (closing, ()) = tokio::join!(first.closing(), one.engine.drain(PATIENCE));
    assert_eq!(closing.code, CloseCode::Draining);
    for attempt in [ann, bob] {
        let refused = one.open(attempt, None).await.err().unwrap();
        assert_eq!(refused.code, CloseCode::Draining);
    }
    let owner = one.store.read_owners(&[bob]).await.unwrap().pop().unwrap();
    assert_eq!(owner.node, None);
    two.open(ann, None).await.unwrap();
    cluster.remove().await;
}

#[tokio::test]
async fn a_client_that_gives_up_while_it_is_let_in_is_away() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let one = cluster.node("one").await;
    let attempt = one.start("ann", "takeover").await;
    let first = one.open(attempt, None).await.unwrap();
    // The `hello` is on its way to the attempt, and no caller waits for the response.
    tokio::select! {
        biased;
        _ = one.open(attempt, None) => panic!("that takes more than a moment"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(first.closing().await.code, CloseCode::Superseded);
    let console = Console::open(&one).await;
    console
        .shows(attempt, |row| row.online == Some(false))
        .await;
    cluster.remove().await;
}
