//! The calls of the catalog store, and exams.

use std::{collections::BTreeMap, sync::LazyLock};

use async_trait::async_trait;
use sqlx::{Connection, PgConnection};

use super::{PostgresStore, bank, people};
use crate::shared;
use invigil_domain::{
    id::{ExamCode, ExamVersion, PersonId},
    time::Timestamp,
};
use invigil_store::{
    CatalogStore, Error, LoginRow, PersonCredentials, RosterPerson, SignInOutcome, StoredExam,
};

#[async_trait]
impl CatalogStore for PostgresStore {
    async fn upsert_exams(&self, exams: &[StoredExam]) -> Result<(), Error> {
        self.run_call("store exams", async |db| upsert_exams(db, exams).await)
            .await
    }

    async fn list_exams(&self) -> Result<Vec<StoredExam>, Error> {
        self.run_call("read exams", async |db| {
            shared::exams::list_exams(db, &LIST_EXAMS).await
        })
        .await
    }

    async fn read_exam_version(&self, version: &ExamVersion) -> Result<Option<StoredExam>, Error> {
        self.run_call("read exam version", async |db| {
            shared::exams::read_exam_version(db, &READ_EXAM_VERSION, version).await
        })
        .await
    }

    async fn upsert_people(&self, people: &[(RosterPerson, [u8; 32])]) -> Result<(), Error> {
        self.run_call("store people", async |db| {
            people::upsert_people(db, people).await
        })
        .await
    }

    async fn read_credentials(&self, id: &PersonId) -> Result<Option<PersonCredentials>, Error> {
        self.run_call("read person", async |db| {
            shared::people::read_credentials(db, people::READ_CREDENTIALS, id).await
        })
        .await
    }

    async fn record_sign_in(&self, tried: &SignInOutcome<'_>) -> Result<(), Error> {
        self.run_call("record sign-in", async |db| {
            people::record_sign_in(db, tried).await
        })
        .await
    }

    async fn insert_login(&self, login: &LoginRow) -> Result<(), Error> {
        self.run_call("store log-in", async |db| {
            people::insert_login(db, login).await
        })
        .await
    }

    async fn verify_login(
        &self,
        token: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<RosterPerson>, Error> {
        self.run_call("read log-in", async |db| {
            people::verify_login(db, token, now).await
        })
        .await
    }

    async fn rotate_login_token(
        &self,
        token: &[u8; 32],
        fresh: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        self.run_call("rotate log-in", async |db| {
            people::rotate_login_token(db, token, fresh, now).await
        })
        .await
    }

    async fn end_login(&self, token: &[u8; 32]) -> Result<(), Error> {
        self.run_call("end log-in", async |db| {
            shared::people::end_login(db, token).await
        })
        .await
    }

    async fn ensure_secret(&self, name: &str, fresh: &[u8; 32]) -> Result<[u8; 32], Error> {
        self.run_call("read secret", async |db| {
            shared::people::ensure_secret(db, name, fresh).await
        })
        .await
    }
}

async fn upsert_exams(
    connection: &mut PgConnection,
    exams: &[StoredExam],
) -> Result<(), sqlx::Error> {
    // A fixed order, so that two imports never deadlock.
    let by_code: BTreeMap<&ExamCode, &StoredExam> =
        exams.iter().map(|exam| (&exam.code, exam)).collect();
    let mut transaction = connection.begin().await?;
    for exam in by_code.into_values() {
        upsert_exam(&mut transaction, exam).await?;
    }
    transaction.commit().await
}

async fn upsert_exam(connection: &mut PgConnection, exam: &StoredExam) -> Result<(), sqlx::Error> {
    let exam_id: i64 = sqlx::query_scalar(
        "INSERT INTO exams (code, title)
         VALUES ($1, $2)
         ON CONFLICT (code) DO UPDATE SET title = excluded.title, updated_at = now()
         RETURNING id",
    )
    .bind(exam.code.as_str())
    .bind(&exam.title)
    .fetch_one(&mut *connection)
    .await?;
    freeze_version(connection, exam_id, exam).await
}

/// Stores a version of an existing exam and makes it the current one, with the
/// exam's settings and composition.
///
/// # Errors
/// If the database refuses a statement, or the definition cannot be read.
pub async fn freeze_version(
    connection: &mut PgConnection,
    exam_id: i64,
    exam: &StoredExam,
) -> Result<(), sqlx::Error> {
    let fresh: Option<i64> = sqlx::query_scalar(
        "INSERT INTO exam_versions (exam_id, version, title, definition)
         VALUES ($1, $2, $3, $4::text::json)
         ON CONFLICT (version) DO NOTHING
         RETURNING id",
    )
    .bind(exam_id)
    .bind(exam.version.as_str())
    .bind(&exam.title)
    .bind(&*exam.definition)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(exam_version_id) = fresh {
        bank::number_questions(connection, exam_id, exam_version_id, &exam.definition).await?;
    }
    sqlx::query(PUBLISH_VERSION)
        .bind(exam_id)
        .bind(exam.version.as_str())
        .execute(&mut *connection)
        .await?;
    bank::compose_exam(connection, exam_id).await
}

/// Makes a version the current one and copies its settings to the exam.
const PUBLISH_VERSION: &str = "
UPDATE exams AS e
SET current_version_id = v.id,
    status = 'published',
    published_at = now(),
    instructions = coalesce(d.instructions, ''),
    type = coalesce(d.type, 'quiz'),
    duration_minutes = d.duration_minutes,
    max_attempts = coalesce(d.max_attempts, 1),
    passing_score = coalesce(d.passing_score, 60),
    available_from = d.available_from,
    available_until = d.available_until,
    lobby_minutes = coalesce(d.lobby_minutes, 15),
    grace_period_minutes = coalesce(d.grace_period_minutes, 0),
    late_submission_penalty = coalesce(d.late_submission_penalty, 0),
    full_duration_after_close = coalesce(d.full_duration_after_close, false),
    shuffle_questions = coalesce(d.shuffle_questions, false),
    shuffle_options = coalesce(d.shuffle_options, false),
    show_results_immediately = coalesce(d.show_results_immediately, true),
    allow_review = coalesce(d.allow_review, true),
    show_correct_answers = coalesce(d.show_correct_answers, false),
    ip_restrictions = coalesce(d.ip_restrictions, '{}'),
    session_policy = coalesce(d.session_policy, 'takeover'),
    settings = CASE WHEN d.on_disconnect IS NULL THEN '{}'
                    ELSE jsonb_build_object('on_disconnect', d.on_disconnect) END,
    proctoring_config = coalesce(d.proctoring, '{}'),
    grading_config = coalesce(d.grading, '{}')
FROM exam_versions AS v
CROSS JOIN LATERAL json_to_record(v.definition) AS d (
    instructions text, type text, duration_minutes integer, max_attempts integer, passing_score numeric,
    available_from timestamptz, available_until timestamptz, lobby_minutes integer,
    grace_period_minutes integer, late_submission_penalty numeric, full_duration_after_close boolean,
    shuffle_questions boolean, shuffle_options boolean, show_results_immediately boolean,
    allow_review boolean, show_correct_answers boolean, ip_restrictions inet[], session_policy text,
    on_disconnect jsonb, proctoring jsonb, grading jsonb
)
WHERE e.id = $1 AND v.version = $2";

/// Selects a version `v` of an exam `e`, with the corrections of its keys.
const EXAM: &str = "
SELECT e.code, v.version, v.title, v.definition::text AS definition,
       (SELECT coalesce(json_agg(json_build_array(q.question_key, c.answer) ORDER BY c.revision), '[]')
        FROM key_corrections AS c
        JOIN exam_version_questions AS q
          ON q.exam_version_id = c.exam_version_id AND q.question_id = c.question_id
        WHERE c.exam_version_id = v.id) AS corrections
FROM exam_versions AS v
JOIN exams AS e ON e.id = v.exam_id";

/// Selects the current versions of all exams that are in use.
static LIST_EXAMS: LazyLock<String> = LazyLock::new(|| {
    format!("{EXAM} WHERE v.id = e.current_version_id AND e.status <> 'archived' ORDER BY e.code")
});

/// Selects version `$1` of an exam.
static READ_EXAM_VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{EXAM} WHERE v.version = $1"));
