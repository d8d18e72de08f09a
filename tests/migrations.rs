//! Migrations: named alike, undone wholly, and refused on a database that does not fit.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests panic and say what they skip"
)]

#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "support/servers.rs"]
mod servers;

use std::{collections::BTreeSet, path::Path};

use invigil_domain::time::Timestamp;
use invigil_store::{CatalogStore, Error, PersonRole, StoredExam};
use invigil_store_sql::{postgres, postgres::PostgresStore, sqlite, sqlite::SqliteStore};
use postgres_server::Database;
use sqlx::migrate::Migrator;

/// The names of a folder's migrations, without `.up.sql`.
fn names(folder: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("migrations")
        .join(folder);
    let mut ups = BTreeSet::new();
    let mut downs = BTreeSet::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (stem, kind) = name.split_once('.').unwrap();
        match kind {
            "up.sql" => ups.insert(stem.to_owned()),
            "down.sql" => downs.insert(stem.to_owned()),
            other => panic!("{name}: {other} is neither up.sql nor down.sql"),
        };
    }
    assert_eq!(ups, downs, "every migration of {folder} can be undone");
    ups
}

#[test]
fn names_tell_when_and_what() {
    for folder in ["postgres", "sqlite"] {
        for name in names(folder) {
            let mut words = name.split('_');
            let instant = words.next().unwrap();
            assert!(instant.len() == 14 && instant.bytes().all(|byte| byte.is_ascii_digit()));
            assert!(words.clone().count() >= 2, "{name}: a verb and an object");
            assert!(
                words.all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())),
                "{name}"
            );
        }
    }
    assert!(names("sqlite").is_subset(&names("postgres")));
}

/// Returns the names of a program's migrations, as they are embedded.
fn embedded(migrator: &Migrator) -> BTreeSet<String> {
    let ups = migrator
        .iter()
        .filter(|one| one.migration_type.is_up_migration());
    ups.map(|one| format!("{}_{}", one.version, one.description.replace(' ', "_")))
        .collect()
}

#[test]
fn the_program_holds_every_migration() {
    assert_eq!(embedded(&postgres::MIGRATOR), names("postgres"));
    assert_eq!(embedded(&sqlite::MIGRATOR), names("sqlite"));
}

fn exam() -> StoredExam {
    let question = r#"{"content":"?","id":"q","type":"essay"}"#;
    StoredExam {
        code: "E".into(),
        version: "sha256:e".into(),
        title: "E".to_owned(),
        definition: format!(
            r#"{{"code":"E","duration_minutes":1,
                 "sections":[{{"id":"s","questions":[{question}]}}],"title":"E"}}"#
        )
        .into(),
        corrections: Vec::new(),
    }
}

fn sentence<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(Error::Schema(sentence)) => sentence,
        other => panic!("no sentence: {other:?}"),
    }
}

#[tokio::test]
async fn postgres_migrations_are_undone_with_data_in_them_and_done_again() {
    let Some(database) = Database::create().await else {
        return;
    };
    PostgresStore::migrate(&database.url).await.unwrap();
    PostgresStore::migrate(&database.url).await.unwrap();
    let store = PostgresStore::connect(&database.url, 1).await.unwrap();
    store.upsert_exams(&[exam()]).await.unwrap();
    drop(store);

    let mut connection = database.connection().await;
    postgres::MIGRATOR.undo(&mut connection, 0).await.unwrap();
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE '\\_sqlx%'
         UNION ALL
         SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(left, Vec::<String>::new());
    PostgresStore::migrate(&database.url).await.unwrap();
    let store = PostgresStore::connect(&database.url, 1).await.unwrap();
    assert_eq!(store.list_exams().await.unwrap(), []);
    database.remove().await;
}

/// The last migration of the engine alone, before the management side.
const ENGINE_ALONE: i64 = 20_261_123_080_400;

/// People, an exam and two attempts as the first release kept them.
const FIRST_RELEASE: &str = r#"
INSERT INTO users (username, name, role, access_code_hmac)
SELECT n, initcap(n), r, decode(repeat('00', 32), 'hex')
FROM (VALUES ('ann', 'candidate'), ('bob', 'candidate'), ('tom', 'teacher')) AS p (n, r);
INSERT INTO user_sessions (token_sha256, user_id, expires_at)
SELECT decode(repeat('01', 32), 'hex'), id, now() + interval '1 day' FROM users WHERE username = 'tom';
INSERT INTO exams (code, title) VALUES ('E', 'E');
INSERT INTO exam_versions (exam_id, version, title, definition)
SELECT id, 'sha256:e', 'E', '{"code":"E","title":"E","duration_minutes":30,"type":"final","sections":[]}' FROM exams;
UPDATE exams SET current_version_id = (SELECT id FROM exam_versions);
INSERT INTO questions (type, definition, definition_sha256)
SELECT 'essay', format('{"content":"\u5149\u5408\u4f5c\u7528 %s","id":"q%s","type":"essay"}', n, n)::json, sha256(n::text::bytea)
FROM generate_series(1, 3) AS n;
INSERT INTO exam_version_questions (exam_version_id, question_id, question_key, position, points)
SELECT v.id, q.id, 'q' || q.id, q.id, 2 FROM exam_versions AS v, questions AS q;
WITH k AS (
    INSERT INTO exam_attempt_keys (exam_id, exam_version_id, user_id, attempt_no, started_at, closed_at, last_activity_at)
    SELECT e.id, e.current_version_id, u.id, 1, now(), CASE u.username WHEN 'bob' THEN now() END, now()
    FROM exams AS e, users AS u WHERE u.username IN ('ann', 'bob')
    RETURNING *
)
INSERT INTO exam_attempts
    (id, started_at, exam_id, user_id, seed, time_factor, extra_time_ms, ip_address, status, control,
     submitted_at, handed_in_by, score, max_score, percentage, penalty, needs_marking, receipt)
SELECT attempt_id, started_at, exam_id, user_id, 1, 1, 0, '::1',
       CASE WHEN closed_at IS NULL THEN 'in_progress' ELSE 'submitted' END, '{}',
       closed_at, CASE WHEN closed_at IS NOT NULL THEN 'candidate' END, 2, 6, 33.33, 0, true, '{}'
FROM k;
INSERT INTO answers (attempt_id, question_id, seq, user_answer, rev, answered_at, spent_ms, points_earned, points_possible)
SELECT k.attempt_id, q.id, 1, '"x"', 1, now(), 1000,
       CASE WHEN k.closed_at IS NOT NULL AND q.id > 1 THEN q.id - 1 END,
       CASE WHEN k.closed_at IS NOT NULL THEN 2 END
FROM exam_attempt_keys AS k, questions AS q;
"#;

/// Selects the rows that must stay in every schema.
const KEPT: &str = "
SELECT concat_ws(' ', u.username, e.code, v.version, a.status, a.score, a.submitted_at IS NOT NULL,
    (SELECT string_agg(concat_ws('=', q.question_key, n.user_answer, n.points_earned), ',' ORDER BY q.position)
     FROM answers AS n JOIN exam_version_questions AS q ON q.question_id = n.question_id
     WHERE n.attempt_id = k.attempt_id))
FROM exam_attempt_keys AS k
JOIN exam_attempts AS a ON a.id = k.attempt_id
JOIN users AS u ON u.id = k.user_id
JOIN exams AS e ON e.id = k.exam_id
JOIN exam_versions AS v ON v.id = k.exam_version_id
ORDER BY u.username";

#[tokio::test]
async fn data_of_the_first_release_lives_through_every_migration() {
    let Some(database) = Database::create().await else {
        return;
    };
    let mut connection = database.connection().await;
    postgres::MIGRATOR
        .run_to(ENGINE_ALONE, &mut connection)
        .await
        .unwrap();
    sqlx::raw_sql(FIRST_RELEASE)
        .execute(&mut connection)
        .await
        .unwrap();
    let kept = async |connection: &mut sqlx::PgConnection| -> Vec<String> {
        sqlx::query_scalar(KEPT)
            .fetch_all(connection)
            .await
            .unwrap()
    };
    let before = kept(&mut connection).await;
    assert_eq!(before.len(), 2);

    // Migrations go one at a time, down and up and down again.
    let later: Vec<i64> = postgres::MIGRATOR
        .iter()
        .filter(|one| one.migration_type.is_up_migration() && one.version > ENGINE_ALONE)
        .map(|one| one.version)
        .collect();
    for version in &later {
        postgres::MIGRATOR
            .run_to(*version, &mut connection)
            .await
            .unwrap();
        assert_eq!(kept(&mut connection).await, before, "{version}");
    }
    postgres::MIGRATOR
        .undo(&mut connection, ENGINE_ALONE)
        .await
        .unwrap();
    assert_eq!(kept(&mut connection).await, before);
    PostgresStore::migrate(&database.url).await.unwrap();
    assert_eq!(kept(&mut connection).await, before);

    let statuses: Vec<String> =
        sqlx::query_scalar("SELECT status FROM answers ORDER BY attempt_id, question_id")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(
        statuses,
        [
            "ungraded",
            "ungraded",
            "ungraded",
            "pending_review",
            "partial",
            "correct"
        ]
    );
    let store = PostgresStore::connect(&database.url, 1).await.unwrap();
    let tom = store
        .read_credentials(&"tom".into())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(tom.person.role, PersonRole::Teacher);
    let session = store
        .verify_login(&[1; 32], Timestamp::from_ms(0))
        .await
        .unwrap();
    assert_eq!(session, Some(tom.person));
    drop(store);
    database.remove().await;
}

#[tokio::test]
async fn sqlite_migrations_are_undone_with_data_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    store.upsert_exams(&[exam()]).await.unwrap();
    store.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("invigil.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlite::MIGRATOR.undo(&pool, 0).await.unwrap();
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema
         WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> '_sqlx_migrations'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(left, Vec::<String>::new());
    pool.close().await;
    let store = SqliteStore::open(dir.path()).await.unwrap();
    assert_eq!(store.list_exams().await.unwrap(), []);
}

#[tokio::test]
async fn another_schema_is_refused_with_the_command_that_helps() {
    let Some(database) = Database::create().await else {
        return;
    };
    let connect = async || sentence(PostgresStore::connect(&database.url, 1).await);
    assert!(
        connect()
            .await
            .contains("no schema yet: run `invigil migrate`")
    );

    PostgresStore::migrate(&database.url).await.unwrap();
    let mut connection = database.connection().await;
    let versions: Vec<i64> = postgres::MIGRATOR.iter().map(|one| one.version).collect();
    let before_last = versions
        .iter()
        .rev()
        .find(|&version| version < versions.last().unwrap());
    postgres::MIGRATOR
        .undo(&mut connection, *before_last.unwrap())
        .await
        .unwrap();
    let older = connect().await;
    assert!(
        older.contains("this program needs") && older.contains("`invigil migrate`"),
        "{older}"
    );

    PostgresStore::migrate(&database.url).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99991231235959, 'later', TRUE, '', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let newer = connect().await;
    assert!(newer.contains("newer than this program's"), "{newer}");
    assert_eq!(sentence(PostgresStore::migrate(&database.url).await), newer);
    database.remove().await;
}

#[tokio::test]
async fn a_missing_month_is_made_and_gets_its_rows_from_the_default() {
    let Some(database) = Database::create().await else {
        return;
    };
    PostgresStore::migrate(&database.url).await.unwrap();
    let store = PostgresStore::connect(&database.url, 1).await.unwrap();
    store.upsert_exams(&[exam()]).await.unwrap();
    let mut connection = database.connection().await;
    let month: String = sqlx::query_scalar(
        "SELECT to_char(now() AT TIME ZONE 'UTC', '\"exam_attempts_y\"YYYY\"m\"MM')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    for statement in [
        format!("DROP TABLE {month}"),
        "INSERT INTO users (username, name, access_code_hmac)
         VALUES ('ann', 'Ann', decode(repeat('00', 32), 'hex'))"
            .to_owned(),
        "WITH k AS (
             INSERT INTO exam_attempt_keys
                 (exam_id, exam_version_id, user_id, attempt_no, started_at, last_activity_at)
             SELECT e.id, e.current_version_id, u.id, 1, now(), now() FROM exams AS e, users AS u
             RETURNING *
         )
         INSERT INTO exam_attempts
             (id, started_at, exam_id, user_id, seed, time_factor, extra_time_ms, ip_address,
              status, control)
         SELECT attempt_id, started_at, exam_id, user_id, 1, 1, 0, '::1', 'started', '{}' FROM k"
            .to_owned(),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let place = "SELECT tableoid::regclass::text FROM exam_attempts";
    let mut at = async || -> String {
        sqlx::query_scalar(place)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    };
    assert_eq!(at().await, "exam_attempts_default");
    store.run_maintenance(Timestamp::from_ms(0)).await.unwrap();
    store.run_maintenance(Timestamp::from_ms(0)).await.unwrap();
    assert_eq!(at().await, month);
    database.remove().await;
}
