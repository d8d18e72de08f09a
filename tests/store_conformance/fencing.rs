//! PostgreSQL alone: several writers at once, and a server that goes away.

use std::{sync::Arc, time::Duration};

use invigil::{
    domain::id::AttemptId,
    store::{AttemptStore, Error, Written, postgres::Postgres},
};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use crate::{
    fixture::{QUESTIONS, answer, at, closed, furnish, node, started_and_taken, write},
    postgres_server::Database,
};

/// A database with a store on it.
async fn store() -> Option<(Database, Arc<Postgres>)> {
    let database = Database::create().await?;
    Postgres::migrate(&database.url).await.unwrap();
    let store = Arc::new(Postgres::connect(&database.url, 4).await.unwrap());
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
    store.save(&[first]).await.unwrap();

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
    tasks.spawn(async move { taker.take(attempt, &node()).await });
    somebody_waits(&mut observer).await;
    batch.commit().await.unwrap();
    let taken = tasks.join_next().await.unwrap().unwrap().unwrap().unwrap();
    assert_eq!(taken.answers[0].value.as_deref(), Some("\"flown\""));
    assert_eq!((&*taken.control, taken.epoch), ("2", epoch + 1));
    database.remove().await;
}

/// Saves for two attempts while the first one's row is locked by a change that
/// raises its epoch so far; what became of the batch.
async fn save_behind(store: &Arc<Postgres>, database: &Database, raise: i64) -> Vec<Written> {
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
    tasks.spawn(async move { saver.save(&batch).await });
    somebody_waits(&mut observer).await;
    change.commit().await.unwrap();
    let written = tasks.join_next().await.unwrap().unwrap().unwrap();

    assert_eq!(store.graded_answers(bob).await.unwrap().len(), 1);
    let saved = store.summary(ann).await.unwrap().unwrap();
    let fenced = written[1] == Written::Fenced;
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
    assert_eq!(written, [Written::Saved, Written::Fenced]);
    database.remove().await;
}

#[tokio::test]
async fn a_batch_that_waited_for_another_change_is_saved() {
    let Some((database, store)) = store().await else {
        return;
    };
    let written = save_behind(&store, &database, 0).await;
    assert_eq!(written, [Written::Saved, Written::Saved]);
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
                one.control = (round % 4 == 0).then(|| Box::new(crate::fixture::untouched()));
                one
            })
            .collect();
        batch.rotate_left(round % 3);
        let saver = Arc::clone(&store);
        tasks.spawn(async move { saver.save(&batch).await });
    }
    while let Some(outcome) = tasks.join_next().await {
        assert_eq!(outcome.unwrap().unwrap(), [Written::Saved; 3]);
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
        match store.save(&batch).await {
            Ok(written) => break assert_eq!(written, [Written::Saved]),
            Err(Error::Unavailable { .. }) if failures < 4 => failures += 1,
            other => panic!("after {failures} failures: {other:?}"),
        }
    }
    database.remove().await;
}
