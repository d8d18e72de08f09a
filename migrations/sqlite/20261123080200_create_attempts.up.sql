-- Attempts.

CREATE TABLE exam_attempts (
    id               INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, even after a deletion
    exam             TEXT NOT NULL,              -- the exam
    exam_version     TEXT NOT NULL,              -- the frozen content that the attempt is about
    candidate        TEXT NOT NULL,              -- whose attempt
    attempt_no       INTEGER NOT NULL,           -- 1 for the person's first attempt at the exam
    seed             INTEGER NOT NULL,           -- draws the paper's order; the bits of an unsigned number
    time_factor      TEXT NOT NULL,              -- decimal, multiplies the duration
    extra_time_ms    INTEGER NOT NULL,           -- added to the duration, milliseconds
    started_at       INTEGER NOT NULL,           -- when it was made
    ip_address       TEXT NOT NULL,              -- where the start came from
    owner_node       TEXT,                       -- node that took it last
    owner_epoch      INTEGER NOT NULL DEFAULT 0, -- raised by every taking; a write with another epoch is void
    session          TEXT,                       -- the candidate's session that owns it
    last_seq         INTEGER NOT NULL DEFAULT 0, -- highest durable command number of the session
    last_event       INTEGER NOT NULL DEFAULT 0, -- highest durable event number of the session
    record_version   INTEGER NOT NULL DEFAULT 0, -- number of the newest change, over all sessions and owners
    last_activity_at INTEGER NOT NULL,           -- when the candidate was last heard
    status           TEXT NOT NULL,              -- where it stands
    control          TEXT NOT NULL,              -- JSON, the engine's state besides answers; the truth
    entered_at       INTEGER,                    -- the clock's beginning
    deadline_at      INTEGER,                    -- end of the candidate's time
    close_at         INTEGER,                    -- when the engine must look at it; null: never
    closed_at        INTEGER,                    -- when no more answers are taken
    submitted_at     INTEGER,                    -- when it was handed in
    handed_in_by     TEXT,                       -- candidate, time or staff
    late             INTEGER NOT NULL DEFAULT 0, -- handed in after the deadline
    score            TEXT,                       -- decimal, points after floor and penalty
    max_score        TEXT,                       -- decimal, points that there were
    percentage       TEXT,                       -- decimal, 0 to 100
    passed           INTEGER,                    -- null while a person has to mark
    grade            TEXT,                       -- letter; null while a person has to mark or without a scale
    penalty          TEXT,                       -- decimal, points that the late penalty took
    needs_marking    INTEGER,                    -- whether a person has to mark something
    receipt          TEXT,                       -- the signed receipt, JSON
    CONSTRAINT exam_attempts_attempt_no_key UNIQUE (exam, candidate, attempt_no),
    CONSTRAINT exam_attempts_attempt_no_check CHECK (attempt_no > 0),
    CONSTRAINT exam_attempts_exam_fkey FOREIGN KEY (exam) REFERENCES exams (code),
    CONSTRAINT exam_attempts_exam_version_fkey FOREIGN KEY (exam_version) REFERENCES exam_versions (version),
    CONSTRAINT exam_attempts_candidate_fkey FOREIGN KEY (candidate) REFERENCES users (username),
    CONSTRAINT exam_attempts_status_check CHECK (status IN (
        'started', 'in_progress', 'paused', 'submitted', 'auto_submitted', 'graded', 'reviewed', 'cancelled', 'flagged'
    )),
    CONSTRAINT exam_attempts_extra_time_ms_check CHECK (extra_time_ms >= 0),
    CONSTRAINT exam_attempts_handed_in_by_check CHECK (handed_in_by IN ('candidate', 'time', 'staff')),
    CONSTRAINT exam_attempts_submitted_check CHECK (
        submitted_at IS NULL
        OR (handed_in_by IS NOT NULL AND score IS NOT NULL AND max_score IS NOT NULL AND percentage IS NOT NULL
            AND penalty IS NOT NULL AND needs_marking IS NOT NULL AND receipt IS NOT NULL)
    )
) STRICT;

CREATE UNIQUE INDEX exam_attempts_one_open_idx ON exam_attempts (exam, candidate) WHERE closed_at IS NULL;
CREATE INDEX exam_attempts_candidate_idx ON exam_attempts (candidate, id);
CREATE INDEX exam_attempts_close_at_idx ON exam_attempts (close_at, id) WHERE close_at IS NOT NULL;
