DROP TRIGGER user_sessions_audit ON user_sessions;
CREATE TRIGGER user_sessions_audit AFTER UPDATE ON user_sessions
    FOR EACH ROW WHEN (OLD.is_active IS DISTINCT FROM NEW.is_active)
    EXECUTE FUNCTION audit_row('user_sessions', 'id', 'token_sha256');
DROP FUNCTION session_of_replaced_token(bytea, timestamptz);
ALTER TABLE user_sessions DROP COLUMN previous_sha256, DROP COLUMN rotated_at;
