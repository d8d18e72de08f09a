//! People, log-ins and secrets.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sqlx::{FromRow, PgConnection};

use super::rows::to_column as instant;
use crate::{
    domain::{id::PersonId, time::Timestamp},
    store::{
        ExamScope, Person,
        convert::{
            bytes_from_column, duration_from_column, duration_to_column, refuse, role_from_column,
        },
    },
};

/// Adds or replaces people.
pub(super) async fn put_people(
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
    .bind(column(|person| person.role.as_str()))
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

/// One person, with the hash of the access code.
pub(super) async fn person(
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

/// Keeps a log-in.
pub(super) async fn put_login(
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

/// Whose log-in a token is, while it is valid.
pub(super) async fn login(
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

/// Ends a log-in.
pub(super) async fn end_login(
    connection: &mut PgConnection,
    token: &[u8; 32],
) -> Result<(), sqlx::Error> {
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

/// The secret of a name, the first one that was given.
pub(super) async fn secret(
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
