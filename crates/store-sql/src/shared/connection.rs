//! Running a statement on a connection of either database.

use std::pin::Pin;

use sqlx::{
    Arguments, Encode, FromRow, PgConnection, Postgres, Sqlite, SqliteConnection, Type,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A parameter's value that both databases can encode.
pub(crate) trait SqlValue: Sync {
    /// Adds the value to the arguments of a PostgreSQL statement.
    fn add_to_postgres(&self, arguments: &mut PgArguments) -> Result<()>;

    /// Adds the value to the arguments of an SQLite statement.
    fn add_to_sqlite(&self, arguments: &mut SqliteArguments) -> Result<()>;
}

impl<'q, T> SqlValue for T
where
    T: Encode<'q, Postgres> + Type<Postgres> + Encode<'q, Sqlite> + Type<Sqlite> + Sync,
{
    fn add_to_postgres(&self, arguments: &mut PgArguments) -> Result<()> {
        arguments.add(self).map_err(sqlx::Error::Encode)
    }

    fn add_to_sqlite(&self, arguments: &mut SqliteArguments) -> Result<()> {
        arguments.add(self).map_err(sqlx::Error::Encode)
    }
}

/// A row that both databases can decode.
pub(crate) trait SqlRow:
    for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{
}

impl<T> SqlRow for T where
    T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{
}

/// The rows of a statement that runs. The box hides sqlx's own future, of which the compiler
/// cannot prove that it is `Send` for every lifetime.
type RowFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>>;

/// A connection of either database.
pub(crate) trait SqlConnection: Send {
    /// Returns all rows of a query.
    fn query_rows<'c, T: SqlRow + 'c>(
        &'c mut self,
        statement: &'static str,
        values: &[&dyn SqlValue],
    ) -> RowFuture<'c, Vec<T>>;

    /// Returns the first row of a query, if there is one.
    fn query_row<'c, T: SqlRow + 'c>(
        &'c mut self,
        statement: &'static str,
        values: &[&dyn SqlValue],
    ) -> RowFuture<'c, Option<T>>;

    /// Executes a statement; returns the number of rows that it touched.
    fn execute_statement<'c>(
        &'c mut self,
        statement: &'static str,
        values: &[&dyn SqlValue],
    ) -> RowFuture<'c, u64>;
}

impl SqlConnection for PgConnection {
    fn query_rows<'c, T: SqlRow + 'c>(
        &'c mut self,
        statement: &'static str,
        values: &[&dyn SqlValue],
    ) -> RowFuture<'c, Vec<T>> {
        let arguments = postgres_arguments(values);
        Box::pin(async move {
            let query = sqlx::query_as_with(statement, arguments?);
            query.fetch_all(self).await
        })
    }

    fn query_row<'c, T: SqlRow + 'c>(
        &'c mut self,
        statement: &'static str,
        values: &[&dyn SqlValue],
    ) -> RowFuture<'c, Option<T>> {
        let arguments = postgres_arguments(values);
        Box::pin(async move {
            let query = sqlx::query_as_with(statement, arguments?);
            query.fetch_optional(self).await
        })
    }

    fn execute_statement<'c>(
        &'c mut self,
        statement: &'static str,
        values: &[&dyn SqlValue],
    ) -> RowFuture<'c, u64> {
        let arguments = postgres_arguments(values);
        Box::pin(async move {
            let done = sqlx::query_with(statement, arguments?)
                .execute(self)
                .await?;
            Ok(done.rows_affected())
        })
    }
}

impl SqlConnection for SqliteConnection {
    fn query_rows<'c, T: SqlRow + 'c>(
        &'c mut self,
        statement: &'static str,
        values: &[&dyn SqlValue],
    ) -> RowFuture<'c, Vec<T>> {
        let arguments = sqlite_arguments(values);
        Box::pin(async move {
            let query = sqlx::query_as_with(statement, arguments?);
            query.fetch_all(self).await
        })
    }

    fn query_row<'c, T: SqlRow + 'c>(
        &'c mut self,
        statement: &'static str,
        values: &[&dyn SqlValue],
    ) -> RowFuture<'c, Option<T>> {
        let arguments = sqlite_arguments(values);
        Box::pin(async move {
            let query = sqlx::query_as_with(statement, arguments?);
            query.fetch_optional(self).await
        })
    }

    fn execute_statement<'c>(
        &'c mut self,
        statement: &'static str,
        values: &[&dyn SqlValue],
    ) -> RowFuture<'c, u64> {
        let arguments = sqlite_arguments(values);
        Box::pin(async move {
            let done = sqlx::query_with(statement, arguments?)
                .execute(self)
                .await?;
            Ok(done.rows_affected())
        })
    }
}

fn postgres_arguments(values: &[&dyn SqlValue]) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for value in values {
        value.add_to_postgres(&mut arguments)?;
    }
    Ok(arguments)
}

fn sqlite_arguments(values: &[&dyn SqlValue]) -> Result<SqliteArguments> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        value.add_to_sqlite(&mut arguments)?;
    }
    Ok(arguments)
}
