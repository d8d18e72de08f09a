//! The data directory: who may use it, and what a full disk does.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::store::Catalog;

fn sentence(outcome: Result<Sqlite, Error>) -> String {
    match outcome {
        Err(Error::Schema(sentence)) => sentence,
        other => panic!("no sentence: {other:?}"),
    }
}

#[tokio::test]
async fn a_missing_directory_is_made_for_this_user_alone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("a/b");
    let store = Sqlite::open(&dir).await.unwrap();
    assert_eq!(
        std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
    store.close().await;
}

#[tokio::test]
async fn a_directory_belongs_to_one_store_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = Sqlite::open(dir.path()).await.unwrap();
    assert!(sentence(Sqlite::open(dir.path()).await).contains("in use by another"));
    let secret = first.secret("s", &[1; 32]).await.unwrap();
    first.close().await;
    let second = Sqlite::open(dir.path()).await.unwrap();
    assert_eq!(second.secret("s", &[2; 32]).await.unwrap(), secret);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named_in_a_sentence() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "text").unwrap();
    assert!(sentence(Sqlite::open(&file).await).contains("cannot be made"));

    let taken = root.path().join("taken");
    std::fs::create_dir_all(taken.join(LOCK)).unwrap();
    assert!(sentence(Sqlite::open(&taken).await).contains("cannot be written"));

    let foreign = root.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join(DATABASE), "no database ".repeat(99)).unwrap();
    assert!(sentence(Sqlite::open(&foreign).await).contains("cannot be opened"));
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path()).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99991231235959, 'later', TRUE, x'00', 0)",
    )
    .execute(&store.writer)
    .await
    .unwrap();
    store.close().await;
    assert!(sentence(Sqlite::open(dir.path()).await).contains("newer invigil"));
}

#[tokio::test]
async fn a_commit_is_on_disk_before_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path()).await.unwrap();
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
    let store = Sqlite::open(dir.path()).await.unwrap();
    store.secret("before", &[1; 32]).await.unwrap();
    // SQLite fails alike where the file may not grow and where the disk is full.
    sqlx::query("PRAGMA max_page_count = 1")
        .execute(&store.writer)
        .await
        .unwrap();
    let mut failure = None;
    for number in 0..2_000 {
        let name = format!("{number} {}", "x".repeat(1_000));
        if let Err(error) = store.secret(&name, &[2; 32]).await {
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
    store.secret("after", &[3; 32]).await.unwrap();
    assert_eq!(store.secret("before", &[9; 32]).await.unwrap(), [1; 32]);
    let sound: String = sqlx::query_scalar("SELECT integrity_check FROM pragma_integrity_check")
        .fetch_one(&store.writer)
        .await
        .unwrap();
    assert_eq!(sound, "ok");
}
