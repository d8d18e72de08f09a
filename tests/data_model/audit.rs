//! The audit trail: every change with its author, and no secret.

use expect_test::expect;

use crate::session::{as_owner, enter, lines, run, text, value, world};

/// Selects the trail beyond the entries that the world begins with.
const TRAIL: &str = "
    SELECT format('%s %s %s by %s: %s -> %s', operation, table_name, record_id,
        coalesce(user_id::text, '-'), coalesce(old_values::text, '-'),
        coalesce(new_values::text, '-'))
    FROM audit_logs
    WHERE (changed_fields = ARRAY['name'] AND new_values ->> 'name' LIKE 'called %') IS NOT TRUE
    ORDER BY id";

#[tokio::test]
async fn an_entry_tells_who_from_where_and_what_changed() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    assert!(enter(&mut connection, "invigil_app", "a_admin").await);
    run(
        &mut connection,
        "UPDATE users SET email = 'c@example.org', revision = 2, updated_at = now() WHERE id = 130;
         COMMIT",
    )
    .await;
    run(
        &mut connection,
        "UPDATE courses SET title = 'Biology' WHERE id = 120",
    )
    .await;
    let entries = "
        SELECT concat_ws(' ', table_name, operation, record_id, user_id, session_id,
            host(ip_address), user_agent, database_role = session_user, old_values, new_values,
            changed_fields)
        FROM audit_logs WHERE changed_fields <> ARRAY['name'] ORDER BY id";
    expect![[r#"
        users UPDATE 130 110 110 127.0.0.1 test t {"email": ""} {"email": "c@example.org"} {email}
        courses UPDATE 120 t {"title": "a_teacher1"} {"title": "Biology"} {title}
    "#]]
    .assert_eq(&lines(&mut connection, entries).await);
    database.remove().await;
}

/// Changes of every audited table.
const CHANGES: &str = r#"
    INSERT INTO organizations (id, name, code, type) VALUES (400, 'C', 'C', 'school');
    UPDATE organizations SET name = 'D' WHERE id = 400;
    DELETE FROM organizations WHERE id = 400;
    INSERT INTO user_roles (id, user_id, organization_id, role) VALUES (999, 130, 300, 'teacher');
    UPDATE user_roles SET is_active = false WHERE id = 999;
    UPDATE exam_questions SET points = 3 WHERE exam_id = 120 AND question_id = 1200;
    UPDATE exam_accommodations SET extra_time_ms = 5 WHERE exam_id = 120;
    UPDATE security_events SET status = 'investigating' WHERE user_id = 130;
    UPDATE answer_marks SET points = 2 WHERE attempt_id = 130;
    UPDATE answers SET points_earned = 1, status = 'partial', grading_method = 'manual', graded_by = 120
        WHERE attempt_id = 130;
    UPDATE exam_attempts SET status = 'graded', score = 3, control = '{"a":1}' WHERE id = 130;
    UPDATE exam_attempts SET released_at = '2026-01-01T00:00:00Z' WHERE id = 130;
    INSERT INTO course_enrollments (course_id, user_id, enrolled_at, updated_at)
        VALUES (120, 131, '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z');
    UPDATE course_enrollments SET status = 'dropped' WHERE course_id = 120 AND user_id = 131;
    INSERT INTO exam_versions (id, exam_id, version, title, definition)
        VALUES (999, 120, 'sha256:9', 'T', '{"a":"\u0000"}');
    UPDATE user_sessions SET is_active = false WHERE user_id = 130;
"#;

#[tokio::test]
async fn changes_of_every_table_are_told_field_by_field() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    run(&mut connection, CHANGES).await;
    let told = lines(&mut connection, TRAIL).await;
    // Whole rows of inserts and deletions are long: their presence is enough.
    let told = text(told.lines().map(|line| {
        let columns = line.matches("\": ").count();
        let shown = if columns > 9 { &line[..60] } else { line };
        shown.trim_end().to_owned()
    }));
    expect![[r#"
        INSERT organizations 400 by -: - -> {"id": 400, "code": "C",
        UPDATE organizations 400 by -: {"name": "C"} -> {"name": "D"}
        DELETE organizations 400 by -: {"id": 400, "code": "C", "nam
        INSERT user_roles 130 by -: - -> {"id": 999, "role": "teache
        UPDATE user_roles 130 by -: {"is_active": true} -> {"is_active": false}
        UPDATE exam_questions 120 by -: {"points": 2} -> {"points": 3}
        UPDATE exam_accommodations 130 by -: {"extra_time_ms": 60000} -> {"extra_time_ms": 5}
        UPDATE security_events 10 by -: {"status": "new"} -> {"status": "investigating"}
        UPDATE answer_marks 130 by -: {"points": 1.00} -> {"points": 2.00}
        UPDATE answers 130/1200 by -: {"status": "pending_review", "graded_by": null, "points_earned": null, "grading_method": null} -> {"status": "partial", "graded_by": 120, "points_earned": 1.00, "grading_method": "manual"}
        UPDATE answers 130/1201 by -: {"status": "correct", "graded_by": null, "points_earned": 2.00, "grading_method": "auto"} -> {"status": "partial", "graded_by": 120, "points_earned": 1.00, "grading_method": "manual"}
        UPDATE exam_attempts 130 by -: {"score": 2.00, "status": "submitted"} -> {"score": 3.00, "status": "graded"}
        UPDATE exam_attempts 130 by -: {"released_at": null} -> {"released_at": "2026-01-01T00:00:00+00:00"}
        INSERT course_enrollments 120 by -: - -> {"status": "active", "user_id": 131, "course_id": 120, "updated_at": "2026-01-01T00:00:00+00:00", "enrolled_at": "2026-01-01T00:00:00+00:00"}
        UPDATE course_enrollments 120 by -: {"status": "active"} -> {"status": "dropped"}
        INSERT exam_versions 999 by -: - -> {"title": "T", "exam_id": 120, "version": "sha256:9"}
        UPDATE user_sessions 130 by -: {"is_active": true} -> {"is_active": false}
    "#]].assert_eq(&told);
    let silent = "SELECT count(*) FROM audit_logs";
    let before = value(&mut connection, silent).await;
    // Changes without an author, and changes that follow by themselves.
    run(
        &mut connection,
        "UPDATE users SET name = name, last_login = now(), login_count = 3;
         UPDATE exams SET attempts_count = 9, completed_attempts = 9, avg_score = 1,
             avg_duration = '1 s', first_attempt_at = now(), last_attempt_at = now();
         UPDATE questions SET usage_count = 9, correct_rate = 9, avg_score = 1,
             avg_time_seconds = 9, difficulty_index = 0.5, discrimination_index = 0.5,
             last_used_at = now();
         UPDATE exam_attempts SET control = '{}', close_at = now(), feedback = 'x';
         UPDATE answers SET user_answer = '2', seq = 5, rev = 3, spent_ms = 9;
         UPDATE user_sessions SET last_activity = now();
         SELECT refresh_statistics()",
    )
    .await;
    assert_eq!(value(&mut connection, silent).await, before);
    database.remove().await;
}

#[tokio::test]
async fn no_secret_is_in_the_trail() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    run(
        &mut connection,
        "INSERT INTO users (id, username, name, password_hash, access_code_hmac, phone_sealed,
                            phone_hmac, phone_masked, id_card_sealed, id_card_hmac, id_card_masked)
         VALUES (999, 'x', 'x', '$argon2id$topsecret', sha256('topsecret'), 'topsecret',
                 'topsecret', '1**', 'topsecret', 'topsecret', '2**');
         UPDATE users SET password_hash = '$argon2id$topsecret2' WHERE id = 999;
         UPDATE users SET password_hash = NULL, access_code_hmac = sha256('topsecret2'),
             phone_sealed = 'topsecret2', phone_hmac = 'topsecret2', id_card_sealed = 'topsecret2',
             id_card_hmac = 'topsecret2' WHERE id = 999;
         UPDATE users SET name = 'y' WHERE id = 999;
         UPDATE exams SET exam_password = 'sha256$topsecret' WHERE id = 120;
         UPDATE exams SET exam_password = 'sha256$topsecret2' WHERE id = 120;
         DELETE FROM users WHERE id = 999",
    )
    .await;
    let told = "SELECT count(*) FROM audit_logs AS a
                WHERE a::text ~ 'argon2id'
                   OR a::text ~ 'topsecret'
                   OR a::text ~ encode('topsecret', 'hex')
                   OR a::text ~ encode(sha256('topsecret'), 'hex')
                   OR a::text ~ encode(sha256('topsecret2'), 'hex')";
    assert_eq!(value(&mut connection, told).await, "0");
    // The change of a secret is recorded, its value is not.
    let changed = "SELECT format('%s %s: %s', table_name, changed_fields, new_values)
                   FROM audit_logs
                   WHERE operation = 'UPDATE' AND record_id IN ('999', '120') AND user_id IS NULL
                   ORDER BY id";
    expect![[r#"
        users {password_hash}: {"password_hash": "after"}
        users {access_code_hmac,has_password,id_card_hmac,id_card_sealed,password_hash,phone_hmac,phone_sealed}: {"phone_hmac": "after", "has_password": false, "id_card_hmac": "after", "phone_sealed": "after", "password_hash": "after", "id_card_sealed": "after", "access_code_hmac": "after"}
        users {name}: {"name": "y"}
        exams {exam_password,password_protected}: {"exam_password": "after", "password_protected": true}
        exams {exam_password}: {"exam_password": "after"}
    "#]].assert_eq(&lines(&mut connection, changed).await);
    database.remove().await;
}

#[tokio::test]
async fn what_jsonb_does_not_take_is_saved_all_the_same() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    // No text can hold this character: only `json` keeps it as it was written.
    let save = r#"UPDATE exam_attempts SET control = '{"a":"\u0000"}', status = 'graded', score = 1
                      WHERE id = 130;
                  UPDATE answers SET user_answer = '"\u0000"', points_earned = 0, status = 'incorrect',
                      grading_method = 'manual' WHERE attempt_id = 130"#;
    assert_eq!(as_owner(&mut connection, save).await, "3 rows");
    run(&mut connection, save).await;
    let kept = "SELECT control::text FROM exam_attempts WHERE id = 130";
    assert_eq!(value(&mut connection, kept).await, r#"{"a":"\u0000"}"#);
    let entries =
        "SELECT count(*) FROM audit_logs WHERE table_name IN ('exam_attempts', 'answers')";
    assert_eq!(value(&mut connection, entries).await, "3");
    database.remove().await;
}

#[tokio::test]
async fn no_setting_is_needed_and_none_stays() {
    let Some(database) = world().await else {
        return;
    };
    let mut connection = database.connection().await;
    // Set to nothing is as good as not set.
    run(
        &mut connection,
        "SET app.user_id = ''; SET app.session_id = ''; SET app.ip_address = '';
         SET app.user_agent = ''; UPDATE users SET email = 'x@example.org' WHERE id = 130",
    )
    .await;
    let entry = "SELECT num_nulls(user_id, session_id, ip_address, user_agent)
                 FROM audit_logs ORDER BY id DESC LIMIT 1";
    assert_eq!(value(&mut connection, entry).await, "4");
    database.remove().await;
}
