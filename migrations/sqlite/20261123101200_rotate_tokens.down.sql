DROP INDEX user_sessions_previous_sha256_idx;
ALTER TABLE user_sessions DROP COLUMN previous_sha256;
ALTER TABLE user_sessions DROP COLUMN rotated_at;
