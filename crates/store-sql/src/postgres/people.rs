//! People, log-ins and secrets.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use crate::{
    convert::{
        duration_to_column, encode_error, instant_from_column as from_instant,
        instant_to_column as instant,
    },
    shared::people::{StoredPerson, scope_to_json},
};
use invigil_domain::{id::PersonId, time::Timestamp};
use invigil_store::{LoginRow, RosterPerson, SignInOutcome};

const UPSERT_PEOPLE: &str = "
WITH p AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::text[],
        $5::text[], $6::numeric[], $7::bigint[], $8::bytea[], $9::jsonb[]
    ) AS p (username, name, email, role, exams, time_factor, extra_time_ms, code, groups)
),
put AS (
    INSERT INTO users
        (username, name, email, exam_codes, groups, time_factor, extra_time_ms,
         access_code_hmac)
    SELECT p.username, p.name, p.email,
       CASE WHEN p.exams IS NOT NULL
            THEN ARRAY(SELECT json_array_elements_text(p.exams::json)) END,
       ARRAY(SELECT jsonb_array_elements_text(p.groups)),
       p.time_factor, p.extra_time_ms, p.code
    FROM p
    ON CONFLICT (username) DO UPDATE
    SET name = excluded.name,
        email = excluded.email,
        exam_codes = excluded.exam_codes,
        groups = excluded.groups,
        time_factor = excluded.time_factor,
        extra_time_ms = excluded.extra_time_ms,
        access_code_hmac = excluded.access_code_hmac,
        revision = users.revision + 1,
        updated_at = now()
    RETURNING id, organization_id, username
),
ended AS (
    DELETE FROM user_roles AS r
    USING put, p
    WHERE r.user_id = put.id AND p.username = put.username
      AND r.organization_id = put.organization_id AND r.role <> p.role
)
INSERT INTO user_roles (user_id, organization_id, role)
SELECT put.id, put.organization_id, p.role
FROM put
JOIN p ON p.username = put.username
ON CONFLICT (user_id, organization_id, role) DO UPDATE SET is_active = true, expires_at = NULL";

/// Adds or replaces people.
pub(super) async fn upsert_people(
    connection: &mut PgConnection,
    people: &[(RosterPerson, [u8; 32])],
) -> Result<(), sqlx::Error> {
    // A statement may update a row only once, and in a fixed order: the last row of an id counts.
    let by_id: BTreeMap<&PersonId, _> = people.iter().map(|row| (&row.0.id, row)).collect();
    let rows: Vec<&(RosterPerson, [u8; 32])> = by_id.into_values().collect();
    let scopes: Vec<Option<String>> = rows
        .iter()
        .map(|(person, _)| scope_to_json(&person.exams))
        .collect();
    let column = |value: fn(&RosterPerson) -> &str| -> Vec<&str> {
        rows.iter().map(|(person, _)| value(person)).collect()
    };
    let factors: Vec<Decimal> = rows.iter().map(|(person, _)| person.time_factor).collect();
    let extra: Vec<i64> = rows
        .iter()
        .map(|(person, _)| duration_to_column(person.extra_time))
        .collect();
    let groups: Vec<serde_json::Value> = rows
        .iter()
        .map(|(person, _)| serde_json::json!(person.groups))
        .collect();
    let codes: Vec<&[u8]> = rows.iter().map(|(_, code)| code.as_slice()).collect();
    sqlx::query(UPSERT_PEOPLE)
        .bind(column(|person| person.id.as_str()))
        .bind(column(|person| &person.name))
        .bind(column(|person| &person.email))
        .bind(column(|person| person.role.as_str()))
        .bind(&scopes)
        .bind(&factors)
        .bind(&extra)
        .bind(&codes)
        .bind(&groups)
        .execute(connection)
        .await?;
    Ok(())
}

/// Selects person `$1` with their credentials.
pub(super) const READ_CREDENTIALS: &str = "
SELECT u.username, u.name, u.email, r.role, exam_scope(u.id) AS exam_codes, u.groups,
       u.time_factor, u.extra_time_ms, u.access_code_hmac, u.password_hash, u.locked_until
FROM users AS u
CROSS JOIN LATERAL effective_role(u.id) AS r (role)
WHERE u.username = $1 AND u.is_active AND r.role IS NOT NULL";

/// Records the outcome of a sign-in, and counts it for the person.
pub(super) async fn record_sign_in(
    connection: &mut PgConnection,
    tried: &SignInOutcome<'_>,
) -> Result<(), sqlx::Error> {
    let at = instant(tried.at)?;
    // The name is free text, and a text column cannot hold NUL.
    let name = tried.name.replace('\0', "\u{fffd}");
    sqlx::query(
        "WITH person AS (
             UPDATE users
             SET last_login = CASE WHEN $4 THEN $5 ELSE last_login END,
                 login_count = login_count + CASE WHEN $4 THEN 1 ELSE 0 END,
                 failed_login_attempts = CASE WHEN $4 THEN 0 ELSE failed_login_attempts + 1 END,
                 locked_until = CASE WHEN $4 THEN NULL
                                     WHEN failed_login_attempts + 1 >= $6 THEN $5 + $7 * interval '1 ms'
                                     ELSE locked_until END
             WHERE username = $1
             RETURNING id, organization_id
         ),
         active AS (
             INSERT INTO user_activity_logs
                 (user_id, organization_id, activity_type, ip_address, user_agent, created_at)
             SELECT id, organization_id, 'login', $2::text::inet, $3, $5 FROM person WHERE $4
         )
         INSERT INTO login_attempts (username, user_id, ip_address, user_agent, success, attempted_at)
         VALUES ($1, (SELECT id FROM person), $2::text::inet, $3, $4, $5)",
    )
    .bind(&name)
    .bind(tried.origin.address.to_string())
    .bind(&tried.origin.user_agent)
    .bind(tried.success)
    .bind(at)
    .bind(i32::try_from(tried.lock_after).unwrap_or(i32::MAX))
    .bind(f64::from(u32::try_from(tried.lock_for.as_millis()).unwrap_or(u32::MAX)))
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a log-in.
pub(super) async fn insert_login(
    connection: &mut PgConnection,
    login: &LoginRow,
) -> Result<(), sqlx::Error> {
    let stored = sqlx::query(
        "INSERT INTO user_sessions (token_sha256, user_id, expires_at, ip_address, user_agent, created_at)
         SELECT $1, u.id, $3, $4::text::inet, $5, least(now(), $3 - interval '1 ms')
         FROM users AS u
         WHERE u.username = $2
         ON CONFLICT (token_sha256) DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(login.token.as_slice())
    .bind(login.person.as_str())
    .bind(instant(login.expires_at)?)
    .bind(login.origin.address.to_string())
    .bind(&login.origin.user_agent)
    .execute(connection)
    .await?;
    if stored.rows_affected() == 0 {
        Err(encode_error("no such person"))
    } else {
        Ok(())
    }
}

/// Selects the id of the log-in of token `$1` at instant `$2`. It is computed once, before any
/// join: an index cannot serve a condition on a function that may write.
const SESSION: &str = "(SELECT coalesce(
    (SELECT t.id FROM user_sessions AS t WHERE t.token_sha256 = $1),
    session_of_replaced_token($1, $2)) AS id OFFSET 0)";

/// Replaces the token of a log-in.
pub(super) async fn rotate_login_token(
    connection: &mut PgConnection,
    token: &[u8; 32],
    fresh: &[u8; 32],
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let sql = format!(
        "UPDATE user_sessions AS s
         SET token_sha256 = $3,
             previous_sha256 = $1,
             -- A repeat after a lost response does not extend the old token.
             rotated_at = CASE WHEN s.token_sha256 = $1 THEN $2 ELSE s.rotated_at END
         FROM {SESSION} AS f
         WHERE s.id = f.id AND s.expires_at > $2 AND s.is_active
         RETURNING s.expires_at"
    );
    let until: Option<DateTime<Utc>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(token.as_slice())
        .bind(instant(now)?)
        .bind(fresh.as_slice())
        .fetch_optional(connection)
        .await?;
    Ok(until.map(from_instant))
}

/// Returns the person of a valid token.
pub(super) async fn verify_login(
    connection: &mut PgConnection,
    token: &[u8; 32],
    now: Timestamp,
) -> Result<Option<RosterPerson>, sqlx::Error> {
    let sql = format!(
        "SELECT u.username, u.name, u.email, r.role, exam_scope(u.id) AS exam_codes, u.groups,
                u.time_factor, u.extra_time_ms
         FROM {SESSION} AS f
         JOIN user_sessions AS s ON s.id = f.id
         JOIN users AS u ON u.id = s.user_id
         CROSS JOIN LATERAL effective_role(u.id) AS r (role)
         WHERE s.expires_at > $2 AND s.is_active AND u.is_active AND r.role IS NOT NULL"
    );
    let row: Option<StoredPerson> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(token.as_slice())
        .bind(instant(now)?)
        .fetch_optional(connection)
        .await?;
    row.map(TryInto::try_into).transpose()
}
