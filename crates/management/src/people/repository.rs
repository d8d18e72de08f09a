//! Table of people, their roles and private data.

use serde_json::{Value, json};
use sqlx::types::Json;

use super::{FieldChange, PersonDraft, PersonRecord, PrivateChange, PrivateFields, RoleAssignment};
use crate::{ManagementError, UnitOfWork, ids::UserId, resource::Resource};
use invigil_secrets::sealed::{self, SealedField, SealingKeys};

/// The resource of people.
#[derive(Debug)]
pub struct PersonResource;

impl Resource for PersonResource {
    type Id = UserId;
    type Draft = PersonDraft;
    type Row = PersonRecord;
    const TABLE: &'static str = "users";
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

/// Seals and stores the private fields of a person.
///
/// # Errors
/// [`ManagementError::Invalid`] for a malformed number,
/// [`ManagementError::Duplicate`] if another person has it.
pub async fn set_private_fields(
    work: &mut UnitOfWork,
    keys: &SealingKeys,
    user: UserId,
    private: &PrivateChange,
) -> Result<(), ManagementError> {
    work.require_admin()?;
    let UserId(user) = user;
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
    user: UserId,
) -> Result<PrivateFields, ManagementError> {
    work.require_admin()?;
    let (phone, id_card): (Option<Vec<u8>>, Option<Vec<u8>>) =
        sqlx::query_as("SELECT phone, id_card FROM sealed_of($1)")
            .bind(user)
            .fetch_one(&mut *work.tx)
            .await?;
    let UserId(user) = user;
    let open = |column, sealed: Option<Vec<u8>>| {
        sealed
            .map(|sealed| keys.open_value(&SealedField { user, column }, &sealed))
            .transpose()
            .map_err(ManagementError::internal)
    };
    let (phone, id_card) = (open("phone", phone)?, open("id_card", id_card)?);
    log_activity(work, "personal_data_read", json!({ "person": user })).await?;
    Ok(PrivateFields { phone, id_card })
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

/// Replaces the roles of a person in one organisation.
///
/// # Errors
/// [`ManagementError::Forbidden`] if the acting person may not grant them there.
pub async fn set_roles(
    work: &mut UnitOfWork,
    user: UserId,
    roles: &RoleAssignment,
) -> Result<(), ManagementError> {
    work.require_admin()?;
    if user == work.user_id {
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
    .bind(&roles.roles)
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
    .bind(&roles.roles)
    .bind(work.user_id)
    .bind(roles.expires_at)
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}
