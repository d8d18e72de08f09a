//! People, log-ins and secrets.

use sqlx::{SqliteConnection, types::Json};

use crate::{
    convert::duration_to_column,
    shared::people::{StoredPerson, scope_to_json},
};
use invigil_domain::time::{Timestamp, duration_ms};
use invigil_store::{LoginRow, RosterPerson, TOKEN_OVERLAP};

/// Adds or replaces people.
pub(super) async fn upsert_people(
    connection: &mut SqliteConnection,
    people: &[(RosterPerson, [u8; 32])],
) -> Result<(), sqlx::Error> {
    for (person, code) in people {
        sqlx::query(
            "INSERT INTO users
                 (username, name, email, role, exam_codes, time_factor, extra_time_ms,
                  access_code_hmac, groups)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (username) DO UPDATE
             SET name = excluded.name,
                 email = excluded.email,
                 role = excluded.role,
                 exam_codes = excluded.exam_codes,
                 time_factor = excluded.time_factor,
                 extra_time_ms = excluded.extra_time_ms,
                 access_code_hmac = excluded.access_code_hmac,
                 groups = excluded.groups",
        )
        .bind(person.id.as_str())
        .bind(&person.name)
        .bind(&person.email)
        .bind(person.role.as_str())
        .bind(scope_to_json(&person.exams))
        .bind(person.time_factor.to_string())
        .bind(duration_to_column(person.extra_time))
        .bind(code.as_slice())
        .bind(Json(&person.groups))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Selects person `$1` with the hash of their access code.
pub(super) const READ_CREDENTIALS: &str = "
SELECT username, name, email, role, exam_codes, time_factor, extra_time_ms, access_code_hmac,
       groups
FROM users
WHERE username = $1";

/// Stores a log-in.
pub(super) async fn insert_login(
    connection: &mut SqliteConnection,
    login: &LoginRow,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO user_sessions (token_sha256, username, expires_at)
         VALUES ($1, $2, $3)
         ON CONFLICT (token_sha256) DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(login.token.as_slice())
    .bind(login.person.as_str())
    .bind(login.expires_at.as_ms())
    .execute(connection)
    .await?;
    Ok(())
}

/// Replaces the token of a log-in.
pub(super) async fn rotate_login_token(
    connection: &mut SqliteConnection,
    token: &[u8; 32],
    fresh: &[u8; 32],
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let until: Option<i64> = sqlx::query_scalar(
        "UPDATE user_sessions
         SET token_sha256 = $3,
             previous_sha256 = $1,
             -- A repeat after a lost response does not extend the old token.
             rotated_at = CASE WHEN token_sha256 = $1 THEN $2 ELSE rotated_at END
         WHERE (token_sha256 = $1 OR previous_sha256 = $1 AND rotated_at > $2 - $4)
           AND expires_at > $2
         RETURNING expires_at",
    )
    .bind(token.as_slice())
    .bind(now.as_ms())
    .bind(fresh.as_slice())
    .bind(duration_ms(TOKEN_OVERLAP))
    .fetch_optional(connection)
    .await?;
    Ok(until.map(Timestamp::from_ms))
}

/// Returns the person of a valid token.
pub(super) async fn verify_login(
    connection: &mut SqliteConnection,
    token: &[u8; 32],
    now: Timestamp,
) -> Result<Option<RosterPerson>, sqlx::Error> {
    let row: Option<StoredPerson> = sqlx::query_as(
        "SELECT u.username, u.name, u.email, u.role, u.exam_codes, u.time_factor, u.extra_time_ms,
                u.groups
         FROM user_sessions AS s
         JOIN users AS u ON u.username = s.username
         WHERE (s.token_sha256 = $1 OR s.previous_sha256 = $1 AND s.rotated_at > $2 - $3)
           AND s.expires_at > $2",
    )
    .bind(token.as_slice())
    .bind(now.as_ms())
    .bind(duration_ms(TOKEN_OVERLAP))
    .fetch_optional(connection)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Returns true if another token has replaced this one.
pub(super) async fn is_replaced(
    connection: &mut SqliteConnection,
    token: &[u8; 32],
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM user_sessions WHERE previous_sha256 = $1)")
        .bind(token.as_slice())
        .fetch_one(connection)
        .await
}
