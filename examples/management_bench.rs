//! Speed of the data model on a filled database.
//!
//! `INVIGIL_TEST_POSTGRES=postgres://... cargo run --release --example management_bench`
//!
//! Search over 200,000 questions through the management side and its row
//! policies; starts of attempts at 200 a second; point reads of attempts while
//! answers are written; the results of an exam with 10,000 attempts.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a program to be read at a terminal, which stops where it fails"
)]

#[path = "../tests/support/postgres.rs"]
mod postgres_server;
#[path = "../tests/support/servers.rs"]
mod servers;

use std::{sync::Arc, time::Duration};

use invigil_domain::{
    attempt::{AttemptControl, AttemptIdentity, LifecycleStatus},
    id::AttemptId,
    person::GroupSet,
    time::Timestamp,
};
use invigil_engine::EngineClock;
use invigil_management::{Management, RequestContext, bank};
use invigil_objects::media::MediaStore;
use invigil_store::{AttemptStore, ControlRow, IntegritySums, NewAttempt, StartOutcome};
use invigil_store_sql::postgres::PostgresStore;
use postgres_server::Database;
use rust_decimal::Decimal;
use sqlx::PgConnection;
use tokio::time::{Instant, MissedTickBehavior, interval};

const QUESTIONS: i32 = 200_000;
const PEOPLE: i32 = 12_000;

/// Texts of the searches: words of one language and of two, rare and common.
const SEARCHES: [&str; 10] = [
    "\u{5149}\u{5408}\u{4f5c}\u{7528}",
    "\u{653f}\u{7b56}",
    "\u{571f}",
    "treaty",
    "photosynthesis light",
    "\"treaty of nanjing\"",
    "number 1234",
    "\u{6761}\u{7ea6} treaty",
    "light -treaty",
    "nothing like it",
];

const FILL: &str = r#"
SET session_replication_role = replica;
INSERT INTO questions (definition_sha256, type, definition, search_vector, title)
SELECT sha256(n::text::bytea), 'essay', json_build_object('type', 'essay', 'content', c.text),
       question_search('Question ' || n, c.text, NULL, '{}'), 'Question ' || n
FROM generate_series(1, $questions) AS n
CROSS JOIN LATERAL (SELECT (ARRAY[
    U&'\690d\7269\7684\5149\5408\4f5c\7528\4e0e\571f\5730\653f\7b56\4e4b\95f4\7684\5173\7cfb\662f\4ec0\4e48', U&'\6297\6218\65f6\671f\7684\571f\5730\653f\7b56\6709\4ec0\4e48\7279\70b9', U&'\5357\4eac\6761\7ea6\7684\5185\5bb9\4e0e\5f71\54cd',
    'Plants need light for photosynthesis', 'What did the treaty of Nanjing change',
    'Explain the causes of the war in your own words', U&'\6587\827a\590d\5174\5bf9\6b27\6d32\601d\60f3\7684\5f71\54cd'
])[1 + n % 7] || ', number ' || n AS text) AS c;
INSERT INTO users (username, name, access_code_hmac, exam_codes)
SELECT 'c' || n, 'Candidate ' || n, decode(repeat('00', 32), 'hex'), '{BENCH}'
FROM generate_series(1, $people) AS n;
INSERT INTO user_roles (user_id, organization_id, role)
SELECT id, organization_id, CASE username WHEN 'c1' THEN 'teacher' ELSE 'candidate' END FROM users;
INSERT INTO user_sessions (token_sha256, user_id, expires_at)
SELECT decode(repeat('01', 32), 'hex'), id, now() + interval '1 day' FROM users WHERE username = 'c1';
INSERT INTO exams (code, title, status) VALUES ('BENCH', 'Bench', 'published'), ('FULL', 'Full', 'published');
INSERT INTO exam_versions (exam_id, version, title, definition)
SELECT id, 'sha256:' || code, code, '{}' FROM exams;
UPDATE exams AS e SET current_version_id = v.id FROM exam_versions AS v WHERE v.exam_id = e.id;
INSERT INTO exam_version_questions (exam_version_id, question_id, question_key, position, points)
SELECT v.id, n, 'q' || n, n, 1 FROM exam_versions AS v CROSS JOIN generate_series(1, 40) AS n;
WITH k AS (
    INSERT INTO exam_attempt_keys
        (exam_id, exam_version_id, user_id, attempt_no, started_at, closed_at, last_activity_at)
    SELECT e.id, e.current_version_id, u.id, 1, now() - interval '1 hour', now(), now()
    FROM exams AS e, users AS u
    WHERE e.code = 'FULL' AND u.id <= (SELECT min(id) + 9999 FROM users)
    RETURNING *
)
INSERT INTO exam_attempts (id, started_at, exam_id, user_id, seed, time_factor, extra_time_ms, ip_address,
    status, control, entered_at, submitted_at, handed_in_by, score, max_score, percentage, passed, grade,
    penalty, needs_marking, receipt)
SELECT attempt_id, started_at, exam_id, user_id, 1, 1, 0, '::1', 'graded', '{}', started_at, closed_at,
    'candidate', attempt_id % 41, 40, 50, true, 'B', 0, false, '{}'
FROM k;
INSERT INTO answers (attempt_id, question_id, seq, user_answer, rev, answered_at, spent_ms, points_earned,
    points_possible, status, is_correct, grading_method)
SELECT k.attempt_id, n, 1, '"b"', 1, now(), 1000, 1, 1, 'correct', true, 'auto'
FROM exam_attempt_keys AS k CROSS JOIN generate_series(1, 40) AS n;
SET session_replication_role = origin;
ANALYZE;
"#;

#[tokio::main]
async fn main() {
    let Some(database) = Database::create().await else {
        return;
    };
    PostgresStore::migrate(&database.url).await.unwrap();
    PostgresStore::grant_roles(&database.url).await.unwrap();
    let mut connection = database.connection().await;
    let fill = FILL
        .replace("$questions", &QUESTIONS.to_string())
        .replace("$people", &PEOPLE.to_string());
    let begun = Instant::now();
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill))
        .execute(&mut connection)
        .await
        .unwrap();
    println!("filled in {:.1} s", begun.elapsed().as_secs_f64());

    measure_search(&database.url).await;
    let store = Arc::new(
        PostgresStore::connect_as_engine(&database.url, 8)
            .await
            .unwrap(),
    );
    measure_starts(&store).await;
    read_while_writing(&store, &mut connection).await;
    let begun = Instant::now();
    let lines = store.list_results(&"FULL".into()).await.unwrap();
    println!(
        "results of {} attempts: {:.2} s",
        lines.len(),
        begun.elapsed().as_secs_f64()
    );
    drop(store);
    database.remove().await;
}

fn now() -> Timestamp {
    EngineClock::system().now()
}

fn print_times(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1_000.0;
    println!(
        "{what}: {} times, p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms",
        times.len(),
        at(50),
        at(95),
        at(99)
    );
}

async fn measure_search(url: &str) {
    let keys = tempfile::tempdir().unwrap();
    let management = Management::connect(
        url,
        4,
        keys.path().join("keys"),
        MediaStore::open(&keys.path().join("media"), [0; 32]).unwrap(),
    )
    .await
    .unwrap();
    let caller = RequestContext {
        token_hash: [1; 32],
        at: chrono::DateTime::from_timestamp_millis(now().as_ms()).unwrap(),
        address: [127, 0, 0, 1].into(),
        user_agent: None,
    };
    let mut all = Vec::new();
    for words in SEARCHES {
        let mut times = Vec::new();
        for _ in 0..30 {
            let wanted = bank::QuestionSearch {
                text: Some(words.to_owned()),
                limit: 20,
                ..bank::QuestionSearch::default()
            };
            let begun = Instant::now();
            management
                .run_as_staff(&caller, async |work| {
                    bank::search_questions(work, &wanted).await
                })
                .await
                .unwrap();
            times.push(begun.elapsed());
        }
        all.extend_from_slice(&times);
        print_times(&format!("search {words}"), times);
    }
    print_times("search, all", all);
}

fn new_attempt(number: usize, now: Timestamp) -> NewAttempt {
    let state = serde_json::to_string(&AttemptControl::default()).unwrap();
    NewAttempt {
        identity: AttemptIdentity {
            id: AttemptId(0),
            exam: "BENCH".into(),
            exam_version: "sha256:BENCH".into(),
            candidate: format!("c{number}").into(),
            number: 0,
            seed: 1,
            time_factor: Decimal::ONE,
            extra_time: Duration::ZERO,
            groups: GroupSet::default(),
            started_at: now,
        },
        max_attempts: 1,
        address: [127, 0, 0, 1].into(),
        control: ControlRow {
            state: state.into(),
            status: LifecycleStatus::Started,
            entered_at: None,
            deadline_at: None,
            close_at: None,
            closed_at: None,
            integrity: IntegritySums::default(),
        },
    }
}

/// Measures 200 starts a second for ten seconds, each from its due time.
async fn measure_starts(store: &Arc<PostgresStore>) {
    let mut timer = interval(Duration::from_millis(5));
    timer.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 2..2_002 {
        let due = timer.tick().await;
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let started = store
                .start_attempt(new_attempt(number, now()))
                .await
                .unwrap();
            assert!(matches!(started, StartOutcome::Created(_)));
            due.elapsed()
        });
    }
    print_times("start at 200 a second", tasks.join_all().await);
}

/// Measures point reads by attempt beside 2,000 answers a second, in batches of 20.
async fn read_while_writing(store: &Arc<PostgresStore>, connection: &mut PgConnection) {
    let (first, last): (i64, i64) =
        sqlx::query_as("SELECT min(attempt_id), max(attempt_id) FROM exam_attempt_keys")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
    let reading = async {
        let mut times = Vec::new();
        let begun = Instant::now();
        let mut id = first;
        while begun.elapsed() < Duration::from_secs(10) {
            let at = Instant::now();
            store.read_summary(AttemptId(id)).await.unwrap();
            times.push(at.elapsed());
            id = first + (id - first + 7_919) % (last - first + 1);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        times
    };
    let writing = async {
        let mut timer = interval(Duration::from_millis(10));
        let mut seq = 2_i64;
        loop {
            timer.tick().await;
            seq += 1;
            sqlx::query(
                "INSERT INTO answers AS a
                     (attempt_id, question_id, user_answer, rev, seq, answered_at, spent_ms)
                 SELECT $1 + ($2 * 37 + n * 401) % 10000, 1 + ($2 + n) % 40, '\"a\"', 1, $2, now(), 1
                 FROM generate_series(1, 20) AS n
                 ORDER BY 1
                 ON CONFLICT (attempt_id, question_id) DO UPDATE
                 SET user_answer = excluded.user_answer, seq = excluded.seq
                 WHERE a.seq < excluded.seq",
            )
            .bind(first)
            .bind(seq)
            .execute(&mut *connection)
            .await
            .unwrap();
        }
    };
    let times = tokio::select! {
        times = reading => times,
        () = writing => Vec::new(),
    };
    print_times("point read beside 2,000 rows a second", times);
}
