//! Partitions: made ahead, filled up, detached, and never in the way of a save.

use crate::session::{as_owner, lines, migrated, run, value, world};

/// Tables by month.
const MONTHLY: [&str; 5] = [
    "exam_attempts",
    "login_attempts",
    "proctor_logs",
    "security_events",
    "audit_logs",
];

/// Returns the name of the partition of a month so many after the current one.
async fn month(connection: &mut sqlx::PgConnection, table: &str, ahead: i32) -> String {
    let name = format!(
        "SELECT to_char((now() AT TIME ZONE 'UTC') + make_interval(months => {ahead}),
                        '\"{table}_y\"YYYY\"m\"MM')"
    );
    value(connection, &name).await
}

#[tokio::test]
async fn months_are_made_once_and_ahead() {
    let Some(database) = migrated().await else {
        return;
    };
    let mut connection = database.connection().await;
    for table in MONTHLY {
        let make = |ahead: u32| format!("SELECT ensure_monthly_partitions('{table}', {ahead})");
        assert_eq!(
            value(&mut connection, &make(12)).await,
            "0",
            "{table}: made already"
        );
        // The previous month exists too, for late rows.
        let last = month(&mut connection, table, -1).await;
        run(
            &mut connection,
            &format!("SELECT '{last}'::regclass; DROP TABLE {last}"),
        )
        .await;
        assert_eq!(
            value(&mut connection, &make(14)).await,
            "3",
            "{table}: one missing, two more"
        );
        assert_eq!(value(&mut connection, &make(14)).await, "0");
        let runway = format!(
            "SELECT months || ' ' || (last_month = date_trunc('month',
                 (now() AT TIME ZONE 'UTC') + interval '14 months')::date)
             FROM partition_runway WHERE table_name = '{table}'"
        );
        assert_eq!(value(&mut connection, &runway).await, "16 true", "{table}");
        // A new month has the keys, indexes and triggers of its table.
        let alike = format!(
            "SELECT count(DISTINCT (
                 (SELECT count(*) FROM pg_index AS i WHERE i.indrelid = p.inhrelid),
                 (SELECT count(*) FROM pg_constraint AS k WHERE k.conrelid = p.inhrelid),
                 (SELECT count(*) FROM pg_trigger AS t WHERE t.tgrelid = p.inhrelid),
                 (SELECT count(*) FROM pg_attribute AS a
                  WHERE a.attrelid = p.inhrelid AND (a.atthasdef OR a.attnotnull))))
             FROM pg_inherits AS p WHERE p.inhparent = '{table}'::regclass"
        );
        assert_eq!(value(&mut connection, &alike).await, "1", "{table}");
    }
    // Only tables by month are accepted.
    let wrong = "SELECT ensure_monthly_partitions('answers', 1)";
    assert_eq!(as_owner(&mut connection, wrong).await, "P0002");
    database.remove().await;
}

#[tokio::test]
async fn rows_of_a_missing_month_wait_and_are_moved_whole() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let current = month(&mut connection, "exam_attempts", 0).await;
    // The attempts came before their month was made.
    run(
        &mut connection,
        &format!(
            "CREATE TEMP TABLE kept AS SELECT * FROM exam_attempts;
             ALTER TABLE kept DROP COLUMN time_spent;
             DROP TABLE {current};
             UPDATE kept SET submitted_at = entered_at + interval '7 minutes';
             INSERT INTO exam_attempts (id, started_at, exam_id, user_id, seed, time_factor,
                 extra_time_ms, ip_address, status, control, entered_at, submitted_at, handed_in_by,
                 score, max_score, percentage, penalty, needs_marking, receipt)
             SELECT id, started_at, exam_id, user_id, seed, time_factor, extra_time_ms, ip_address,
                 status, control, entered_at, submitted_at, handed_in_by, score, max_score,
                 percentage, penalty, needs_marking, receipt
             FROM kept"
        ),
    )
    .await;
    let place = "SELECT format('%s %s %s %s', tableoid::regclass, count(*), min(time_spent),
                               max(time_spent))
                 FROM exam_attempts GROUP BY tableoid";
    assert_eq!(
        lines(&mut connection, place).await,
        "exam_attempts_default 6 00:07:00 00:07:00\n"
    );
    let make = "SELECT ensure_monthly_partitions('exam_attempts', 12)";
    assert_eq!(value(&mut connection, make).await, "1");
    assert_eq!(
        lines(&mut connection, place).await,
        format!("{current} 6 00:07:00 00:07:00\n")
    );
    // Moved rows are computed on, refused and audited as before.
    let later = "UPDATE exam_attempts SET submitted_at = entered_at + interval '9 minutes'
                 WHERE time_spent = '7 minutes'";
    run(&mut connection, later).await;
    assert_eq!(
        lines(&mut connection, place).await,
        format!("{current} 6 00:09:00 00:09:00\n")
    );
    let back = "UPDATE exam_attempts SET status = 'started'";
    assert_eq!(
        as_owner(&mut connection, back).await,
        "23514 exam_attempts_status_order_check"
    );
    database.remove().await;
}

#[tokio::test]
async fn old_months_leave_into_the_archive() {
    let Some(database) = migrated().await else {
        return;
    };
    let mut connection = database.connection().await;
    let mut olds = Vec::new();
    // The months begin three months ago; the two oldest have a row each.
    for ago in [3, 2] {
        let name = month(&mut connection, "login_attempts", -ago).await;
        run(
            &mut connection,
            &format!(
                "DO $$ DECLARE
                     first timestamptz := date_trunc('month', now() AT TIME ZONE 'UTC')
                         AT TIME ZONE 'UTC' - interval '{ago} months';
                 BEGIN
                     EXECUTE format('CREATE TABLE {name} PARTITION OF login_attempts
                         FOR VALUES FROM (%L) TO (%L)', first, first + interval '1 month');
                     INSERT INTO login_attempts (username, ip_address, success, attempted_at)
                     VALUES ('ago {ago}', '::1', true, first);
                 END $$"
            ),
        )
        .await;
        olds.push(name);
    }
    run(
        &mut connection,
        "INSERT INTO login_attempts (username, ip_address, success) VALUES ('now', '::1', true)",
    )
    .await;
    for keep in ["0", "-1"] {
        let refused = format!("SELECT detach_old_partitions('login_attempts', {keep})");
        assert_eq!(as_owner(&mut connection, &refused).await, "22023");
    }
    let detach = |keep: u32| format!("SELECT detach_old_partitions('login_attempts', {keep})");
    assert_eq!(lines(&mut connection, &detach(3)).await, "");
    assert_eq!(
        lines(&mut connection, &detach(2)).await,
        format!("{}\n", olds[0])
    );
    assert_eq!(
        lines(&mut connection, &detach(1)).await,
        format!("{}\n", olds[1])
    );
    let left = "SELECT username FROM login_attempts";
    assert_eq!(lines(&mut connection, left).await, "now\n");
    for (name, ago) in olds.iter().zip([3, 2]) {
        let archived = format!("SELECT username FROM archive.{name}");
        assert_eq!(
            lines(&mut connection, &archived).await,
            format!("ago {ago}\n")
        );
    }
    // Archived months do not come back, and the other months are whole.
    let make = "SELECT ensure_monthly_partitions('login_attempts', 12)";
    assert_eq!(value(&mut connection, make).await, "0");
    for table in MONTHLY {
        let detach = format!("SELECT detach_old_partitions('{table}', 1)");
        assert_eq!(lines(&mut connection, &detach).await, "", "{table}");
    }
    database.remove().await;
}

#[tokio::test]
async fn every_organisation_gets_a_place_for_its_activity() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let places = "SELECT format('%s %s', tableoid::regclass, count(*))
                  FROM user_activity_logs GROUP BY tableoid ORDER BY 1";
    let own = value(&mut connection, "SELECT default_organization()").await;
    // Three organisations are younger than the last maintenance.
    assert_eq!(
        lines(&mut connection, places).await,
        format!("user_activity_logs_default 18\nuser_activity_logs_org_{own} 1\n")
    );
    let make = "SELECT ensure_activity_partitions()";
    assert_eq!(value(&mut connection, make).await, "3");
    assert_eq!(value(&mut connection, make).await, "0");
    let mut expected: Vec<String> = [("100", 6), ("200", 6), ("300", 6), (own.as_str(), 1)]
        .iter()
        .map(|(organization, count)| format!("user_activity_logs_org_{organization} {count}"))
        .collect();
    expected.sort();
    let found = lines(&mut connection, places).await;
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
    // Their rows enter by the table, into the organisation's own partition.
    run(
        &mut connection,
        "INSERT INTO user_activity_logs (user_id, organization_id, activity_type)
         VALUES (110, 100, 'logout')",
    )
    .await;
    let new = "SELECT count(*) FROM user_activity_logs_org_100";
    assert_eq!(value(&mut connection, new).await, "7");
    database.remove().await;
}

#[tokio::test]
async fn answers_are_spread_over_sixteen_partitions() {
    let Some(database) = migrated().await else {
        return;
    };
    let mut connection = database.connection().await;
    run(
        &mut connection,
        "INSERT INTO answers (attempt_id, question_id, seq, rev, answered_at, spent_ms)
         SELECT a, q, 1, 1, now(), 0
         FROM generate_series(1, 4000) AS a, generate_series(1, 2) AS q",
    )
    .await;
    let spread = "
        SELECT format('%s partitions, %s used, even: %s, whole: %s',
            (SELECT count(*) FROM pg_inherits WHERE inhparent = 'answers'::regclass),
            count(*), min(n) > 350 AND max(n) < 650, sum(attempts) = 4000)
        FROM (SELECT count(*) AS n, count(DISTINCT attempt_id) AS attempts
              FROM answers GROUP BY tableoid) AS p";
    assert_eq!(
        value(&mut connection, spread).await,
        "16 partitions, 16 used, even: t, whole: t"
    );
    database.remove().await;
}

#[tokio::test]
async fn a_missing_month_stops_no_change_that_is_audited() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let months = lines(
        &mut connection,
        "SELECT inhrelid::regclass::text FROM pg_inherits
         WHERE inhparent = 'audit_logs'::regclass AND inhrelid::regclass::text !~ 'default'",
    )
    .await;
    for partition in months.lines() {
        run(&mut connection, &format!("DROP TABLE {partition}")).await;
    }
    run(
        &mut connection,
        "UPDATE users SET name = 'married' WHERE id = 130;
         UPDATE exam_attempts SET status = 'graded' WHERE id = 130",
    )
    .await;
    let kept = "SELECT format('%s %s', tableoid::regclass, table_name) FROM audit_logs ORDER BY id";
    assert_eq!(
        lines(&mut connection, kept).await,
        "audit_logs_default users\naudit_logs_default exam_attempts\n"
    );
    let make = "SELECT ensure_monthly_partitions('audit_logs', 12)";
    assert_eq!(value(&mut connection, make).await, "14");
    let month = month(&mut connection, "audit_logs", 0).await;
    assert_eq!(
        lines(&mut connection, kept).await,
        format!("{month} users\n{month} exam_attempts\n")
    );
    database.remove().await;
}
