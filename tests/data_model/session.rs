//! A connection that acts as the owner, as a database role or as a person.

use std::fmt::Write;

use invigil_store_sql::postgres::PostgresStore;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, postgres::PgRow};

use crate::postgres_server::Database;

/// Returns a database with every migration; none without a server.
pub(crate) async fn migrated() -> Option<Database> {
    let database = Database::create().await?;
    PostgresStore::migrate(&database.url).await.unwrap();
    Some(database)
}

/// Returns a database with the roles, and people of three organisations.
pub(crate) async fn world() -> Option<Database> {
    let database = migrated().await?;
    PostgresStore::grant_roles(&database.url).await.unwrap();
    let mut connection = database.connection().await;
    run(&mut connection, include_str!("world.sql")).await;
    connection.close().await.unwrap();
    Some(database)
}

/// Runs statements that must succeed.
pub(crate) async fn run(connection: &mut PgConnection, statements: &str) {
    if let Err(error) = connection
        .execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned())))
        .await
    {
        panic!("{error}: {statements:.400}");
    }
}

/// Returns the rows of a query that must succeed.
pub(crate) async fn rows(connection: &mut PgConnection, query: &str) -> Vec<PgRow> {
    sqlx::query(AssertSqlSafe(query.to_owned()))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {query}"))
}

/// Returns the single value of a query, as text; `null` for none.
pub(crate) async fn value(connection: &mut PgConnection, query: &str) -> String {
    let wrapped = format!("SELECT ({query})::text");
    let found: Option<String> = sqlx::query_scalar(AssertSqlSafe(wrapped))
        .fetch_one(connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {query}"));
    found.unwrap_or_else(|| "null".to_owned())
}

/// Returns the rows of a query's only column of text, a line each.
pub(crate) async fn lines(connection: &mut PgConnection, query: &str) -> String {
    let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query.to_owned()))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {query}"));
    text(found)
}

/// Returns lines as one text.
pub(crate) fn text(lines: impl IntoIterator<Item = String>) -> String {
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{line}").unwrap();
    }
    text
}

/// Begins a transaction of a database role, in which a person acts if one is named. Returns
/// true if the log-in counted.
pub(crate) async fn enter(connection: &mut PgConnection, role: &str, person: &str) -> bool {
    run(connection, &format!("BEGIN; SET LOCAL ROLE {role}")).await;
    if person.is_empty() {
        return false;
    }
    let query = format!(
        "SELECT user_id FROM app_enter(sha256('{person}'::bytea), now(), '127.0.0.1', 'test')"
    );
    !rows(connection, &query).await.is_empty()
}

/// Tries statements and undoes their effects. Returns the number of touched rows, or the
/// SQLSTATE, with the violated constraint if there is one.
pub(crate) async fn outcome(connection: &mut PgConnection, statements: &str) -> String {
    let tried = connection
        .execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned())))
        .await;
    let text = match tried {
        Ok(done) => format!("{} rows", done.rows_affected()),
        Err(sqlx::Error::Database(refused)) => {
            let code = refused.code().unwrap_or_default().into_owned();
            match refused.constraint() {
                Some(constraint) => format!("{code} {constraint}"),
                None => code,
            }
        }
        Err(other) => panic!("{other}: {statements}"),
    };
    run(connection, "ROLLBACK").await;
    text
}

/// Acts as the API, for a person.
pub(crate) async fn as_person(connection: &mut PgConnection, who: &str, sql: &str) -> String {
    assert!(enter(connection, "invigil_app", who).await, "{who} enters");
    outcome(connection, sql).await
}

/// Acts as a database role, for no person.
pub(crate) async fn as_role(connection: &mut PgConnection, role: &str, sql: &str) -> String {
    enter(connection, role, "").await;
    outcome(connection, sql).await
}

/// Acts as the owner of the tables, whom no policy binds.
pub(crate) async fn as_owner(connection: &mut PgConnection, sql: &str) -> String {
    run(connection, "BEGIN").await;
    outcome(connection, sql).await
}

/// Fails with all cases at once whose result is another.
pub(crate) fn none(faults: &[String]) {
    assert!(faults.is_empty(), "otherwise:\n{}", faults.join("\n"));
}
