//! What must fail: everybody reaching beyond the own place.

use sqlx::Connection;

use crate::session::{as_owner, as_person, as_role, enter, none, outcome, run, value, world};

/// Who tries, what, and what comes of it.
type Try = (&'static str, &'static str, &'static str);

/// Nothing may be read or written past the policies.
const PARTITIONS: [&str; 4] = [
    "SELECT * FROM answers_p0",
    "SELECT * FROM exam_attempts_default",
    "SELECT * FROM audit_logs_default",
    "SELECT * FROM user_activity_logs_default",
];

const TEACHERS: &[Try] = &[
    // What a candidate wrote stays what was written.
    (
        "a_teacher1",
        "UPDATE answers SET user_answer = '1' WHERE attempt_id = 130",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE answers SET seq = 9 WHERE attempt_id = 130",
        "42501",
    ),
    (
        "a_teacher1",
        "DELETE FROM answers WHERE attempt_id = 130",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE exam_attempts SET user_id = 131 WHERE id = 130",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE exam_attempts SET receipt = '{}' WHERE id = 130",
        "42501",
    ),
    // Marking, in the own course and in others.
    (
        "a_teacher1",
        "UPDATE answers SET feedback = 'x' WHERE attempt_id = 130",
        "2 rows",
    ),
    (
        "a_teacher1",
        "UPDATE answers SET feedback = 'x' WHERE attempt_id = 131",
        "0 rows",
    ),
    (
        "a_teacher1",
        "UPDATE exam_attempts SET feedback = 'x' WHERE id <> 130",
        "0 rows",
    ),
    (
        "a_teacher1",
        "INSERT INTO answer_marks (attempt_id, question_id, marker_id, round)
        VALUES (131, 1210, 120, 2)",
        "42501",
    ),
    (
        "a_teacher1",
        "INSERT INTO answer_marks (attempt_id, question_id, marker_id, round)
        VALUES (130, 1200, 121, 2)",
        "42501",
    ),
    (
        "a_teacher1",
        "INSERT INTO answer_marks (attempt_id, question_id, marker_id, round)
        VALUES (130, 1201, 120, 1)",
        "1 rows",
    ),
    // Another's mark is not taken over, not even by an administrator.
    (
        "a_admin",
        "UPDATE answer_marks SET marker_id = 110, points = 2 WHERE attempt_id = 130",
        "0 rows",
    ),
    ("a_admin", "DELETE FROM answer_marks", "0 rows"),
    (
        "a_teacher1",
        "UPDATE answer_marks SET marker_id = 121",
        "42501",
    ),
    // The bank.
    (
        "a_teacher1",
        "INSERT INTO questions (type, definition, definition_sha256, organization_id, created_by)
        VALUES ('essay', '{}', sha256('x'), 100, 120)",
        "1 rows",
    ),
    (
        "a_teacher1",
        "INSERT INTO questions (type, definition, definition_sha256, organization_id, created_by)
        VALUES ('essay', '{}', sha256('x'), 300, 120)",
        "42501",
    ),
    (
        "a_teacher1",
        "INSERT INTO questions (type, definition, definition_sha256, organization_id, created_by)
        VALUES ('essay', '{}', sha256('x'), 100, 121)",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE questions SET organization_id = 300 WHERE id = 1201",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE questions SET definition = '{}' WHERE id = 1211",
        "0 rows",
    ),
    // Exams.
    (
        "a_teacher1",
        "UPDATE exams SET organization_id = 300 WHERE id = 120",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE exams SET organization_id = 200 WHERE id = 120",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE exams SET course_id = 121 WHERE id = 120",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE exams SET title = 'x' WHERE id = 121",
        "0 rows",
    ),
    (
        "a_teacher1",
        "INSERT INTO exams (code, title, organization_id, course_id, created_by)
        VALUES ('X', 'X', 100, 121, 120)",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE exam_versions SET definition = '{\"a\":1}' WHERE id = 120",
        "42501",
    ),
    ("a_teacher1", "DELETE FROM exam_versions", "42501"),
    (
        "a_teacher1",
        "UPDATE exam_questions SET exam_id = 121 WHERE exam_id = 120",
        "42501",
    ),
    (
        "a_teacher1",
        "INSERT INTO key_corrections (exam_version_id, revision, question_id, answer, reason)
        VALUES (121, 2, 1211, '1', 'x')",
        "42501",
    ),
    // Courses and who is in them.
    (
        "a_teacher1",
        "UPDATE courses SET instructor_id = 120 WHERE id = 121",
        "0 rows",
    ),
    (
        "a_teacher1",
        "UPDATE courses SET organization_id = 300 WHERE id = 120",
        "42501",
    ),
    (
        "a_teacher1",
        "INSERT INTO course_enrollments (course_id, user_id) VALUES (120, 131)",
        "1 rows",
    ),
    (
        "a_teacher1",
        "INSERT INTO course_enrollments (course_id, user_id) VALUES (120, 330)",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE course_enrollments SET user_id = 330",
        "42501",
    ),
    (
        "a_teacher1",
        "INSERT INTO course_enrollments (course_id, user_id) VALUES (121, 130)",
        "42501",
    ),
    // People and roles.
    (
        "a_teacher1",
        "UPDATE users SET email = 'x@example.org' WHERE id IN (120, 130)",
        "0 rows",
    ),
    (
        "a_teacher1",
        "INSERT INTO user_roles (user_id, role) VALUES (120, 'super_admin')",
        "42501",
    ),
    (
        "a_teacher1",
        "INSERT INTO user_roles (user_id, organization_id, role)
        VALUES (120, 100, 'admin')",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE user_roles SET role = 'admin'",
        "0 rows",
    ),
    // Logs.
    (
        "a_teacher1",
        "INSERT INTO user_activity_logs (user_id, organization_id, activity_type)
        VALUES (120, 100, 'x')",
        "1 rows",
    ),
    (
        "a_teacher1",
        "INSERT INTO user_activity_logs (user_id, organization_id, activity_type)
        VALUES (121, 100, 'x')",
        "42501",
    ),
    (
        "a_teacher1",
        "INSERT INTO user_activity_logs (user_id, organization_id, activity_type)
        VALUES (120, 300, 'x')",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE security_events SET revision = 2",
        "0 rows",
    ),
];

const ADMINISTRATORS: &[Try] = &[
    (
        "a_admin",
        "INSERT INTO user_roles (user_id, organization_id, role)
        VALUES (121, 200, 'teacher')",
        "1 rows",
    ),
    (
        "a_admin",
        "INSERT INTO user_roles (user_id, organization_id, role)
        VALUES (121, 300, 'teacher')",
        "42501",
    ),
    (
        "a_admin",
        "INSERT INTO user_roles (user_id, organization_id, role)
        VALUES (330, 100, 'teacher')",
        "42501",
    ),
    (
        "a_admin",
        "UPDATE user_roles SET organization_id = 300 WHERE user_id = 120",
        "42501",
    ),
    (
        "a_admin",
        "UPDATE user_roles SET role = 'super_admin', organization_id = NULL
        WHERE user_id = 110",
        "42501",
    ),
    (
        "a_admin",
        "INSERT INTO user_roles (user_id, role) VALUES (110, 'super_admin')",
        "42501",
    ),
    (
        "a1_admin",
        "INSERT INTO user_roles (user_id, organization_id, role)
        VALUES (210, 100, 'admin')",
        "42501",
    ),
    (
        "root",
        "INSERT INTO user_roles (user_id, role) VALUES (110, 'super_admin')",
        "1 rows",
    ),
    // People.
    (
        "a_admin",
        "UPDATE users SET password_hash = '$argon2id$x' WHERE id = 230",
        "1 rows",
    ),
    (
        "a_admin",
        "UPDATE users SET password_hash = '$argon2id$x' WHERE id >= 300",
        "0 rows",
    ),
    (
        "a_admin",
        "UPDATE users SET organization_id = 300 WHERE id = 130",
        "42501",
    ),
    (
        "a_admin",
        "INSERT INTO users (username, name, organization_id)
        VALUES ('x', 'x', 300)",
        "42501",
    ),
    (
        "a1_admin",
        "UPDATE users SET name = 'x' WHERE id = 130",
        "0 rows",
    ),
    (
        "a1_admin",
        "UPDATE user_sessions SET is_active = false WHERE user_id = 130",
        "0 rows",
    ),
    (
        "a1_admin",
        "UPDATE user_sessions SET is_active = false WHERE user_id = 230",
        "1 rows",
    ),
    (
        "a1_admin",
        "UPDATE user_sessions SET expires_at = now() + interval '9 days'",
        "42501",
    ),
    // Organisations.
    (
        "a_admin",
        "INSERT INTO organizations (name, code, type, parent_id)
        VALUES ('x', 'X', 'school', 100) RETURNING id",
        "1 rows",
    ),
    (
        "a_admin",
        "INSERT INTO organizations (name, code, type) VALUES ('x', 'X', 'school')",
        "42501",
    ),
    (
        "a_admin",
        "INSERT INTO organizations (name, code, type, parent_id)
        VALUES ('x', 'X', 'school', 300)",
        "42501",
    ),
    (
        "a_admin",
        "UPDATE organizations SET name = 'x' WHERE id IN (100, 200)",
        "2 rows",
    ),
    (
        "a_admin",
        "UPDATE organizations SET parent_id = 300 WHERE id = 100",
        "42501",
    ),
    (
        "a_admin",
        "UPDATE organizations SET parent_id = NULL WHERE id = 200",
        "42501",
    ),
    (
        "a1_admin",
        "UPDATE organizations SET name = 'x' WHERE id = 200",
        "1 rows",
    ),
    (
        "a1_admin",
        "UPDATE organizations SET parent_id = NULL WHERE id = 200",
        "42501",
    ),
    (
        "a1_admin",
        "UPDATE organizations SET name = 'x' WHERE id = 100",
        "0 rows",
    ),
    (
        "root",
        "INSERT INTO organizations (name, code, type)
        VALUES ('x', 'X', 'school') RETURNING id",
        "1 rows",
    ),
    (
        "root",
        "UPDATE organizations SET parent_id = NULL WHERE id = 200",
        "1 rows",
    ),
    // The trail is read, never written.
    ("root", "UPDATE audit_logs SET user_id = 110", "42501"),
    ("root", "DELETE FROM audit_logs", "42501"),
    (
        "root",
        "INSERT INTO audit_logs (table_name, operation, record_id)
        VALUES ('users', 'UPDATE', '1')",
        "42501",
    ),
    ("root", "DELETE FROM security_events", "42501"),
    (
        "root",
        "SELECT audit_write('users', 'UPDATE', '1', '{}', '{\"a\":1}')",
        "42501",
    ),
    ("root", "UPDATE answers SET user_answer = '1'", "42501"),
    ("root", "SELECT * FROM engine_secrets", "42501"),
];

const CANDIDATES: &[Try] = &[
    (
        "a_candidate1",
        "UPDATE exam_attempts SET score = 4 WHERE id = 130",
        "42501",
    ),
    (
        "a_candidate1",
        "UPDATE answers SET points_earned = 2 WHERE attempt_id = 130",
        "42501",
    ),
    (
        "a_candidate1",
        "UPDATE exam_attempt_keys SET owner_epoch = 9",
        "42501",
    ),
    ("a_candidate1", "DELETE FROM course_enrollments", "0 rows"),
    (
        "a_candidate1",
        "INSERT INTO course_enrollments (course_id, user_id) VALUES (121, 130)",
        "42501",
    ),
    ("a_candidate1", "UPDATE users SET time_factor = 2", "0 rows"),
    (
        "a_candidate1",
        "INSERT INTO exam_accommodations (exam_id, user_id, extra_time_ms)
        VALUES (121, 130, 1)",
        "42501",
    ),
    (
        "a_candidate1",
        "UPDATE user_sessions SET is_active = false",
        "1 rows",
    ),
    (
        "a_candidate1",
        "SELECT set_own_password('$argon2id$x')",
        "1 rows",
    ),
    (
        "a_candidate1",
        "SELECT set_own_password('guess me')",
        "23514 users_password_hash_check",
    ),
    (
        "a_candidate1",
        "SELECT FROM people_by_name('{a_candidate2}', 100)",
        "0 rows",
    ),
    (
        "a_teacher1",
        "SELECT FROM people_by_name('{a_candidate2, b_admin}', 100)",
        "1 rows",
    ),
    (
        "a_teacher1",
        "SELECT FROM people_by_name('{b_candidate1}', 300)",
        "0 rows",
    ),
    (
        "a_candidate1",
        "SELECT detach_old_partitions('exam_attempts', 1)",
        "42501",
    ),
    (
        "a_candidate1",
        "SELECT ensure_monthly_partitions('exam_attempts', 1)",
        "42501",
    ),
    (
        "a_candidate1",
        "SELECT ensure_activity_partitions()",
        "42501",
    ),
    ("a_candidate1", "SELECT refresh_statistics()", "42501"),
    (
        "a_candidate1",
        "SELECT detect_security_events(now())",
        "42501",
    ),
    ("a_candidate1", "SELECT effective_role(110)", "42501"),
    ("a_candidate1", "CREATE TABLE mine ()", "42501"),
    ("a_candidate1", "SELECT * FROM question_statistics", "42501"),
];

/// What the engine's own role may not, though it writes every attempt.
const ENGINE: &[&str] = &[
    "UPDATE users SET password_hash = '$argon2id$x'",
    "UPDATE users SET is_active = true",
    "UPDATE exams SET title = 'x'",
    "INSERT INTO exam_versions (exam_id, version, title, definition) VALUES (120, 'v', 'x', '{}')",
    "UPDATE exam_version_questions SET points = 9",
    "INSERT INTO user_roles (user_id, role) VALUES (110, 'super_admin')",
    "DELETE FROM exam_attempts",
    "DELETE FROM answers",
    "DELETE FROM audit_logs",
    "UPDATE audit_logs SET new_values = '{}'",
    "INSERT INTO audit_logs (table_name, operation, record_id) VALUES ('users', 'UPDATE', '1')",
    "DROP TABLE exam_attempts_default",
    "SELECT * FROM questions",
    "SELECT * FROM answer_marks",
];

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
    // The one whose wider role has ended is an account like others.
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

/// What makes a log-in void, and what it leaves as it was.
const VOID: [(&str, &str); 7] = [
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
];

#[tokio::test]
async fn a_void_log_in_enters_nothing() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    for (case, change) in VOID {
        run(&mut connection, "BEGIN").await;
        run(&mut connection, change).await;
        // Neither does it leave somebody else in, who entered before.
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
    // What was revoked is not taken back, by nobody.
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
    // The role in A is over, and one in B has begun: the courses in A are nobody's.
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
    // Of a roster that names no exams: all of the organisation.
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
    // Where nobody entered, nobody's password changes.
    run(&mut connection, "BEGIN; SET LOCAL ROLE invigil_app").await;
    let nobody = "SELECT set_own_password('$argon2id$nobody')";
    assert_eq!(outcome(&mut connection, nobody).await, "1 rows");
    let changed = "SELECT FROM users WHERE password_hash LIKE '%nobody'";
    assert_eq!(as_owner(&mut connection, changed).await, "0 rows");
    database.remove().await;
}
