//! People, exams, log-ins and secrets.

use async_trait::async_trait;
use sqlx::{FromRow, SqliteConnection};

use super::{Sqlite, rows::decimal};
use crate::{
    domain::{
        id::{ExamVersion, PersonId},
        time::Timestamp,
    },
    store::{
        Catalog, Error, ExamScope, Person, StoredExam,
        convert::{
            bytes_from_column, duration_from_column, duration_to_column, role_from_column,
            role_to_column, unreadable,
        },
        outline,
    },
};

#[async_trait]
impl Catalog for Sqlite {
    async fn put_exams(&self, exams: &[StoredExam]) -> Result<(), Error> {
        self.write("store exams", async |db| put_exams(db, exams).await)
            .await
    }

    async fn exams(&self) -> Result<Vec<StoredExam>, Error> {
        self.read("read exams", exams).await
    }

    async fn exam_version(&self, version: &ExamVersion) -> Result<Option<StoredExam>, Error> {
        self.read("read exam version", async |db| {
            exam_version(db, version).await
        })
        .await
    }

    async fn put_people(&self, people: &[(Person, [u8; 32])]) -> Result<(), Error> {
        self.write("store people", async |db| put_people(db, people).await)
            .await
    }

    async fn person(&self, id: &PersonId) -> Result<Option<(Person, [u8; 32])>, Error> {
        self.read("read person", async |db| person(db, id).await)
            .await
    }

    async fn put_login(
        &self,
        token: &[u8; 32],
        person: &PersonId,
        expires_at: Timestamp,
    ) -> Result<(), Error> {
        self.write("store log-in", async |db| {
            put_login(db, token, person, expires_at).await
        })
        .await
    }

    async fn login(&self, token: &[u8; 32], now: Timestamp) -> Result<Option<Person>, Error> {
        self.read("read log-in", async |db| login(db, token, now).await)
            .await
    }

    async fn end_login(&self, token: &[u8; 32]) -> Result<(), Error> {
        self.write("end log-in", async |db| end_login(db, token).await)
            .await
    }

    async fn secret(&self, name: &str, fresh: &[u8; 32]) -> Result<[u8; 32], Error> {
        self.write("read secret", async |db| secret(db, name, fresh).await)
            .await
    }
}

async fn put_exams(
    connection: &mut SqliteConnection,
    exams: &[StoredExam],
) -> Result<(), sqlx::Error> {
    for exam in exams {
        let version = exam.version.as_str();
        let fresh = sqlx::query(
            "INSERT INTO exam_versions (version, code, title, definition)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (version) DO NOTHING",
        )
        .bind(version)
        .bind(exam.code.as_str())
        .bind(&exam.title)
        .bind(&*exam.definition)
        .execute(&mut *connection)
        .await?;
        if fresh.rows_affected() > 0 {
            put_questions(connection, version, &exam.definition).await?;
        }
        sqlx::query(
            "INSERT INTO exams (code, current_version)
             VALUES (?1, ?2)
             ON CONFLICT (code) DO UPDATE SET current_version = excluded.current_version",
        )
        .bind(exam.code.as_str())
        .bind(version)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn put_questions(
    connection: &mut SqliteConnection,
    version: &str,
    definition: &str,
) -> Result<(), sqlx::Error> {
    for (position, question) in (1_i64..).zip(outline::questions(definition)?) {
        sqlx::query(
            "INSERT INTO exam_version_questions (version, question_key, position, points)
             VALUES (?1, ?2, ?3, ?4)",
        )
        .bind(version)
        .bind(&*question.key)
        .bind(position)
        .bind(question.points.to_string())
        .execute(&mut *connection)
        .await?;
    }
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

async fn exams(connection: &mut SqliteConnection) -> Result<Vec<StoredExam>, sqlx::Error> {
    let rows: Vec<ExamRow> = sqlx::query_as(
        "SELECT e.code, v.version, v.title, v.definition
         FROM exams AS e
         JOIN exam_versions AS v ON v.version = e.current_version
         ORDER BY e.code",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

async fn exam_version(
    connection: &mut SqliteConnection,
    version: &ExamVersion,
) -> Result<Option<StoredExam>, sqlx::Error> {
    let row: Option<ExamRow> = sqlx::query_as(
        "SELECT code, version, title, definition FROM exam_versions WHERE version = ?1",
    )
    .bind(version.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Into::into))
}

async fn put_people(
    connection: &mut SqliteConnection,
    people: &[(Person, [u8; 32])],
) -> Result<(), sqlx::Error> {
    for (person, code) in people {
        sqlx::query(
            "INSERT INTO users
                 (username, name, email, role, exam_codes, time_factor, extra_time_ms, access_code_hmac)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (username) DO UPDATE
             SET name = excluded.name,
                 email = excluded.email,
                 role = excluded.role,
                 exam_codes = excluded.exam_codes,
                 time_factor = excluded.time_factor,
                 extra_time_ms = excluded.extra_time_ms,
                 access_code_hmac = excluded.access_code_hmac",
        )
        .bind(person.id.as_str())
        .bind(&person.name)
        .bind(&person.email)
        .bind(role_to_column(person.role))
        .bind(scope(&person.exams))
        .bind(person.time_factor.to_string())
        .bind(duration_to_column(person.extra_time))
        .bind(code.as_slice())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The exam codes as a JSON array.
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
    exam_codes: Option<String>,
    time_factor: String,
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
            exams: match row.exam_codes {
                None => ExamScope::All,
                Some(codes) => ExamScope::Some(
                    serde_json::from_str(&codes).map_err(|error| unreadable(error.to_string()))?,
                ),
            },
            time_factor: decimal(&row.time_factor)?,
            extra_time: duration_from_column(row.extra_time_ms)?,
        };
        Ok((person, code))
    }
}

async fn person(
    connection: &mut SqliteConnection,
    id: &PersonId,
) -> Result<Option<(Person, [u8; 32])>, sqlx::Error> {
    let row: Option<PersonRow> = sqlx::query_as(
        "SELECT username, name, email, role, exam_codes, time_factor, extra_time_ms, access_code_hmac
         FROM users
         WHERE username = ?1",
    )
    .bind(id.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(TryInto::try_into).transpose()
}

async fn put_login(
    connection: &mut SqliteConnection,
    token: &[u8; 32],
    person: &PersonId,
    expires_at: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO user_sessions (token_sha256, username, expires_at)
         VALUES (?1, ?2, ?3)
         ON CONFLICT (token_sha256) DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(token.as_slice())
    .bind(person.as_str())
    .bind(expires_at.as_ms())
    .execute(connection)
    .await?;
    Ok(())
}

async fn login(
    connection: &mut SqliteConnection,
    token: &[u8; 32],
    now: Timestamp,
) -> Result<Option<Person>, sqlx::Error> {
    let row: Option<PersonRow> = sqlx::query_as(
        "SELECT u.username, u.name, u.email, u.role, u.exam_codes, u.time_factor, u.extra_time_ms,
                u.access_code_hmac
         FROM user_sessions AS s
         JOIN users AS u ON u.username = s.username
         WHERE s.token_sha256 = ?1 AND s.expires_at > ?2",
    )
    .bind(token.as_slice())
    .bind(now.as_ms())
    .fetch_optional(connection)
    .await?;
    let found: Option<(Person, _)> = row.map(TryInto::try_into).transpose()?;
    Ok(found.map(|(person, _)| person))
}

async fn end_login(connection: &mut SqliteConnection, token: &[u8; 32]) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM user_sessions WHERE token_sha256 = ?1")
        .bind(token.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends every log-in that is no longer valid.
pub(super) async fn forget_logins(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM user_sessions WHERE expires_at <= ?1")
        .bind(now.as_ms())
        .execute(connection)
        .await?;
    Ok(())
}

async fn secret(
    connection: &mut SqliteConnection,
    name: &str,
    fresh: &[u8; 32],
) -> Result<[u8; 32], sqlx::Error> {
    // The update changes nothing: it makes RETURNING give the row that is there.
    let kept: Vec<u8> = sqlx::query_scalar(
        "INSERT INTO engine_secrets (name, secret)
         VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET secret = secret
         RETURNING secret",
    )
    .bind(name)
    .bind(fresh.as_slice())
    .fetch_one(connection)
    .await?;
    bytes_from_column(&kept)
}
