//! Organisations, people, their roles, credentials and log-ins.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use utoipa::ToSchema;

use crate::{
    FieldFault, ManagementError, UnitOfWork,
    courses::{NewEnrolments, enrol_people},
    resource::{self, ListPage, PageCursor, Resource},
};
use invigil_domain::person::GroupSet;
use invigil_secrets::sealed::{self, SealedField, SealingKeys};

/// The editable fields of an organisation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationDraft {
    /// Display name.
    pub name: String,
    /// Unique code of upper case letters, digits, `-` and `_`.
    pub code: String,
    /// `university`, `school`, `company`, `training` or `government`.
    pub r#type: String,
    /// Number of the parent organisation.
    #[serde(default)]
    pub parent_id: Option<i64>,
    /// Free settings of the institution.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    /// Colours and images of its pages.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub branding: Map<String, Value>,
    /// Contact details.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub contact_info: Map<String, Value>,
    /// Limit of people; none: no limit.
    #[serde(default)]
    pub max_users: Option<i32>,
    /// Limit of exams; none: no limit.
    #[serde(default)]
    pub max_exams: Option<i32>,
    /// True if the organisation is active.
    #[serde(default = "yes")]
    pub is_active: bool,
}

fn yes() -> bool {
    true
}

/// An organisation as staff read it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Organization {
    /// Number of the organisation.
    pub id: i64,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    pub draft: OrganizationDraft,
    /// Depth in the hierarchy; 0 without a parent.
    pub level: i32,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
}

/// The resource of organisations.
#[derive(Debug)]
pub struct OrganizationResource;

impl Resource for OrganizationResource {
    type Id = i64;
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

    fn revision(row: &Organization) -> i32 {
        row.revision
    }
}

/// The fields of a person that administrators edit.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonDraft {
    /// Unique sign-in name.
    pub username: String,
    /// Display name.
    pub name: String,
    /// Given name, if kept separately.
    #[serde(default)]
    pub first_name: Option<String>,
    /// Family name, if kept separately.
    #[serde(default)]
    pub last_name: Option<String>,
    /// E-mail address, or empty.
    #[serde(default)]
    pub email: String,
    /// Number of the person's organisation.
    pub organization_id: i64,
    /// Address of a portrait.
    #[serde(default)]
    pub avatar_url: Option<String>,
    /// Further fields, nothing secret.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub profile: Map<String, Value>,
    /// True if the person may sign in.
    #[serde(default = "yes")]
    pub is_active: bool,
    /// Factor of the duration of every exam, 1 or more.
    #[serde(default = "one", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub time_factor: Decimal,
    /// Time added to every exam, in milliseconds.
    #[serde(default)]
    pub extra_time_ms: i64,
    /// Codes of exams besides those of the person's courses; null: all of the organisation.
    #[serde(default = "no_exams")]
    pub exam_codes: Option<Vec<String>>,
    /// Groups of a candidate; of a proctor, the groups to watch (empty: all).
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

/// A person as staff read it, without password hash and with private fields masked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PersonRow)]
pub struct PersonRecord {
    /// Number of the person.
    pub id: i64,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The fields that administrators edit.
    #[serde(flatten)]
    pub draft: PersonDraft,
    /// Valid roles, as `role` and `organization_id`.
    #[schema(value_type = Vec<Object>)]
    pub roles: Vec<Value>,
    /// Telephone number, masked.
    pub phone_masked: Option<String>,
    /// Number of the identity card, masked.
    pub id_card_masked: Option<String>,
    /// True if a password is set.
    pub has_password: bool,
    /// True if an access code is set.
    pub has_access_code: bool,
    /// Time of the last log-in.
    pub last_login: Option<DateTime<Utc>>,
    /// End of the lock after too many failed log-ins.
    pub locked_until: Option<DateTime<Utc>>,
    /// Time of the first import or of creation.
    pub created_at: DateTime<Utc>,
}

/// The resource of people.
#[derive(Debug)]
pub struct PersonResource;

impl Resource for PersonResource {
    type Id = i64;
    type Draft = PersonDraft;
    type Row = PersonRecord;
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

    fn revision(row: &PersonRecord) -> i32 {
        row.revision
    }
}

/// A change of a person's sealed fields; null removes a field, an omitted field stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Private)]
pub struct PrivateFields {
    /// Telephone number in E.164, such as `+8613800138000`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub phone: FieldChange,
    /// Number of the identity card.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub id_card: FieldChange,
}

/// The change of an optional field.
#[derive(Debug, Default)]
pub enum FieldChange {
    /// The field was omitted and stays.
    #[default]
    Keep,
    /// The field was null and is removed.
    Remove,
    /// The field gets this value.
    Set(String),
}

impl<'de> Deserialize<'de> for FieldChange {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::deserialize(deserializer)?;
        Ok(value.map_or(Self::Remove, Self::Set))
    }
}

/// Seals and stores the private fields of a person.
///
/// # Errors
/// [`ManagementError::Invalid`] for a malformed number,
/// [`ManagementError::Duplicate`] if another person has it.
pub async fn set_private_fields(
    work: &mut UnitOfWork,
    keys: &SealingKeys,
    user: i64,
    private: &PrivateFields,
) -> Result<(), ManagementError> {
    work.require_admin()?;
    for (column, value) in [("phone", &private.phone), ("id_card", &private.id_card)] {
        let value = match value {
            FieldChange::Keep => continue,
            FieldChange::Remove => None,
            FieldChange::Set(value) => Some(value.as_str()),
        };
        if let Some(value) = value {
            check_number(column, value)?;
        }
        let sealed = value
            .map(|value| keys.seal_value(&SealedField { user, column }, value))
            .transpose()
            .map_err(ManagementError::internal)?;
        let hash = value.map(|value| keys.blind_index(column, value).to_vec());
        let sql = format!(
            "UPDATE users SET {column}_sealed = $1, {column}_hmac = $2, {column}_masked = $3,
                 revision = revision + 1, updated_at = now()
             WHERE id = $4"
        );
        let changed = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(sealed)
            .bind(hash)
            .bind(value.map(sealed::mask_value))
            .bind(user)
            .execute(&mut *work.tx)
            .await?;
        if changed.rows_affected() == 0 {
            return Err(ManagementError::NotFound);
        }
    }
    Ok(())
}

fn check_number(column: &str, value: &str) -> Result<(), ManagementError> {
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
        Err(ManagementError::invalid_field(column, form))
    }
}

/// Returns the private fields of a person in clear, and logs that they were read.
///
/// # Errors
/// If the keys do not open them.
pub async fn read_private_fields(
    work: &mut UnitOfWork,
    keys: &SealingKeys,
    user: i64,
) -> Result<Value, ManagementError> {
    work.require_admin()?;
    let (phone, id_card): (Option<Vec<u8>>, Option<Vec<u8>>) =
        sqlx::query_as("SELECT phone, id_card FROM sealed_of($1)")
            .bind(user)
            .fetch_one(&mut *work.tx)
            .await?;
    let open = |column, sealed: Option<Vec<u8>>| {
        sealed
            .map(|sealed| keys.open_value(&SealedField { user, column }, &sealed))
            .transpose()
            .map_err(ManagementError::internal)
    };
    let (phone, id_card) = (open("phone", phone)?, open("id_card", id_card)?);
    log_activity(work, "personal_data_read", json!({ "person": user })).await?;
    Ok(json!({ "phone": phone, "id_card": id_card }))
}

/// Logs an activity that the audit of row changes does not show.
///
/// # Errors
/// Database errors.
pub async fn log_activity(
    work: &mut UnitOfWork,
    activity: &str,
    data: Value,
) -> Result<(), ManagementError> {
    sqlx::query(
        "INSERT INTO user_activity_logs
             (user_id, organization_id, activity_type, activity_data, ip_address, user_agent)
         VALUES ($1, $2, $3, $4, nullif(current_setting('app.ip_address', true), '')::inet,
                 nullif(current_setting('app.user_agent', true), ''))",
    )
    .bind(work.user_id)
    .bind(work.organization_id)
    .bind(activity)
    .bind(Json(data))
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}

/// The complete set of a person's roles in one organisation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Roles)]
pub struct RoleAssignment {
    /// Number of the organisation; none: for `super_admin` alone.
    #[serde(default)]
    pub organization_id: Option<i64>,
    /// `candidate`, `proctor`, `teacher`, `admin`; `super_admin` without an organisation.
    #[serde(rename = "roles")]
    pub names: Vec<String>,
    /// Expiry; none: the roles do not expire.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Replaces the roles of a person in one organisation.
///
/// # Errors
/// [`ManagementError::Forbidden`] if the acting person may not grant them there.
pub async fn set_roles(
    work: &mut UnitOfWork,
    user: i64,
    roles: &RoleAssignment,
) -> Result<(), ManagementError> {
    work.require_admin()?;
    if user == work.user_id.0 {
        // The last administrator could lose the role by mistake.
        return Err(ManagementError::WrongState(
            "your own roles must be changed by another administrator".to_owned(),
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
    .bind(work.user_id)
    .bind(roles.expires_at)
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}

/// Sets a person's password or access code, and ends all log-ins. `code` returns
/// the keyed hash of the new code for a sign-in name.
///
/// # Errors
/// [`ManagementError::Forbidden`] if the acting person may not change this one.
pub async fn set_credentials(
    work: &mut UnitOfWork,
    user: i64,
    password_hash: Option<&str>,
    code: impl Fn(&str) -> Option<[u8; 32]>,
) -> Result<(), ManagementError> {
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
        return Err(ManagementError::Forbidden);
    }
    // The API's role may write password hashes, not read them.
    if let Some(hash) = password_hash {
        sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
            .bind(user)
            .bind(hash)
            .execute(&mut *work.tx)
            .await?;
    }
    end_logins(work, user).await
}

/// Ends every log-in of a person.
///
/// # Errors
/// Database errors.
pub async fn end_logins(work: &mut UnitOfWork, user: i64) -> Result<(), ManagementError> {
    sqlx::query("UPDATE user_sessions SET is_active = false WHERE user_id = $1 AND is_active")
        .bind(user)
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}

/// A valid log-in.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Session)]
pub struct ActiveLogin {
    /// Number of the log-in.
    pub id: i64,
    /// Time of the log-in.
    pub created_at: DateTime<Utc>,
    /// Time at which the log-in expires.
    pub expires_at: DateTime<Utc>,
    /// Time of the last use, to the minute.
    pub last_activity: DateTime<Utc>,
    /// Client address.
    pub ip_address: Option<String>,
    /// `User-Agent` of the client.
    pub user_agent: Option<String>,
    /// True for the log-in of the request itself.
    pub current: bool,
}

/// Returns a page of a person's valid log-ins, in the order of their numbers.
///
/// # Errors
/// [`ManagementError::NotFound`] if the person is not visible.
pub async fn list_logins(
    work: &mut UnitOfWork,
    user: i64,
    cursor: PageCursor,
    now: DateTime<Utc>,
) -> Result<ListPage<ActiveLogin>, ManagementError> {
    resource::get_row::<PersonResource>(work, user).await?;
    let limit = cursor.clamped_limit();
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
    Ok(ListPage::from_rows(rows, limit))
}

/// Ends one log-in of a person.
///
/// # Errors
/// [`ManagementError::NotFound`] if the person has no such log-in.
pub async fn end_login(
    work: &mut UnitOfWork,
    user: i64,
    session: i64,
) -> Result<(), ManagementError> {
    let ended = sqlx::query(
        "UPDATE user_sessions SET is_active = false WHERE id = $1 AND user_id = $2 AND is_active",
    )
    .bind(session)
    .bind(user)
    .execute(&mut *work.tx)
    .await?;
    if ended.rows_affected() == 0 {
        return Err(ManagementError::NotFound);
    }
    Ok(())
}

/// Returns the hash of the acting person's own password.
///
/// # Errors
/// Database errors.
pub async fn own_password_hash(work: &mut UnitOfWork) -> Result<Option<String>, ManagementError> {
    Ok(sqlx::query_scalar("SELECT own_password_hash()")
        .fetch_one(&mut *work.tx)
        .await?)
}

/// Changes the acting person's own password, and ends the person's other log-ins.
///
/// # Errors
/// Database errors.
pub async fn set_own_password(work: &mut UnitOfWork, hash: &str) -> Result<(), ManagementError> {
    sqlx::query("SELECT set_own_password($1)")
        .bind(hash)
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}

/// A checked line of an import.
#[derive(Debug, Serialize)]
pub struct PersonImportRow {
    /// Sign-in name.
    pub username: String,
    /// Display name.
    pub name: String,
    /// E-mail address, or empty.
    pub email: String,
    /// `candidate`, `proctor`, `teacher` or `admin`.
    pub role: String,
    /// Keyed hash of the access code in hexadecimal; none: unchanged.
    pub code: Option<String>,
    /// Codes of exams; none: all of the organisation.
    pub exams: Option<Vec<String>>,
    /// Groups of a candidate, or watched by a proctor.
    pub groups: GroupSet,
    /// Factor of the duration.
    pub time_factor: Decimal,
    /// Extra time in milliseconds.
    pub extra_time_ms: i64,
}

/// Counts of an import's effects.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Imported)]
pub struct ImportSummary {
    /// People added.
    pub created: i64,
    /// People replaced.
    pub updated: i64,
    /// Enrolments added or changed.
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

/// A separate statement: roles are granted to visible people, and a statement does not see the
/// people that it inserts itself.
const IMPORT_ROLES: &str = "
INSERT INTO user_roles (user_id, organization_id, role, granted_by)
SELECT u.id, $2, p.role, $3
FROM jsonb_to_recordset($1) AS p (username text, role text)
JOIN users AS u ON u.username = p.username
ON CONFLICT (user_id, organization_id, role) DO UPDATE SET is_active = true, expires_at = NULL";

/// Adds or replaces people of one organisation, all or none, and enrols them.
///
/// # Errors
/// [`ManagementError::Invalid`] with every row whose name belongs to another organisation.
pub async fn import_people(
    work: &mut UnitOfWork,
    organization: i64,
    course: Option<i64>,
    rows: &[PersonImportRow],
) -> Result<ImportSummary, ManagementError> {
    work.require_admin()?;
    let people = serde_json::to_value(rows).map_err(ManagementError::internal)?;
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
        .bind(work.user_id)
        .execute(&mut *work.tx)
        .await?;
    let enrolled = match course {
        Some(course) => {
            let enrolment = NewEnrolments {
                people: rows.iter().map(|row| row.username.clone()).collect(),
                status: "active".to_owned(),
            };
            enrol_people(work, course, &enrolment).await?
        }
        None => 0,
    };
    log_activity(work, "people_imported", json!({ "people": rows.len() })).await?;
    Ok(ImportSummary {
        created,
        updated,
        enrolled,
    })
}

/// Returns the error that lists the rows with a name of another organisation's person.
async fn foreign_names(
    work: &mut UnitOfWork,
    organization: i64,
    rows: &[PersonImportRow],
) -> Result<ManagementError, ManagementError> {
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
    Ok(ManagementError::Invalid(
        faults
            .filter(|(_, row)| !own.contains(&row.username))
            .map(|(index, _)| FieldFault::new(format!("[{index}].id"), "is taken"))
            .collect(),
    ))
}
