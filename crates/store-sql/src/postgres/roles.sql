-- The rights of each database role, and the rows that it sees. `invigil migrate --roles` runs this
-- file after the migrations. It is repeatable: every run revokes everything first.
--
-- The roles are groups without a log-in; a deployment creates log-ins as members. Only whole tables
-- are granted, never a partition: a policy does not apply to a partition that is named directly.

DO $$
DECLARE
    wanted  text;
    r       record;
BEGIN
    FOREACH wanted IN ARRAY ARRAY[
        'invigil_engine', 'invigil_app', 'invigil_readonly', 'invigil_backup', 'invigil_monitor',
        'invigil_analytics'
    ] LOOP
        BEGIN
            IF to_regrole(wanted) IS NULL THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- roles belong to the server: another database's migration was quicker
        END;
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', wanted);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM %I', wanted);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM %I', wanted);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', wanted);
    END LOOP;
    -- PUBLIC may execute every function unless that is revoked.
    FOR r IN
        SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND prosecdef
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', r.name);
    END LOOP;
    FOR r IN SELECT schemaname, tablename, policyname FROM pg_policies WHERE schemaname = 'public' LOOP
        EXECUTE format('DROP POLICY %I ON %I', r.policyname, r.tablename);
    END LOOP;
END $$;

------------------------------------------------------------------------------------------------
-- The acting person. app_enter sets it for a transaction; missing and empty both mean no person.
------------------------------------------------------------------------------------------------
CREATE OR REPLACE FUNCTION app_numbers(setting text) RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(nullif(current_setting(setting, true), '')::bigint[], '{}')
$$;

-- Organisations that the person administers; the same with those in which the person teaches;
-- courses that the person teaches.
CREATE OR REPLACE FUNCTION app_organizations() RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT app_numbers('app.organizations') $$;
CREATE OR REPLACE FUNCTION app_staff_organizations() RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT app_numbers('app.staff_organizations') $$;
CREATE OR REPLACE FUNCTION app_courses() RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT app_numbers('app.courses') $$;
CREATE OR REPLACE FUNCTION app_is_super_admin() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT current_setting('app.role', true) = 'super_admin' $$;

-- Begins a person's transaction by the token of a valid log-in; returns no row if it is not valid.
-- All settings end with the transaction, so that a pooled connection carries nothing to the next
-- one.
CREATE OR REPLACE FUNCTION app_enter(token bytea, at timestamptz, address inet, agent text)
RETURNS TABLE (user_id bigint, username text, name text, role text, organization_id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    shown   CONSTANT bigint := coalesce(
        (SELECT t.id FROM user_sessions AS t WHERE t.token_sha256 = token),
        session_of_replaced_token(token, at));
    session bigint;
    admins  bigint[];
    teaches bigint[];
BEGIN
    SELECT s.id, u.id, u.username, u.name, effective_role(u.id), u.organization_id
    INTO session, user_id, username, name, role, organization_id
    FROM user_sessions AS s
    JOIN users AS u ON u.id = s.user_id
    -- Computed before: an index cannot serve a condition on a function that may write.
    WHERE s.id = shown AND s.expires_at > at AND s.is_active AND u.is_active;
    IF role IS NULL THEN
        -- A person who entered earlier in this transaction must not stay in effect.
        PERFORM set_config('app.' || setting, '', true)
        FROM unnest(ARRAY['user_id', 'session_id', 'role', 'ip_address', 'user_agent', 'organizations',
                          'staff_organizations', 'courses']) AS setting;
        RETURN;
    END IF;
    admins := CASE WHEN role IN ('admin', 'super_admin') THEN administered_organizations(user_id) ELSE '{}' END;
    teaches := CASE WHEN role = 'teacher' THEN (
        SELECT coalesce(array_agg(r.organization_id), '{}')
        FROM user_roles AS r
        WHERE r.user_id = app_enter.user_id AND r.role = 'teacher' AND r.is_active
          AND (r.expires_at IS NULL OR r.expires_at > now())
          AND organization_is_active(r.organization_id)
    ) ELSE '{}' END;
    PERFORM
        set_config('app.user_id', user_id::text, true),
        set_config('app.session_id', session::text, true),
        set_config('app.role', role, true),
        set_config('app.ip_address', address::text, true),
        set_config('app.user_agent', coalesce(agent, ''), true),
        set_config('app.organizations', admins::text, true),
        set_config('app.staff_organizations', (admins || teaches)::text, true),
        -- Instructors keep a course only while they teach in its organisation.
        set_config('app.courses', (
            SELECT coalesce(array_agg(c.id), '{}')
            FROM courses AS c
            WHERE c.instructor_id = app_enter.user_id AND c.organization_id = ANY (teaches)
        )::text, true);
    -- At most once a minute: a write by every request would make this the busiest row.
    UPDATE user_sessions AS s SET last_activity = at
    WHERE s.id = session AND s.last_activity < at - interval '1 minute';
    RETURN NEXT;
END $$;

-- People of an organisation by their exact names: a teacher enrols a person without seeing all
-- people.
CREATE OR REPLACE FUNCTION people_by_name(usernames text[], organization bigint)
RETURNS TABLE (id bigint, username text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.id, u.username
    FROM users AS u
    WHERE u.username = ANY (usernames) AND u.organization_id = organization AND u.is_active
      AND organization = ANY (app_staff_organizations())
$$;

-- Every person may change their own password, and nothing else of their account.
CREATE OR REPLACE FUNCTION set_own_password(hash text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE users SET password_hash = hash, revision = revision + 1, updated_at = now()
    WHERE id = app_user_id();
    -- Other log-ins may have been made by someone with the old password.
    UPDATE user_sessions SET is_active = false
    WHERE user_id = app_user_id() AND id <> nullif(current_setting('app.session_id', true), '')::bigint;
$$;

-- Sealed columns are for administrators only, whatever other policy shows the person.
CREATE OR REPLACE FUNCTION sealed_of(person bigint) RETURNS TABLE (phone bytea, id_card bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.phone_sealed, u.id_card_sealed
    FROM users AS u
    WHERE u.id = person AND u.organization_id = ANY (app_organizations())
$$;

CREATE OR REPLACE FUNCTION own_password_hash() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT password_hash FROM users WHERE id = app_user_id()
$$;

-- An administrator who sets a person's password can act as that person. This must not reach a role
-- in organisations outside the administrator's own, even if the account belongs to one of them.
CREATE OR REPLACE FUNCTION app_governs(person bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT app_is_super_admin() OR NOT EXISTS (
        SELECT FROM user_roles AS r
        WHERE r.user_id = person AND r.role IN ('admin', 'super_admin') AND r.is_active
          AND (r.organization_id IS NULL OR r.organization_id <> ALL (app_organizations())))
$$;

-- An enrolment shows the person to the teacher, so people of other organisations are not enrolled.
CREATE OR REPLACE FUNCTION app_may_enrol(course bigint, person bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM courses AS c
        JOIN users AS u ON u.id = person
        WHERE c.id = course
          AND (u.organization_id = c.organization_id OR EXISTS (
              SELECT FROM user_roles AS r
              WHERE r.user_id = u.id AND r.organization_id = c.organization_id AND r.is_active)))
$$;

-- The stored parent: a policy's check sees only the new row.
CREATE OR REPLACE FUNCTION app_parent_of(organization bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT parent_id FROM organizations WHERE id = organization
$$;

-- Materialised views have no policies: people read them through this check.
CREATE OR REPLACE FUNCTION app_sees_exam(exam bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM exams AS e
        WHERE e.id = exam
          AND (e.organization_id = ANY (app_organizations()) OR e.course_id = ANY (app_courses())
               OR e.created_by = app_user_id() AND e.organization_id = ANY (app_staff_organizations())))
$$;
-- Staff who see an exam see the people with extra time at it, even those outside their courses.
CREATE OR REPLACE FUNCTION app_person_of_exam(exam bigint, person bigint)
RETURNS TABLE (username text, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.username, u.name
    FROM exam_accommodations AS a
    JOIN users AS u ON u.id = a.user_id
    WHERE a.exam_id = exam AND a.user_id = person AND app_sees_exam(exam)
$$;

CREATE OR REPLACE VIEW visible_exam_statistics WITH (security_barrier = true) AS
    SELECT s.*, r.alpha, r.people AS alpha_people, r.questions AS alpha_questions
    FROM exam_statistics AS s
    LEFT JOIN exam_reliability AS r ON r.exam_id = s.exam_id
    WHERE app_sees_exam(s.exam_id);
CREATE OR REPLACE VIEW visible_question_statistics WITH (security_barrier = true) AS
    SELECT * FROM question_statistics AS s WHERE app_sees_exam(s.exam_id);

DO $$
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND prosecdef
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', r.name);
    END LOOP;
END $$;

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

------------------------------------------------------------------------------------------------
-- Row policies. The owner of the tables bypasses them, so no service logs in as the owner.
------------------------------------------------------------------------------------------------
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY[
        'organizations', 'users', 'user_roles', 'user_sessions', 'login_attempts', 'course_categories',
        'courses', 'course_enrollments', 'question_categories', 'questions', 'question_media', 'exams', 'exam_versions',
        'exam_version_questions', 'exam_sections', 'exam_questions', 'exam_accommodations',
        'key_corrections', 'exam_attempt_keys', 'exam_attempts', 'answers', 'answer_marks',
        'attempt_timeline', 'attempt_evidence', 'proctor_logs', 'user_activity_logs', 'audit_logs', 'security_events'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format(
            'CREATE POLICY engine ON %I TO invigil_engine USING (true) WITH CHECK (true)', t);
        EXECUTE format('CREATE POLICY readonly ON %I FOR SELECT TO invigil_readonly USING (true)', t);
    END LOOP;
END $$;

-- A sub-select runs once for a statement, a bare call once for each row.
CREATE POLICY app_read ON organizations FOR SELECT TO invigil_app
    USING (id = ANY ((SELECT app_organizations())::bigint[]) OR id = ANY ((SELECT app_staff_organizations())::bigint[])
        -- An organisation created in this transaction is not in the lists yet.
        OR parent_id = ANY ((SELECT app_organizations())::bigint[]) OR (SELECT app_is_super_admin()));
CREATE POLICY app_add ON organizations FOR INSERT TO invigil_app
    WITH CHECK ((SELECT app_is_super_admin()) OR parent_id = ANY ((SELECT app_organizations())::bigint[]));
CREATE POLICY app_change ON organizations FOR UPDATE TO invigil_app
    USING (id = ANY ((SELECT app_organizations())::bigint[]))
    -- It keeps its parent or moves below another organisation of the administrator: an
    -- administrator cannot detach it from the organisations above.
    WITH CHECK ((SELECT app_is_super_admin()) OR parent_id = ANY ((SELECT app_organizations())::bigint[])
        OR parent_id IS NOT DISTINCT FROM app_parent_of(id));
CREATE POLICY app_remove ON organizations FOR DELETE TO invigil_app
    USING (id = ANY ((SELECT app_organizations())::bigint[]));

CREATE POLICY app_read ON users FOR SELECT TO invigil_app
    USING (id = (SELECT app_user_id())
        OR organization_id = ANY ((SELECT app_organizations())::bigint[])
        OR EXISTS (
            SELECT FROM course_enrollments AS n
            WHERE n.user_id = users.id AND n.course_id = ANY ((SELECT app_courses())::bigint[])));
CREATE POLICY app_add ON users FOR INSERT TO invigil_app
    WITH CHECK (organization_id = ANY ((SELECT app_organizations())::bigint[]));
CREATE POLICY app_change ON users FOR UPDATE TO invigil_app
    USING (organization_id = ANY ((SELECT app_organizations())::bigint[]) AND app_governs(id))
    WITH CHECK (organization_id = ANY ((SELECT app_organizations())::bigint[]));
CREATE POLICY app_remove ON users FOR DELETE TO invigil_app
    USING (organization_id = ANY ((SELECT app_organizations())::bigint[]) AND app_governs(id));

CREATE POLICY app_read ON user_roles FOR SELECT TO invigil_app
    USING (user_id = (SELECT app_user_id())
        OR organization_id = ANY ((SELECT app_organizations())::bigint[])
        OR (SELECT app_is_super_admin()));
CREATE POLICY app_write ON user_roles TO invigil_app
    USING (organization_id = ANY ((SELECT app_organizations())::bigint[]) OR (SELECT app_is_super_admin()))
    -- Only to people whom the administrator sees: a role in one organisation may change the
    -- person's effective role in others. Revoking has no such limit.
    WITH CHECK ((SELECT app_is_super_admin())
        OR organization_id = ANY ((SELECT app_organizations())::bigint[])
           AND (NOT is_active OR EXISTS (SELECT FROM users AS u WHERE u.id = user_id)));

CREATE POLICY app_all ON user_sessions TO invigil_app
    USING (user_id = (SELECT app_user_id())
        OR EXISTS (
            SELECT FROM users AS u
            WHERE u.id = user_id AND u.organization_id = ANY ((SELECT app_organizations())::bigint[])))
    -- A revoked log-in stays revoked.
    WITH CHECK (NOT is_active);

CREATE POLICY app_all ON course_categories TO invigil_app
    USING (organization_id = ANY ((SELECT app_staff_organizations())::bigint[]))
    WITH CHECK (organization_id = ANY ((SELECT app_organizations())::bigint[]));
CREATE POLICY app_all ON question_categories TO invigil_app
    USING (organization_id = ANY ((SELECT app_staff_organizations())::bigint[]))
    WITH CHECK (organization_id = ANY ((SELECT app_staff_organizations())::bigint[]));

CREATE POLICY app_all ON courses TO invigil_app
    USING (organization_id = ANY ((SELECT app_organizations())::bigint[])
        OR instructor_id = (SELECT app_user_id()) AND organization_id = ANY ((SELECT app_staff_organizations())::bigint[]))
    WITH CHECK (organization_id = ANY ((SELECT app_organizations())::bigint[])
        OR instructor_id = (SELECT app_user_id()) AND organization_id = ANY ((SELECT app_staff_organizations())::bigint[]));
CREATE POLICY app_read ON course_enrollments FOR SELECT TO invigil_app
    USING (user_id = (SELECT app_user_id()));
CREATE POLICY app_all ON course_enrollments TO invigil_app
    USING (course_id IN (SELECT id FROM courses))
    WITH CHECK (course_id IN (SELECT id FROM courses) AND app_may_enrol(course_id, user_id));

-- The bank belongs to the staff of its organisation. A draft is for its author and administrators.
CREATE POLICY app_read ON questions FOR SELECT TO invigil_app
    USING (organization_id = ANY ((SELECT app_organizations())::bigint[])
        OR organization_id = ANY ((SELECT app_staff_organizations())::bigint[])
            AND (status <> 'draft' OR created_by = (SELECT app_user_id())));
CREATE POLICY app_write ON questions TO invigil_app
    USING (organization_id = ANY ((SELECT app_organizations())::bigint[])
        OR organization_id = ANY ((SELECT app_staff_organizations())::bigint[])
            AND created_by = (SELECT app_user_id()))
    WITH CHECK (organization_id = ANY ((SELECT app_organizations())::bigint[])
        OR organization_id = ANY ((SELECT app_staff_organizations())::bigint[])
            AND created_by = (SELECT app_user_id()));

-- A question's files are visible with it; its author and the administrators may change them.
CREATE POLICY app_read ON question_media FOR SELECT TO invigil_app
    USING (EXISTS (SELECT FROM questions AS q WHERE q.id = question_id));
CREATE POLICY app_write ON question_media TO invigil_app
    USING (EXISTS (
        SELECT FROM questions AS q
        WHERE q.id = question_id
          AND (q.organization_id = ANY ((SELECT app_organizations())::bigint[])
               OR q.created_by = (SELECT app_user_id()))))
    WITH CHECK (EXISTS (
        SELECT FROM questions AS q
        WHERE q.id = question_id
          AND (q.organization_id = ANY ((SELECT app_organizations())::bigint[])
               OR q.created_by = (SELECT app_user_id()))));

CREATE POLICY app_all ON exams TO invigil_app
    USING (organization_id = ANY ((SELECT app_organizations())::bigint[])
        OR course_id = ANY ((SELECT app_courses())::bigint[])
        OR created_by = (SELECT app_user_id()) AND organization_id = ANY ((SELECT app_staff_organizations())::bigint[]))
    WITH CHECK (organization_id = ANY ((SELECT app_organizations())::bigint[])
        OR organization_id = ANY ((SELECT app_staff_organizations())::bigint[])
            AND (course_id = ANY ((SELECT app_courses())::bigint[])
                 OR course_id IS NULL AND created_by = (SELECT app_user_id())));

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY[
        'exam_sections', 'exam_accommodations', 'exam_versions'
    ] LOOP
        EXECUTE format(
            'CREATE POLICY app_all ON %I TO invigil_app
                 USING (EXISTS (SELECT FROM exams AS e WHERE e.id = exam_id))
                 WITH CHECK (EXISTS (SELECT FROM exams AS e WHERE e.id = exam_id))', t);
    END LOOP;
    -- Only questions that the exam's author may see: any other id would show its question in the
    -- exam.
    CREATE POLICY app_all ON exam_questions TO invigil_app
        USING (EXISTS (SELECT FROM exams AS e WHERE e.id = exam_id))
        WITH CHECK (EXISTS (SELECT FROM exams AS e WHERE e.id = exam_id)
            AND EXISTS (SELECT FROM questions AS q WHERE q.id = question_id));
    FOREACH t IN ARRAY ARRAY['exam_version_questions', 'key_corrections'] LOOP
        EXECUTE format(
            'CREATE POLICY app_all ON %I TO invigil_app
                 USING (EXISTS (SELECT FROM exam_versions AS v WHERE v.id = exam_version_id))
                 WITH CHECK (EXISTS (SELECT FROM exam_versions AS v WHERE v.id = exam_version_id))', t);
    END LOOP;
    -- Attempts and answers.
    FOREACH t IN ARRAY ARRAY['exam_attempt_keys', 'exam_attempts'] LOOP
        EXECUTE format(
            'CREATE POLICY app_all ON %I TO invigil_app
                 USING (user_id = (SELECT app_user_id()) OR EXISTS (SELECT FROM exams AS e WHERE e.id = exam_id))
                 WITH CHECK (EXISTS (SELECT FROM exams AS e WHERE e.id = exam_id))', t);
    END LOOP;
    FOREACH t IN ARRAY ARRAY['answers', 'attempt_timeline', 'attempt_evidence'] LOOP
        EXECUTE format(
            'CREATE POLICY app_all ON %I TO invigil_app
                 USING (EXISTS (SELECT FROM exam_attempt_keys AS k WHERE k.attempt_id = %I.attempt_id))
                 WITH CHECK (EXISTS (
                     SELECT FROM exam_attempt_keys AS k JOIN exams AS e ON e.id = k.exam_id
                     WHERE k.attempt_id = %I.attempt_id))', t, t, t);
    END LOOP;
END $$;

-- Proctors' notes are hidden from the candidate.
CREATE POLICY app_read ON proctor_logs FOR SELECT TO invigil_app
    USING (EXISTS (
        SELECT FROM exam_attempt_keys AS k JOIN exams AS e ON e.id = k.exam_id
        WHERE k.attempt_id = proctor_logs.attempt_id));

CREATE POLICY app_read ON answer_marks FOR SELECT TO invigil_app
    USING (EXISTS (
        SELECT FROM exam_attempt_keys AS k JOIN exams AS e ON e.id = k.exam_id
        WHERE k.attempt_id = answer_marks.attempt_id));
-- Only its marker changes a mark; another marker may take over a claim without points.
CREATE POLICY app_write ON answer_marks TO invigil_app
    USING ((marker_id = (SELECT app_user_id()) OR points IS NULL) AND EXISTS (
        SELECT FROM exam_attempt_keys AS k JOIN exams AS e ON e.id = k.exam_id
        WHERE k.attempt_id = answer_marks.attempt_id))
    WITH CHECK (marker_id = (SELECT app_user_id()) AND EXISTS (
        SELECT FROM exam_attempt_keys AS k JOIN exams AS e ON e.id = k.exam_id
        WHERE k.attempt_id = answer_marks.attempt_id));

-- Logs are for administrators, about the people of their organisations. Entries without a person
-- are for super-administrators.
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['audit_logs', 'security_events', 'login_attempts'] LOOP
        EXECUTE format(
            'CREATE POLICY app_all ON %I TO invigil_app
                 USING ((SELECT app_is_super_admin()) OR EXISTS (
                     SELECT FROM users AS u
                     WHERE u.id = user_id AND u.organization_id = ANY ((SELECT app_organizations())::bigint[])))', t);
    END LOOP;
END $$;
CREATE POLICY app_read ON user_activity_logs FOR SELECT TO invigil_app
    USING (organization_id = ANY ((SELECT app_organizations())::bigint[]));
CREATE POLICY app_add ON user_activity_logs FOR INSERT TO invigil_app
    WITH CHECK (user_id = (SELECT app_user_id())
        AND organization_id = (SELECT u.organization_id FROM users AS u WHERE u.id = (SELECT app_user_id())));

------------------------------------------------------------------------------------------------
-- Functions that reach beyond the caller's rows, each with a rule of its own.
------------------------------------------------------------------------------------------------
-- A step of a review. Reviewers other than the author change only the question's status and review.
CREATE OR REPLACE FUNCTION review_question(
    question bigint, expected integer, next_status text, outcome text, notes text, judged boolean
) RETURNS SETOF bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE questions
    SET status = next_status,
        review_status = outcome,
        review_notes = coalesce(notes, review_notes),
        reviewed_by = CASE WHEN judged THEN app_user_id() ELSE reviewed_by END,
        reviewed_at = CASE WHEN judged THEN now() ELSE reviewed_at END,
        revision = revision + 1
    WHERE id = question AND revision = expected
      AND organization_id = ANY (app_staff_organizations())
      AND (created_by = app_user_id() OR organization_id = ANY (app_organizations())
           OR judged AND status = 'review' AND next_status IN ('active', 'draft'))
    RETURNING id
$$;
REVOKE ALL ON FUNCTION review_question(bigint, integer, text, text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION review_question(bigint, integer, text, text, text, boolean) TO invigil_app;

-- The search. Under a policy the full-text index could not be used: its operator is not leakproof,
-- so it would run only on rows that passed. The query therefore contains the policy of `questions`
-- itself, and the caller's later read of the rows passes the policy again. Of more than 2,000
-- matches only the first 2,000 are ranked: a word that is in every tenth question says little about
-- any.
CREATE OR REPLACE FUNCTION search_questions(
    words text, category bigint, kind text, hardness text, state text, labels text[], organization bigint,
    skip bigint, most bigint
) RETURNS TABLE (id bigint, rank real)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET plan_cache_mode = force_custom_plan
-- For two common words that never occur together the planner expects many matches, and would scan
-- every row for the first ones.
SET enable_seqscan = off AS $$
DECLARE
    asked    CONSTANT tsquery := search_query(words);
    me       CONSTANT bigint := app_user_id();
    admins   CONSTANT bigint[] := app_organizations();
    staff    CONSTANT bigint[] := app_staff_organizations();
    filed    bigint[];
BEGIN
    IF category IS NOT NULL THEN
        WITH RECURSIVE below AS (
            SELECT category AS id
            UNION
            SELECT c.id FROM question_categories AS c JOIN below ON c.parent_id = below.id
        )
        SELECT array_agg(below.id) INTO filed FROM below;
    END IF;
    IF asked IS NULL THEN
        RETURN QUERY
        SELECT t.id, 0::real
        FROM questions AS t
        WHERE t.is_latest_version
          AND (t.organization_id = ANY (admins)
               OR t.organization_id = ANY (staff) AND (t.status <> 'draft' OR t.created_by = me))
          AND (filed IS NULL OR t.category_id = ANY (filed))
          AND (kind IS NULL OR t.type = kind)
          AND (hardness IS NULL OR t.difficulty = hardness)
          AND (state IS NULL OR t.status = state)
          AND (labels = '{}' OR t.tags @> labels)
          AND (organization IS NULL OR t.organization_id = organization)
        ORDER BY t.id DESC
        OFFSET skip LIMIT most;
        RETURN;
    END IF;
    RETURN QUERY
    WITH fit AS MATERIALIZED (
        SELECT t.id, t.search_vector
        FROM questions AS t
        WHERE t.search_vector @@ asked
          AND t.is_latest_version
          AND (t.organization_id = ANY (admins)
               OR t.organization_id = ANY (staff) AND (t.status <> 'draft' OR t.created_by = me))
          AND (filed IS NULL OR t.category_id = ANY (filed))
          AND (kind IS NULL OR t.type = kind)
          AND (hardness IS NULL OR t.difficulty = hardness)
          AND (state IS NULL OR t.status = state)
          AND (labels = '{}' OR t.tags @> labels)
          AND (organization IS NULL OR t.organization_id = organization)
        LIMIT 2000
    )
    SELECT fit.id, ts_rank_cd(fit.search_vector, asked, 32) AS rank
    FROM fit
    ORDER BY rank DESC, fit.id DESC
    OFFSET skip LIMIT most;
END $$;
REVOKE ALL ON FUNCTION
    search_questions(text, bigint, text, text, text, text[], bigint, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    search_questions(text, bigint, text, text, text, text[], bigint, bigint, bigint) TO invigil_app;
