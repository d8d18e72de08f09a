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
