-- Answers, timelines, and the one shape in which attempts are listed.

CREATE TABLE answers (
    attempt_id      INTEGER NOT NULL,           -- the attempt
    question_key    TEXT NOT NULL,              -- the exam file's id of the question
    seq             INTEGER NOT NULL,           -- record version of this change; a lower one never overwrites
    user_answer     TEXT,                       -- JSON as the protocol has it; null: cleared, or only flagged
    flagged         INTEGER NOT NULL DEFAULT 0, -- marked for review by the candidate
    rev             INTEGER NOT NULL,           -- accepted answers so far
    answered_at     INTEGER NOT NULL,           -- when it was accepted, by the engine's clock
    spent_ms        INTEGER NOT NULL,           -- time on the question as the client counts, milliseconds
    points_earned   TEXT,                       -- decimal, null until it is marked
    points_possible TEXT,                       -- decimal, what the question is worth; null before the hand-in
    CONSTRAINT answers_pkey PRIMARY KEY (attempt_id, question_key),
    CONSTRAINT answers_points_check CHECK (points_earned IS NULL OR points_possible IS NOT NULL),
    CONSTRAINT answers_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES exam_attempts (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt_timeline (
    attempt_id INTEGER NOT NULL, -- the attempt
    entry_no   INTEGER NOT NULL, -- unique within the attempt and rising
    at         INTEGER NOT NULL, -- when it happened, by the engine's clock
    kind       TEXT NOT NULL,    -- stable name: answer, connected, refused, ...
    data       TEXT NOT NULL,    -- a JSON object; what depends on the kind
    CONSTRAINT attempt_timeline_pkey PRIMARY KEY (attempt_id, entry_no),
    CONSTRAINT attempt_timeline_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES exam_attempts (id)
) STRICT, WITHOUT ROWID;

CREATE VIEW attempt_summaries AS
SELECT
    a.id AS attempt_id,
    a.exam,
    a.exam_version,
    a.candidate,
    u.name AS candidate_name,
    a.attempt_no,
    a.seed,
    a.time_factor,
    a.extra_time_ms,
    a.started_at,
    a.control,
    a.status,
    a.entered_at,
    a.deadline_at,
    a.close_at,
    a.closed_at,
    a.session,
    a.last_seq,
    a.last_event,
    a.record_version,
    a.last_activity_at,
    (SELECT count(*) FROM answers AS n WHERE n.attempt_id = a.id AND n.user_answer IS NOT NULL) AS answered,
    a.submitted_at,
    a.late,
    a.score,
    a.max_score,
    a.percentage,
    a.passed,
    a.grade,
    a.penalty,
    a.needs_marking
FROM exam_attempts AS a
JOIN users AS u ON u.username = a.candidate;
