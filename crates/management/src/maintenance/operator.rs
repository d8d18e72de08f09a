//! Work of an operator: the first administrator, and new sealing keys.

use std::future::Future;

use sqlx::PgPool;

use crate::{ManagementError, ids::UserId};
use invigil_secrets::sealed::{self, SealedField, SealingKeys};
use invigil_store_sql::postgres::PostgresStore;

/// Grants a person the role `super_admin`; false if the sign-in name is unknown.
///
/// # Errors
/// Database errors.
pub async fn grant_super_admin(
    store: &PostgresStore,
    username: &str,
) -> Result<bool, ManagementError> {
    let done = sqlx::query(
        "INSERT INTO user_roles (user_id, role)
         SELECT id, 'super_admin' FROM users WHERE username = $1
         ON CONFLICT (user_id, organization_id, role)
         DO UPDATE SET is_active = true, expires_at = NULL",
    )
    .bind(username)
    .execute(store.pool())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Seals all personal data with a new key, then removes the old keys. Returns the count of
/// sealed values.
///
/// # Errors
/// If a value does not open; then the old keys stay.
pub async fn rotate_keys(
    store: &PostgresStore,
    keys: &mut SealingKeys,
) -> Result<u64, ManagementError> {
    keys.add_key().map_err(ManagementError::internal)?;
    let mut count = 0;
    for column in ["phone", "id_card"] {
        count += for_each_batch(|after| reseal_batch(store.pool(), keys, column, after)).await?;
    }
    keys.forget_old().map_err(ManagementError::internal)?;
    Ok(count)
}

async fn for_each_batch<F: Future<Output = Result<Option<(UserId, u64)>, ManagementError>>>(
    batch: impl Fn(UserId) -> F,
) -> Result<u64, ManagementError> {
    let (mut after, mut count) = (UserId(0), 0);
    while let Some((last, done)) = batch(after).await? {
        after = last;
        count += done;
    }
    Ok(count)
}

/// Seals one batch again. Returns the number of its last person and the count of values; none
/// after the last batch.
async fn reseal_batch(
    pool: &PgPool,
    keys: &SealingKeys,
    column: &'static str,
    after: UserId,
) -> Result<Option<(UserId, u64)>, ManagementError> {
    let mut tx = pool.begin().await?;
    let sql = format!(
        "SELECT id, {column}_sealed FROM users
         WHERE id > $1 AND {column}_sealed IS NOT NULL ORDER BY id LIMIT 500 FOR UPDATE"
    );
    let rows: Vec<(UserId, Vec<u8>)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(after)
        .fetch_all(&mut *tx)
        .await?;
    let Some((last, _)) = rows.last() else {
        return Ok(None);
    };
    let sealed: Result<Vec<Vec<u8>>, sealed::Error> = rows
        .iter()
        .map(|(user, sealed)| {
            let place = SealedField {
                user: user.0,
                column,
            };
            keys.seal_value(&place, &keys.open_value(&place, sealed)?)
        })
        .collect();
    let sealed = sealed.map_err(ManagementError::internal)?;
    let ids: Vec<UserId> = rows.iter().map(|(id, _)| *id).collect();
    let sql = format!(
        "UPDATE users AS u SET {column}_sealed = n.sealed
         FROM unnest($1::bigint[], $2::bytea[]) AS n (id, sealed) WHERE u.id = n.id"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&ids)
        .bind(&sealed)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Some((*last, rows.len() as u64)))
}
