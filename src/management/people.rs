//! Organisations, people, roles and log-ins.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use utoipa::ToSchema;

use super::{
    Fault, FieldFault, Work,
    courses::{Enrolment, enrol},
    resource::{self, Cursor, Page, Resource},
};
use crate::domain::person::Groups;
use crate::secrets::sealed::{self, Keys, Place};

/// An organisation as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationDraft {
    /// Shown to people.
    pub name: String,
    /// Unique; upper case letters, digits, `-` and `_`.
    pub code: String,
    /// `university`, `school`, `company`, `training` or `government`.
    pub r#type: String,
    /// The organisation above.
    #[serde(default)]
    pub parent_id: Option<i64>,
    /// Free settings of the institution.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    /// Colours and pictures of its pages.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub branding: Map<String, Value>,
    /// How it is reached.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub contact_info: Map<String, Value>,
    /// The most people it may have; none: no limit.
    #[serde(default)]
    pub max_users: Option<i32>,
    /// The most exams it may have; none: no limit.
    #[serde(default)]
    pub max_exams: Option<i32>,
    /// Whether it works.
    #[serde(default = "yes")]
    pub is_active: bool,
}

fn yes() -> bool {
    true
}

/// An organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Organization {
    /// Its number.
    pub id: i64,
    /// Rises with every change; the `ETag`.
    pub revision: i32,
    /// What people wrote.
    #[serde(flatten)]
    pub draft: OrganizationDraft,
    /// 0 for one without another above.
    pub level: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Organisations.
#[derive(Debug)]
pub struct Organizations;

impl Resource for Organizations {
    type Draft = OrganizationDraft;
    type Row = Organization;
    const TABLE: &'static str = "organizations";
    const NAME: &'static str = "organisation";
    const COLUMNS: &'static [&'static str] = &[
        "name",
        "code",
        "type",
        "parent_id",
        "settings",
        "branding",
        "contact_info",
        "max_users",
        "max_exams",
        "is_active",
    ];
    const SELECT: &'static str = "
        SELECT t.id, jsonb_build_object(
            'id', t.id, 'revision', t.revision, 'name', t.name, 'code', t.code, 'type', t.type,
            'parent_id', t.parent_id, 'settings', t.settings, 'branding', t.branding,
            'contact_info', t.contact_info, 'max_users', t.max_users, 'max_exams', t.max_exams,
            'is_active', t.is_active, 'created_at', t.created_at,
            'level', (WITH RECURSIVE above AS (
                SELECT t.parent_id AS id
                UNION ALL
                SELECT o.parent_id FROM organizations AS o JOIN above ON o.id = above.id
            ) SELECT count(*) FROM above WHERE above.id IS NOT NULL))
        FROM organizations AS t";
}

/// A person as administrators write one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonDraft {
    /// To sign in with; unique.
    pub username: String,
    /// Shown to people.
    pub name: String,
    /// Given name, where it is kept apart.
    #[serde(default)]
    pub first_name: Option<String>,
    /// Family name, where it is kept apart.
    #[serde(default)]
    pub last_name: Option<String>,
    /// May be empty.
    #[serde(default)]
    pub email: String,
    /// Where the person belongs.
    pub organization_id: i64,
    /// A picture.
    #[serde(default)]
    pub avatar_url: Option<String>,
    /// Anything else that is not secret.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub profile: Map<String, Value>,
    /// Whether the person may sign in.
    #[serde(default = "yes")]
    pub is_active: bool,
    /// Multiplies the time of every exam, 1 or more.
    #[serde(default = "one", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub time_factor: Decimal,
    /// Added to the time of every exam, milliseconds.
    #[serde(default)]
    pub extra_time_ms: i64,
    /// Exams beside those of the person's courses; null: all of the organisation.
    #[serde(default = "no_exams")]
    pub exam_codes: Option<Vec<String>>,
    /// A candidate's groups, and of a proctor those whose candidates the proctor
    /// watches, where not all.
    #[serde(default)]
    pub groups: Vec<String>,
}

fn one() -> Decimal {
    Decimal::ONE
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the default of an optional field that is not none"
)]
fn no_exams() -> Option<Vec<String>> {
    Some(Vec::new())
}

/// A person as others see one: never a password or a number in clear.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PersonRow {
    /// The person's number.
    pub id: i64,
    /// Rises with every change; the `ETag`.
    pub revision: i32,
    /// What was written.
    #[serde(flatten)]
    pub draft: PersonDraft,
    /// Valid roles, as `role` and `organization_id`.
    #[schema(value_type = Vec<Object>)]
    pub roles: Vec<Value>,
    /// The telephone number, most of it hidden.
    pub phone_masked: Option<String>,
    /// The number of the identity card, most of it hidden.
    pub id_card_masked: Option<String>,
    /// Whether there is a password.
    pub has_password: bool,
    /// Whether there is an access code.
    pub has_access_code: bool,
    /// The last log-in.
    pub last_login: Option<DateTime<Utc>>,
    /// Locked after too many failures, until then.
    pub locked_until: Option<DateTime<Utc>>,
    /// First import or creation.
    pub created_at: DateTime<Utc>,
}

/// People.
#[derive(Debug)]
pub struct People;

impl Resource for People {
    type Draft = PersonDraft;
    type Row = PersonRow;
    const TABLE: &'static str = "users";
    const NAME: &'static str = "person";
    const COLUMNS: &'static [&'static str] = &[
        "username",
        "name",
        "first_name",
        "last_name",
        "email",
        "organization_id",
        "avatar_url",
        "profile",
        "is_active",
        "time_factor",
        "extra_time_ms",
        "exam_codes",
        "groups",
    ];
    const SELECT: &'static str = "
        SELECT t.id, jsonb_build_object(
            'id', t.id, 'revision', t.revision, 'username', t.username, 'name', t.name,
            'first_name', t.first_name, 'last_name', t.last_name, 'email', t.email,
            'organization_id', t.organization_id, 'avatar_url', t.avatar_url, 'profile', t.profile,
            'is_active', t.is_active, 'time_factor', t.time_factor, 'extra_time_ms', t.extra_time_ms,
            'exam_codes', t.exam_codes, 'groups', t.groups, 'phone_masked', t.phone_masked,
            'id_card_masked', t.id_card_masked, 'has_password', t.has_password,
            'has_access_code', t.has_access_code, 'last_login', t.last_login,
            'locked_until', t.locked_until, 'created_at', t.created_at,
            'roles', coalesce((
                SELECT jsonb_agg(jsonb_build_object(
                    'role', r.role, 'organization_id', r.organization_id, 'expires_at', r.expires_at)
                    ORDER BY r.id)
                FROM user_roles AS r
                WHERE r.user_id = t.id AND r.is_active), '[]'))
        FROM users AS t";
}

/// What is sealed of a person; null takes it away, what is left out stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Private {
    /// A telephone number in E.164, `+8613800138000`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub phone: Change,
    /// The number of an identity card.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub id_card: Change,
}

/// What becomes of a value.
#[derive(Debug, Default)]
pub enum Change {
    /// It stays.
    #[default]
    Keep,
    /// It goes.
    Remove,
    /// This one takes its place.
    Set(String),
}

impl<'de> Deserialize<'de> for Change {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::deserialize(deserializer)?;
        Ok(value.map_or(Self::Remove, Self::Set))
    }
}

/// Seals what is private of a person.
///
/// # Errors
/// Where a number has not its form, or another person has it.
pub async fn set_private(
    work: &mut Work,
    keys: &Keys,
    user: i64,
    private: &Private,
) -> Result<(), Fault> {
    work.require_admin()?;
    for (column, value) in [("phone", &private.phone), ("id_card", &private.id_card)] {
        let value = match value {
            Change::Keep => continue,
            Change::Remove => None,
            Change::Set(value) => Some(value.as_str()),
        };
        if let Some(value) = value {
            check_number(column, value)?;
        }
        let sealed = value
            .map(|value| keys.seal(&Place { user, column }, value))
            .transpose()
            .map_err(Fault::internal)?;
        let hash = value.map(|value| keys.blind_index(column, value).to_vec());
        let sql = format!(
            "UPDATE users SET {column}_sealed = $1, {column}_hmac = $2, {column}_masked = $3,
                 revision = revision + 1, updated_at = now()
             WHERE id = $4"
        );
        let changed = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(sealed)
            .bind(hash)
            .bind(value.map(sealed::masked))
            .bind(user)
            .execute(&mut *work.tx)
            .await?;
        if changed.rows_affected() == 0 {
            return Err(Fault::NotFound);
        }
    }
    Ok(())
}

fn check_number(column: &str, value: &str) -> Result<(), Fault> {
    let digits = value.strip_prefix('+').unwrap_or(value);
    let (right, form) = if column == "phone" {
        (
            (2..=15).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && !digits.starts_with('0'),
            "must be a number of 2 to 15 digits with an optional + before, not beginning with 0",
        )
    } else {
        (
            (4..=32).contains(&value.len())
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "must be 4 to 32 letters and digits",
        )
    };
    if right {
        Ok(())
    } else {
        Err(Fault::field(column, form))
    }
}

/// What is private of a person, in clear. Who looks is in the audit trail.
///
/// # Errors
/// Where the keys do not open it.
pub async fn private(work: &mut Work, keys: &Keys, user: i64) -> Result<Value, Fault> {
    work.require_admin()?;
    let (phone, id_card): (Option<Vec<u8>>, Option<Vec<u8>>) =
        sqlx::query_as("SELECT phone, id_card FROM sealed_of($1)")
            .bind(user)
            .fetch_one(&mut *work.tx)
            .await?;
    let open = |column, sealed: Option<Vec<u8>>| {
        sealed
            .map(|sealed| keys.open_value(&Place { user, column }, &sealed))
            .transpose()
            .map_err(Fault::internal)
    };
    let (phone, id_card) = (open("phone", phone)?, open("id_card", id_card)?);
    note(work, "personal_data_read", json!({ "person": user })).await?;
    Ok(json!({ "phone": phone, "id_card": id_card }))
}

/// Keeps what the actor did that changes no row.
///
/// # Errors
/// As every statement.
pub async fn note(work: &mut Work, activity: &str, data: Value) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO user_activity_logs
             (user_id, organization_id, activity_type, activity_data, ip_address, user_agent)
         VALUES ($1, $2, $3, $4, nullif(current_setting('app.ip_address', true), '')::inet,
                 nullif(current_setting('app.user_agent', true), ''))",
    )
    .bind(work.actor.user_id)
    .bind(work.actor.organization_id)
    .bind(activity)
    .bind(Json(data))
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}

/// Roles of a person, as they shall be in one organisation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Where; none: `super_admin` alone.
    #[serde(default)]
    pub organization_id: Option<i64>,
    /// `candidate`, `proctor`, `teacher`, `admin`; `super_admin` without an organisation.
    #[serde(rename = "roles")]
    pub names: Vec<String>,
    /// When they end; none: they do not.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Replaces the roles of a person in one organisation.
///
/// # Errors
/// Where the roles or the organisation are not the actor's to give.
pub async fn set_roles(work: &mut Work, user: i64, roles: &Roles) -> Result<(), Fault> {
    work.require_admin()?;
    if user == work.actor.user_id {
        // The last administrator would be out with one click.
        return Err(Fault::State(
            "your own roles are for others to change".to_owned(),
        ));
    }
    sqlx::query("SELECT id FROM users WHERE id = $1 FOR UPDATE")
        .bind(user)
        .fetch_one(&mut *work.tx)
        .await?;
    sqlx::query(
        "DELETE FROM user_roles
         WHERE user_id = $1 AND organization_id IS NOT DISTINCT FROM $2 AND role <> ALL ($3)",
    )
    .bind(user)
    .bind(roles.organization_id)
    .bind(&roles.names)
    .execute(&mut *work.tx)
    .await?;
    sqlx::query(
        "INSERT INTO user_roles (user_id, organization_id, role, granted_by, expires_at)
         SELECT $1, $2, r.role, $4, $5 FROM unnest($3::text[]) AS r (role)
         ON CONFLICT (user_id, organization_id, role)
         DO UPDATE SET is_active = true, expires_at = excluded.expires_at",
    )
    .bind(user)
    .bind(roles.organization_id)
    .bind(&roles.names)
    .bind(work.actor.user_id)
    .bind(roles.expires_at)
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}

/// Gives a person a password or an access code, and ends all log-ins. `code`
/// hashes the code for a name.
///
/// # Errors
/// Where the person is not the actor's.
pub async fn set_credentials(
    work: &mut Work,
    user: i64,
    password_hash: Option<&str>,
    code: impl Fn(&str) -> Option<[u8; 32]>,
) -> Result<(), Fault> {
    work.require_admin()?;
    let username: String = sqlx::query_scalar("SELECT username FROM users WHERE id = $1")
        .bind(user)
        .fetch_one(&mut *work.tx)
        .await?;
    let changed = sqlx::query(
        "UPDATE users
         SET access_code_hmac = coalesce($2, access_code_hmac),
             failed_login_attempts = 0, locked_until = NULL,
             revision = revision + 1, updated_at = now()
         WHERE id = $1",
    )
    .bind(user)
    .bind(code(&username).map(|hash| hash.to_vec()))
    .execute(&mut *work.tx)
    .await?;
    if changed.rows_affected() == 0 {
        return Err(Fault::Forbidden);
    }
    // The password's hash can be written here and not read.
    if let Some(hash) = password_hash {
        sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
            .bind(user)
            .bind(hash)
            .execute(&mut *work.tx)
            .await?;
    }
    revoke(work, user).await
}

/// Ends every log-in of a person.
///
/// # Errors
/// As every statement.
pub async fn revoke(work: &mut Work, user: i64) -> Result<(), Fault> {
    sqlx::query("UPDATE user_sessions SET is_active = false WHERE user_id = $1 AND is_active")
        .bind(user)
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}

/// A log-in that is valid.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its number.
    pub id: i64,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_activity: DateTime<Utc>,
    /// Where it came from.
    pub ip_address: Option<String>,
    /// What the program called itself.
    pub user_agent: Option<String>,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// The valid log-ins of a person, by number.
///
/// # Errors
/// As every query.
pub async fn sessions(
    work: &mut Work,
    user: i64,
    cursor: Cursor,
    now: DateTime<Utc>,
) -> Result<Page<Session>, Fault> {
    resource::get::<People>(work, user).await?;
    let limit = cursor.limit();
    let rows = sqlx::query_as(
        "SELECT s.id, jsonb_build_object(
             'id', s.id, 'created_at', s.created_at, 'expires_at', s.expires_at,
             'last_activity', s.last_activity, 'ip_address', host(s.ip_address),
             'user_agent', s.user_agent,
             'current', s.id = nullif(current_setting('app.session_id', true), '')::bigint)
         FROM user_sessions AS s
         WHERE s.user_id = $1 AND s.id > $2 AND s.is_active AND s.expires_at > $4
         ORDER BY s.id
         LIMIT $3",
    )
    .bind(user)
    .bind(cursor.after)
    .bind(limit + 1)
    .bind(now)
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(Page::of(rows, limit))
}

/// Ends one log-in of a person.
///
/// # Errors
/// [`Fault::NotFound`] where the person has no such log-in.
pub async fn end_session(work: &mut Work, user: i64, session: i64) -> Result<(), Fault> {
    let ended = sqlx::query(
        "UPDATE user_sessions SET is_active = false WHERE id = $1 AND user_id = $2 AND is_active",
    )
    .bind(session)
    .bind(user)
    .execute(&mut *work.tx)
    .await?;
    if ended.rows_affected() == 0 {
        return Err(Fault::NotFound);
    }
    Ok(())
}

/// The hash of the actor's own password.
///
/// # Errors
/// As every query.
pub async fn own_password_hash(work: &mut Work) -> Result<Option<String>, Fault> {
    Ok(sqlx::query_scalar("SELECT own_password_hash()")
        .fetch_one(&mut *work.tx)
        .await?)
}

/// Changes the actor's own password; other log-ins of the person end.
///
/// # Errors
/// As every statement.
pub async fn set_own_password(work: &mut Work, hash: &str) -> Result<(), Fault> {
    sqlx::query("SELECT set_own_password($1)")
        .bind(hash)
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}

/// A line of an import, checked.
#[derive(Debug, Serialize)]
pub struct ImportRow {
    /// The name to sign in with.
    pub username: String,
    /// Shown to people.
    pub name: String,
    /// May be empty.
    pub email: String,
    /// `candidate`, `proctor`, `teacher` or `admin`.
    pub role: String,
    /// Keyed hash of the access code, hexadecimal; none: unchanged.
    pub code: Option<String>,
    /// Exam codes; none: all of the organisation.
    pub exams: Option<Vec<String>>,
    /// Of a candidate, or watched by a proctor.
    pub groups: Groups,
    /// Multiplies the time.
    pub time_factor: Decimal,
    /// Milliseconds.
    pub extra_time_ms: i64,
}

/// What an import did.
#[derive(Debug, Serialize, ToSchema)]
pub struct Imported {
    /// New people.
    pub created: i64,
    /// People that were there.
    pub updated: i64,
    /// New enrolments.
    pub enrolled: i64,
}

const IMPORT: &str = "
WITH p AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1) AS p (
        username text, name text, email text, code text, exams text[], groups text[],
        time_factor numeric, extra_time_ms bigint)
),
put AS (
    INSERT INTO users (username, name, email, organization_id, exam_codes, groups, time_factor,
                       extra_time_ms, access_code_hmac)
    SELECT p.username, p.name, p.email, $2, p.exams, p.groups, p.time_factor, p.extra_time_ms,
           decode(p.code, 'hex')
    FROM p
    ORDER BY p.username
    ON CONFLICT (username) DO UPDATE
    SET name = excluded.name,
        email = excluded.email,
        exam_codes = excluded.exam_codes,
        groups = excluded.groups,
        time_factor = excluded.time_factor,
        extra_time_ms = excluded.extra_time_ms,
        access_code_hmac = coalesce(excluded.access_code_hmac, users.access_code_hmac),
        revision = users.revision + 1,
        updated_at = now()
    WHERE users.organization_id = excluded.organization_id
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new), count(*) FROM put";

/// A statement of its own: a role goes to somebody whom its giver sees, and nobody sees people
/// that are made by the same statement.
const IMPORT_ROLES: &str = "
INSERT INTO user_roles (user_id, organization_id, role, granted_by)
SELECT u.id, $2, p.role, $3
FROM jsonb_to_recordset($1) AS p (username text, role text)
JOIN users AS u ON u.username = p.username
ON CONFLICT (user_id, organization_id, role) DO UPDATE SET is_active = true, expires_at = NULL";

/// Adds or replaces people of one organisation, all or none, and enrols them.
///
/// # Errors
/// With every row that cannot be taken.
pub async fn import(
    work: &mut Work,
    organization: i64,
    course: Option<i64>,
    rows: &[ImportRow],
) -> Result<Imported, Fault> {
    work.require_admin()?;
    let people = serde_json::to_value(rows).map_err(Fault::internal)?;
    let (created, updated, put): (i64, i64, i64) = sqlx::query_as(IMPORT)
        .bind(Json(&people))
        .bind(organization)
        .fetch_one(&mut *work.tx)
        .await?;
    if usize::try_from(put) != Ok(rows.len()) {
        return Err(foreign_names(work, organization, rows).await?);
    }
    sqlx::query(IMPORT_ROLES)
        .bind(Json(&people))
        .bind(organization)
        .bind(work.actor.user_id)
        .execute(&mut *work.tx)
        .await?;
    let enrolled = match course {
        Some(course) => {
            let enrolment = Enrolment {
                people: rows.iter().map(|row| row.username.clone()).collect(),
                status: "active".to_owned(),
            };
            enrol(work, course, &enrolment).await?
        }
        None => 0,
    };
    note(work, "people_imported", json!({ "people": rows.len() })).await?;
    Ok(Imported {
        created,
        updated,
        enrolled,
    })
}

/// The rows whose name belongs to another organisation's person.
async fn foreign_names(
    work: &mut Work,
    organization: i64,
    rows: &[ImportRow],
) -> Result<Fault, Fault> {
    let names: Vec<&str> = rows.iter().map(|row| row.username.as_str()).collect();
    let own: Vec<String> = sqlx::query_scalar(
        "SELECT username FROM users WHERE username = ANY ($1) AND organization_id = $2",
    )
    .bind(&names)
    .bind(organization)
    .fetch_all(&mut *work.tx)
    .await?;
    let own: HashSet<String> = own.into_iter().collect();
    let faults = rows.iter().enumerate();
    Ok(Fault::Invalid(
        faults
            .filter(|(_, row)| !own.contains(&row.username))
            .map(|(index, _)| FieldFault::new(format!("[{index}].id"), "is taken"))
            .collect(),
    ))
}
