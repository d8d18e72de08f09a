//! Tests of the data directory: its lock, its schema and a full disk.

use std::os::unix::fs::PermissionsExt;

use super::*;
use invigil_store::CatalogStore;

fn schema_sentence(outcome: Result<SqliteStore, Error>) -> String {
    match outcome {
        Err(Error::Schema(sentence)) => sentence,
        other => panic!("no sentence: {other:?}"),
    }
}

#[tokio::test]
async fn a_missing_directory_is_made_for_this_user_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("a/b");
    let store = SqliteStore::open(&dir).await.unwrap();
    assert_eq!(
        std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
    store.close().await;
}

#[tokio::test]
async fn a_directory_belongs_to_one_store_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = SqliteStore::open(dir.path()).await.unwrap();
    assert!(schema_sentence(SqliteStore::open(dir.path()).await).contains("in use by another"));
    let secret = first.ensure_secret("s", &[1; 32]).await.unwrap();
    first.close().await;
    let second = SqliteStore::open(dir.path()).await.unwrap();
    assert_eq!(second.ensure_secret("s", &[2; 32]).await.unwrap(), secret);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named_in_a_sentence() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "text").unwrap();
    assert!(schema_sentence(SqliteStore::open(&file).await).contains("cannot be created"));

    let taken = root.path().join("taken");
    std::fs::create_dir_all(taken.join(LOCK_FILE)).unwrap();
    assert!(schema_sentence(SqliteStore::open(&taken).await).contains("cannot be written"));

    let foreign = root.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join(DATABASE_FILE), "no database ".repeat(99)).unwrap();
    assert!(schema_sentence(SqliteStore::open(&foreign).await).contains("cannot be opened"));
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99991231235959, 'later', TRUE, x'00', 0)",
    )
    .execute(&store.writer)
    .await
    .unwrap();
    store.close().await;
    assert!(schema_sentence(SqliteStore::open(dir.path()).await).contains("newer invigil"));
}

#[tokio::test]
async fn a_commit_is_on_disk_before_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let pragma = async |statement: &'static str| -> String {
        sqlx::query_scalar(statement)
            .fetch_one(&store.writer)
            .await
            .unwrap()
    };
    assert_eq!(
        pragma("SELECT journal_mode FROM pragma_journal_mode").await,
        "wal"
    );
    let full = "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous";
    assert_eq!(pragma(full).await, "2");
    let keys = "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys";
    assert_eq!(pragma(keys).await, "1");
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_corrupts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    store.ensure_secret("before", &[1; 32]).await.unwrap();
    // SQLite fails alike whether the file may not grow or the disk is full.
    sqlx::query("PRAGMA max_page_count = 1")
        .execute(&store.writer)
        .await
        .unwrap();
    let mut failure = None;
    for number in 0..2_000 {
        let name = format!("{number} {}", "x".repeat(1_000));
        if let Err(error) = store.ensure_secret(&name, &[2; 32]).await {
            failure = Some(error);
            break;
        }
    }
    assert!(
        matches!(failure, Some(Error::Unavailable { .. })),
        "{failure:?}"
    );
    sqlx::query("PRAGMA max_page_count = 100000")
        .execute(&store.writer)
        .await
        .unwrap();
    store.ensure_secret("after", &[3; 32]).await.unwrap();
    assert_eq!(
        store.ensure_secret("before", &[9; 32]).await.unwrap(),
        [1; 32]
    );
    let sound: String = sqlx::query_scalar("SELECT integrity_check FROM pragma_integrity_check")
        .fetch_one(&store.writer)
        .await
        .unwrap();
    assert_eq!(sound, "ok");
}
