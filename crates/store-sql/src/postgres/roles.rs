//! The roles of a database: their rights, and the version of these rights.

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection};

use super::{PostgresStore, classify_error, connect_once, connect_options};
use invigil_store::Error;

/// The rights of each role, in the order of execution: grants name functions of
/// `identity`, and policies call them. A change of any file is a new [`roles_version`].
const ROLES_SQL: &str = concat!(
    include_str!("roles/roles.sql"),
    "\n",
    include_str!("roles/identity.sql"),
    "\n",
    include_str!("roles/grants.sql"),
    "\n",
    include_str!("roles/policies.sql"),
    "\n",
    include_str!("roles/functions.sql"),
);

/// Function whose comment holds the version of [`ROLES_SQL`] granted in a database.
const ROLES_MARK: &str = "app_numbers(text)";

/// The role of the management side.
pub(super) const APP_ROLE: &str = "invigil_app";

/// The role of the engine.
pub(super) const ENGINE_ROLE: &str = "invigil_engine";

impl PostgresStore {
    /// Creates missing database roles, grants each the least that it needs and
    /// revokes everything else.
    ///
    /// # Errors
    /// Returns an error if the log-in may not create roles or does not own the tables.
    pub async fn grant_roles(url: &str) -> Result<(), Error> {
        let operation = "grant roles";
        let mut connection = connect_once(operation, &connect_options(url)?).await?;
        let mut transaction = connection
            .begin()
            .await
            .map_err(|error| classify_error(operation, error))?;
        sqlx::raw_sql(ROLES_SQL)
            .execute(&mut *transaction)
            .await
            .map_err(|error| match error.as_database_error() {
                Some(refused) if refused.code().as_deref() == Some("42501") => Error::Schema(
                    format!("the database log-in may not create or grant the roles: {refused}"),
                ),
                _ => classify_error(operation, error),
            })?;
        let mark = format!("COMMENT ON FUNCTION {ROLES_MARK} IS '{}'", roles_version());
        sqlx::query(AssertSqlSafe(mark))
            .execute(&mut *transaction)
            .await
            .map_err(|error| classify_error(operation, error))?;
        transaction
            .commit()
            .await
            .map_err(|error| classify_error(operation, error))
    }
}

/// Returns the role if it exists and the log-in may assume it.
///
/// # Errors
/// [`Error::Schema`] if its rights are those of another version. The engine would otherwise
/// fail at its first save and wait for ever for a store that is available.
pub(super) async fn usable_role(
    url: &str,
    role: &'static str,
) -> Result<Option<&'static str>, Error> {
    let operation = "look for a database role";
    let mut connection = connect_once(operation, &connect_options(url)?).await?;
    // Roles belong to the whole server; the mark shows that this database granted them.
    let granted: Option<String> = sqlx::query_scalar(
        "SELECT obj_description(to_regprocedure($2), 'pg_proc')
         FROM pg_roles WHERE rolname = $1 AND pg_has_role(oid, 'MEMBER')",
    )
    .bind(role)
    .bind(ROLES_MARK)
    .fetch_optional(&mut connection)
    .await
    .map_err(|error| classify_error(operation, error))?
    .flatten();
    match granted {
        Some(version) if version == roles_version() => Ok(Some(role)),
        Some(_) => Err(Error::Schema(
            "the rights of the database roles are those of another version: \
             run `invigil migrate --roles`"
                .to_owned(),
        )),
        None => Ok(None),
    }
}

/// Returns the version of the rights that this program needs.
fn roles_version() -> String {
    format!("sha256:{:x}", Sha256::digest(ROLES_SQL))
}
