//! Generic list, read, create, change and delete of numbered rows: pages by cursor,
//! changes against a known revision, and a fixed set of writable columns.
//!
//! A resource is a table, its writable columns ([`Resource::COLUMNS`], the fields
//! of [`Resource::Draft`]) and a query that reads it. Values travel as `jsonb` and
//! take the columns' types in the database.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{AssertSqlSafe, types::Json};

use crate::{FieldFault, ManagementError, UnitOfWork};

/// A table whose rows people list, read and edit by number.
pub trait Resource {
    /// Number of a row.
    type Id: Copy + Send + Into<i64>;
    /// Editable fields.
    type Draft: Serialize + Send + Sync;
    /// Row as it is read.
    type Row: DeserializeOwned + Send + Unpin + 'static;
    /// Name of the table.
    const TABLE: &'static str;
    /// Columns of the draft.
    const COLUMNS: &'static [&'static str];
    /// Query of all rows as (id, row), in which `t` is the table.
    const SELECT: &'static str;

    /// Returns the revision of a row.
    fn revision(row: &Self::Row) -> i32;
}

/// Largest number of rows in a page.
pub const PAGE_MAX: i64 = 500;

/// A page of a list, in the order of the rows' numbers.
#[derive(Debug, Serialize)]
pub struct ListPage<T> {
    /// The rows.
    pub items: Vec<T>,
    /// `after` of the next page; none: this is the last.
    pub next: Option<i64>,
}

impl<T> ListPage<T> {
    /// Creates a page from `limit + 1` queried rows: the extra row tells that another page
    /// follows.
    pub(super) fn from_rows(mut rows: Vec<(i64, Json<T>)>, limit: i64) -> Self {
        let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            rows.pop();
        }
        Self {
            next: rows.last().filter(|_| more).map(|(id, _)| *id),
            items: rows.into_iter().map(|(_, Json(row))| row).collect(),
        }
    }
}

/// Start and length of a page.
#[derive(Debug, Clone, Copy)]
pub struct PageCursor {
    /// Lower bound of the rows' numbers, exclusive.
    pub after: i64,
    /// Requested number of rows.
    pub limit: i64,
}

impl PageCursor {
    /// Returns the number of rows, 1 to [`PAGE_MAX`].
    pub(super) fn clamped_limit(self) -> i64 {
        self.limit.clamp(1, PAGE_MAX)
    }
}

/// A condition on one column.
#[derive(Debug, Clone)]
pub enum ColumnFilter {
    /// The column equals the value.
    Is(&'static str, Value),
    /// The column's text starts with the prefix, ignoring case.
    Begins(&'static str, String),
}

/// Returns a page of the rows that match all conditions.
///
/// # Errors
/// Database errors.
pub async fn list_rows<R: Resource>(
    work: &mut UnitOfWork,
    cursor: PageCursor,
    filters: &[ColumnFilter],
) -> Result<ListPage<R::Row>, ManagementError> {
    let mut conditions = String::new();
    let mut values = Vec::new();
    for filter in filters {
        let number = values.len() + 3;
        let (condition, value) = match filter {
            ColumnFilter::Is(column, value) => (
                // The parameter takes the column's own type.
                format!(
                    " AND t.{column} = (jsonb_populate_record(NULL::{}, \
                     jsonb_build_object('{column}', ${number}::jsonb))).{column}",
                    R::TABLE
                ),
                value.clone(),
            ),
            ColumnFilter::Begins(column, text) => (
                format!(" AND starts_with(lower(t.{column}), lower(${number}::jsonb #>> '{{}}'))"),
                Value::String(text.clone()),
            ),
        };
        conditions.push_str(&condition);
        values.push(value);
    }
    let sql = format!(
        "{} WHERE t.id > $1{conditions} ORDER BY t.id LIMIT $2",
        R::SELECT
    );
    let limit = cursor.clamped_limit();
    let mut query = sqlx::query_as(AssertSqlSafe(sql))
        .bind(cursor.after)
        .bind(limit + 1);
    for value in values {
        query = query.bind(Json(value));
    }
    Ok(ListPage::from_rows(
        query.fetch_all(&mut *work.tx).await?,
        limit,
    ))
}

/// Returns one row.
///
/// # Errors
/// [`ManagementError::NotFound`].
pub async fn get_row<R: Resource>(
    work: &mut UnitOfWork,
    id: R::Id,
) -> Result<R::Row, ManagementError> {
    get_row_by_number::<R>(work, id.into()).await
}

async fn get_row_by_number<R: Resource>(
    work: &mut UnitOfWork,
    id: i64,
) -> Result<R::Row, ManagementError> {
    let sql = format!("{} WHERE t.id = $1", R::SELECT);
    let row: (i64, Json<R::Row>) = sqlx::query_as(AssertSqlSafe(sql))
        .bind(id)
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(row.1.0)
}

/// Creates a row.
///
/// # Errors
/// Violations of the table's constraints.
pub async fn create_row<R: Resource>(
    work: &mut UnitOfWork,
    draft: &R::Draft,
) -> Result<R::Row, ManagementError> {
    // Omitted fields get the column's default.
    let given = to_object(draft)?;
    let columns: Vec<&str> = R::COLUMNS
        .iter()
        .copied()
        .filter(|column| given.get(column).is_some_and(|value| !value.is_null()))
        .collect();
    let list = columns.join(", ");
    let sql = format!(
        "INSERT INTO {table} ({list}) SELECT {list} FROM jsonb_populate_record(NULL::{table}, $1)
         RETURNING id",
        table = R::TABLE
    );
    let id: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(Json(given))
        .fetch_one(&mut *work.tx)
        .await?;
    get_row_by_number::<R>(work, id).await
}

/// Returns the editable fields of a row, by their columns.
///
/// # Errors
/// [`ManagementError::NotFound`].
pub async fn editable_fields<R: Resource>(
    work: &mut UnitOfWork,
    id: R::Id,
) -> Result<Value, ManagementError> {
    let sql = format!(
        "SELECT to_jsonb(t) FROM (SELECT {} FROM {} WHERE id = $1) AS t",
        R::COLUMNS.join(", "),
        R::TABLE
    );
    let Json(fields) = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(id.into())
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(fields)
}

/// Replaces the editable fields of a row.
///
/// # Errors
/// [`ManagementError::Stale`] if the row has another revision by now.
pub async fn update_row<R: Resource>(
    work: &mut UnitOfWork,
    id: R::Id,
    revision: i32,
    draft: &R::Draft,
) -> Result<R::Row, ManagementError> {
    let list = R::COLUMNS.join(", ");
    let sql = format!(
        "UPDATE {table} SET ({list}) = (SELECT {list} FROM jsonb_populate_record(NULL::{table}, $1)),
             revision = revision + 1
         WHERE id = $2 AND revision = $3",
        table = R::TABLE
    );
    let changed = sqlx::query(AssertSqlSafe(sql))
        .bind(Json(to_object(draft)?))
        .bind(id.into())
        .bind(revision)
        .execute(&mut *work.tx)
        .await?;
    if changed.rows_affected() == 0 {
        // The row is visible: either its revision differs, or a policy forbids the change.
        return Err(stale_or_forbidden::<R>(work, id, revision).await?);
    }
    get_row::<R>(work, id).await
}

async fn stale_or_forbidden<R: Resource>(
    work: &mut UnitOfWork,
    id: R::Id,
    revision: i32,
) -> Result<ManagementError, ManagementError> {
    let sql = format!("SELECT revision FROM {} WHERE id = $1", R::TABLE);
    let current: i32 = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(id.into())
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(if current == revision {
        ManagementError::Forbidden
    } else {
        ManagementError::Stale
    })
}

/// Deletes a row that no other row refers to.
///
/// # Errors
/// [`ManagementError::InUse`] with the referring table; [`ManagementError::Stale`].
pub async fn delete_row<R: Resource>(
    work: &mut UnitOfWork,
    id: R::Id,
    revision: i32,
) -> Result<(), ManagementError> {
    let sql = format!("DELETE FROM {} WHERE id = $1 AND revision = $2", R::TABLE);
    let gone = sqlx::query(AssertSqlSafe(sql))
        .bind(id.into())
        .bind(revision)
        .execute(&mut *work.tx)
        .await?;
    if gone.rows_affected() == 0 {
        return Err(stale_or_forbidden::<R>(work, id, revision).await?);
    }
    Ok(())
}

/// Applies a merge patch (RFC 7396): objects merge, null removes, other values replace.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            // Kept as null: the draft's default, or the column's null.
            target.insert(key.clone(), Value::Null);
        } else {
            merge_patch(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Parses a request body as a draft, and names the field of an error if serde does.
///
/// # Errors
/// [`ManagementError::Invalid`].
pub fn parse_draft<T: DeserializeOwned>(body: Value) -> Result<T, ManagementError> {
    serde_json::from_value(body).map_err(|error| {
        let message = error.to_string();
        let field = message
            .split('`')
            .nth(1)
            .filter(|_| message.contains("field"));
        ManagementError::Invalid(vec![FieldFault::new(field.unwrap_or_default(), &message)])
    })
}

fn to_object<T: Serialize>(draft: &T) -> Result<Value, ManagementError> {
    serde_json::to_value(draft).map_err(ManagementError::internal)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_merges_objects_and_replaces_the_rest() {
        let mut target = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1, 2]});
        merge_patch(
            &mut target,
            &json!({"a": null, "b": {"c": 3, "x": {"y": 1}}, "e": [3]}),
        );
        assert_eq!(
            target,
            json!({"a": null, "b": {"c": 3, "d": 2, "x": {"y": 1}}, "e": [3]})
        );
    }
}
