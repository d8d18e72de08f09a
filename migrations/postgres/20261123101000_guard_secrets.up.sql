-- Whether there is a password can be read without reading it.
ALTER TABLE users
    ADD COLUMN has_password    boolean GENERATED ALWAYS AS (password_hash IS NOT NULL) STORED,
    ADD COLUMN has_access_code boolean GENERATED ALWAYS AS (access_code_hmac IS NOT NULL) STORED;

-- Who is enrolled decides who sees whom; a version decides what is asked. Of log-ins what ends them: that
-- they began is in login_attempts.
CREATE TRIGGER course_enrollments_audit AFTER INSERT OR UPDATE OR DELETE ON course_enrollments
    FOR EACH ROW EXECUTE FUNCTION audit_row('course_enrollments', 'course_id');
-- Column by column: a definition is json and may hold what jsonb does not take.
CREATE FUNCTION audit_exam_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM audit_write(
        'exam_versions', TG_OP, NEW.id::text, NULL,
        jsonb_build_object('exam_id', NEW.exam_id, 'version', NEW.version, 'title', NEW.title));
    RETURN NULL;
END $$;
CREATE TRIGGER exam_versions_audit AFTER INSERT ON exam_versions
    FOR EACH ROW EXECUTE FUNCTION audit_exam_version();
CREATE TRIGGER user_sessions_audit AFTER UPDATE ON user_sessions
    FOR EACH ROW WHEN (OLD.is_active IS DISTINCT FROM NEW.is_active)
    EXECUTE FUNCTION audit_row('user_sessions', 'id', 'token_sha256');

-- What a run cost says when the next one may be, and the count of changes whether there is a need.
ALTER TABLE maintenance_runs
    ADD COLUMN took_ms integer NOT NULL DEFAULT 0,
    ADD COLUMN changes bigint,
    ADD CONSTRAINT maintenance_runs_took_ms_check CHECK (took_ms >= 0);
