//! What is common to everything that is listed, read, made, changed and deleted
//! under a number: pages by cursor, changes on top of a known revision, and no
//! column that a client was not meant to set.
//!
//! A resource is a table, the columns that people write ([`Resource::COLUMNS`],
//! the fields of [`Resource::Draft`]) and how it is read. Values travel as
//! `jsonb` and take the columns' types in the database.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::{AssertSqlSafe, types::Json};

use super::{Fault, FieldFault, Work};

/// Something with a table of its own.
pub trait Resource {
    /// What people write. Refuses unknown fields, so that nobody sets what is not theirs.
    type Draft: Serialize + DeserializeOwned + Send + Sync;
    /// What is read.
    type Row: DeserializeOwned + Send + Unpin + 'static;
    /// The table.
    const TABLE: &'static str;
    /// What it is called in sentences.
    const NAME: &'static str;
    /// The draft's columns.
    const COLUMNS: &'static [&'static str];
    /// A query of all rows as (id, row), in which `t` is the table.
    const SELECT: &'static str;
}

/// The most rows of a page.
pub const PAGE_MAX: i64 = 500;

/// A page of a list, in the order of the numbers.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// To be given as `after` for the next page; none: this was the last.
    pub next: Option<i64>,
}

impl<T> Page<T> {
    /// Of rows with their numbers, of which one more was asked for than is shown.
    pub(super) fn of(mut rows: Vec<(i64, Json<T>)>, limit: i64) -> Self {
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

/// Which rows are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    /// Rows with a higher number.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
}

impl Cursor {
    /// How many rows a page has at most.
    pub(super) fn limit(self) -> i64 {
        self.limit.clamp(1, PAGE_MAX)
    }
}

/// A condition on one column.
#[derive(Debug, Clone)]
pub enum Filter {
    /// The column is this.
    Is(&'static str, Value),
    /// The text of the column begins so, whatever the case.
    Begins(&'static str, String),
}

/// A page of what matches all conditions.
///
/// # Errors
/// As every query.
pub async fn list<R: Resource>(
    work: &mut Work,
    cursor: Cursor,
    filters: &[Filter],
) -> Result<Page<R::Row>, Fault> {
    let mut conditions = String::new();
    let mut values = Vec::new();
    for filter in filters {
        let number = values.len() + 3;
        let (condition, value) = match filter {
            Filter::Is(column, value) => (
                // The parameter takes the column's own type.
                format!(
                    " AND t.{column} = (jsonb_populate_record(NULL::{}, \
                     jsonb_build_object('{column}', ${number}::jsonb))).{column}",
                    R::TABLE
                ),
                value.clone(),
            ),
            Filter::Begins(column, text) => (
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
    let limit = cursor.limit();
    let mut query = sqlx::query_as(AssertSqlSafe(sql))
        .bind(cursor.after)
        .bind(limit + 1);
    for value in values {
        query = query.bind(Json(value));
    }
    Ok(Page::of(query.fetch_all(&mut *work.tx).await?, limit))
}

/// One row.
///
/// # Errors
/// [`Fault::NotFound`].
pub async fn get<R: Resource>(work: &mut Work, id: i64) -> Result<R::Row, Fault> {
    let sql = format!("{} WHERE t.id = $1", R::SELECT);
    let row: (i64, Json<R::Row>) = sqlx::query_as(AssertSqlSafe(sql))
        .bind(id)
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(row.1.0)
}

/// Makes a row.
///
/// # Errors
/// What the table does not take.
pub async fn create<R: Resource>(work: &mut Work, draft: &R::Draft) -> Result<R::Row, Fault> {
    // What the draft leaves out gets the column's default.
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
    get::<R>(work, id).await
}

/// Changes a row by a merge patch (RFC 7396) on top of the revision that the
/// client has seen.
///
/// # Errors
/// [`Fault::Stale`] where it has another one by now.
pub async fn change<R: Resource>(
    work: &mut Work,
    id: i64,
    revision: i32,
    patch: &Value,
) -> Result<R::Row, Fault> {
    let draft = patched::<R>(work, id, patch).await?;
    update::<R>(work, id, revision, &draft).await
}

/// The draft of a row with a patch applied.
///
/// # Errors
/// Where the patch has unknown fields or values of the wrong kind.
pub async fn patched<R: Resource>(
    work: &mut Work,
    id: i64,
    patch: &Value,
) -> Result<R::Draft, Fault> {
    let sql = format!(
        "SELECT to_jsonb(t) FROM (SELECT {} FROM {} WHERE id = $1) AS t",
        R::COLUMNS.join(", "),
        R::TABLE
    );
    let current: Json<Value> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(id)
        .fetch_one(&mut *work.tx)
        .await?;
    let mut draft = current.0;
    if !patch.is_object() {
        return Err(Fault::field("", "must be an object"));
    }
    merge(&mut draft, patch);
    serde_json::from_value(draft).map_err(|error| Fault::field("", error.to_string()))
}

/// Replaces what people write of a row.
///
/// # Errors
/// [`Fault::Stale`] where the revision is another one by now.
pub async fn update<R: Resource>(
    work: &mut Work,
    id: i64,
    revision: i32,
    draft: &R::Draft,
) -> Result<R::Row, Fault> {
    let list = R::COLUMNS.join(", ");
    let sql = format!(
        "UPDATE {table} SET ({list}) = (SELECT {list} FROM jsonb_populate_record(NULL::{table}, $1)),
             revision = revision + 1
         WHERE id = $2 AND revision = $3",
        table = R::TABLE
    );
    let changed = sqlx::query(AssertSqlSafe(sql))
        .bind(Json(to_object(draft)?))
        .bind(id)
        .bind(revision)
        .execute(&mut *work.tx)
        .await?;
    if changed.rows_affected() == 0 {
        // It is there, and the person sees it: another revision, or not theirs to change.
        return Err(stale_or_forbidden::<R>(work, id, revision).await?);
    }
    get::<R>(work, id).await
}

async fn stale_or_forbidden<R: Resource>(
    work: &mut Work,
    id: i64,
    revision: i32,
) -> Result<Fault, Fault> {
    let sql = format!("SELECT revision FROM {} WHERE id = $1", R::TABLE);
    let current: i32 = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(id)
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(if current == revision {
        Fault::Forbidden
    } else {
        Fault::Stale
    })
}

/// Deletes a row on which nothing depends.
///
/// # Errors
/// [`Fault::InUse`] with what uses it; [`Fault::Stale`].
pub async fn delete<R: Resource>(work: &mut Work, id: i64, revision: i32) -> Result<(), Fault> {
    let sql = format!("DELETE FROM {} WHERE id = $1 AND revision = $2", R::TABLE);
    let gone = sqlx::query(AssertSqlSafe(sql))
        .bind(id)
        .bind(revision)
        .execute(&mut *work.tx)
        .await?;
    if gone.rows_affected() == 0 {
        return Err(stale_or_forbidden::<R>(work, id, revision).await?);
    }
    Ok(())
}

/// RFC 7396: objects are merged, null removes, everything else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
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
            // The draft's own default, or a column's null.
            target.insert(key.clone(), Value::Null);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// A body as a draft, with what is wrong named as well as serde can.
///
/// # Errors
/// [`Fault::Invalid`].
pub fn draft<T: DeserializeOwned>(body: Value) -> Result<T, Fault> {
    serde_json::from_value(body).map_err(|error| {
        let message = error.to_string();
        let field = message
            .split('`')
            .nth(1)
            .filter(|_| message.contains("field"));
        Fault::Invalid(vec![FieldFault::new(field.unwrap_or_default(), &message)])
    })
}

fn to_object<T: Serialize>(draft: &T) -> Result<Value, Fault> {
    serde_json::to_value(draft).map_err(Fault::internal)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_merges_objects_and_replaces_the_rest() {
        let mut target = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1, 2]});
        merge(
            &mut target,
            &json!({"a": null, "b": {"c": 3, "x": {"y": 1}}, "e": [3]}),
        );
        assert_eq!(
            target,
            json!({"a": null, "b": {"c": 3, "d": 2, "x": {"y": 1}}, "e": [3]})
        );
    }
}
