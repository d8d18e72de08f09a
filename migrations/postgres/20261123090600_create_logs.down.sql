DROP FUNCTION detect_security_events(timestamptz);
DROP TABLE security_events;
DROP FUNCTION ensure_activity_partitions();
DROP TABLE user_activity_logs;
DROP TABLE proctor_logs;
DROP FUNCTION detach_old_partitions(regclass, integer);
DROP SCHEMA archive CASCADE;
DROP FUNCTION ensure_monthly_partitions(regclass, integer);
-- Makes the missing partitions of the month before the current one (UTC) and of so many months ahead;
-- returns how many it made. Rows of such a month that wait in the DEFAULT partition are moved.
-- Idempotent: called at every start of a node.
CREATE FUNCTION ensure_attempt_partitions(months_ahead integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    first_month CONSTANT timestamp := date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month';
    month_start timestamptz;
    month_end   timestamptz;
    partition   text;
    made        integer := 0;
BEGIN
    -- Several nodes may start at once.
    PERFORM pg_advisory_xact_lock(hashtext('ensure_attempt_partitions'));
    FOR i IN 0 .. months_ahead + 1 LOOP
        month_start := (first_month + make_interval(months => i)) AT TIME ZONE 'UTC';
        month_end := (first_month + make_interval(months => i + 1)) AT TIME ZONE 'UTC';
        partition := to_char(month_start AT TIME ZONE 'UTC', '"exam_attempts_y"YYYY"m"MM');
        CONTINUE WHEN to_regclass(quote_ident(partition)) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE exam_attempts INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition);
        EXECUTE format(
            'WITH moved AS (DELETE FROM exam_attempts_default WHERE started_at >= %L AND started_at < %L RETURNING *)
             INSERT INTO %I SELECT * FROM moved',
            month_start, month_end, partition
        );
        EXECUTE format(
            'ALTER TABLE exam_attempts ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            partition, month_start, month_end
        );
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
