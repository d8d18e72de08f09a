-- Answers in 16 hash partitions, timelines, and the one shape in which attempts are listed.

-- No foreign keys: a save joins the locked directory row, which proves the attempt, and takes question
-- numbers from exam_version_questions; checking both again would cost every answer two more locks.
CREATE TABLE answers (
    attempt_id      bigint NOT NULL,                -- the attempt
    question_id     bigint NOT NULL,                -- exam_version_questions.question_id
    seq             bigint NOT NULL,                -- record version of this change; a lower one never overwrites
    user_answer     json,                           -- as the protocol has it, this very text; null: cleared, or only flagged
    flagged         boolean NOT NULL DEFAULT false, -- marked for review by the candidate
    rev             bigint NOT NULL,                -- accepted answers so far
    answered_at     timestamptz NOT NULL,           -- when it was accepted, by the engine's clock
    spent_ms        bigint NOT NULL,                -- time on the question as the client counts, milliseconds
    points_earned   numeric(12, 2),                 -- null until it is marked
    points_possible numeric,                        -- what the question is worth; null before the hand-in
    CONSTRAINT answers_pkey PRIMARY KEY (attempt_id, question_id),
    CONSTRAINT answers_points_check CHECK (points_earned IS NULL OR points_possible IS NOT NULL)
) PARTITION BY HASH (attempt_id);

DO $$
BEGIN
    FOR i IN 0 .. 15 LOOP
        EXECUTE format(
            'CREATE TABLE answers_p%s PARTITION OF answers FOR VALUES WITH (MODULUS 16, REMAINDER %s)
             WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05,
                   autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05)',
            i, i
        );
    END LOOP;
END $$;

CREATE TABLE attempt_timeline (
    attempt_id bigint NOT NULL,      -- the attempt
    entry_no   bigint NOT NULL,      -- unique within the attempt and rising
    at         timestamptz NOT NULL, -- when it happened, by the engine's clock
    kind       text NOT NULL,        -- stable name: answer, connected, refused, ...
    data       json NOT NULL,        -- an object; what depends on the kind
    CONSTRAINT attempt_timeline_pkey PRIMARY KEY (attempt_id, entry_no)
);

CREATE VIEW attempt_summaries AS
SELECT
    k.attempt_id,
    e.code AS exam,
    v.version AS exam_version,
    u.username AS candidate,
    u.name AS candidate_name,
    k.attempt_no,
    a.seed,
    a.time_factor,
    a.extra_time_ms,
    a.started_at,
    a.control::text AS control,
    a.status,
    a.entered_at,
    a.deadline_at,
    a.close_at,
    k.closed_at,
    k.session,
    k.last_seq,
    k.last_event,
    k.record_version,
    k.last_activity_at,
    (SELECT count(*) FROM answers AS n WHERE n.attempt_id = k.attempt_id AND n.user_answer IS NOT NULL) AS answered,
    a.submitted_at,
    a.late,
    a.score,
    a.max_score,
    a.percentage,
    a.passed,
    a.grade,
    a.penalty,
    a.needs_marking
FROM exam_attempt_keys AS k
JOIN exam_attempts AS a ON a.id = k.attempt_id AND a.started_at = k.started_at
JOIN exams AS e ON e.id = k.exam_id
JOIN exam_versions AS v ON v.id = k.exam_version_id
JOIN users AS u ON u.id = k.user_id;
