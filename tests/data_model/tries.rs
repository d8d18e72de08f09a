//! Statements that people try in the world of `world.sql`, and their results.

/// A person, the statement they try, and its result.
pub(crate) type Try = (&'static str, &'static str, &'static str);

/// No person reads or writes past the policies.
pub(crate) const PARTITIONS: [&str; 4] = [
    "SELECT * FROM answers_p0",
    "SELECT * FROM exam_attempts_default",
    "SELECT * FROM audit_logs_default",
    "SELECT * FROM user_activity_logs_default",
];

/// The reach of a teacher, and its limits.
pub(crate) const TEACHERS: &[Try] = &[
    // No hash to guess at, of any person, and no sealed column.
    ("a_teacher1", "SELECT * FROM users", "42501"),
    ("a_teacher1", "SELECT password_hash FROM users", "42501"),
    (
        "a_admin",
        "SELECT 1 FROM users WHERE password_hash = 'x'",
        "42501",
    ),
    ("a_admin", "SELECT phone_sealed FROM users", "42501"),
    ("a_admin", "SELECT token_sha256 FROM user_sessions", "42501"),
    ("a_admin", "SELECT * FROM sealed_of(130)", "1 rows"),
    ("a_admin", "SELECT * FROM sealed_of(330)", "0 rows"),
    ("a_teacher1", "SELECT * FROM sealed_of(130)", "0 rows"),
    // Files are seen with their question and changed by its author.
    (
        "a_teacher1",
        "UPDATE question_media SET alt = 'x' WHERE id = 1200",
        "1 rows",
    ),
    (
        "a_teacher1",
        "UPDATE question_media SET alt = 'x' WHERE id = 1211",
        "0 rows",
    ),
    (
        "a_teacher1",
        "UPDATE question_media SET question_id = 1211 WHERE id = 1200",
        "42501",
    ),
    (
        "a_teacher1",
        "INSERT INTO question_media (question_id, name, kind, bytes)
      SELECT 3201, repeat('0', 64) || '.png', 'image/png', 1",
        "42501",
    ),
    // The name of a question is shown to people who see the question: not a colleague's
    // draft, nor a stranger's.
    (
        "a_teacher1",
        "UPDATE exam_questions SET question_id = 1211 WHERE exam_id = 120 AND position = 1",
        "1 rows",
    ),
    (
        "a_teacher1",
        "UPDATE exam_questions SET question_id = 1210 WHERE exam_id = 120 AND position = 1",
        "42501",
    ),
    (
        "a_teacher1",
        "UPDATE exam_questions SET question_id = 3201 WHERE exam_id = 120 AND position = 1",
        "42501",
    ),
    // A candidate's text stays as it was written.
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
    // Not even an administrator takes over another person's mark.
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
    // Courses and their members.
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
    // A review is of a question in review.
    (
        "a_teacher2",
        "SELECT review_question(1201, 1, 'archived', 'rejected', NULL, true)",
        "0 rows",
    ),
    (
        "a_teacher2",
        "SELECT review_question(1200, 1, 'active', 'approved', NULL, true)",
        "0 rows",
    ),
    (
        "a_teacher1",
        "SELECT review_question(1200, 1, 'review', 'pending', NULL, false)",
        "1 rows",
    ),
    (
        "b_teacher1",
        "SELECT review_question(1201, 1, 'draft', 'rejected', NULL, true)",
        "0 rows",
    ),
    (
        "a_candidate1",
        "SELECT review_question(1201, 1, 'draft', 'rejected', NULL, true)",
        "0 rows",
    ),
];

/// The reach of administrators of A, of A1 below it and of the installation.
pub(crate) const ADMINISTRATORS: &[Try] = &[
    // The limits of an organisation are set by those above it.
    (
        "a_admin",
        "UPDATE organizations SET max_users = 9 WHERE id = 100",
        "42501",
    ),
    (
        "a_admin",
        "UPDATE organizations SET subscription_plan = 'enterprise' WHERE id = 100",
        "42501",
    ),
    (
        "a_admin",
        "UPDATE organizations SET max_users = 9, is_active = false WHERE id = 200",
        "1 rows",
    ),
    (
        "a_admin",
        "UPDATE organizations SET name = 'n', max_users = max_users WHERE id = 100",
        "1 rows",
    ),
    (
        "root",
        "UPDATE organizations SET is_active = false WHERE id = 100",
        "1 rows",
    ),
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

/// The reach of candidates, and of others who find people by their names.
pub(crate) const CANDIDATES: &[Try] = &[
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

/// The limits of the engine's own role, though it writes every attempt.
pub(crate) const ENGINE: &[&str] = &[
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
