//! PostgreSQL alone: several writers at once, and a server that goes away.

use std::{sync::Arc, time::Duration};

use invigil_domain::id::{AttemptId, NodeId};
use invigil_store::{
    AcquireOutcome, AttemptOwner, AttemptStore, ControlRow, Error, OverdueScope, WriteOutcome,
};
use invigil_store_sql::postgres::PostgresStore;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use crate::{
    fixture::{
        QUESTIONS, answer, at, closed, furnish, node, started_and_taken, take, untouched, write,
    },
    postgres_server::Database,
};

/// A database with a store on it.
async fn store() -> Option<(Database, Arc<PostgresStore>)> {
    let database = Database::create().await?;
    PostgresStore::migrate(&database.url).await.unwrap();
    let store = Arc::new(PostgresStore::connect(&database.url, 4).await.unwrap());
    furnish(&*store).await;
    Some((database, store))
}

/// Returns when a statement of another connection waits for a lock.
async fn somebody_waits(observer: &mut PgConnection) {
    for _ in 0..500 {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *observer)
        .await
        .unwrap();
        if waiting > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody waits for a lock");
}

async fn touch(connection: &mut PgConnection, attempt: AttemptId, raise: i64) {
    sqlx::query(
        "UPDATE exam_attempt_keys
         SET last_activity_at = now(), owner_epoch = owner_epoch + $2
         WHERE attempt_id = $1",
    )
    .bind(attempt.0)
    .bind(raise)
    .execute(connection)
    .await
    .unwrap();
}

#[tokio::test]
async fn taking_waits_for_a_batch_in_flight_and_sees_it() {
    let Some((database, store)) = store().await else {
        return;
    };
    let (attempt, epoch) = started_and_taken(&*store, "ann").await;
    let mut first = write(attempt, epoch, 1);
    first.answers = vec![answer(QUESTIONS[0], Some("\"before\""), 1)];
    store.save_batch(&[first]).await.unwrap();

    let (mut writer, mut observer) = (database.connection().await, database.connection().await);
    let mut batch = writer.begin().await.unwrap();
    touch(&mut batch, attempt, 0).await;
    let changes = [
        "UPDATE answers SET user_answer = '\"flown\"'",
        "UPDATE exam_attempts SET control = '2'",
    ];
    for change in changes {
        sqlx::query(change).execute(&mut *batch).await.unwrap();
    }
    let mut tasks = JoinSet::new();
    let taker = Arc::clone(&store);
    tasks.spawn(async move { take(&*taker, attempt, &node()).await });
    somebody_waits(&mut observer).await;
    batch.commit().await.unwrap();
    let taken = tasks.join_next().await.unwrap().unwrap();
    assert_eq!(taken.answers[0].value.as_deref(), Some("\"flown\""));
    assert_eq!((&*taken.control, taken.epoch), ("2", epoch + 1));
    database.remove().await;
}

/// Saves for two attempts while the first one's row is locked by a change that raises its
/// epoch so far; returns the outcome of the batch.
async fn save_behind(
    store: &Arc<PostgresStore>,
    database: &Database,
    raise: i64,
) -> Vec<WriteOutcome> {
    let (ann, ann_epoch) = started_and_taken(&**store, "ann").await;
    let (bob, bob_epoch) = started_and_taken(&**store, "bob").await;
    let mut batch = [write(bob, bob_epoch, 5), write(ann, ann_epoch, 5)];
    for write in &mut batch {
        write.answers = vec![answer(QUESTIONS[0], Some("1"), 5)];
    }
    batch[0].control = Some(Box::new(closed(at(9))));

    let (mut other, mut observer) = (database.connection().await, database.connection().await);
    let mut change = other.begin().await.unwrap();
    touch(&mut change, ann, raise).await;
    let mut tasks = JoinSet::new();
    let saver = Arc::clone(store);
    tasks.spawn(async move { saver.save_batch(&batch).await });
    somebody_waits(&mut observer).await;
    change.commit().await.unwrap();
    let written = tasks.join_next().await.unwrap().unwrap().unwrap();

    assert_eq!(store.read_graded_answers(bob).await.unwrap().len(), 1);
    let saved = store.read_summary(ann).await.unwrap().unwrap();
    let fenced = written[1] == WriteOutcome::Fenced;
    assert_eq!(saved.answered, u32::from(!fenced));
    assert_eq!(saved.progress.version, if fenced { 0 } else { 5 });
    written
}

#[tokio::test]
async fn a_batch_that_waited_for_a_taking_is_fenced() {
    let Some((database, store)) = store().await else {
        return;
    };
    let written = save_behind(&store, &database, 1).await;
    assert_eq!(written, [WriteOutcome::Saved, WriteOutcome::Fenced]);
    database.remove().await;
}

#[tokio::test]
async fn a_batch_that_waited_for_another_change_is_saved() {
    let Some((database, store)) = store().await else {
        return;
    };
    let written = save_behind(&store, &database, 0).await;
    assert_eq!(written, [WriteOutcome::Saved, WriteOutcome::Saved]);
    database.remove().await;
}

#[tokio::test]
async fn overlapping_batches_in_any_order_never_deadlock() {
    let Some((database, store)) = store().await else {
        return;
    };
    let mut owned = Vec::new();
    for candidate in ["ann", "bob", "cy"] {
        owned.push(started_and_taken(&*store, candidate).await);
    }
    let mut tasks = JoinSet::new();
    for round in 0..40_usize {
        let mut batch: Vec<_> = (1..)
            .zip(&owned)
            .map(|(version, &(attempt, epoch))| {
                let mut one = write(attempt, epoch, version);
                one.answers = QUESTIONS
                    .map(|question| answer(question, Some("1"), version))
                    .to_vec();
                one.control = (round % 4 == 0).then(|| Box::new(untouched()));
                one
            })
            .collect();
        batch.rotate_left(round % 3);
        let saver = Arc::clone(&store);
        tasks.spawn(async move { saver.save_batch(&batch).await });
    }
    while let Some(outcome) = tasks.join_next().await {
        assert_eq!(outcome.unwrap().unwrap(), [WriteOutcome::Saved; 3]);
    }
    database.remove().await;
}

#[tokio::test]
async fn a_lost_server_is_unavailable_and_comes_back_by_itself() {
    let Some((database, store)) = store().await else {
        return;
    };
    let (attempt, epoch) = started_and_taken(&*store, "ann").await;
    let mut observer = database.connection().await;
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&mut observer)
    .await
    .unwrap();
    let batch = [write(attempt, epoch, 1)];
    let mut failures = 0;
    loop {
        match store.save_batch(&batch).await {
            Ok(written) => break assert_eq!(written, [WriteOutcome::Saved]),
            Err(Error::Unavailable { .. }) if failures < 4 => failures += 1,
            other => panic!("after {failures} failures: {other:?}"),
        }
    }
    database.remove().await;
}

#[tokio::test]
async fn an_attempt_that_another_node_has_is_left_to_it() {
    let Some((database, store)) = store().await else {
        return;
    };
    let (attempt, epoch) = started_and_taken(&*store, "ann").await;
    let other: NodeId = "node-2".into();
    let held_by_mine = AcquireOutcome::Held {
        node: node(),
        epoch,
    };
    let take = async |living: &[NodeId], from| {
        let taken = store.acquire_attempt(attempt, &other, living, from).await;
        taken.unwrap().unwrap()
    };
    assert_eq!(take(&[node()], None).await, held_by_mine);
    assert_eq!(take(&[node()], Some(epoch + 1)).await, held_by_mine);
    let owners = store.read_owners(&[attempt, AttemptId(-1)]).await.unwrap();
    let mine = AttemptOwner {
        attempt,
        node: Some(node()),
        epoch,
    };
    assert_eq!(owners, [mine]);
    let AcquireOutcome::Acquired(taken) = take(&[node()], Some(epoch)).await else {
        panic!("it is to be taken from that one");
    };
    assert_eq!(taken.epoch, epoch + 1);
    let AcquireOutcome::Acquired(taken) = take(&["node-3".into()], None).await else {
        panic!("nobody has it who was to be asked");
    };
    assert_eq!(taken.epoch, epoch + 2);
    let nothing = store
        .acquire_attempt(AttemptId(-1), &other, &[], None)
        .await;
    assert_eq!(nothing.unwrap(), None);
    database.remove().await;
}

/// Sets the state after so long a silence of all nodes.
async fn silence(database: &Database, seconds: f64) {
    let mut clock = database.connection().await;
    sqlx::query("UPDATE engine_nodes SET heard_at = heard_at - make_interval(secs => $1)")
        .bind(seconds)
        .execute(&mut clock)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_attempt_of_a_node_that_died_says_when() {
    let Some((database, store)) = store().await else {
        return;
    };
    let (attempt, _) = started_and_taken(&*store, "ann").await;
    let other: NodeId = "node-2".into();
    let take = async |by: &NodeId, living: &[NodeId]| match store
        .acquire_attempt(attempt, by, living, None)
        .await
        .unwrap()
    {
        Some(AcquireOutcome::Acquired(taken)) => *taken,
        other => panic!("{other:?}"),
    };
    let lost = async |by: &NodeId, living: &[NodeId]| take(by, living).await.lost_at;
    store.mark_node_alive(&node(), at(5)).await.unwrap();
    assert_eq!(lost(&other, &[]).await, None, "it lives");
    take(&node(), &[]).await;
    silence(&database, 30.0).await;
    let epoch = store.read_owners(&[attempt]).await.unwrap()[0].epoch;
    let from_living = store
        .acquire_attempt(attempt, &other, &[node()], Some(epoch))
        .await;
    let Some(AcquireOutcome::Acquired(taken)) = from_living.unwrap() else {
        panic!("it is taken from that one");
    };
    assert_eq!(taken.lost_at, None, "it is known to live");
    take(&node(), &[]).await;
    assert_eq!(lost(&other, &[]).await, Some(at(5)));
    store.mark_node_alive(&other, at(9)).await.unwrap();
    silence(&database, 30.0).await;
    let third = take(&"node-3".into(), &[]).await;
    assert_eq!(
        third.lost_at,
        Some(at(5)),
        "who took it died before it saved"
    );
    store
        .save_batch(&[write(attempt, third.epoch, 1)])
        .await
        .unwrap();
    assert_eq!(lost(&"node-4".into(), &[]).await, None, "it is in the save");
    take(&node(), &[]).await;
    store.mark_node_left(&node()).await.unwrap();
    assert_eq!(lost(&other, &[]).await, None, "it let go");
    database.remove().await;
}

#[tokio::test]
async fn overdue_attempts_are_their_nodes_while_it_lives() {
    let Some((database, store)) = store().await else {
        return;
    };
    let mut due = Vec::new();
    for candidate in ["ann", "bob"] {
        let (attempt, epoch) = started_and_taken(&*store, candidate).await;
        let mut change = write(attempt, epoch, 1);
        change.control = Some(Box::new(ControlRow {
            close_at: Some(at(10_000)),
            ..untouched()
        }));
        store.save_batch(&[change]).await.unwrap();
        due.push(attempt);
    }
    let other: NodeId = "node-2".into();
    let overdue = async |node: &NodeId, whose, limit| {
        let found = store.find_overdue(at(60_000), node, whose, limit).await;
        let found = found.unwrap().into_iter();
        found.map(|(attempt, _)| attempt).collect::<Vec<_>>()
    };
    store.mark_node_alive(&node(), at(10_000)).await.unwrap();
    store.mark_node_alive(&other, at(10_000)).await.unwrap();
    assert_eq!(overdue(&node(), OverdueScope::Own, 9).await, due);
    assert_eq!(overdue(&other, OverdueScope::OwnAndLost(&[]), 9).await, []);
    silence(&database, 30.0).await;
    let living = [node()];
    assert_eq!(
        overdue(&other, OverdueScope::OwnAndLost(&living), 9).await,
        []
    );
    assert_eq!(overdue(&other, OverdueScope::Own, 9).await, []);
    assert_eq!(
        overdue(&other, OverdueScope::OwnAndLost(&[]), 1).await,
        due[..1]
    );
    assert_eq!(overdue(&other, OverdueScope::OwnAndLost(&[]), 9).await, due);
    silence(&database, 40.0).await;
    let cut_off = overdue(&other, OverdueScope::OwnAndLost(&living), 9).await;
    assert_eq!(cut_off, due, "it does not reach the database");
    take(&*store, due[0], &other).await;
    assert_eq!(overdue(&node(), OverdueScope::Own, 9).await, due[1..]);
    store.mark_node_alive(&node(), at(10_000)).await.unwrap();
    store.mark_node_left(&node()).await.unwrap();
    assert_eq!(overdue(&other, OverdueScope::OwnAndLost(&[]), 9).await, due);
    database.remove().await;
}
