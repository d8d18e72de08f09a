//! The catalog's calls, each under its name, and exams.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use sqlx::{Connection, FromRow, PgConnection};

use super::{Postgres, people};
use crate::{
    domain::{
        id::{ExamCode, ExamVersion, PersonId},
        time::Timestamp,
    },
    store::{Catalog, Error, Person, StoredExam, outline},
};

#[async_trait]
impl Catalog for Postgres {
    async fn put_exams(&self, exams: &[StoredExam]) -> Result<(), Error> {
        self.call("store exams", async |db| put_exams(db, exams).await)
            .await
    }

    async fn exams(&self) -> Result<Vec<StoredExam>, Error> {
        self.call("read exams", exams).await
    }

    async fn exam_version(&self, version: &ExamVersion) -> Result<Option<StoredExam>, Error> {
        self.call("read exam version", async |db| {
            exam_version(db, version).await
        })
        .await
    }

    async fn put_people(&self, people: &[(Person, [u8; 32])]) -> Result<(), Error> {
        self.call("store people", async |db| {
            people::put_people(db, people).await
        })
        .await
    }

    async fn person(&self, id: &PersonId) -> Result<Option<(Person, [u8; 32])>, Error> {
        self.call("read person", async |db| people::person(db, id).await)
            .await
    }

    async fn put_login(
        &self,
        token: &[u8; 32],
        person: &PersonId,
        expires_at: Timestamp,
    ) -> Result<(), Error> {
        self.call("store log-in", async |db| {
            people::put_login(db, token, person, expires_at).await
        })
        .await
    }

    async fn login(&self, token: &[u8; 32], now: Timestamp) -> Result<Option<Person>, Error> {
        self.call("read log-in", async |db| {
            people::login(db, token, now).await
        })
        .await
    }

    async fn end_login(&self, token: &[u8; 32]) -> Result<(), Error> {
        self.call("end log-in", async |db| people::end_login(db, token).await)
            .await
    }

    async fn secret(&self, name: &str, fresh: &[u8; 32]) -> Result<[u8; 32], Error> {
        self.call("read secret", async |db| {
            people::secret(db, name, fresh).await
        })
        .await
    }
}

async fn put_exams(connection: &mut PgConnection, exams: &[StoredExam]) -> Result<(), sqlx::Error> {
    // In one order, so that two imports never wait for each other in a circle.
    let by_code: BTreeMap<&ExamCode, &StoredExam> =
        exams.iter().map(|exam| (&exam.code, exam)).collect();
    let mut transaction = connection.begin().await?;
    for exam in by_code.into_values() {
        put_exam(&mut transaction, exam).await?;
    }
    transaction.commit().await
}

async fn put_exam(connection: &mut PgConnection, exam: &StoredExam) -> Result<(), sqlx::Error> {
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
        put_questions(connection, exam_version_id, &exam.definition).await?;
    }
    sqlx::query(
        "UPDATE exams
         SET current_version_id = (SELECT id FROM exam_versions WHERE version = $2)
         WHERE id = $1",
    )
    .bind(exam_id)
    .bind(exam.version.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

async fn put_questions(
    connection: &mut PgConnection,
    exam_version_id: i64,
    definition: &str,
) -> Result<(), sqlx::Error> {
    let questions = outline::questions(definition)?;
    let hashes: Vec<Vec<u8>> = questions
        .iter()
        .map(|question| Sha256::digest(question.definition).to_vec())
        .collect();
    let kinds: Vec<&str> = questions
        .iter()
        .map(|question| question.kind.as_str())
        .collect();
    let texts: Vec<&str> = questions
        .iter()
        .map(|question| question.definition)
        .collect();
    sqlx::query(
        "INSERT INTO questions (definition_sha256, type, definition)
         SELECT q.hash, q.type, q.definition::json
         FROM unnest($1::bytea[], $2::text[], $3::text[]) AS q (hash, type, definition)
         ORDER BY q.hash
         ON CONFLICT (definition_sha256) DO NOTHING",
    )
    .bind(&hashes)
    .bind(&kinds)
    .bind(&texts)
    .execute(&mut *connection)
    .await?;

    let keys: Vec<&str> = questions
        .iter()
        .map(|question| question.key.as_str())
        .collect();
    let points: Vec<Decimal> = questions.iter().map(|question| question.points).collect();
    sqlx::query(
        "INSERT INTO exam_version_questions
             (exam_version_id, question_id, question_key, position, points)
         SELECT $1, q.id, n.key, n.position, n.points
         FROM unnest($2::bytea[], $3::text[], $4::numeric[])
             WITH ORDINALITY AS n (hash, key, points, position)
         JOIN questions AS q ON q.definition_sha256 = n.hash",
    )
    .bind(exam_version_id)
    .bind(&hashes)
    .bind(&keys)
    .bind(&points)
    .execute(connection)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct ExamRow {
    code: String,
    version: String,
    title: String,
    definition: String,
}

impl From<ExamRow> for StoredExam {
    fn from(row: ExamRow) -> Self {
        Self {
            code: row.code.into(),
            version: row.version.into(),
            title: row.title,
            definition: row.definition.into(),
        }
    }
}

async fn exams(connection: &mut PgConnection) -> Result<Vec<StoredExam>, sqlx::Error> {
    let rows: Vec<ExamRow> = sqlx::query_as(
        "SELECT e.code, v.version, v.title, v.definition::text AS definition
         FROM exams AS e
         JOIN exam_versions AS v ON v.id = e.current_version_id
         ORDER BY e.code",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

async fn exam_version(
    connection: &mut PgConnection,
    version: &ExamVersion,
) -> Result<Option<StoredExam>, sqlx::Error> {
    let row: Option<ExamRow> = sqlx::query_as(
        "SELECT e.code, v.version, v.title, v.definition::text AS definition
         FROM exam_versions AS v
         JOIN exams AS e ON e.id = v.exam_id
         WHERE v.version = $1",
    )
    .bind(version.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}
