-- What an organisation may have, and whether it works at all.

-- Works: it and everything above it.
CREATE FUNCTION organization_is_active(organization bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE up AS (
        SELECT o.parent_id, o.is_active FROM organizations AS o WHERE o.id = organization
        UNION ALL
        SELECT o.parent_id, o.is_active FROM organizations AS o JOIN up ON o.id = up.parent_id
    )
    SELECT bool_and(up.is_active) FROM up
$$;

-- Roles in organisations that do not work are none.
CREATE OR REPLACE FUNCTION effective_role(person bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT r.role
    FROM user_roles AS r
    WHERE r.user_id = person AND r.is_active AND (r.expires_at IS NULL OR r.expires_at > now())
      AND (r.organization_id IS NULL OR organization_is_active(r.organization_id))
    ORDER BY array_position(ARRAY['super_admin', 'admin', 'teacher', 'proctor', 'candidate'], r.role)
    LIMIT 1
$$;

CREATE OR REPLACE FUNCTION administered_organizations(person bigint) RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE own AS (
        SELECT o.id
        FROM organizations AS o
        JOIN user_roles AS r ON r.organization_id = o.id AND r.role = 'admin' OR r.role = 'super_admin'
        WHERE r.user_id = person AND r.is_active AND (r.expires_at IS NULL OR r.expires_at > now())
          AND (r.organization_id IS NULL OR organization_is_active(r.organization_id))
        UNION
        SELECT o.id FROM organizations AS o JOIN own ON o.parent_id = own.id
    )
    SELECT coalesce(array_agg(id), '{}') FROM own
$$;

-- Limits hold however people and exams come to be. The organisation's row is locked, so that two at once
-- do not both take the last place.
CREATE FUNCTION refuse_too_many_people(wanted bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    o record;
BEGIN
    FOR o IN
        SELECT id, max_users FROM organizations
        WHERE id = ANY (wanted) AND max_users IS NOT NULL
        ORDER BY id FOR NO KEY UPDATE
    LOOP
        IF (SELECT count(*) FROM users AS u WHERE u.organization_id = o.id) > o.max_users THEN
            RAISE EXCEPTION 'organisation % may have % people', o.id, o.max_users
                USING ERRCODE = 'check_violation', TABLE = 'users', COLUMN = 'organization_id',
                      CONSTRAINT = 'organizations_max_users',
                      HINT = format('has no room: it may have %s people', o.max_users);
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION refuse_too_many_exams(wanted bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    o record;
BEGIN
    FOR o IN
        SELECT id, max_exams FROM organizations
        WHERE id = ANY (wanted) AND max_exams IS NOT NULL
        ORDER BY id FOR NO KEY UPDATE
    LOOP
        IF (SELECT count(*) FROM exams AS e WHERE e.organization_id = o.id) > o.max_exams THEN
            RAISE EXCEPTION 'organisation % may have % exams', o.id, o.max_exams
                USING ERRCODE = 'check_violation', TABLE = 'exams', COLUMN = 'organization_id',
                      CONSTRAINT = 'organizations_max_exams',
                      HINT = format('has no room: it may have %s exams', o.max_exams);
        END IF;
    END LOOP;
END $$;

-- Arguments of the trigger: `people` or `exams`. After inserts once a statement, after a move once a row.
CREATE FUNCTION limit_organization() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    wanted bigint[];
BEGIN
    IF TG_LEVEL = 'ROW' THEN
        wanted := ARRAY[NEW.organization_id];
    ELSE
        SELECT array_agg(DISTINCT organization_id) INTO wanted FROM added;
    END IF;
    IF TG_ARGV[0] = 'people' THEN
        PERFORM refuse_too_many_people(wanted);
    ELSE
        PERFORM refuse_too_many_exams(wanted);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER users_limit_added AFTER INSERT ON users REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION limit_organization('people');
CREATE TRIGGER users_limit_moved AFTER UPDATE OF organization_id ON users
    FOR EACH ROW WHEN (OLD.organization_id IS DISTINCT FROM NEW.organization_id)
    EXECUTE FUNCTION limit_organization('people');
CREATE TRIGGER exams_limit_added AFTER INSERT ON exams REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION limit_organization('exams');
CREATE TRIGGER exams_limit_moved AFTER UPDATE OF organization_id ON exams
    FOR EACH ROW WHEN (OLD.organization_id IS DISTINCT FROM NEW.organization_id)
    EXECUTE FUNCTION limit_organization('exams');

-- Who administers an organisation does not set its limits, nor end it: that is for those above.
CREATE FUNCTION organizations_guard_limits() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF app_user_id() IS NOT NULL AND NOT app_is_super_admin()
       AND (OLD.parent_id IS NULL OR OLD.parent_id <> ALL (app_organizations())) THEN
        RAISE EXCEPTION 'limits of organisation % are for those above it', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER organizations_guard_limits
    BEFORE UPDATE OF max_users, max_exams, is_active, subscription_plan, subscription_expires_at, features
    ON organizations FOR EACH ROW
    WHEN ((OLD.max_users, OLD.max_exams, OLD.is_active, OLD.subscription_plan, OLD.subscription_expires_at,
           OLD.features)
          IS DISTINCT FROM
          (NEW.max_users, NEW.max_exams, NEW.is_active, NEW.subscription_plan, NEW.subscription_expires_at,
           NEW.features))
    EXECUTE FUNCTION organizations_guard_limits();

-- A tree of categories has no circle.
CREATE FUNCTION categories_refuse_circle() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    circle boolean;
BEGIN
    -- Two moves at once could close one together.
    PERFORM pg_advisory_xact_lock(hashtext(TG_TABLE_NAME), 0);
    EXECUTE format(
        'WITH RECURSIVE up AS (
             SELECT $1::bigint AS id
             UNION
             SELECT c.parent_id FROM %I AS c JOIN up ON c.id = up.id
         ) SELECT EXISTS (SELECT FROM up WHERE up.id = $2)', TG_TABLE_NAME)
    INTO circle USING NEW.parent_id, NEW.id;
    IF circle THEN
        RAISE EXCEPTION 'a category cannot stand above itself'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'parent_id',
                  CONSTRAINT = TG_TABLE_NAME || '_parent_id_check';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER course_categories_refuse_circle BEFORE UPDATE OF parent_id ON course_categories
    FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL) EXECUTE FUNCTION categories_refuse_circle();
CREATE TRIGGER question_categories_refuse_circle BEFORE UPDATE OF parent_id ON question_categories
    FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL) EXECUTE FUNCTION categories_refuse_circle();
