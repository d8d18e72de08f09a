//! The catalog's calls, each under its name, and exams.

use async_trait::async_trait;
use sqlx::{FromRow, SqliteConnection};

use super::{Sqlite, people};
use crate::{
    domain::{
        id::{ExamVersion, PersonId},
        time::Timestamp,
    },
    store::{Catalog, Credentials, Error, LoginTry, NewLogin, Person, StoredExam, outline},
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
        self.write("store people", async |db| {
            people::put_people(db, people).await
        })
        .await
    }

    async fn credentials(&self, id: &PersonId) -> Result<Option<Credentials>, Error> {
        self.read("read person", async |db| people::credentials(db, id).await)
            .await
    }

    async fn note_login(&self, tried: &LoginTry<'_>) -> Result<(), Error> {
        // Whoever sits at the one machine can count; the limits of the web layer hold here too.
        let LoginTry { .. } = tried;
        Ok(())
    }

    async fn put_login(&self, login: &NewLogin) -> Result<(), Error> {
        self.write("store log-in", async |db| {
            people::put_login(db, login).await
        })
        .await
    }

    async fn login(&self, token: &[u8; 32], now: Timestamp) -> Result<Option<Person>, Error> {
        let (person, replaced) = self
            .read("read log-in", async |db| {
                match people::login(db, token, now).await? {
                    None => Ok((None, people::is_replaced(db, token).await?)),
                    person => Ok((person, false)),
                }
            })
            .await?;
        if replaced {
            self.end_login(token).await?;
        }
        Ok(person)
    }

    async fn rotate_login(
        &self,
        token: &[u8; 32],
        fresh: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        self.write("rotate log-in", async |db| {
            people::rotate_login(db, token, fresh, now).await
        })
        .await
    }

    async fn end_login(&self, token: &[u8; 32]) -> Result<(), Error> {
        self.write("end log-in", async |db| people::end_login(db, token).await)
            .await
    }

    async fn secret(&self, name: &str, fresh: &[u8; 32]) -> Result<[u8; 32], Error> {
        self.write("read secret", async |db| {
            people::secret(db, name, fresh).await
        })
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
        .bind(question.key.as_str())
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
            // Keys are corrected on the management side.
            corrections: Vec::new(),
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
