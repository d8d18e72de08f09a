//! Constraints and triggers: each is violated once, and passed by a value at its limit.

use std::time::Duration;

use crate::{
    postgres_server::Database,
    session::{as_owner, lines, migrated, none, run, value, world},
};

/// A change of the world, and its result. `1` is the organisation that every database
/// begins with.
const RULES: &[(&str, &str)] = &[
    // Organisations.
    (
        "UPDATE organizations SET code = 'a' WHERE id = 100",
        "23514 organizations_code_check",
    ),
    (
        "UPDATE organizations SET code = 'B' WHERE id = 100",
        "23505 organizations_code_key",
    ),
    (
        "UPDATE organizations SET parent_id = 100 WHERE id = 100",
        "23514 organizations_circle_check",
    ),
    (
        "UPDATE organizations SET parent_id = 200 WHERE id = 100",
        "23514 organizations_circle_check",
    ),
    (
        "UPDATE organizations SET parent_id = 300 WHERE id = 100",
        "1 rows",
    ),
    (
        "UPDATE organizations SET parent_id = 999 WHERE id = 100",
        "23503 organizations_parent_id_fkey",
    ),
    (
        "UPDATE organizations SET type = 'club' WHERE id = 100",
        "23514 organizations_type_check",
    ),
    (
        "UPDATE organizations SET max_users = -1",
        "23514 organizations_max_users_check",
    ),
    (
        "DELETE FROM organizations WHERE id = 300",
        "23503 users_organization_id_fkey",
    ),
    // People.
    (
        "INSERT INTO users (username, name) VALUES ('a_admin', 'x')",
        "23505 users_username_key",
    ),
    (
        "UPDATE users SET password_hash = 'secret' WHERE id = 110",
        "23514 users_password_hash_check",
    ),
    (
        "UPDATE users SET password_hash = '$argon2i$v=19$x' WHERE id = 110",
        "23514 users_password_hash_check",
    ),
    (
        "UPDATE users SET password_hash = '$argon2id$v=19$x' WHERE id = 110",
        "1 rows",
    ),
    (
        "UPDATE users SET profile = '{\"id_card\": \"1\"}' WHERE id = 110",
        "23514 users_profile_check",
    ),
    (
        "UPDATE users SET profile = '{\"phone\": null}' WHERE id = 110",
        "23514 users_profile_check",
    ),
    (
        "UPDATE users SET profile = '[]' WHERE id = 110",
        "23514 users_profile_check",
    ),
    (
        "UPDATE users SET profile = '{\"city\": \"Bern\"}' WHERE id = 110",
        "1 rows",
    ),
    (
        "UPDATE users SET email = 'nobody' WHERE id = 110",
        "23514 users_email_check",
    ),
    (
        "UPDATE users SET phone_sealed = '1' WHERE id = 110",
        "23514 users_phone_check",
    ),
    (
        "UPDATE users SET phone_sealed = '1', phone_hmac = '1' WHERE id = 110",
        "23514 users_phone_check",
    ),
    (
        "UPDATE users SET phone_sealed = '1', phone_hmac = '1', phone_masked = '1'
      WHERE id IN (110, 310)",
        "2 rows",
    ),
    (
        "UPDATE users SET phone_sealed = '1', phone_hmac = '1', phone_masked = '1'
      WHERE id IN (110, 120)",
        "23505 users_phone_hmac_key",
    ),
    (
        "UPDATE users SET id_card_masked = '1' WHERE id = 110",
        "23514 users_id_card_check",
    ),
    (
        "UPDATE users SET failed_login_attempts = -1",
        "23514 users_failed_login_attempts_check",
    ),
    (
        "DELETE FROM users WHERE id = 120",
        "23503 courses_instructor_id_fkey",
    ),
    // Roles and log-ins.
    (
        "INSERT INTO user_roles (user_id, organization_id, role) VALUES (110, 100, 'super_admin')",
        "23514 user_roles_organization_id_check",
    ),
    (
        "INSERT INTO user_roles (user_id, role) VALUES (110, 'admin')",
        "23514 user_roles_organization_id_check",
    ),
    (
        "INSERT INTO user_roles (user_id, organization_id, role) VALUES (110, 100, 'admin')",
        "23505 user_roles_role_key",
    ),
    (
        "INSERT INTO user_roles (user_id, role) VALUES (10, 'super_admin')",
        "23505 user_roles_role_key",
    ),
    (
        "INSERT INTO user_roles (user_id, organization_id, role) VALUES (110, 200, 'admin')",
        "1 rows",
    ),
    (
        "INSERT INTO user_roles (user_id, organization_id, role) VALUES (110, 100, 'owner')",
        "23514 user_roles_role_check",
    ),
    (
        "UPDATE user_roles SET permissions = '{}'",
        "23514 user_roles_permissions_check",
    ),
    (
        "UPDATE user_sessions SET expires_at = created_at",
        "23514 user_sessions_expires_at_check",
    ),
    (
        "UPDATE user_sessions SET device_type = 'fridge'",
        "23514 user_sessions_device_type_check",
    ),
    // Courses.
    (
        "UPDATE courses SET course_start = '2026-02-02', course_end = '2026-02-01'",
        "23514 courses_course_end_check",
    ),
    (
        "UPDATE courses SET enrollment_start = now(), enrollment_end = now() - interval '1 s'",
        "23514 courses_enrollment_end_check",
    ),
    (
        "UPDATE courses SET difficulty_level = 'medium'",
        "23514 courses_difficulty_level_check",
    ),
    (
        "INSERT INTO courses (title, code, instructor_id, organization_id)
      VALUES ('x', 'X', 120, 100)",
        "1 rows",
    ),
    (
        "INSERT INTO course_enrollments (course_id, user_id) VALUES (120, 130)",
        "23505 course_enrollments_pkey",
    ),
    (
        "INSERT INTO course_categories (organization_id, name, code) VALUES (100, 'x', 'C')",
        "23505 course_categories_code_key",
    ),
    (
        "UPDATE course_categories SET parent_id = id",
        "23514 course_categories_parent_id_check",
    ),
    (
        "UPDATE question_categories SET color = 'red'",
        "23514 question_categories_color_check",
    ),
    // Questions.
    ("UPDATE questions SET content = 'x'", "428C9"),
    (
        "UPDATE questions SET type = 'riddle'",
        "23514 questions_type_check",
    ),
    (
        "UPDATE questions SET version = 2 WHERE id = 1200",
        "23514 questions_version_check",
    ),
    (
        "UPDATE questions SET root_id = 1210 WHERE id = 1200",
        "23514 questions_version_check",
    ),
    (
        "INSERT INTO questions (type, definition, definition_sha256, root_id, version)
      VALUES ('essay', '{}', '', 1200, 2)",
        "23505 questions_one_latest_idx",
    ),
    (
        "UPDATE questions SET is_latest_version = false WHERE id = 1200;
      INSERT INTO questions (type, definition, definition_sha256, root_id, version)
      VALUES ('essay', '{}', '', 1200, 2)",
        "2 rows",
    ),
    (
        "UPDATE questions SET is_latest_version = false WHERE id = 1200;
      INSERT INTO questions (type, definition, definition_sha256, root_id, version)
      VALUES ('essay', '{}', '', 1200, 2);
      INSERT INTO questions (type, definition, definition_sha256, root_id, version,
                             is_latest_version)
      VALUES ('essay', '{}', '', 1200, 2, false)",
        "23505 questions_version_idx",
    ),
    (
        "UPDATE questions SET difficulty_index = 1.001",
        "23514 questions_difficulty_index_check",
    ),
    ("UPDATE questions SET discrimination_index = -1", "12 rows"),
    (
        "UPDATE questions SET default_points = 0",
        "23514 questions_default_points_check",
    ),
    // Exams.
    (
        "UPDATE exams SET available_from = now(), available_until = now()",
        "23514 exams_available_until_check",
    ),
    (
        "UPDATE exams SET available_from = now(), available_until = now() - interval '1 hour'",
        "23514 exams_available_until_check",
    ),
    ("UPDATE exams SET available_from = now()", "6 rows"),
    (
        "UPDATE exams SET exam_password = 'secret'",
        "23514 exams_exam_password_check",
    ),
    (
        "UPDATE exams SET duration_minutes = 0",
        "23514 exams_duration_minutes_check",
    ),
    (
        "UPDATE exams SET duration_minutes = 1441",
        "23514 exams_duration_minutes_check",
    ),
    (
        "UPDATE exams SET max_attempts = 11",
        "23514 exams_max_attempts_check",
    ),
    (
        "UPDATE exams SET passing_score = 100.1",
        "23514 exams_passing_score_check",
    ),
    (
        "UPDATE exams SET late_submission_penalty = 1.1",
        "23514 exams_late_submission_penalty_check",
    ),
    (
        "UPDATE exams SET proctoring_config = '{\"enabled\": \"maybe\"}'",
        "6 rows",
    ),
    (
        "UPDATE exam_questions SET position = 1",
        "23505 exam_questions_position_key",
    ),
    (
        "UPDATE exam_questions SET section_key = 'none'",
        "23503 exam_questions_section_key_fkey",
    ),
    (
        "DELETE FROM questions WHERE id = 1201",
        "23503 exam_version_questions_question_id_fkey",
    ),
    (
        "INSERT INTO exam_versions (exam_id, version, title, definition)
      VALUES (120, 'sha256:121', 'x', '{}')",
        "23505 exam_versions_version_key",
    ),
    (
        "UPDATE exam_accommodations SET time_factor = 0.9",
        "23514 exam_accommodations_time_factor_check",
    ),
    (
        "INSERT INTO key_corrections (exam_version_id, revision, question_id, answer, reason)
      VALUES (120, 2, 1211, '1', 'of another exam')",
        "23503 key_corrections_question_id_fkey",
    ),
    (
        "INSERT INTO key_corrections (exam_version_id, revision, question_id, answer, reason)
      VALUES (120, 1, 1201, '1', 'again')",
        "23505 key_corrections_pkey",
    ),
    // Limits of an organisation, in every way to reach them.
    (
        "UPDATE organizations SET max_users = 6 WHERE id = 100;
      INSERT INTO users (username, name, organization_id) VALUES ('n', 'n', 100)",
        "23514 organizations_max_users",
    ),
    (
        "UPDATE organizations SET max_users = 6 WHERE id = 100;
      UPDATE users SET organization_id = 100 WHERE id = 330",
        "23514 organizations_max_users",
    ),
    (
        "UPDATE organizations SET max_users = 7 WHERE id = 100;
      INSERT INTO users (username, name, organization_id) VALUES ('n', 'n', 100)",
        "2 rows",
    ),
    (
        "UPDATE organizations SET max_exams = 2 WHERE id = 100;
      INSERT INTO exams (code, title, organization_id) VALUES ('N', 'n', 100)",
        "23514 organizations_max_exams",
    ),
    // A category is never above its own ancestors.
    (
        "INSERT INTO question_categories (id, organization_id, name, code, parent_id)
          VALUES (9, 100, 'n', 'n', 100);
      UPDATE question_categories SET parent_id = 9 WHERE id = 100",
        "23514 question_categories_parent_id_check",
    ),
    (
        "INSERT INTO course_categories (id, organization_id, name, code, parent_id)
          VALUES (9, 100, 'n', 'n', 100);
      UPDATE course_categories SET parent_id = 9 WHERE id = 100",
        "23514 course_categories_parent_id_check",
    ),
    // Attempts and answers.
    (
        "INSERT INTO exam_attempt_keys (exam_id, exam_version_id, user_id, attempt_no, started_at,
                                     last_activity_at)
      SELECT 120, 120, 130, n, now(), now() FROM generate_series(2, 3) AS n",
        "23505 exam_attempt_keys_one_open_idx",
    ),
    (
        "INSERT INTO exam_attempt_keys (exam_id, exam_version_id, user_id, attempt_no, started_at,
                                     last_activity_at)
      SELECT n, n, 130, 2, now(), now() FROM generate_series(120, 121) AS n",
        "2 rows",
    ),
    (
        "INSERT INTO exam_attempt_keys (exam_id, exam_version_id, user_id, attempt_no, started_at,
                                     last_activity_at)
      VALUES (120, 120, 130, 1, now(), now())",
        "23505 exam_attempt_keys_attempt_no_key",
    ),
    (
        "UPDATE exam_attempt_keys SET attempt_code = 'same'",
        "23505 exam_attempt_keys_attempt_code_key",
    ),
    (
        "UPDATE exam_attempts SET score = 4.01",
        "23514 exam_attempts_score_check",
    ),
    (
        "UPDATE exam_attempts SET score = -0.01",
        "23514 exam_attempts_score_check",
    ),
    ("UPDATE exam_attempts SET score = 4", "6 rows"),
    (
        "UPDATE exam_attempts SET receipt = NULL",
        "23514 exam_attempts_submitted_check",
    ),
    (
        "UPDATE exam_attempts SET id = id + 1000",
        "23503 exam_attempts_key_fkey",
    ),
    ("UPDATE exam_attempts SET time_spent = '1 s'", "428C9"),
    (
        "UPDATE answers SET points_earned = 2.01 WHERE points_earned IS NOT NULL",
        "23514 answers_points_range_check",
    ),
    (
        "UPDATE answers SET points_earned = -2.01 WHERE points_earned IS NOT NULL",
        "23514 answers_points_range_check",
    ),
    (
        "UPDATE answers SET points_earned = -2 WHERE points_earned IS NOT NULL",
        "6 rows",
    ),
    (
        "UPDATE answers SET points_possible = 0.125, points_earned = 0.13
      WHERE points_earned IS NOT NULL",
        "6 rows",
    ),
    (
        "UPDATE answers SET points_possible = NULL WHERE points_earned IS NOT NULL",
        "23514 answers_points_check",
    ),
    (
        "UPDATE answers SET points_earned = 1 WHERE status = 'pending_review'",
        "23514 answers_status_points_check",
    ),
    (
        "UPDATE answers SET status = 'pending_review'",
        "23514 answers_status_points_check",
    ),
    (
        "UPDATE answers SET grading_method = 'dice'",
        "23514 answers_grading_method_check",
    ),
    (
        "INSERT INTO answer_marks (attempt_id, question_id, marker_id, round, points)
      VALUES (130, 1201, 120, 1, 1)",
        "23514 answer_marks_marked_at_check",
    ),
    (
        "INSERT INTO answer_marks (attempt_id, question_id, marker_id, round)
      VALUES (130, 1200, 120, 2)",
        "23505 answer_marks_marker_id_key",
    ),
    (
        "INSERT INTO answer_marks (attempt_id, question_id, marker_id, round)
      VALUES (130, 1200, 121, 1)",
        "23505 answer_marks_pkey",
    ),
    (
        "INSERT INTO answer_marks (attempt_id, question_id, marker_id, round)
      VALUES (130, 1200, 121, 4)",
        "23514 answer_marks_round_check",
    ),
    // Logs.
    (
        "UPDATE security_events SET status = 'resolved'",
        "23514 security_events_resolved_at_check",
    ),
    (
        "UPDATE security_events SET resolved_at = now()",
        "23514 security_events_resolved_at_check",
    ),
    (
        "UPDATE security_events SET status = 'false_positive', resolved_at = now()",
        "20 rows",
    ),
    (
        "UPDATE security_events SET severity = 'mild'",
        "23514 security_events_severity_check",
    ),
    (
        "UPDATE proctor_logs SET severity = 'mild'",
        "23514 proctor_logs_severity_check",
    ),
    (
        "UPDATE audit_logs SET seal = '1'",
        "23514 audit_logs_seal_check",
    ),
    (
        "UPDATE audit_logs SET operation = 'READ'",
        "23514 audit_logs_operation_check",
    ),
];

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let mut faults = Vec::new();
    for (sql, expected) in RULES {
        let found = as_owner(&mut connection, sql).await;
        if found != *expected {
            faults.push(format!("{found}, not {expected}: {sql}"));
        }
    }
    none(&faults);
    database.remove().await;
}

/// Runs a second change while a first one is open; returns the second one's result once the
/// first is committed.
async fn second_of_two(
    database: &Database,
    first_change: &str,
    second_change: &str,
    lock: &str,
) -> String {
    let mut first = database.connection().await;
    let mut second = database.connection().await;
    run(&mut first, &format!("BEGIN; {first_change}")).await;
    let pid = value(&mut second, "SELECT pg_backend_pid()").await;
    let outcome = tokio::join!(as_owner(&mut second, second_change), async {
        // The second change waits before the first one commits.
        let lock = format!(
            "SELECT count(*) FROM pg_locks
             WHERE pid = {pid} AND locktype = '{lock}' AND NOT granted"
        );
        let waits = async { while value(&mut first, &lock).await == "0" {} };
        let waited = tokio::time::timeout(Duration::from_secs(30), waits).await;
        waited.expect("the second waits for the first");
        run(&mut first, "COMMIT").await;
    });
    outcome.0
}

#[tokio::test]
async fn two_at_once_do_not_both_take_the_last_place() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let limits = "UPDATE organizations SET max_users = 7, max_exams = 3 WHERE id = 100";
    run(&mut connection, limits).await;
    let person = |name| {
        format!("INSERT INTO users (username, name, organization_id) VALUES ('{name}', 'n', 100)")
    };
    let outcome = second_of_two(&database, &person("n1"), &person("n2"), "transactionid").await;
    assert_eq!(outcome, "23514 organizations_max_users");
    let exam = |code| {
        format!("INSERT INTO exams (code, title, organization_id) VALUES ('{code}', 'n', 100)")
    };
    let outcome = second_of_two(&database, &exam("N1"), &exam("N2"), "transactionid").await;
    assert_eq!(outcome, "23514 organizations_max_exams");
    database.remove().await;
}

#[tokio::test]
async fn two_transactions_at_once_close_no_circle() {
    let Some(database) = world().await else {
        return;
    };
    // Each of the two changes alone makes no circle.
    let outcome = second_of_two(
        &database,
        "UPDATE organizations SET parent_id = 300 WHERE id = 100",
        "UPDATE organizations SET parent_id = 200 WHERE id = 300",
        "advisory",
    )
    .await;
    assert_eq!(outcome, "23514 organizations_circle_check");
    let mut connection = database.connection().await;
    let tree = "SELECT format('%s %s %s', level, code, path) FROM organization_hierarchy
                WHERE code <> 'DEFAULT' ORDER BY path";
    assert_eq!(
        lines(&mut connection, tree).await,
        "0 B {300}\n1 A {300,100}\n2 A1 {300,100,200}\n"
    );
    database.remove().await;
}

const STATUSES: [&str; 9] = [
    "started",
    "in_progress",
    "paused",
    "submitted",
    "auto_submitted",
    "graded",
    "reviewed",
    "cancelled",
    "flagged",
];

#[tokio::test]
async fn a_status_follows_only_what_it_can_follow() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    let mut allowed = String::new();
    for from in STATUSES {
        allowed.push_str(from);
        allowed.push_str(" ->");
        for to in STATUSES.iter().filter(|to| **to != from) {
            // The trigger is off while the first status is set up.
            let steps = format!(
                "ALTER TABLE exam_attempts DISABLE TRIGGER exam_attempts_guard_status;
                 UPDATE exam_attempts SET status = '{from}' WHERE id = 130;
                 ALTER TABLE exam_attempts ENABLE TRIGGER exam_attempts_guard_status;
                 UPDATE exam_attempts SET status = '{to}' WHERE id = 130"
            );
            match as_owner(&mut connection, &steps).await.as_str() {
                "2 rows" => {
                    allowed.push(' ');
                    allowed.push_str(to);
                }
                refused => assert_eq!(refused, "23514 exam_attempts_status_order_check"),
            }
        }
        allowed.push('\n');
    }
    expect_test::expect![[r#"
        started -> in_progress paused submitted auto_submitted graded cancelled flagged
        in_progress -> paused submitted auto_submitted graded cancelled flagged
        paused -> in_progress submitted auto_submitted graded cancelled flagged
        submitted -> graded cancelled flagged
        auto_submitted -> graded cancelled flagged
        graded -> submitted auto_submitted reviewed cancelled flagged
        reviewed -> graded cancelled flagged
        cancelled ->
        flagged -> submitted auto_submitted graded reviewed cancelled
    "#]]
    .assert_eq(&allowed);
    // A save that changes nothing is no step.
    let same = "UPDATE exam_attempts SET status = status, late = true";
    assert_eq!(as_owner(&mut connection, same).await, "6 rows");
    database.remove().await;
}

/// A change by people, and a change that is none, of tables with `updated_at`.
const TOUCHED: [(&str, &str, &str); 7] = [
    ("organizations", "name = 'x'", ""),
    ("users", "name = 'x'", "last_login = now(), login_count = 7"),
    ("courses", "title = 'x'", ""),
    ("course_enrollments", "status = 'dropped'", ""),
    (
        "questions",
        "keywords = '{x}'",
        "usage_count = 7, correct_rate = 50",
    ),
    ("exams", "title = 'x'", "attempts_count = 7, avg_score = 2"),
    ("exam_accommodations", "extra_time_ms = 1", ""),
];

#[tokio::test]
async fn updated_at_follows_changes_by_people() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    for (table, by_people, by_itself) in TOUCHED {
        let newest = format!("SELECT max(updated_at) FROM {table}");
        let before = value(&mut connection, &newest).await;
        if !by_itself.is_empty() {
            run(&mut connection, &format!("UPDATE {table} SET {by_itself}")).await;
            assert_eq!(value(&mut connection, &newest).await, before, "{table}");
        }
        run(&mut connection, &format!("UPDATE {table} SET {by_people}")).await;
        let later = format!("SELECT min(updated_at) > '{before}' FROM {table}");
        assert_eq!(value(&mut connection, &later).await, "true", "{table}");
    }
    database.remove().await;
}

#[tokio::test]
async fn columns_of_a_question_follow_its_definition() {
    let Some(database) = migrated().await else {
        return;
    };
    let mut connection = database.connection().await;
    run(
        &mut connection,
        r#"INSERT INTO questions (id, type, title, definition, definition_sha256, keywords)
           VALUES (1, 'single_choice', 'Leaves',
                   '{"content":"Name \u5149\u5408\u4f5c\u7528 treaties","explanation":"old",
                     "partial_credit":true}', '', '{chlorophyll}'),
                  (2, 'essay', NULL, '{}', '', '{}')"#,
    )
    .await;
    let row = "SELECT concat_ws(' ', content, explanation, partial_credit, negative_marking)
               FROM questions ORDER BY id";
    let content = "Name \u{5149}\u{5408}\u{4f5c}\u{7528} treaties";
    assert_eq!(
        lines(&mut connection, row).await,
        format!("{content} old t f\nf f\n")
    );
    let mut finds = async |configuration: &str, words: &str| {
        let query = format!(
            "SELECT count(*) FROM questions
             WHERE search_vector @@ to_tsquery('{configuration}', '{words}')"
        );
        value(&mut connection, &query).await
    };
    // Pairs of characters, one character, an inflected word, a keyword and a title.
    for words in ["\u{5408}\u{4f5c}", "\u{7528}", "chlorophyll", "leaves"] {
        assert_eq!(finds("simple", words).await, "1", "{words}");
    }
    assert_eq!(finds("english", "treaty").await, "1");
    assert_eq!(finds("simple", "new").await, "0");

    run(
        &mut connection,
        r#"UPDATE questions SET definition = '{"content":"new","negative_marking":true}'
           WHERE id = 1"#,
    )
    .await;
    assert_eq!(lines(&mut connection, row).await, "new f t\nf f\n");
    let found = "SELECT count(*) FROM questions
                 WHERE search_vector @@ to_tsquery('simple', 'new & !treaties')";
    assert_eq!(value(&mut connection, found).await, "1");
    database.remove().await;
}
