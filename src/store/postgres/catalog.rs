//! People, exams, log-ins and secrets.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use sqlx::{Connection, FromRow, PgConnection};

use super::{Postgres, rows::to_column as instant};
use crate::{
    domain::{
        id::{ExamCode, ExamVersion, PersonId},
        time::Timestamp,
    },
    store::{
        Catalog, Error, ExamScope, Person, StoredExam,
        convert::{
            bytes_from_column, duration_from_column, duration_to_column, refuse, role_from_column,
            role_to_column,
        },
        outline,
    },
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
        self.call("store people", async |db| put_people(db, people).await)
            .await
    }

    async fn person(&self, id: &PersonId) -> Result<Option<(Person, [u8; 32])>, Error> {
        self.call("read person", async |db| person(db, id).await)
            .await
    }

    async fn put_login(
        &self,
        token: &[u8; 32],
        person: &PersonId,
        expires_at: Timestamp,
    ) -> Result<(), Error> {
        self.call("store log-in", async |db| {
            put_login(db, token, person, expires_at).await
        })
        .await
    }

    async fn login(&self, token: &[u8; 32], now: Timestamp) -> Result<Option<Person>, Error> {
        self.call("read log-in", async |db| login(db, token, now).await)
            .await
    }

    async fn end_login(&self, token: &[u8; 32]) -> Result<(), Error> {
        self.call("end log-in", async |db| end_login(db, token).await)
            .await
    }

    async fn secret(&self, name: &str, fresh: &[u8; 32]) -> Result<[u8; 32], Error> {
        self.call("read secret", async |db| secret(db, name, fresh).await)
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
    let kinds: Vec<&str> = questions.iter().map(|question| &*question.kind).collect();
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

    let keys: Vec<&str> = questions.iter().map(|question| &*question.key).collect();
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

async fn put_people(
    connection: &mut PgConnection,
    people: &[(Person, [u8; 32])],
) -> Result<(), sqlx::Error> {
    // A statement may touch a row once, and in one order: the last one of an id counts.
    let by_id: BTreeMap<&PersonId, _> = people.iter().map(|row| (&row.0.id, row)).collect();
    let rows: Vec<&(Person, [u8; 32])> = by_id.into_values().collect();
    let scopes: Vec<Option<String>> = rows
        .iter()
        .map(|(person, _)| scope(&person.exams))
        .collect();
    let column = |value: fn(&Person) -> &str| -> Vec<&str> {
        rows.iter().map(|(person, _)| value(person)).collect()
    };
    let factors: Vec<Decimal> = rows.iter().map(|(person, _)| person.time_factor).collect();
    let extra: Vec<i64> = rows
        .iter()
        .map(|(person, _)| duration_to_column(person.extra_time))
        .collect();
    let codes: Vec<&[u8]> = rows.iter().map(|(_, code)| code.as_slice()).collect();
    sqlx::query(
        "INSERT INTO users
             (username, name, email, role, exam_codes, time_factor, extra_time_ms, access_code_hmac)
         SELECT p.username, p.name, p.email, p.role,
                CASE WHEN p.exams IS NOT NULL
                     THEN ARRAY(SELECT json_array_elements_text(p.exams::json)) END,
                p.time_factor, p.extra_time_ms, p.code
         FROM unnest(
             $1::text[], $2::text[], $3::text[], $4::text[],
             $5::text[], $6::numeric[], $7::bigint[], $8::bytea[]
         ) AS p (username, name, email, role, exams, time_factor, extra_time_ms, code)
         ON CONFLICT (username) DO UPDATE
         SET name = excluded.name,
             email = excluded.email,
             role = excluded.role,
             exam_codes = excluded.exam_codes,
             time_factor = excluded.time_factor,
             extra_time_ms = excluded.extra_time_ms,
             access_code_hmac = excluded.access_code_hmac,
             updated_at = now()",
    )
    .bind(column(|person| person.id.as_str()))
    .bind(column(|person| &person.name))
    .bind(column(|person| &person.email))
    .bind(column(|person| role_to_column(person.role)))
    .bind(&scopes)
    .bind(&factors)
    .bind(&extra)
    .bind(&codes)
    .execute(connection)
    .await?;
    Ok(())
}

/// The exam codes as a JSON array; arrays of different lengths are no column.
fn scope(exams: &ExamScope) -> Option<String> {
    match exams {
        ExamScope::All => None,
        ExamScope::Some(codes) => Some(serde_json::json!(codes).to_string()),
    }
}

#[derive(FromRow)]
struct PersonRow {
    username: String,
    name: String,
    email: String,
    role: String,
    exam_codes: Option<Vec<String>>,
    time_factor: Decimal,
    extra_time_ms: i64,
    access_code_hmac: Vec<u8>,
}

impl TryFrom<PersonRow> for (Person, [u8; 32]) {
    type Error = sqlx::Error;

    fn try_from(row: PersonRow) -> Result<Self, sqlx::Error> {
        let code = bytes_from_column(&row.access_code_hmac)?;
        let person = Person {
            id: row.username.into(),
            name: row.name,
            email: row.email,
            role: role_from_column(&row.role)?,
            exams: row.exam_codes.map_or(ExamScope::All, |codes| {
                ExamScope::Some(codes.into_iter().map(Into::into).collect())
            }),
            time_factor: row.time_factor,
            extra_time: duration_from_column(row.extra_time_ms)?,
        };
        Ok((person, code))
    }
}

async fn person(
    connection: &mut PgConnection,
    id: &PersonId,
) -> Result<Option<(Person, [u8; 32])>, sqlx::Error> {
    let row: Option<PersonRow> = sqlx::query_as(
        "SELECT username, name, email, role, exam_codes, time_factor, extra_time_ms, access_code_hmac
         FROM users
         WHERE username = $1",
    )
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(TryInto::try_into).transpose()
}

async fn put_login(
    connection: &mut PgConnection,
    token: &[u8; 32],
    person: &PersonId,
    expires_at: Timestamp,
) -> Result<(), sqlx::Error> {
    let stored = sqlx::query(
        "INSERT INTO user_sessions (token_sha256, user_id, expires_at)
         SELECT $1, u.id, $3 FROM users AS u WHERE u.username = $2
         ON CONFLICT (token_sha256) DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(token.as_slice())
    .bind(person.as_str())
    .bind(instant(expires_at)?)
    .execute(connection)
    .await?;
    if stored.rows_affected() == 0 {
        Err(refuse("no such person"))
    } else {
        Ok(())
    }
}

async fn login(
    connection: &mut PgConnection,
    token: &[u8; 32],
    now: Timestamp,
) -> Result<Option<Person>, sqlx::Error> {
    let row: Option<PersonRow> = sqlx::query_as(
        "SELECT u.username, u.name, u.email, u.role, u.exam_codes, u.time_factor, u.extra_time_ms,
                u.access_code_hmac
         FROM user_sessions AS s
         JOIN users AS u ON u.id = s.user_id
         WHERE s.token_sha256 = $1 AND s.expires_at > $2",
    )
    .bind(token.as_slice())
    .bind(instant(now)?)
    .fetch_optional(connection)
    .await?;
    let found: Option<(Person, _)> = row.map(TryInto::try_into).transpose()?;
    Ok(found.map(|(person, _)| person))
}

async fn end_login(connection: &mut PgConnection, token: &[u8; 32]) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM user_sessions WHERE token_sha256 = $1")
        .bind(token.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends every log-in that is no longer valid.
pub(super) async fn forget_logins(
    connection: &mut PgConnection,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM user_sessions WHERE expires_at <= $1")
        .bind(instant(now)?)
        .execute(connection)
        .await?;
    Ok(())
}

async fn secret(
    connection: &mut PgConnection,
    name: &str,
    fresh: &[u8; 32],
) -> Result<[u8; 32], sqlx::Error> {
    // The update changes nothing: it makes RETURNING give the row that is there.
    let kept: Vec<u8> = sqlx::query_scalar(
        "INSERT INTO engine_secrets AS s (name, secret)
         VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET secret = s.secret
         RETURNING secret",
    )
    .bind(name)
    .bind(fresh.as_slice())
    .fetch_one(connection)
    .await?;
    bytes_from_column(&kept)
}
