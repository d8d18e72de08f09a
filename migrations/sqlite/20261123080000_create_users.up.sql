-- People and their log-ins. Instants are milliseconds since the Unix epoch, UTC.

CREATE TABLE users (
    username         TEXT NOT NULL,              -- the roster's id
    name             TEXT NOT NULL,              -- shown to people
    email            TEXT NOT NULL DEFAULT '',   -- may be empty
    role             TEXT NOT NULL,              -- what the person may do
    access_code_hmac BLOB NOT NULL,              -- HMAC-SHA256 of the access code
    exam_codes       TEXT,                       -- JSON array of the exams the person reaches; null: every exam
    time_factor      TEXT NOT NULL DEFAULT '1',  -- decimal, multiplies an exam's duration
    extra_time_ms    INTEGER NOT NULL DEFAULT 0, -- added to an exam's duration, milliseconds
    CONSTRAINT users_pkey PRIMARY KEY (username),
    CONSTRAINT users_username_check CHECK (username <> ''),
    CONSTRAINT users_role_check CHECK (role IN ('candidate', 'proctor', 'teacher', 'admin')),
    CONSTRAINT users_access_code_hmac_check CHECK (length(access_code_hmac) = 32),
    CONSTRAINT users_extra_time_ms_check CHECK (extra_time_ms >= 0)
) STRICT;

CREATE TABLE user_sessions (
    token_sha256 BLOB NOT NULL,    -- SHA-256 of the log-in token; the token itself is nowhere
    username     TEXT NOT NULL,    -- whose log-in
    expires_at   INTEGER NOT NULL, -- valid before
    CONSTRAINT user_sessions_pkey PRIMARY KEY (token_sha256),
    CONSTRAINT user_sessions_username_fkey FOREIGN KEY (username) REFERENCES users (username) ON DELETE CASCADE
) STRICT;

CREATE INDEX user_sessions_username_idx ON user_sessions (username);
CREATE INDEX user_sessions_expires_at_idx ON user_sessions (expires_at);
