-- What each database role may do, and which rows it sees. Run by `invigil migrate --roles` after the
-- migrations, as often as one likes: it begins from nothing every time.
--
-- The roles are groups without a log-in; a deployment makes log-ins and puts them into one. Only whole
-- tables are granted, never a partition: a policy does not hold for a partition that is named directly.

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
            NULL; -- roles are the whole server's: another database's migration was quicker
        END;
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', wanted);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM %I', wanted);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM %I', wanted);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', wanted);
    END LOOP;
    -- Functions are open to everybody unless that is taken back.
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
-- Who asks. Set for one transaction by app_enter; missing and empty are the same: nobody.
------------------------------------------------------------------------------------------------
CREATE OR REPLACE FUNCTION app_numbers(setting text) RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(nullif(current_setting(setting, true), '')::bigint[], '{}')
$$;

-- Organisations that the person administers; those in which the person teaches too; courses taught.
CREATE OR REPLACE FUNCTION app_organizations() RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT app_numbers('app.organizations') $$;
CREATE OR REPLACE FUNCTION app_staff_organizations() RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT app_numbers('app.staff_organizations') $$;
CREATE OR REPLACE FUNCTION app_courses() RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT app_numbers('app.courses') $$;
CREATE OR REPLACE FUNCTION app_is_super_admin() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT current_setting('app.role', true) = 'super_admin' $$;

-- Begins what a person does, by a log-in that is valid now. Null: it is not. Everything is of this
-- transaction alone, so that a pooled connection carries nothing to the next.
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
    -- A value of its own: what may write is no condition that an index answers.
    WHERE s.id = shown AND s.expires_at > at AND s.is_active AND u.is_active;
    IF role IS NULL THEN
        -- Nor does whoever entered earlier in this transaction stay.
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
        -- A course stays its instructor's only while the person teaches in its organisation.
        set_config('app.courses', (
            SELECT coalesce(array_agg(c.id), '{}')
            FROM courses AS c
            WHERE c.instructor_id = app_enter.user_id AND c.organization_id = ANY (teaches)
        )::text, true);
    -- To the minute: a row that every request writes would be the busiest of the database.
    UPDATE user_sessions AS s SET last_activity = at
    WHERE s.id = session AND s.last_activity < at - interval '1 minute';
    RETURN NEXT;
END $$;

-- People of an organisation by their exact names: how a teacher enrols somebody without seeing
-- everybody.
CREATE OR REPLACE FUNCTION people_by_name(usernames text[], organization bigint)
RETURNS TABLE (id bigint, username text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u.id, u.username
    FROM users AS u
    WHERE u.username = ANY (usernames) AND u.organization_id = organization AND u.is_active
      AND organization = ANY (app_staff_organizations())
$$;

-- One's own password is the one thing of an account that everybody may change.
CREATE OR REPLACE FUNCTION set_own_password(hash text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE users SET password_hash = hash, revision = revision + 1, updated_at = now()
    WHERE id = app_user_id();
    -- Whoever had the old one is out.
    UPDATE user_sessions SET is_active = false
    WHERE user_id = app_user_id() AND id <> nullif(current_setting('app.session_id', true), '')::bigint;
$$;

-- What is sealed is for administrators, whatever else shows a person to somebody.
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

-- Whoever sets a person's password can become that person: never one whose role reaches farther than
-- one's own, though the account be of one's organisation.
CREATE OR REPLACE FUNCTION app_governs(person bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT app_is_super_admin() OR NOT EXISTS (
        SELECT FROM user_roles AS r
        WHERE r.user_id = person AND r.role IN ('admin', 'super_admin') AND r.is_active
          AND (r.organization_id IS NULL OR r.organization_id <> ALL (app_organizations())))
$$;

-- An enrolment shows the person to the teacher: nobody of another organisation is enrolled.
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

-- The parent as it is stored: a policy's check sees the new row alone.
CREATE OR REPLACE FUNCTION app_parent_of(organization bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT parent_id FROM organizations WHERE id = organization
$$;

-- A materialised view knows no policies: this is the way in for people.
CREATE OR REPLACE FUNCTION app_sees_exam(exam bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM exams AS e
        WHERE e.id = exam
          AND (e.organization_id = ANY (app_organizations()) OR e.course_id = ANY (app_courses())
               OR e.created_by = app_user_id() AND e.organization_id = ANY (app_staff_organizations())))
$$;
-- Whoever sees an exam sees who has more time at it, though the person be in none of the own courses.
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
-- The engine: attempts, answers, log-ins, its own tables; of people and exams it reads.
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
-- Its entries move to the store of records.
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
-- The API: what people manage, row by row as the policies below let them.
------------------------------------------------------------------------------------------------
GRANT SELECT, INSERT, UPDATE, DELETE ON
    organizations, user_roles, course_categories, courses, course_enrollments,
    question_categories, questions, question_media, exams, exam_sections, exam_questions, exam_accommodations,
    answer_marks
    TO invigil_app;
GRANT SELECT, INSERT ON exam_versions, exam_version_questions, key_corrections TO invigil_app;
GRANT INSERT, UPDATE, DELETE ON users TO invigil_app;
GRANT UPDATE (is_active) ON user_sessions TO invigil_app;
-- No hash to guess at, and nothing sealed. The code's hash is keyed with what this role cannot read, and
-- an import that leaves codes as they are reads it.
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
        -- xmax tells a new row from one that was there.
        EXECUTE format('GRANT SELECT (%s, xmax) ON %I TO invigil_app', columns, t);
    END LOOP;
END $$;
GRANT SELECT ON exam_attempt_keys, exam_attempts, answers, attempt_timeline, attempt_evidence TO invigil_app;
-- Taking an attempt from its owner, and what marking changes; never an answer's value.
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
-- People who look on: without secrets, without personal data, without keys of questions.
------------------------------------------------------------------------------------------------
GRANT SELECT ON
    user_roles, courses, course_categories, course_enrollments, question_categories, exam_sections,
    exam_statistics, question_statistics, exam_reliability,
    user_performance, organization_hierarchy, partition_runway
    TO invigil_readonly;
GRANT SELECT (id, name, code, type, parent_id, subscription_plan, subscription_expires_at, max_users,
    max_exams, features, is_active, created_at, updated_at) ON organizations TO invigil_readonly;
-- Why somebody has more time is often an illness.
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

-- These need rights over the whole server. Where the migrating role has them not, an administrator
-- grants them once.
DO $$
BEGIN
    -- Only where it is not so already: several databases of a server may be at this at once, and two
    -- changes of one role at a time are an error.
    IF NOT pg_has_role('invigil_monitor', 'pg_monitor', 'MEMBER') THEN
        GRANT pg_monitor TO invigil_monitor;
    END IF;
    IF NOT pg_has_role('invigil_backup', 'pg_read_all_data', 'MEMBER') THEN
        GRANT pg_read_all_data TO invigil_backup;
    END IF;
    -- pg_dump stops at the first table with policies, pg_basebackup asks for REPLICATION. A log-in does
    -- not inherit either: it needs them itself.
    IF NOT (SELECT rolbypassrls AND rolreplication FROM pg_roles WHERE rolname = 'invigil_backup') THEN
        ALTER ROLE invigil_backup BYPASSRLS REPLICATION;
    END IF;
EXCEPTION WHEN unique_violation OR internal_error THEN
    NULL; -- another database's migration was quicker
WHEN insufficient_privilege THEN
    RAISE WARNING 'invigil_monitor and invigil_backup need an administrator: %', SQLERRM;
END $$;

------------------------------------------------------------------------------------------------
-- Rows. The owner of the tables is not bound by them: no service logs in as the owner.
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

-- A sub-select is computed once a statement, a bare call once a row.
CREATE POLICY app_read ON organizations FOR SELECT TO invigil_app
    USING (id = ANY ((SELECT app_organizations())::bigint[]) OR id = ANY ((SELECT app_staff_organizations())::bigint[])
        -- One that was made a moment ago is not yet in the lists.
        OR parent_id = ANY ((SELECT app_organizations())::bigint[]) OR (SELECT app_is_super_admin()));
CREATE POLICY app_add ON organizations FOR INSERT TO invigil_app
    WITH CHECK ((SELECT app_is_super_admin()) OR parent_id = ANY ((SELECT app_organizations())::bigint[]));
CREATE POLICY app_change ON organizations FOR UPDATE TO invigil_app
    USING (id = ANY ((SELECT app_organizations())::bigint[]))
    -- It stays where it is or moves to another of one's own: no administrator frees it from those above.
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
    -- To people of one's own: a role anywhere may change what the person is taken for elsewhere. Taking
    -- back is another matter.
    WITH CHECK ((SELECT app_is_super_admin())
        OR organization_id = ANY ((SELECT app_organizations())::bigint[])
           AND (NOT is_active OR EXISTS (SELECT FROM users AS u WHERE u.id = user_id)));

CREATE POLICY app_all ON user_sessions TO invigil_app
    USING (user_id = (SELECT app_user_id())
        OR EXISTS (
            SELECT FROM users AS u
            WHERE u.id = user_id AND u.organization_id = ANY ((SELECT app_organizations())::bigint[])))
    -- What was revoked stays so.
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

-- The bank is its organisation's staff's. What another teacher drafts is not yet for others.
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

-- A question's files are seen with it, and are its author's and the administrators' to change.
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
    -- A question that its author may see: naming another's by its number would show it in the exam.
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
    -- Of attempts and answers.
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

-- What proctors noted is not for whom it is about.
CREATE POLICY app_read ON proctor_logs FOR SELECT TO invigil_app
    USING (EXISTS (
        SELECT FROM exam_attempt_keys AS k JOIN exams AS e ON e.id = k.exam_id
        WHERE k.attempt_id = proctor_logs.attempt_id));

CREATE POLICY app_read ON answer_marks FOR SELECT TO invigil_app
    USING (EXISTS (
        SELECT FROM exam_attempt_keys AS k JOIN exams AS e ON e.id = k.exam_id
        WHERE k.attempt_id = answer_marks.attempt_id));
-- A mark is its marker's; a claim without one may be taken over.
CREATE POLICY app_write ON answer_marks TO invigil_app
    USING ((marker_id = (SELECT app_user_id()) OR points IS NULL) AND EXISTS (
        SELECT FROM exam_attempt_keys AS k JOIN exams AS e ON e.id = k.exam_id
        WHERE k.attempt_id = answer_marks.attempt_id))
    WITH CHECK (marker_id = (SELECT app_user_id()) AND EXISTS (
        SELECT FROM exam_attempt_keys AS k JOIN exams AS e ON e.id = k.exam_id
        WHERE k.attempt_id = answer_marks.attempt_id));

-- Logs are for administrators: of people of theirs; what is about nobody is for those of the installation.
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
-- What reaches over one's own rows, each with a rule of its own.
------------------------------------------------------------------------------------------------
-- A step of a review. Others than the author change a question's status here and nothing else of it.
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

-- The search. Under a policy the full text index could not be used: its operator is not leakproof, so it
-- would be asked only about rows that passed. Here the policy of `questions` stands in the query itself;
-- whoever reads the rows afterwards passes it once more. Of more than 2,000 that fit, the first 2,000 are
-- ranked: a word that stands in every tenth question says little about any.
CREATE OR REPLACE FUNCTION search_questions(
    words text, category bigint, kind text, hardness text, state text, labels text[], organization bigint,
    skip bigint, most bigint
) RETURNS TABLE (id bigint, rank real)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET plan_cache_mode = force_custom_plan
-- Two common words that never stand together: the planner expects many hits, and looks for the first of
-- them in every row.
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
