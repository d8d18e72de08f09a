//! States that the engine cannot start on: one sentence, exit code 1, nothing broken.

use std::{fs, path::Path, process::Stdio};

use sqlx::{Connection, SqliteConnection};
use tokio::process::Command;

use crate::{
    harness::{PATIENCE, Site, exam, now_ms},
    postgres_server::Database,
};

fn site() -> Site {
    // The log has errors alone: the rest of standard error is for the person.
    Site::embedded(&exam("", 3), 1).set("log.level", "error")
}

/// Runs a command that must fail; returns its output.
async fn refused(mut command: Command) -> String {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = ended.expect("it starts instead of failing").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{said}");
    assert!(said.starts_with("invigil: "), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// As [`refused`], with one line that has all of `parts`.
async fn sentence(command: Command, parts: &[&str]) {
    let said = refused(command).await;
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

fn serve(site: &Site) -> Command {
    site.command(&site.arguments("127.0.0.1:0"))
}

/// Starts and stops the engine.
async fn works(site: &Site) {
    let server = site.start().await;
    server.begin(0).await;
    assert!(server.stop().await.success());
}

/// A statement for a database that no engine has open.
async fn execute(site: &Site, statement: &'static str, value: i64) {
    let file = site.path("data").join("invigil.db");
    let mut connection = SqliteConnection::connect(file.to_str().unwrap())
        .await
        .unwrap();
    sqlx::query(statement)
        .bind(value)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

async fn mount(arguments: &[&str], place: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(arguments).arg(place).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}

/// Removes a mount at the end, on success and on failure.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let done = std::process::Command::new("umount").arg(self.0).status();
        assert!(done.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[tokio::test]
async fn a_full_disk_is_named() {
    let site = site();
    let data = site.path("data");
    fs::create_dir(&data).unwrap();
    let options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];
    if !is_root() || !mount(&options, &data).await {
        eprintln!("skipped: only root can mount a small disk");
        return;
    }
    let _mounted = Mounted(&data);
    let ballast = data.join("ballast");
    fs::write(&ballast, vec![0; (1 << 20) - (8 << 12)]).unwrap();
    sentence(serve(&site), &["data directory", "the disk of", "is full"]).await;
    fs::remove_file(&ballast).unwrap();
    works(&site).await;
}

#[tokio::test]
async fn a_place_of_evidence_that_is_none_is_named() {
    let site = site();
    let file = site.path("file");
    fs::write(&file, "").unwrap();
    let shown = file.to_str().unwrap().to_owned();
    let site = site.set("evidence.url", &shown);
    sentence(serve(&site), &["the place of evidence", &shown]).await;
    let site = site.set("evidence.url", "pictures");
    works(&site).await;
    assert!(site.path("data").join("pictures").is_dir());
}

#[tokio::test]
async fn a_read_only_data_directory_is_named() {
    let site = site();
    works(&site).await;
    let data = site.path("data");
    let shown = data.to_str().unwrap();
    if !is_root()
        || !mount(&["--bind", shown], &data).await
        || !mount(&["-o", "remount,bind,ro"], &data).await
    {
        eprintln!("skipped: only root can mount a folder that cannot be written");
        return;
    }
    let mounted = Mounted(&data);
    sentence(serve(&site), &["data directory", "cannot be written"]).await;
    drop(mounted);
    works(&site).await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let site = site();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let command = site.command(&site.arguments(&address));
    sentence(command, &["cannot listen on", &address]).await;
    works(&site).await;
}

#[tokio::test]
async fn a_data_directory_has_one_process() {
    let site = site();
    let server = site.start().await;
    sentence(serve(&site), &["in use by another invigil process"]).await;
    server.begin(0).await;
    assert!(server.stop().await.success());
    works(&site).await;
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let site = site();
    works(&site).await;
    let insert = "INSERT INTO _sqlx_migrations \
                  (version, description, success, checksum, execution_time) \
                  VALUES ($1, 'of tomorrow', TRUE, x'00', 0)";
    execute(&site, insert, 29_990_101_000_000).await;
    sentence(serve(&site), &["newer invigil", "29990101000000"]).await;
    let delete = "DELETE FROM _sqlx_migrations WHERE version = $1";
    execute(&site, delete, 29_990_101_000_000).await;
    works(&site).await;
}

#[tokio::test]
async fn a_newer_schema_of_postgresql_is_left_alone() {
    let Some(database) = Database::create().await else {
        return;
    };
    let site = Site::postgres(&database.url, &exam("", 3), 1).await;
    let site = site.set("log.level", "error");
    let mut connection = database.connection().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations
         VALUES (29990101000000, 'of tomorrow', now(), TRUE, '\\x00', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    sentence(serve(&site), &["newer"]).await;
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 29990101000000")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    works(&site).await;
    database.remove().await;
}

/// Without the check the engine would wait at its first save for a store that is there.
#[tokio::test]
async fn rights_of_another_version_are_named() {
    let Some(database) = Database::create().await else {
        return;
    };
    let site = Site::postgres(&database.url, &exam("", 3), 1).await;
    let site = site.set("log.level", "error");
    let mut connection = database.connection().await;
    sqlx::query("COMMENT ON FUNCTION app_numbers(text) IS 'of yesterday'")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    sentence(serve(&site), &["rights", "`invigil migrate --roles`"]).await;
    site.run(&["migrate", "--roles"]).await;
    works(&site).await;
    database.remove().await;
}

#[tokio::test]
async fn a_clock_behind_the_past_is_named() {
    let site = site();
    works(&site).await;
    let insert = "INSERT INTO engine_nodes (node_id, last_alive_at) VALUES ('tomorrow', $1)";
    execute(&site, insert, now_ms() + 600_000).await;
    sentence(serve(&site), &["the system clock is", "s behind"]).await;
    let delete = "DELETE FROM engine_nodes WHERE last_alive_at > $1";
    execute(&site, delete, now_ms()).await;
    works(&site).await;
}

#[tokio::test]
async fn a_missing_exam_file_is_named() {
    let site = site();
    let absent = ["serve", "--listen", "127.0.0.1:0", "--exam", "absent.yaml"];
    let said = refused(site.command(&absent)).await;
    assert!(said.contains("absent.yaml: cannot be read"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    works(&site).await;
}

#[tokio::test]
async fn a_faulty_roster_is_told_line_by_line() {
    let site = site();
    works(&site).await;
    let right = fs::read_to_string(site.path("roster.csv")).unwrap();
    let wrong = format!("{right}x,X,x@example.org,pope,code-of-x-1,*,,\n");
    fs::write(site.path("roster.csv"), wrong).unwrap();
    let said = refused(serve(&site)).await;
    assert!(said.contains("roster.csv: "), "{said}");
    assert!(said.contains("role"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    fs::write(site.path("roster.csv"), right).unwrap();
    works(&site).await;
}
