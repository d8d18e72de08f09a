//! Attacks that must fail: people who reach beyond their own place.

use sqlx::Connection;

use crate::session::{as_owner, as_person, as_role, enter, none, outcome, run, value, world};
use crate::tries::{ADMINISTRATORS, CANDIDATES, ENGINE, PARTITIONS, TEACHERS};

#[tokio::test]
async fn nobody_reaches_beyond_the_own_place() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let mut faults = Vec::new();
    for (who, sql, expected) in [TEACHERS, ADMINISTRATORS, CANDIDATES].concat() {
        let found = as_person(&mut connection, who, sql).await;
        if found != expected {
            faults.push(format!("{who}: {found}, not {expected}: {sql}"));
        }
    }
    for sql in PARTITIONS {
        for role in ["invigil_engine", "invigil_app", "invigil_readonly"] {
            let found = as_role(&mut connection, role, sql).await;
            if found != "42501" {
                faults.push(format!("{role}: {found}: {sql}"));
            }
        }
    }
    let month = value(
        &mut connection,
        "SELECT tableoid::regclass FROM exam_attempts LIMIT 1",
    )
    .await;
    let sql = format!("SELECT * FROM {month}");
    assert_ne!(month, "exam_attempts_default");
    assert_eq!(as_person(&mut connection, "root", &sql).await, "42501");
    for sql in ENGINE {
        let found = as_role(&mut connection, "invigil_engine", sql).await;
        if found != "42501" {
            faults.push(format!("invigil_engine: {found}: {sql}"));
        }
    }
    none(&faults);
    database.remove().await;
}

#[tokio::test]
async fn an_account_with_a_wider_role_is_not_taken_over() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    // All three are at home in A, and reach farther than its administrator.
    run(
        &mut connection,
        "INSERT INTO users (id, username, name, organization_id)
         SELECT n, n::text, 'x', 100 FROM generate_series(1001, 1003) AS n;
         INSERT INTO user_roles (user_id, organization_id, role, is_active)
         VALUES (1001, NULL, 'super_admin', true), (1002, 300, 'admin', true),
                (1003, 300, 'admin', false)",
    )
    .await;
    let password = "UPDATE users SET password_hash = '$argon2id$x' WHERE id > 1000 RETURNING id";
    let delete = "DELETE FROM users WHERE id > 1000";
    // The account whose wider role has ended is an account like others.
    assert_eq!(
        as_person(&mut connection, "a_admin", password).await,
        "1 rows"
    );
    assert_eq!(
        as_person(&mut connection, "a_admin", delete).await,
        "1 rows"
    );
    assert_eq!(as_person(&mut connection, "root", password).await, "3 rows");
    database.remove().await;
}

#[tokio::test]
async fn another_teacher_judges_what_is_in_review() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    run(
        &mut connection,
        "UPDATE questions SET status = 'review' WHERE id = 1200",
    )
    .await;
    let judge =
        |to: &str| format!("SELECT review_question(1200, 1, '{to}', 'approved', NULL, true)");
    for (who, to, expected) in [
        ("a_teacher2", "active", "1 rows"),
        ("a_teacher2", "archived", "0 rows"),
        ("a_admin", "archived", "1 rows"),
        ("b_teacher1", "active", "0 rows"),
    ] {
        let found = as_person(&mut connection, who, &judge(to)).await;
        assert_eq!(found, expected, "{who}: {to}");
    }
    database.remove().await;
}

#[tokio::test]
async fn a_role_of_a_guest_is_taken_back_but_not_given() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    run(
        &mut connection,
        "INSERT INTO user_roles (id, user_id, organization_id, role)
         VALUES (999, 330, 100, 'proctor')",
    )
    .await;
    for (sql, expected) in [
        (
            "UPDATE user_roles SET is_active = false WHERE id = 999",
            "1 rows",
        ),
        (
            "UPDATE user_roles SET role = 'admin' WHERE id = 999",
            "42501",
        ),
        (
            "UPDATE user_roles SET role = 'admin', is_active = false WHERE id = 999;
             UPDATE user_roles SET is_active = true WHERE id = 999",
            "42501",
        ),
        ("DELETE FROM user_roles WHERE id = 999", "1 rows"),
    ] {
        let found = as_person(&mut connection, "a_admin", sql).await;
        assert_eq!(found, expected, "{sql}");
    }
    database.remove().await;
}

/// Events that void a log-in, and their limits.
const VOID: [(&str, &str); 10] = [
    ("nothing", "SELECT"),
    (
        "revoked",
        "UPDATE user_sessions SET is_active = false WHERE user_id = 120",
    ),
    (
        "expired",
        "UPDATE user_sessions SET expires_at = now() WHERE user_id = 120",
    ),
    (
        "person deactivated",
        "UPDATE users SET is_active = false WHERE id = 120",
    ),
    (
        "role ended",
        "UPDATE user_roles SET expires_at = now() - interval '1 second' WHERE user_id = 120",
    ),
    (
        "role taken",
        "UPDATE user_roles SET is_active = false WHERE user_id = 120",
    ),
    ("no role", "DELETE FROM user_roles WHERE user_id = 120"),
    (
        "organisation ended",
        "UPDATE organizations SET is_active = false WHERE id = 100",
    ),
    (
        "organisation above ended",
        "INSERT INTO organizations (id, name, code, type, is_active)
             VALUES (400, 'C', 'C', 'school', false);
         UPDATE organizations SET parent_id = 400 WHERE id = 100",
    ),
    (
        "token replaced",
        "UPDATE user_sessions
         SET previous_sha256 = token_sha256, token_sha256 = sha256('fresh'),
             rotated_at = now() - interval '31 seconds'
         WHERE user_id = 120",
    ),
];

#[tokio::test]
async fn a_replaced_token_is_good_for_a_moment_and_then_ends_the_log_in() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let enter = async |connection: &mut sqlx::PgConnection, token: &str| {
        let sql =
            format!("SELECT count(*) FROM app_enter(sha256('{token}'), now(), '127.0.0.1', 'x')");
        value(connection, &sql).await
    };
    let replace = "UPDATE user_sessions
                   SET previous_sha256 = token_sha256, token_sha256 = sha256('fresh'),
                       rotated_at = now() - interval '25 seconds'
                   WHERE user_id = 120";
    run(&mut connection, replace).await;
    assert_eq!(enter(&mut connection, "a_teacher1").await, "1");
    assert_eq!(enter(&mut connection, "fresh").await, "1");
    let later = "UPDATE user_sessions SET rotated_at = now() - interval '31 seconds'
                 WHERE user_id = 120";
    run(&mut connection, later).await;
    assert_eq!(enter(&mut connection, "fresh").await, "1");
    assert_eq!(enter(&mut connection, "a_teacher1").await, "0");
    assert_eq!(enter(&mut connection, "fresh").await, "0", "all of it ends");
    let told = "SELECT severity FROM security_events
                WHERE event_type = 'replaced_token_used' AND user_id = 120";
    assert_eq!(value(&mut connection, told).await, "high");
    database.remove().await;
}

#[tokio::test]
async fn a_void_log_in_enters_nothing() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    for (case, change) in VOID {
        run(&mut connection, "BEGIN").await;
        run(&mut connection, change).await;
        // Nor does a void log-in leave in the person who entered before.
        let mut found = Vec::new();
        for token in ["b_admin", "a_teacher1", "unknown"] {
            let enter = format!(
                "SELECT count(*) FROM app_enter(sha256('{token}'), now(), '127.0.0.1', 'x')"
            );
            found.push(value(&mut connection, &enter).await);
            found.push(value(&mut connection, "SELECT app_user_id()").await);
        }
        run(&mut connection, "ROLLBACK").await;
        let teacher = if case == "nothing" {
            ["1", "120"]
        } else {
            ["0", "null"]
        };
        let expected = ["1", "310", teacher[0], teacher[1], "0", "null"];
        assert_eq!(found, expected, "{case}");
    }
    // No one can take a revocation back.
    run(
        &mut connection,
        "UPDATE user_sessions SET is_active = false WHERE user_id = 120;
         INSERT INTO user_sessions (token_sha256, user_id, expires_at)
         VALUES (sha256('second'), 120, now() + interval '1 hour')",
    )
    .await;
    let sql = "UPDATE user_sessions SET is_active = true WHERE user_id = 120";
    for who in ["second", "a_admin", "root"] {
        assert_eq!(as_person(&mut connection, who, sql).await, "42501", "{who}");
    }
    database.remove().await;
}

#[tokio::test]
async fn a_course_is_its_instructors_only_while_the_role_lasts() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    // The role in A is over, and one in B has begun: the courses in A belong to no one.
    run(
        &mut connection,
        "UPDATE user_roles SET organization_id = 300 WHERE user_id = 120",
    )
    .await;
    assert!(enter(&mut connection, "invigil_app", "a_teacher1").await);
    for (table, seen) in [
        ("courses", "0"),
        ("exams", "0"),
        ("exam_attempts", "0"),
        ("answers", "0"),
        ("users", "1"),
        ("organizations", "1"),
        ("visible_exam_statistics", "0"),
    ] {
        let count = value(&mut connection, &format!("SELECT count(*) FROM {table}")).await;
        assert_eq!(count, seen, "{table}");
    }
    run(&mut connection, "ROLLBACK").await;
    database.remove().await;
}

#[tokio::test]
async fn who_teaches_here_and_learns_there_reaches_no_exam_there() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let scope = "SELECT exam_scope(130)";
    // A roster that names no exams stands for all of the organisation.
    run(
        &mut connection,
        "UPDATE users SET exam_codes = NULL WHERE id = 130",
    )
    .await;
    assert_eq!(
        value(&mut connection, scope).await,
        "{a_teacher1,a_teacher2}"
    );
    run(
        &mut connection,
        "INSERT INTO user_roles (user_id, organization_id, role) VALUES (130, 300, 'teacher')",
    )
    .await;
    assert_eq!(
        value(&mut connection, scope).await,
        "{b_teacher1,b_teacher2}"
    );
    database.remove().await;
}

#[tokio::test]
async fn a_pooled_connection_carries_nobody_to_the_next() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let users = "SELECT count(*) FROM users";
    for end in ["COMMIT", "ROLLBACK"] {
        assert!(enter(&mut connection, "invigil_app", "root").await);
        assert_eq!(value(&mut connection, users).await, "19");
        run(&mut connection, end).await;
        let again = "SELECT current_user = session_user";
        assert_eq!(value(&mut connection, again).await, "true");
        enter(&mut connection, "invigil_app", "").await;
        assert_eq!(value(&mut connection, users).await, "0", "{end}");
        for setting in [
            "user_id",
            "session_id",
            "role",
            "ip_address",
            "user_agent",
            "organizations",
            "staff_organizations",
            "courses",
        ] {
            let left = format!("SELECT nullif(current_setting('app.{setting}', true), '')");
            assert_eq!(value(&mut connection, &left).await, "null", "{setting}");
        }
        run(&mut connection, "ROLLBACK").await;
    }
    connection.close().await.unwrap();
    database.remove().await;
}

#[tokio::test]
async fn a_new_password_ends_the_other_log_ins() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    run(
        &mut connection,
        "INSERT INTO user_sessions (token_sha256, user_id, expires_at)
         VALUES (sha256('second'), 120, now() + interval '1 hour')",
    )
    .await;
    assert!(enter(&mut connection, "invigil_app", "second").await);
    run(
        &mut connection,
        "SELECT set_own_password('$argon2id$new'); COMMIT",
    )
    .await;
    for (who, enters) in [
        ("second", true),
        ("a_teacher1", false),
        ("a_teacher2", true),
    ] {
        let entered = enter(&mut connection, "invigil_app", who).await;
        run(&mut connection, "ROLLBACK").await;
        assert_eq!(entered, enters, "{who}");
    }
    // Without an entered person, no password changes.
    run(&mut connection, "BEGIN; SET LOCAL ROLE invigil_app").await;
    let nobody = "SELECT set_own_password('$argon2id$nobody')";
    assert_eq!(outcome(&mut connection, nobody).await, "1 rows");
    let changed = "SELECT FROM users WHERE password_hash LIKE '%nobody'";
    assert_eq!(as_owner(&mut connection, changed).await, "0 rows");
    database.remove().await;
}
