DROP TABLE login_attempts;
DROP INDEX user_sessions_ip_address_idx;
DROP INDEX user_sessions_user_id_idx;
CREATE INDEX user_sessions_user_id_idx ON user_sessions (user_id);
ALTER TABLE user_sessions
    DROP COLUMN id,
    DROP COLUMN device_type,
    DROP COLUMN device_fingerprint,
    DROP COLUMN ip_address,
    DROP COLUMN user_agent,
    DROP COLUMN metadata,
    DROP COLUMN is_active,
    DROP COLUMN last_activity,
    DROP CONSTRAINT user_sessions_expires_at_check;
ALTER TABLE users ADD COLUMN role text;
UPDATE users SET role = coalesce(nullif(effective_role(id), 'super_admin'), 'admin');
ALTER TABLE users
    ALTER COLUMN role SET NOT NULL,
    ADD CONSTRAINT users_role_check CHECK (role IN ('candidate', 'proctor', 'teacher', 'admin'));
DROP FUNCTION effective_role(bigint);
DROP TABLE user_roles;
DROP TRIGGER users_touch ON users;
DROP INDEX users_profile_idx;
DROP INDEX users_active_last_login_idx;
DROP INDEX users_active_created_at_idx;
DROP INDEX users_email_idx;
DROP INDEX users_organization_id_idx;
-- An account without an access code cannot exist there: nothing matches a hash of zeros.
UPDATE users SET access_code_hmac = decode(repeat('00', 32), 'hex') WHERE access_code_hmac IS NULL;
ALTER TABLE users
    DROP CONSTRAINT users_email_check,
    DROP CONSTRAINT users_profile_check,
    DROP COLUMN organization_id,
    DROP COLUMN password_hash,
    DROP COLUMN first_name,
    DROP COLUMN last_name,
    DROP COLUMN phone_sealed,
    DROP COLUMN phone_hmac,
    DROP COLUMN phone_masked,
    DROP COLUMN id_card_sealed,
    DROP COLUMN id_card_hmac,
    DROP COLUMN id_card_masked,
    DROP COLUMN avatar_url,
    DROP COLUMN profile,
    DROP COLUMN is_active,
    DROP COLUMN is_verified,
    DROP COLUMN email_verified_at,
    DROP COLUMN phone_verified_at,
    DROP COLUMN last_login,
    DROP COLUMN login_count,
    DROP COLUMN failed_login_attempts,
    DROP COLUMN locked_until,
    DROP COLUMN revision,
    ALTER COLUMN access_code_hmac SET NOT NULL;
