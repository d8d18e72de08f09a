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
