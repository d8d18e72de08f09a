//! Speed of saves to PostgreSQL through the adapter, beside a bare client.
//!
//! `INVIGIL_TEST_POSTGRES=postgres://... cargo run --release --example store_bench -- [seconds]`
//!
//! A connection each, one answer an attempt, alternating in one run. "save" is the
//! adapter: it fences, updates the progress of every attempt and upserts; "same" sends the
//! adapter's own statement from a bare client, and is the base of the comparison.
//! "save+log" also writes a timeline entry for every answer, as the engine does; "upsert"
//! is the upsert of answers alone, without the fence against a stale writer.

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

use std::time::Duration;

use chrono::{DateTime, Utc};
use invigil_domain::{id::AttemptId, time::Timestamp};
use invigil_store::{
    AnswerRow, AttemptStore, AttemptWrite, CatalogStore, ProgressRow, StoredExam, TimelineRow,
    WriteOutcome,
};
use invigil_store_sql::postgres::{PostgresStore, SAVE_BATCH};
use postgres_server::Database;
use sqlx::PgConnection;
use tokio::time::Instant;

const ATTEMPTS: usize = 2_000;
const QUESTIONS: usize = 40;
const BATCHES: [usize; 5] = [1, 16, 64, 256, 1_000];
const VERSION: &str = "sha256:bench";
const SESSION: &str = "0123456789abcdef0123456789abcdef";
const VALUE: &str = "[\"option-a\",\"option-c\"]";

const UPSERT: &str = "
INSERT INTO answers AS a
    (attempt_id, question_id, user_answer, flagged, rev, seq, answered_at, spent_ms)
SELECT n.attempt_id, n.question_id, n.value::json, n.flagged, n.rev, n.seq, n.at, n.spent_ms
FROM unnest(
    $1::bigint[], $2::bigint[], $3::text[], $4::boolean[],
    $5::bigint[], $6::bigint[], $7::timestamptz[], $8::bigint[]
) AS n (attempt_id, question_id, value, flagged, rev, seq, at, spent_ms)
ON CONFLICT (attempt_id, question_id) DO UPDATE
SET user_answer = excluded.user_answer,
    flagged = excluded.flagged,
    rev = excluded.rev,
    seq = excluded.seq,
    answered_at = excluded.answered_at,
    spent_ms = excluded.spent_ms
WHERE a.seq < excluded.seq";

#[tokio::main]
async fn main() {
    let seconds = std::env::args()
        .nth(1)
        .map_or(3, |text| text.parse().unwrap());
    let time = Duration::from_secs(seconds);
    let Some(database) = Database::create().await else {
        return;
    };
    PostgresStore::migrate(&database.url).await.unwrap();
    let store = PostgresStore::connect(&database.url, 1).await.unwrap();
    let mut bare = database.connection().await;
    create_fixture(&store, &mut bare).await;

    println!(
        "{:>6} {:<9} {:>9} {:>9} {:>9} {:>6}",
        "batch", "way", "rows/s", "p50 ms", "p99 ms", "x"
    );
    let mut turn = 0;
    for size in BATCHES {
        let same = measure_writes(time, size, &mut turn, async |turn| {
            execute_same(&mut bare, size, turn).await;
        });
        let same = same.await;
        same.print_row(size, "same", &same);
        for (way, log) in [("save", false), ("save+log", true)] {
            let save = measure_writes(time, size, &mut turn, async |turn| {
                let written = store
                    .save_batch(&attempt_batch(size, turn, log))
                    .await
                    .unwrap();
                assert!(written.iter().all(|one| *one == WriteOutcome::Saved));
            });
            save.await.print_row(size, way, &same);
        }
        let upsert = measure_writes(time, size, &mut turn, async |turn| {
            execute_upsert(&mut bare, size, turn).await;
        });
        upsert.await.print_row(size, "upsert", &same);
    }
    drop(store);
    database.remove().await;
}

/// Measurement of one way of writing.
struct WriteMeasurement {
    rows_per_second: f64,
    sorted: Vec<Duration>,
}

impl WriteMeasurement {
    fn percentile_ms(&self, percent: usize) -> f64 {
        self.sorted[(self.sorted.len() - 1) * percent / 100].as_secs_f64() * 1_000.0
    }

    fn print_row(&self, size: usize, way: &str, beside: &Self) {
        println!(
            "{size:>6} {way:<9} {:>9.0} {:>9.3} {:>9.3} {:>6.2}",
            self.rows_per_second,
            self.percentile_ms(50),
            self.percentile_ms(99),
            self.rows_per_second / beside.rows_per_second,
        );
    }
}

/// Calls `write` with rising numbers for some time, after a short warm-up.
async fn measure_writes(
    time: Duration,
    size: usize,
    turn: &mut usize,
    mut write: impl AsyncFnMut(usize),
) -> WriteMeasurement {
    for _ in 0..20 {
        *turn += 1;
        write(*turn).await;
    }
    let mut sorted = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        *turn += 1;
        let sent = Instant::now();
        write(*turn).await;
        sorted.push(sent.elapsed());
    }
    let rows = f64::from(u32::try_from(sorted.len() * size).unwrap());
    let rows_per_second = rows / begun.elapsed().as_secs_f64();
    sorted.sort_unstable();
    WriteMeasurement {
        rows_per_second,
        sorted,
    }
}

/// Attempts (from 0) and questions of the rows of a turn.
fn target_rows(size: usize, turn: usize) -> impl Iterator<Item = (i64, usize)> {
    (0..size).map(move |row| {
        let attempt = (turn * size + row) % ATTEMPTS;
        (i64::try_from(attempt).unwrap(), (turn + row) % QUESTIONS)
    })
}

fn attempt_batch(size: usize, turn: usize, log: bool) -> Vec<AttemptWrite> {
    let version = u64::try_from(turn).unwrap();
    let now = Timestamp::from_ms(1_795_420_800_000 + i64::try_from(turn).unwrap());
    target_rows(size, turn)
        .map(|(attempt, question)| AttemptWrite {
            attempt: AttemptId(attempt + 1),
            epoch: 0,
            exam_version: VERSION.into(),
            progress: ProgressRow {
                version,
                session: Some(SESSION.into()),
                last_seq: version,
                last_event: 0,
                last_activity_at: now,
            },
            control: None,
            answers: vec![AnswerRow {
                question: format!("q{question}").into(),
                value: Some(VALUE.into()),
                flagged: false,
                rev: 1,
                version,
                answered_at: now,
                spent_ms: 1_000,
            }],
            timeline: log
                .then(|| TimelineRow {
                    number: version,
                    at: now,
                    kind: "answer".to_owned(),
                    data: format!("{{\"q\":\"q{question}\",\"value\":{VALUE}}}").into(),
                })
                .into_iter()
                .collect(),
            hand_in: None,
        })
        .collect()
}

/// Runs the adapter's statement on attempts that the adapter does not touch.
async fn execute_same(connection: &mut PgConnection, size: usize, turn: usize) {
    let now: DateTime<Utc> = DateTime::from_timestamp_millis(1_795_420_800_000).unwrap();
    let first = i64::try_from(ATTEMPTS).unwrap() + 1;
    let (attempts, questions): (Vec<i64>, Vec<i64>) = target_rows(size, turn)
        .map(|(attempt, question)| (first + attempt, i64::try_from(question).unwrap() + 1))
        .unzip();
    let turn = i64::try_from(turn).unwrap();
    let saved: Vec<i64> = sqlx::query_scalar(SAVE_BATCH)
        .bind(&attempts)
        .bind(vec![0_i64; size])
        .bind(vec![turn; size])
        .bind(vec![SESSION; size])
        .bind(vec![turn; size])
        .bind(vec![0_i64; size])
        .bind(vec![now; size])
        .bind(&attempts)
        .bind(&questions)
        .bind(vec![VALUE; size])
        .bind(vec![false; size])
        .bind(vec![1_i64; size])
        .bind(vec![turn; size])
        .bind(vec![now; size])
        .bind(vec![1_000_i64; size])
        .bind(Vec::<i64>::new())
        .bind(Vec::<i64>::new())
        .bind(Vec::<DateTime<Utc>>::new())
        .bind(Vec::<&str>::new())
        .bind(Vec::<&str>::new())
        .fetch_one(connection)
        .await
        .unwrap();
    assert_eq!(saved.len(), size);
}

async fn execute_upsert(connection: &mut PgConnection, size: usize, turn: usize) {
    let now: DateTime<Utc> = DateTime::from_timestamp_millis(1_795_420_800_000).unwrap();
    // Attempts of the bare client have negative ids: they conflict with no others.
    let (attempts, questions): (Vec<i64>, Vec<i64>) = target_rows(size, turn)
        .map(|(attempt, question)| (-attempt - 1, i64::try_from(question).unwrap()))
        .unzip();
    sqlx::query(UPSERT)
        .bind(&attempts)
        .bind(&questions)
        .bind(vec![VALUE; size])
        .bind(vec![false; size])
        .bind(vec![1_i64; size])
        .bind(vec![i64::try_from(turn).unwrap(); size])
        .bind(vec![now; size])
        .bind(vec![1_000_i64; size])
        .execute(connection)
        .await
        .unwrap();
}

/// Creates an exam, attempts for the adapter, from id 1, and as many for the bare client.
async fn create_fixture(store: &PostgresStore, connection: &mut PgConnection) {
    let questions: Vec<_> = (0..QUESTIONS)
        .map(|n| serde_json::json!({"id": format!("q{n}"), "type": "essay", "content": "?"}))
        .collect();
    let definition = serde_json::json!({
        "code": "BENCH",
        "title": "Bench",
        "duration_minutes": 60,
        "sections": [{"id": "s", "questions": questions}],
    });
    let exam = StoredExam {
        code: "BENCH".into(),
        version: VERSION.into(),
        title: "Bench".to_owned(),
        definition: definition.to_string().into(),
        corrections: Vec::new(),
    };
    store.upsert_exams(&[exam]).await.unwrap();
    sqlx::query(
        "INSERT INTO users (username, name, access_code_hmac)
         SELECT 'c' || n, 'Name', decode(repeat('00', 32), 'hex')
         FROM generate_series(1, $1) AS n",
    )
    .bind(i32::try_from(2 * ATTEMPTS).unwrap())
    .execute(&mut *connection)
    .await
    .unwrap();
    sqlx::query(
        "WITH k AS (
             INSERT INTO exam_attempt_keys
                 (exam_id, exam_version_id, user_id, attempt_no, started_at, last_activity_at)
             SELECT e.id, e.current_version_id, u.id, 1, now(), now()
             FROM exams AS e, users AS u
             ORDER BY u.id
             RETURNING *
         )
         INSERT INTO exam_attempts
             (id, started_at, exam_id, user_id, seed, time_factor, extra_time_ms, ip_address,
              status, control)
         SELECT attempt_id, started_at, exam_id, user_id, 1, 1, 0, '::1', 'in_progress', '{}'
         FROM k",
    )
    .execute(connection)
    .await
    .unwrap();
}
