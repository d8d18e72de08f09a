------------------------------------------------------------------------------------------------
-- The engine: it writes attempts, answers, log-ins and its own tables, and reads people and exams.
------------------------------------------------------------------------------------------------
GRANT SELECT ON
    _sqlx_migrations, organizations, user_roles, courses, course_enrollments, exams, exam_versions,
    exam_version_questions, exam_accommodations, key_corrections, users, attempt_summaries
    TO invigil_engine;
GRANT UPDATE (last_login, login_count, failed_login_attempts, locked_until) ON users TO invigil_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON user_sessions, staff_commands, engine_nodes, engine_outages,
    engine_secrets, audit_chains, maintenance_runs, attempt_evidence TO invigil_engine;
GRANT SELECT, INSERT, UPDATE ON exam_attempt_keys, exam_attempts, answers, attempt_timeline TO invigil_engine;
GRANT INSERT ON login_attempts, user_activity_logs TO invigil_engine;
GRANT SELECT, INSERT ON proctor_logs TO invigil_engine;
-- Timeline entries move to the store of records.
GRANT DELETE ON attempt_timeline TO invigil_engine;
GRANT SELECT, UPDATE (seal_no, seal) ON audit_logs TO invigil_engine;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO invigil_engine;
GRANT EXECUTE ON FUNCTION
    effective_role(bigint), exam_scope(bigint), administered_organizations(bigint),
    ensure_monthly_partitions(regclass, integer),
    ensure_activity_partitions(), detach_old_partitions(regclass, integer), refresh_statistics(),
    detect_security_events(timestamptz), session_of_replaced_token(bytea, timestamptz),
    unused_media(text[])
    TO invigil_engine;

------------------------------------------------------------------------------------------------
-- The API: tables that people manage, row by row as the policies below allow.
------------------------------------------------------------------------------------------------
GRANT SELECT, INSERT, UPDATE, DELETE ON
    organizations, user_roles, course_categories, courses, course_enrollments,
    question_categories, questions, question_media, exams, exam_sections, exam_questions, exam_accommodations,
    answer_marks
    TO invigil_app;
GRANT SELECT, INSERT ON exam_versions, exam_version_questions, key_corrections TO invigil_app;
GRANT INSERT, UPDATE, DELETE ON users TO invigil_app;
GRANT UPDATE (is_active) ON user_sessions TO invigil_app;
-- No hash that invites guessing, and no sealed column. The hash of the access code is the
-- exception: its key is hidden from this role, and an import that keeps existing codes reads it.
DO $$
DECLARE
    t       text;
    columns text;
BEGIN
    FOREACH t IN ARRAY ARRAY['users', 'user_sessions'] LOOP
        SELECT string_agg(quote_ident(attname), ', ') INTO columns
        FROM pg_attribute
        WHERE attrelid = t::regclass AND attnum > 0 AND NOT attisdropped
          AND (attname !~ '_(hash|sha256|hmac|sealed)$' OR attname = 'access_code_hmac');
        -- xmax tells an inserted row from an updated one.
        EXECUTE format('GRANT SELECT (%s, xmax) ON %I TO invigil_app', columns, t);
    END LOOP;
END $$;
GRANT SELECT ON exam_attempt_keys, exam_attempts, answers, attempt_timeline, attempt_evidence TO invigil_app;
-- Acquiring an attempt from its owner, and the columns that marking changes; never an answer's
-- value.
GRANT UPDATE (owner_epoch, owner_node) ON exam_attempt_keys TO invigil_app;
GRANT UPDATE (status, control, score, max_score, percentage, passed, grade, penalty, needs_marking, graded_at,
    reviewed_at, reviewed_by, released_at, feedback, grading_notes, key_revision, updated_at)
    ON exam_attempts TO invigil_app;
GRANT UPDATE (points_earned, points_possible, status, is_correct, grading_method, graded_by, graded_at, feedback)
    ON answers TO invigil_app;
GRANT SELECT ON audit_logs, audit_chains, security_events, login_attempts, user_activity_logs, proctor_logs,
    visible_exam_statistics, visible_question_statistics TO invigil_app;
GRANT UPDATE (status, assigned_to, resolved_at, resolved_by, resolution_notes, revision)
    ON security_events TO invigil_app;
GRANT INSERT ON user_activity_logs TO invigil_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO invigil_app;
GRANT EXECUTE ON FUNCTION
    app_enter(bytea, timestamptz, inet, text), people_by_name(text[], bigint), set_own_password(text),
    own_password_hash(), sealed_of(bigint), app_sees_exam(bigint), app_governs(bigint), app_may_enrol(bigint, bigint),
    app_person_of_exam(bigint, bigint), app_parent_of(bigint), exam_scope(bigint), administered_organizations(bigint)
    TO invigil_app;

------------------------------------------------------------------------------------------------
-- Read-only access: without secrets, personal data and answer keys.
------------------------------------------------------------------------------------------------
GRANT SELECT ON
    user_roles, courses, course_categories, course_enrollments, question_categories, exam_sections,
    exam_statistics, question_statistics, exam_reliability,
    user_performance, organization_hierarchy, partition_runway
    TO invigil_readonly;
GRANT SELECT (id, name, code, type, parent_id, subscription_plan, subscription_expires_at, max_users,
    max_exams, features, is_active, created_at, updated_at) ON organizations TO invigil_readonly;
-- The reason for extra time is often an illness, so it is left out.
GRANT SELECT (exam_id, user_id, time_factor, extra_time_ms, created_at, updated_at)
    ON exam_accommodations TO invigil_readonly;
GRANT SELECT (id, username, name, organization_id, is_active, is_verified, last_login, created_at, updated_at)
    ON users TO invigil_readonly;
GRANT SELECT (id, code, title, organization_id, course_id, type, status, duration_minutes, max_attempts,
    passing_score, total_points, questions_count, available_from, available_until, attempts_count,
    completed_attempts, avg_score, avg_duration, published_at, created_at, updated_at)
    ON exams TO invigil_readonly;
GRANT SELECT (id, organization_id, title, type, difficulty, category_id, subject, topic, tags, status,
    usage_count, correct_rate, avg_score, difficulty_index, discrimination_index, version, created_at)
    ON questions TO invigil_readonly;
GRANT SELECT (attempt_id, exam_id, user_id, attempt_no, started_at, closed_at) ON exam_attempt_keys
    TO invigil_readonly;
GRANT SELECT (id, started_at, exam_id, user_id, status, entered_at, deadline_at, submitted_at, late, score,
    max_score, percentage, passed, grade, needs_marking, time_spent) ON exam_attempts TO invigil_readonly;
GRANT SELECT (attempt_id, question_id, status, is_correct, points_earned, points_possible, answered_at, spent_ms)
    ON answers TO invigil_readonly;

GRANT SELECT ON exam_statistics, question_statistics, exam_reliability, user_performance, users_masked
    TO invigil_analytics;
GRANT EXECUTE ON FUNCTION effective_role(bigint) TO invigil_analytics;

GRANT SELECT ON partition_runway, maintenance_runs, engine_nodes, engine_outages TO invigil_monitor;

-- These need rights over the whole server. If the migrating role lacks them, an administrator
-- grants them once.
DO $$
BEGIN
    -- Only if needed: several databases of a server may run this at once, and concurrent changes of
    -- a role are an error.
    IF NOT pg_has_role('invigil_monitor', 'pg_monitor', 'MEMBER') THEN
        GRANT pg_monitor TO invigil_monitor;
    END IF;
    IF NOT pg_has_role('invigil_backup', 'pg_read_all_data', 'MEMBER') THEN
        GRANT pg_read_all_data TO invigil_backup;
    END IF;
    -- pg_dump stops at the first table with policies, pg_basebackup needs REPLICATION. A log-in
    -- does not inherit these attributes: it needs them itself.
    IF NOT (SELECT rolbypassrls AND rolreplication FROM pg_roles WHERE rolname = 'invigil_backup') THEN
        ALTER ROLE invigil_backup BYPASSRLS REPLICATION;
    END IF;
EXCEPTION WHEN unique_violation OR internal_error THEN
    NULL; -- another database's migration was quicker
WHEN insufficient_privilege THEN
    RAISE WARNING 'invigil_monitor and invigil_backup need an administrator: %', SQLERRM;
END $$;
