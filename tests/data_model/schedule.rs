//! The schedule of the maintenance: the time of each job, and the node that does it.

use chrono::{DateTime, Duration, Utc};
use invigil_engine::EngineClock;
use invigil_management::maintenance::model::RetentionSettings;
use invigil_management::maintenance::{
    Maintenance,
    model::{JobResult, MaintenanceJob},
};
use invigil_objects::media::MediaStore;
use invigil_secrets::sealed::SealingKeys;
use invigil_store_sql::postgres::PostgresStore;
use sqlx::PgConnection;

use crate::session::{migrated, run, world};

const NEVER: RetentionSettings = RetentionSettings {
    attempts: 0,
    logs: 0,
    audit: 0,
};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(EngineClock::system().now().as_ms()).unwrap()
}

async fn done(node: &Maintenance, job: MaintenanceJob, at: DateTime<Utc>) -> bool {
    match node.run_if_due(job, at).await.unwrap() {
        JobResult::Completed(_) => true,
        JobResult::NotDue => false,
        JobResult::RunningElsewhere => panic!("nobody else is there"),
    }
}

/// Makes a change that the server's statistics show by the next query.
async fn change(connection: &mut PgConnection) {
    run(
        connection,
        "UPDATE exam_attempts SET score = 1 WHERE id = 130; SELECT pg_stat_force_next_flush();",
    )
    .await;
    run(connection, "SELECT 1").await;
}

#[tokio::test]
async fn statistics_wait_for_changes_and_take_a_small_share_of_the_time() {
    let Some(database) = world().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let keys = SealingKeys::open(&folder.path().join("keys")).unwrap();
    let media = MediaStore::open(&folder.path().join("media"), [0; 32]).unwrap();
    let store = PostgresStore::connect(&database.url, 2).await.unwrap();
    // Two nodes, one schedule.
    let node = Maintenance::new(&store, keys.clone(), NEVER, media.clone());
    let other = Maintenance::new(&store, keys, NEVER, media);
    let mut connection = database.connection().await;
    let begin = now();
    let minute = |minutes| begin + Duration::minutes(minutes) + Duration::seconds(30);

    assert!(done(&node, MaintenanceJob::Statistics, begin).await);
    // The first refresh writes what it counted into the exams.
    change(&mut connection).await;
    assert!(
        !done(&other, MaintenanceJob::Statistics, minute(1)).await,
        "a moment ago"
    );
    assert!(done(&other, MaintenanceJob::Statistics, minute(5)).await);
    assert!(
        !done(&node, MaintenanceJob::Statistics, minute(11)).await,
        "nothing changed"
    );
    change(&mut connection).await;
    assert!(done(&node, MaintenanceJob::Statistics, minute(12)).await);

    // A job that took a minute comes again after twenty.
    let slow = "UPDATE maintenance_runs SET took_ms = 60000 WHERE job = 'statistics'";
    run(&mut connection, slow).await;
    change(&mut connection).await;
    assert!(!done(&node, MaintenanceJob::Statistics, minute(31)).await);
    assert!(done(&node, MaintenanceJob::Statistics, minute(33)).await);

    // An exam that closed is counted at the next check.
    change(&mut connection).await;
    assert!(!done(&node, MaintenanceJob::Statistics, minute(34)).await);
    let close = "UPDATE exams SET available_until = now() + interval '34 minutes' WHERE id = 120";
    run(&mut connection, close).await;
    assert!(done(&node, MaintenanceJob::Statistics, minute(35)).await);

    // An operator does not wait.
    let asked = node
        .run_job(MaintenanceJob::Statistics, minute(35))
        .await
        .unwrap();
    assert!(matches!(asked, JobResult::Completed(_)));
    drop(store);
    database.remove().await;
}

#[tokio::test]
async fn every_other_job_has_its_interval() {
    let Some(database) = migrated().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let keys = SealingKeys::open(&folder.path().join("keys")).unwrap();
    let media = MediaStore::open(&folder.path().join("media"), [0; 32]).unwrap();
    let store = PostgresStore::connect(&database.url, 2).await.unwrap();
    let node = Maintenance::new(&store, keys, NEVER, media);
    let begin = now();
    for job in MaintenanceJob::ALL
        .into_iter()
        .filter(|job| *job != MaintenanceJob::Statistics)
    {
        let interval = Duration::from_std(job.interval()).unwrap();
        assert!(done(&node, job, begin).await, "{}", job.name());
        let early = begin + interval - Duration::seconds(1);
        assert!(!done(&node, job, early).await, "{}", job.name());
        let late = begin + interval + Duration::seconds(30);
        assert!(done(&node, job, late).await, "{}", job.name());
    }
    drop(store);
    database.remove().await;
}
