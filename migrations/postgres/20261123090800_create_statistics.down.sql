-- What `invigil migrate --roles` made.
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT tablename, policyname FROM pg_policies WHERE schemaname = 'public' LOOP
        EXECUTE format('DROP POLICY %I ON %I', r.policyname, r.tablename);
    END LOOP;
    FOR r IN
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relrowsecurity
    LOOP
        EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', r.relname);
    END LOOP;
    DROP VIEW IF EXISTS visible_exam_statistics, visible_question_statistics;
    FOR r IN
        SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
          AND (proname LIKE 'app\_%' AND proname <> 'app_user_id'
               OR proname IN ('people_by_name', 'set_own_password', 'own_password_hash', 'review_question', 'search_questions'))
    LOOP
        EXECUTE format('DROP FUNCTION %s', r.name);
    END LOOP;
END $$;

DROP VIEW partition_runway;
DROP TABLE maintenance_runs;
DROP VIEW users_masked;
DROP FUNCTION mask_user_agent(text);
DROP FUNCTION mask_address(inet);
DROP FUNCTION mask_email(text);
DROP FUNCTION mask_text(text, integer, integer);
DROP VIEW user_performance;
DROP FUNCTION refresh_statistics();
DROP MATERIALIZED VIEW exam_reliability;
DROP MATERIALIZED VIEW question_statistics;
DROP VIEW item_scores;
DROP MATERIALIZED VIEW exam_statistics;
