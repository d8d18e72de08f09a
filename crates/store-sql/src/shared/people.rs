//! People, log-ins and secrets.

use sqlx_macros::FromRow;

use super::{
    columns::{DecimalColumn, ListColumn, TimeColumn},
    connection::SqlConnection,
};
use crate::convert::{bytes_from_column, duration_from_column, role_from_column};
use invigil_domain::{id::PersonId, time::Timestamp};
use invigil_store::{ExamScope, PersonCredentials, PersonRole, RosterPerson};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Returns the exam codes as a JSON array: a column cannot hold arrays of different lengths.
pub(crate) fn scope_to_json(exams: &ExamScope) -> Option<String> {
    match exams {
        ExamScope::All => None,
        ExamScope::Some(codes) => Some(serde_json::json!(codes).to_string()),
    }
}

/// A person.
#[derive(FromRow)]
pub(crate) struct StoredPerson {
    username: String,
    name: String,
    email: String,
    role: String,
    exam_codes: Option<ListColumn<String>>,
    groups: ListColumn<String>,
    time_factor: DecimalColumn,
    extra_time_ms: i64,
}

impl TryFrom<StoredPerson> for RosterPerson {
    type Error = sqlx::Error;

    fn try_from(row: StoredPerson) -> Result<Self> {
        Ok(Self {
            id: row.username.into(),
            name: row.name,
            email: row.email,
            role: match row.role.as_str() {
                // An administrator of all organisations; the scope limits the exams.
                "super_admin" => PersonRole::Admin,
                role => role_from_column(role)?,
            },
            exams: row.exam_codes.map_or(ExamScope::All, |codes| {
                ExamScope::Some(codes.0.into_iter().map(Into::into).collect())
            }),
            groups: row.groups.0.into_iter().collect(),
            time_factor: row.time_factor.0,
            extra_time: duration_from_column(row.extra_time_ms)?,
        })
    }
}

/// A person with their credentials. SQLite keeps neither passwords nor locks.
#[derive(FromRow)]
struct StoredCredentials {
    #[sqlx(flatten)]
    person: StoredPerson,
    access_code_hmac: Option<Vec<u8>>,
    #[sqlx(default)]
    password_hash: Option<String>,
    #[sqlx(default)]
    locked_until: Option<TimeColumn>,
}

/// Reads a person with their credentials; the statement takes the person's id.
pub(crate) async fn read_credentials(
    connection: &mut impl SqlConnection,
    statement: &'static str,
    id: &PersonId,
) -> Result<Option<PersonCredentials>> {
    let row: Option<StoredCredentials> = connection.query_row(statement, &[&id.as_str()]).await?;
    let Some(row) = row else { return Ok(None) };
    let code = row.access_code_hmac.as_deref().map(bytes_from_column);
    Ok(Some(PersonCredentials {
        person: row.person.try_into()?,
        access_code: code.transpose()?,
        password: row.password_hash,
        locked_until: row.locked_until.map(|at| at.0),
    }))
}

/// Ends a log-in.
pub(crate) async fn end_login(connection: &mut impl SqlConnection, token: &[u8; 32]) -> Result<()> {
    connection
        .execute_statement(
            "DELETE FROM user_sessions WHERE token_sha256 = $1 OR previous_sha256 = $1",
            &[&token.as_slice()],
        )
        .await?;
    Ok(())
}

/// Deletes all expired log-ins.
pub(crate) async fn delete_expired_logins(
    connection: &mut impl SqlConnection,
    now: Timestamp,
) -> Result<()> {
    connection
        .execute_statement(
            "DELETE FROM user_sessions WHERE expires_at <= $1",
            &[&TimeColumn(now)],
        )
        .await?;
    Ok(())
}

/// Returns the secret of a name; the first caller's `fresh` becomes it.
pub(crate) async fn ensure_secret(
    connection: &mut impl SqlConnection,
    name: &str,
    fresh: &[u8; 32],
) -> Result<[u8; 32]> {
    // The update changes nothing: it makes RETURNING give the existing row.
    let kept: Option<(Vec<u8>,)> = connection
        .query_row(
            "INSERT INTO engine_secrets AS s (name, secret)
             VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET secret = s.secret
             RETURNING secret",
            &[&name, &fresh.as_slice()],
        )
        .await?;
    let (kept,) = kept.ok_or(sqlx::Error::RowNotFound)?;
    bytes_from_column(&kept)
}
