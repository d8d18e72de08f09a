-- The token before the present one: good for a moment more, so that nothing that is under way is refused.
ALTER TABLE user_sessions ADD COLUMN previous_sha256 BLOB;   -- null: never replaced
ALTER TABLE user_sessions ADD COLUMN rotated_at INTEGER;     -- when the present token took its place
CREATE UNIQUE INDEX user_sessions_previous_sha256_idx ON user_sessions (previous_sha256);
