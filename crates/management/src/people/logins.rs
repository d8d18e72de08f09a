//! Credentials and log-ins of people.

use chrono::{DateTime, Utc};

use super::{ActiveLogin, PersonResource};
use crate::{
    ManagementError, UnitOfWork,
    ids::{LoginId, UserId},
    resource::{self, ListPage, PageCursor},
};

/// Sets a person's password or access code, and ends all log-ins. `code` returns
/// the keyed hash of the new code for a sign-in name.
///
/// # Errors
/// [`ManagementError::Forbidden`] if the acting person may not change this one.
pub async fn set_credentials(
    work: &mut UnitOfWork,
    user: UserId,
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
pub async fn end_logins(work: &mut UnitOfWork, user: UserId) -> Result<(), ManagementError> {
    sqlx::query("UPDATE user_sessions SET is_active = false WHERE user_id = $1 AND is_active")
        .bind(user)
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}

/// Returns a page of a person's valid log-ins, in the order of their numbers.
///
/// # Errors
/// [`ManagementError::NotFound`] if the person is not visible.
pub async fn list_logins(
    work: &mut UnitOfWork,
    user: UserId,
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
    user: UserId,
    login: LoginId,
) -> Result<(), ManagementError> {
    let ended = sqlx::query(
        "UPDATE user_sessions SET is_active = false WHERE id = $1 AND user_id = $2 AND is_active",
    )
    .bind(login)
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
