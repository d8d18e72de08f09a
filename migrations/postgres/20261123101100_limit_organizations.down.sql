DROP TRIGGER question_categories_refuse_circle ON question_categories;
DROP TRIGGER course_categories_refuse_circle ON course_categories;
DROP FUNCTION categories_refuse_circle();
DROP TRIGGER organizations_guard_limits ON organizations;
DROP FUNCTION organizations_guard_limits();
DROP TRIGGER exams_limit_moved ON exams;
DROP TRIGGER exams_limit_added ON exams;
DROP TRIGGER users_limit_moved ON users;
DROP TRIGGER users_limit_added ON users;
DROP FUNCTION limit_organization();
DROP FUNCTION refuse_too_many_exams(bigint[]);
DROP FUNCTION refuse_too_many_people(bigint[]);
CREATE OR REPLACE FUNCTION administered_organizations(person bigint) RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE own AS (
        SELECT o.id
        FROM organizations AS o
        JOIN user_roles AS r ON r.organization_id = o.id AND r.role = 'admin' OR r.role = 'super_admin'
        WHERE r.user_id = person AND r.is_active AND (r.expires_at IS NULL OR r.expires_at > now())
        UNION
        SELECT o.id FROM organizations AS o JOIN own ON o.parent_id = own.id
    )
    SELECT coalesce(array_agg(id), '{}') FROM own
$$;
CREATE OR REPLACE FUNCTION effective_role(person bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.role
    FROM user_roles AS r
    WHERE r.user_id = person AND r.is_active AND (r.expires_at IS NULL OR r.expires_at > now())
    ORDER BY array_position(ARRAY['super_admin', 'admin', 'teacher', 'proctor', 'candidate'], r.role)
    LIMIT 1
$$;
DROP FUNCTION organization_is_active(bigint);
