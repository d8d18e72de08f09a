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
