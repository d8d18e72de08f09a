//! Every index serves a query, and the query's plan uses it.
//!
//! The tables are as full as those of a middling school: with a few rows in them
//! the planner rightly reads everything.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;

use crate::session::{migrated, none, rows, run, text, value};

/// An index, and its query.
const QUERIES: &[(&str, &str)] = &[
    // Keys that people look things up by.
    (
        "users_username_key",
        "SELECT * FROM users WHERE username = 'user_77'",
    ),
    ("exams_code_key", "SELECT * FROM exams WHERE code = 'E77'"),
    (
        "answers_pkey",
        "SELECT * FROM answers WHERE attempt_id = 77 AND question_id = 77",
    ),
    (
        "exam_attempts_pkey",
        "SELECT * FROM exam_attempts WHERE id = 77",
    ),
    (
        "exam_attempt_keys_attempt_code_key",
        "SELECT * FROM exam_attempt_keys WHERE attempt_code = 'none'",
    ),
    (
        "users_phone_hmac_key",
        "SELECT * FROM users WHERE organization_id = 7 AND phone_hmac = 'x'",
    ),
    // People.
    (
        "users_email_idx",
        "SELECT * FROM users WHERE lower(email) = 'u77@example.org' AND email <> ''",
    ),
    (
        "users_organization_id_idx",
        "SELECT * FROM users WHERE organization_id = 7 ORDER BY username LIMIT 50",
    ),
    (
        "users_active_created_at_idx",
        "SELECT * FROM users WHERE is_active ORDER BY created_at DESC, id DESC LIMIT 50",
    ),
    (
        "users_active_last_login_idx",
        "SELECT * FROM users WHERE is_active AND last_login > now() - interval '1 day'",
    ),
    (
        "users_profile_idx",
        "SELECT * FROM users WHERE profile @> '{\"location\": \"town 7\"}'",
    ),
    (
        "user_roles_organization_id_idx",
        "SELECT * FROM user_roles WHERE organization_id = 7 AND role = 'teacher'",
    ),
    (
        "user_roles_granted_by_idx",
        "SELECT * FROM user_roles WHERE granted_by = 7",
    ),
    (
        "user_sessions_user_id_idx",
        "SELECT * FROM user_sessions WHERE user_id = 7 ORDER BY created_at DESC",
    ),
    (
        "user_sessions_expires_at_idx",
        "DELETE FROM user_sessions WHERE expires_at < now() - interval '20 days'",
    ),
    (
        "user_sessions_ip_address_idx",
        "SELECT user_id, ip_address, count(*) FROM user_sessions
      WHERE created_at > now() - interval '1 hour' AND ip_address IS NOT NULL GROUP BY 1, 2",
    ),
    (
        "login_attempts_attempted_at_idx",
        "SELECT ip_address, count(DISTINCT lower(username)) FROM login_attempts
      WHERE NOT success AND attempted_at > now() - interval '15 minutes' GROUP BY 1",
    ),
    (
        "login_attempts_username_idx",
        "SELECT * FROM login_attempts WHERE lower(username) = 'user_7'
      ORDER BY attempted_at DESC LIMIT 10",
    ),
    (
        "organizations_parent_id_idx",
        "SELECT * FROM organizations WHERE parent_id = 7",
    ),
    // Courses.
    (
        "courses_instructor_id_idx",
        "SELECT id FROM courses WHERE instructor_id = 7",
    ),
    (
        "courses_organization_id_idx",
        "SELECT * FROM courses WHERE organization_id = 7 AND status = 'active'",
    ),
    (
        "courses_category_id_idx",
        "SELECT * FROM courses WHERE category_id = 7",
    ),
    (
        "course_enrollments_user_id_idx",
        "SELECT course_id FROM course_enrollments WHERE user_id = 7 AND status = 'active'",
    ),
    (
        "course_categories_parent_id_idx",
        "SELECT * FROM course_categories WHERE parent_id = 7",
    ),
    (
        "question_categories_parent_id_idx",
        "SELECT * FROM question_categories WHERE parent_id = 7",
    ),
    // The bank.
    (
        "questions_search_vector_idx",
        "SELECT * FROM questions WHERE search_vector @@ to_tsquery('simple', 'word77')",
    ),
    (
        "questions_definition_sha256_idx",
        "SELECT id FROM questions WHERE organization_id = 7 AND definition_sha256 = sha256('77')",
    ),
    (
        "questions_category_id_status_idx",
        "SELECT * FROM questions WHERE category_id = 7 AND status = 'active'",
    ),
    (
        "questions_type_difficulty_idx",
        "SELECT * FROM questions WHERE type = 'hotspot' AND difficulty = 'expert'
          AND status = 'active'",
    ),
    (
        "questions_created_by_idx",
        "SELECT * FROM questions WHERE created_by = 7 AND organization_id = 7",
    ),
    (
        "questions_usage_idx",
        "SELECT * FROM questions WHERE status = 'active'
      ORDER BY usage_count DESC, correct_rate DESC LIMIT 50",
    ),
    (
        "questions_review_queue_idx",
        "SELECT * FROM questions WHERE status = 'review' ORDER BY created_at LIMIT 50",
    ),
    (
        "questions_tags_idx",
        "SELECT * FROM questions WHERE tags @> '{tag7}'",
    ),
    (
        "questions_organization_id_idx",
        "SELECT * FROM questions WHERE organization_id = 7 AND is_latest_version AND id > 900
      ORDER BY id LIMIT 50",
    ),
    (
        "questions_version_idx",
        "SELECT * FROM questions WHERE coalesce(root_id, id) = 7 ORDER BY version",
    ),
    (
        "question_media_name_idx",
        "SELECT FROM question_media WHERE name = repeat('0', 64) || '.png'",
    ),
    (
        "exam_questions_question_id_idx",
        "SELECT exam_id FROM exam_questions WHERE question_id = 7",
    ),
    (
        "exam_version_questions_question_id_idx",
        "SELECT exam_version_id FROM exam_version_questions WHERE question_id = 7",
    ),
    // Exams.
    (
        "exams_course_id_idx",
        "SELECT * FROM exams WHERE course_id = 7 AND status = 'published'",
    ),
    (
        "exams_published_at_idx",
        "SELECT * FROM exams WHERE status = 'published' ORDER BY published_at DESC LIMIT 20",
    ),
    (
        "exams_created_by_idx",
        "SELECT * FROM exams WHERE created_by = 7 AND organization_id = 7",
    ),
    (
        "exams_organization_id_idx",
        "SELECT * FROM exams WHERE organization_id = 7 AND id > 9 ORDER BY id LIMIT 50",
    ),
    (
        "exams_window_idx",
        "SELECT * FROM exams WHERE status IN ('published', 'active')
          AND available_from BETWEEN now() AND now() + interval '1 hour'",
    ),
    (
        "exams_proctored_idx",
        "SELECT * FROM exams WHERE proctoring_enabled",
    ),
    (
        "exams_settings_idx",
        "SELECT * FROM exams WHERE settings @> '{\"on_disconnect\": \"pause\"}'",
    ),
    (
        "exam_versions_exam_id_idx",
        "SELECT * FROM exam_versions WHERE exam_id = 7",
    ),
    (
        "exam_accommodations_user_id_idx",
        "SELECT * FROM exam_accommodations WHERE user_id = 7",
    ),
    // Attempts and answers.
    (
        "exam_attempt_keys_one_open_idx",
        "SELECT * FROM exam_attempt_keys WHERE exam_id = 7 AND user_id = 77 AND closed_at IS NULL",
    ),
    (
        "exam_attempt_keys_user_id_idx",
        "SELECT * FROM exam_attempt_keys WHERE user_id = 77 ORDER BY attempt_id DESC",
    ),
    (
        "exam_attempt_keys_exam_version_id_idx",
        "SELECT * FROM exam_attempt_keys WHERE exam_version_id = 7",
    ),
    (
        "exam_attempts_user_id_idx",
        "SELECT * FROM exam_attempts WHERE user_id = 77 ORDER BY started_at DESC LIMIT 10",
    ),
    (
        "exam_attempts_exam_id_idx",
        "SELECT * FROM exam_attempts WHERE exam_id = 7 ORDER BY started_at DESC, id DESC LIMIT 5",
    ),
    (
        "exam_attempts_ranking_idx",
        "SELECT * FROM exam_attempts WHERE exam_id = 7 AND submitted_at IS NOT NULL
      ORDER BY score DESC LIMIT 3",
    ),
    (
        "exam_attempts_needs_marking_idx",
        "SELECT * FROM exam_attempts WHERE exam_id = 7 AND needs_marking ORDER BY submitted_at",
    ),
    (
        "exam_attempts_close_at_idx",
        "SELECT * FROM exam_attempts WHERE close_at < now() ORDER BY close_at, id LIMIT 500",
    ),
    (
        "answers_question_id_idx",
        "SELECT question_id, count(*) FILTER (WHERE is_correct), avg(points_earned) FROM answers
      WHERE question_id = 7 AND status IN ('correct', 'incorrect', 'partial') GROUP BY 1",
    ),
    (
        "answers_pending_review_idx",
        "SELECT attempt_id FROM answers WHERE question_id = 7 AND status = 'pending_review'
      ORDER BY attempt_id LIMIT 50",
    ),
    (
        "answer_marks_marker_id_idx",
        "SELECT * FROM answer_marks WHERE marker_id = 7 ORDER BY claimed_at",
    ),
    // Logs.
    (
        "proctor_logs_attempt_id_idx",
        "SELECT * FROM proctor_logs WHERE attempt_id = 7 ORDER BY occurred_at DESC",
    ),
    (
        "proctor_logs_severity_idx",
        "SELECT * FROM proctor_logs WHERE attempt_id = 7 AND severity = 'high' AND requires_review
      ORDER BY occurred_at DESC",
    ),
    (
        "user_activity_logs_user_id_idx",
        "SELECT * FROM user_activity_logs WHERE user_id = 7 ORDER BY created_at DESC LIMIT 50",
    ),
    (
        "user_activity_logs_created_at_idx",
        "SELECT organization_id, count(*) FROM user_activity_logs
      WHERE created_at > now() - interval '1 day' GROUP BY 1",
    ),
    (
        "security_events_created_at_idx",
        "SELECT * FROM security_events
      WHERE event_type = 'many_logins' AND created_at > now() - interval '1 hour'",
    ),
    (
        "security_events_open_idx",
        "SELECT * FROM security_events WHERE status IN ('new', 'investigating')
      ORDER BY created_at DESC LIMIT 50",
    ),
    (
        "audit_logs_record_id_idx",
        "SELECT * FROM audit_logs WHERE table_name = 'users' AND record_id = '7'
      ORDER BY created_at DESC",
    ),
    (
        "audit_logs_user_id_idx",
        "SELECT * FROM audit_logs WHERE user_id = 7 ORDER BY created_at DESC LIMIT 50",
    ),
    (
        "audit_logs_session_id_idx",
        "SELECT * FROM audit_logs WHERE session_id = 7",
    ),
    (
        "audit_logs_unsealed_idx",
        "SELECT * FROM audit_logs WHERE seal IS NULL ORDER BY id LIMIT 500",
    ),
    (
        "engine_nodes_last_alive_at_idx",
        "SELECT max(last_alive_at) FROM engine_nodes",
    ),
    // Evidence.
    (
        "attempt_evidence_attempt_id_idx",
        "SELECT * FROM attempt_evidence WHERE attempt_id = 77 ORDER BY at, id",
    ),
    (
        "attempt_evidence_at_idx",
        "SELECT * FROM attempt_evidence WHERE at < now() - interval '27 days' ORDER BY at LIMIT 500",
    ),
    (
        "attempt_evidence_unstored_idx",
        "SELECT * FROM attempt_evidence
         WHERE stored_at IS NULL AND at < now() - interval '1 day' ORDER BY at LIMIT 500",
    ),
    // Statistics.
    (
        "exam_statistics_exam_id_idx",
        "SELECT * FROM exam_statistics WHERE exam_id = 7",
    ),
    (
        "question_statistics_key_idx",
        "SELECT * FROM question_statistics WHERE exam_id = 7",
    ),
    (
        "question_statistics_question_id_idx",
        "SELECT * FROM question_statistics WHERE question_id = 7",
    ),
];

/// Returns the indexes by name, each with those of the partitions. Unique indexes are left
/// out: their constraint is their use.
const INDEXES: &str = "
    WITH RECURSIVE tree AS (
        SELECT c.oid, c.relname::text AS name,
               i.indisunique AS promised
        FROM pg_class AS c
        JOIN pg_index AS i ON i.indexrelid = c.oid
        WHERE c.relkind IN ('i', 'I') AND c.relnamespace = 'public'::regnamespace
          AND NOT c.relispartition AND c.relname !~ '^_sqlx'
        UNION ALL
        SELECT i.inhrelid, tree.name, tree.promised
        FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid
    )
    SELECT name, oid::regclass::text, promised FROM tree";

#[tokio::test]
async fn every_index_has_a_query_that_uses_it() {
    let Some(database) = migrated().await else {
        return;
    };
    let mut connection = database.connection().await;
    run(&mut connection, include_str!("full.sql")).await;
    let mut indexes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wanted = BTreeSet::new();
    for row in rows(&mut connection, INDEXES).await {
        let name: String = row.get(0);
        if !row.get::<bool, _>(2) {
            wanted.insert(name.clone());
        }
        indexes.entry(name).or_default().insert(row.get(1));
    }
    let mut faults = Vec::new();
    for (name, query) in QUERIES {
        wanted.remove(*name);
        let plan = rows(&mut connection, &format!("EXPLAIN {query}")).await;
        let plan = text(plan.iter().map(|row| row.get(0)));
        // `Index Scan using NAME on TABLE`, `Bitmap Index Scan on NAME`.
        let words: BTreeSet<&str> = plan.split_whitespace().collect();
        match indexes.get(*name) {
            None => faults.push(format!("{name} is not there")),
            Some(parts) if !parts.iter().any(|part| words.contains(part.as_str())) => {
                faults.push(format!("{name}: {query}\n{plan}"));
            }
            Some(_) => {}
        }
    }
    for name in wanted {
        faults.push(format!("{name}: no query is named that it is for"));
    }
    none(&faults);
    let full = value(&mut connection, "SELECT count(*) FROM answers").await;
    assert_eq!(full, "100000");
    database.remove().await;
}
