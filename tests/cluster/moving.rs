//! Attempts go to the node where their candidate is.

use invigil_protocol::{
    code::CloseCode,
    proctor::{ActionName, CommandArgs, CommandTarget, ProctorCommand},
};
use invigil_store::AttemptStore as _;

use crate::harness::{Cluster, person, until_heard};
use invigil_domain::person::PersonRole;

#[tokio::test]
async fn a_candidate_who_comes_to_another_node_finds_everything_there() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    until_heard(&[&one, &two]).await;
    let attempt = one.start("ann", "takeover").await;
    let first = one.open(attempt, None).await.unwrap();
    first.answer(1, "q1", "this").await;
    first.answer(2, "q2", "that").await;

    // The candidate does not wait for the commit here: the hand-over flushes.
    let resume = Some((first.welcome.session.as_str(), 3));
    let second = two.open(attempt, resume).await.unwrap();
    assert!(second.welcome.resumed);
    assert_eq!(
        (second.welcome.saved_seq, second.welcome.applied_seq),
        (2, 2)
    );
    assert_eq!(first.closing().await.code, CloseCode::Superseded);
    assert_eq!(two.owner(attempt).await, "two");
    second.answer(3, "q1", "other").await;
    second.saved(3).await;

    // The candidate goes back, after one more answer.
    let resume = Some((first.welcome.session.as_str(), 4));
    let third = one.open(attempt, resume).await.unwrap();
    assert_eq!(third.welcome.saved_seq, 3);
    assert_eq!(second.closing().await.code, CloseCode::Superseded);
    let answers = two.engine.current_answers(attempt).await.unwrap().unwrap();
    assert_eq!(answers.answers["q1"].value, "other");
    cluster.remove().await;
}

#[tokio::test]
async fn a_second_device_that_is_refused_does_not_end_the_first() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    until_heard(&[&one, &two]).await;
    let attempt = one.start("ann", "reject").await;
    let first = one.open(attempt, None).await.unwrap();
    let refused = two.open(attempt, None).await.err().unwrap();
    assert_eq!(refused.code, CloseCode::Forbidden);
    assert_eq!(refused.detail.as_deref(), Some("another_device"));
    first.answer(1, "q1", "still here").await;
    first.saved(1).await;
    assert_eq!(one.owner(attempt).await, "one");
    cluster.remove().await;
}

#[tokio::test]
async fn a_node_that_lost_an_attempt_unheard_saves_nothing_of_it() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let one = cluster.node("one").await;
    let attempt = one.start("ann", "takeover").await;
    let first = one.open(attempt, None).await.unwrap();
    first.answer(1, "q1", "saved").await;
    first.saved(1).await;
    // The node gets no word of the new owner.
    one.store
        .acquire_attempt(attempt, &"gone".into(), &[], None)
        .await
        .unwrap();
    first.answer(2, "q1", "not saved").await;
    assert_eq!(first.closing().await.code, CloseCode::Moved);
    let answers = one.engine.current_answers(attempt).await.unwrap().unwrap();
    assert_eq!(answers.answers["q1"].value, "saved");
    cluster.remove().await;
}

#[tokio::test]
async fn a_command_is_done_by_whoever_has_the_attempt() {
    let Some(cluster) = Cluster::new().await else {
        return;
    };
    let (one, two) = (cluster.node("one").await, cluster.node("two").await);
    until_heard(&[&one, &two]).await;
    let attempt = one.start("ann", "takeover").await;
    let first = one.open(attempt, None).await.unwrap();
    let extend = ProctorCommand {
        id: "more time".to_owned(),
        target: CommandTarget::Exam("NODES-takeover".to_owned()),
        action: ActionName::Extend,
        args: CommandArgs {
            ms: Some(60_000),
            ..CommandArgs::default()
        },
    };
    let pat = person("pat", PersonRole::Proctor);
    for node in [&two, &one, &two] {
        let done = node
            .engine
            .run_command(&pat, &|_| true, extend.clone(), &|_| ());
        let done = done.await.unwrap();
        assert_eq!((done.done, done.total), (1, 1), "{done:?}");
    }
    assert_eq!(
        one.owner(attempt).await,
        "one",
        "it stays where its candidate is"
    );
    let view = two.engine.attempt_view(attempt).await.unwrap().unwrap();
    let extended = view.deadline_at.unwrap() - first.welcome.attempt.deadline_at;
    assert_eq!(extended, 60_000, "once");
    cluster.remove().await;
}
