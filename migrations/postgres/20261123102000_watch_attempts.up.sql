-- What proctoring found, for queries: the engine writes it with its own state, `control`.
ALTER TABLE exam_attempts
    ADD COLUMN violations_count   integer NOT NULL DEFAULT 0,     -- how often a rule of the exam acted
    ADD COLUMN security_flags     jsonb NOT NULL DEFAULT '[]',    -- the kinds of its incidents
    ADD COLUMN proctoring_score   numeric(3, 2),                  -- 1: nothing was noticed; null: not watched
    ADD COLUMN integrity_verified boolean NOT NULL DEFAULT false, -- handed in, and nothing open or confirmed
    ADD CONSTRAINT exam_attempts_violations_count_check CHECK (violations_count >= 0),
    ADD CONSTRAINT exam_attempts_security_flags_check CHECK (jsonb_typeof(security_flags) = 'array'),
    ADD CONSTRAINT exam_attempts_proctoring_score_check CHECK (proctoring_score BETWEEN 0 AND 1);
