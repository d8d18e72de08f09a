//! The calls of the catalog store, and exams.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteStore, people};
use crate::{outline, shared};
use invigil_domain::{
    id::{ExamVersion, PersonId},
    time::Timestamp,
};
use invigil_store::{
    CatalogStore, Error, LoginRow, PersonCredentials, RosterPerson, SignInOutcome, StoredExam,
};

#[async_trait]
impl CatalogStore for SqliteStore {
    async fn upsert_exams(&self, exams: &[StoredExam]) -> Result<(), Error> {
        self.run_write("store exams", async |db| upsert_exams(db, exams).await)
            .await
    }

    async fn list_exams(&self) -> Result<Vec<StoredExam>, Error> {
        self.run_read("read exams", async |db| {
            shared::exams::list_exams(db, LIST_EXAMS).await
        })
        .await
    }

    async fn read_exam_version(&self, version: &ExamVersion) -> Result<Option<StoredExam>, Error> {
        self.run_read("read exam version", async |db| {
            shared::exams::read_exam_version(db, READ_EXAM_VERSION, version).await
        })
        .await
    }

    async fn upsert_people(&self, people: &[(RosterPerson, [u8; 32])]) -> Result<(), Error> {
        self.run_write("store people", async |db| {
            people::upsert_people(db, people).await
        })
        .await
    }

    async fn read_credentials(&self, id: &PersonId) -> Result<Option<PersonCredentials>, Error> {
        self.run_read("read person", async |db| {
            shared::people::read_credentials(db, people::READ_CREDENTIALS, id).await
        })
        .await
    }

    async fn record_sign_in(&self, tried: &SignInOutcome<'_>) -> Result<(), Error> {
        // SQLite keeps neither locks nor a log of sign-ins; the web layer's rate limits apply.
        let SignInOutcome { .. } = tried;
        Ok(())
    }

    async fn insert_login(&self, login: &LoginRow) -> Result<(), Error> {
        self.run_write("store log-in", async |db| {
            people::insert_login(db, login).await
        })
        .await
    }

    async fn verify_login(
        &self,
        token: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<RosterPerson>, Error> {
        let (person, replaced) = self
            .run_read("read log-in", async |db| {
                match people::verify_login(db, token, now).await? {
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

    async fn rotate_login_token(
        &self,
        token: &[u8; 32],
        fresh: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        self.run_write("rotate log-in", async |db| {
            people::rotate_login_token(db, token, fresh, now).await
        })
        .await
    }

    async fn end_login(&self, token: &[u8; 32]) -> Result<(), Error> {
        self.run_write("end log-in", async |db| {
            shared::people::end_login(db, token).await
        })
        .await
    }

    async fn ensure_secret(&self, name: &str, fresh: &[u8; 32]) -> Result<[u8; 32], Error> {
        self.run_write("read secret", async |db| {
            shared::people::ensure_secret(db, name, fresh).await
        })
        .await
    }
}

async fn upsert_exams(
    connection: &mut SqliteConnection,
    exams: &[StoredExam],
) -> Result<(), sqlx::Error> {
    for exam in exams {
        let version = exam.version.as_str();
        let fresh = sqlx::query(
            "INSERT INTO exam_versions (version, code, title, definition)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (version) DO NOTHING",
        )
        .bind(version)
        .bind(exam.code.as_str())
        .bind(&exam.title)
        .bind(&*exam.definition)
        .execute(&mut *connection)
        .await?;
        if fresh.rows_affected() > 0 {
            number_questions(connection, version, &exam.definition).await?;
        }
        sqlx::query(
            "INSERT INTO exams (code, current_version)
             VALUES ($1, $2)
             ON CONFLICT (code) DO UPDATE SET current_version = excluded.current_version",
        )
        .bind(exam.code.as_str())
        .bind(version)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn number_questions(
    connection: &mut SqliteConnection,
    version: &str,
    definition: &str,
) -> Result<(), sqlx::Error> {
    for (position, question) in (1_i64..).zip(outline::outline_questions(definition)?) {
        sqlx::query(
            "INSERT INTO exam_version_questions (version, question_key, position, points)
             VALUES ($1, $2, $3, $4)",
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

/// Selects the current versions of all exams.
const LIST_EXAMS: &str = "
SELECT e.code, v.version, v.title, v.definition
FROM exams AS e
JOIN exam_versions AS v ON v.version = e.current_version
ORDER BY e.code";

/// Selects version `$1` of an exam.
const READ_EXAM_VERSION: &str =
    "SELECT code, version, title, definition FROM exam_versions WHERE version = $1";
