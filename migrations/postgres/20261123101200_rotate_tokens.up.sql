-- The token before the present one: good for a moment more, so that nothing that is under way is refused.
ALTER TABLE user_sessions
    ADD COLUMN previous_sha256 bytea,
    ADD COLUMN rotated_at      timestamptz,
    ADD CONSTRAINT user_sessions_previous_sha256_key UNIQUE (previous_sha256),
    ADD CONSTRAINT user_sessions_previous_sha256_check CHECK (octet_length(previous_sha256) = 32),
    ADD CONSTRAINT user_sessions_rotated_at_check
        CHECK ((previous_sha256 IS NULL) = (rotated_at IS NULL));

-- Whose a replaced token is. Used later than its moment, somebody has a copy of it: the log-in ends.
CREATE FUNCTION session_of_replaced_token(token bytea, at timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    found user_sessions;
BEGIN
    SELECT * INTO found FROM user_sessions AS s
    WHERE s.previous_sha256 = token AND s.is_active AND s.expires_at > at;
    IF found.id IS NULL OR found.rotated_at > at - interval '30 seconds' THEN
        RETURN found.id;
    END IF;
    UPDATE user_sessions AS s SET is_active = false WHERE s.id = found.id;
    INSERT INTO security_events (event_type, severity, user_id, event_data, description, created_at)
    VALUES ('replaced_token_used', 'high', found.user_id, jsonb_build_object('session', found.id),
            'a log-in token was used again after it had been replaced; the log-in is ended', at);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION session_of_replaced_token(bytea, timestamptz) FROM PUBLIC;

DROP TRIGGER user_sessions_audit ON user_sessions;
CREATE TRIGGER user_sessions_audit AFTER UPDATE ON user_sessions
    FOR EACH ROW WHEN (OLD.is_active IS DISTINCT FROM NEW.is_active)
    EXECUTE FUNCTION audit_row('user_sessions', 'id', 'token_sha256', 'previous_sha256');
