-- Attempts and answers with what grading, review and statistics know of them, and the marks that
-- people give.

ALTER TABLE exam_attempt_keys
    -- Printed on papers and certificates in the place of the number, which tells how many there are.
    ADD COLUMN attempt_code text COLLATE "C" NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    ADD CONSTRAINT exam_attempt_keys_attempt_code_key UNIQUE (attempt_code);

ALTER TABLE exam_attempts
    ADD COLUMN user_agent       text,                                -- of the start
    ADD COLUMN graded_at        timestamptz,                         -- when nothing was left to be marked
    ADD COLUMN reviewed_at      timestamptz,
    ADD COLUMN reviewed_by      bigint,
    ADD COLUMN released_at      timestamptz,                         -- when staff released the result
    ADD COLUMN feedback         text,                                -- for the candidate
    ADD COLUMN grading_notes    text,                                -- for staff
    ADD COLUMN key_revision     integer NOT NULL DEFAULT 0,          -- key_corrections it is graded by
    ADD COLUMN metadata         jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN time_spent       interval GENERATED ALWAYS AS (submitted_at - entered_at) STORED,
    -- Nothing compares submitted_at with started_at: two nodes' clocks may differ by a moment, and no rule
    -- of a table may refuse a hand-in for that.
    ADD CONSTRAINT exam_attempts_score_check CHECK (score BETWEEN 0 AND max_score),
    ADD CONSTRAINT exam_attempts_reviewed_by_fkey FOREIGN KEY (reviewed_by) REFERENCES users (id);

CREATE INDEX exam_attempts_user_id_idx ON exam_attempts (user_id, started_at DESC);
CREATE INDEX exam_attempts_exam_id_idx ON exam_attempts (exam_id, started_at DESC, id DESC);
CREATE INDEX exam_attempts_ranking_idx ON exam_attempts (exam_id, score DESC) WHERE submitted_at IS NOT NULL;
CREATE INDEX exam_attempts_needs_marking_idx ON exam_attempts (exam_id, submitted_at) WHERE needs_marking;

-- What can follow what, whoever writes it.
CREATE FUNCTION exam_attempts_guard_status() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (CASE OLD.status
        WHEN 'started' THEN NEW.status <> 'reviewed'
        WHEN 'in_progress' THEN NEW.status NOT IN ('started', 'reviewed')
        WHEN 'paused' THEN NEW.status NOT IN ('started', 'reviewed')
        WHEN 'submitted' THEN NEW.status IN ('graded', 'flagged', 'cancelled')
        WHEN 'auto_submitted' THEN NEW.status IN ('graded', 'flagged', 'cancelled')
        WHEN 'graded' THEN NEW.status IN ('reviewed', 'flagged', 'cancelled', 'submitted', 'auto_submitted')
        WHEN 'reviewed' THEN NEW.status IN ('graded', 'flagged', 'cancelled')
        WHEN 'flagged' THEN NEW.status IN ('submitted', 'auto_submitted', 'graded', 'reviewed', 'cancelled')
        ELSE false
    END) THEN
        RAISE EXCEPTION 'attempt %: % cannot become %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'exam_attempts_status_order_check',
                  TABLE = 'exam_attempts', COLUMN = 'status';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER exam_attempts_guard_status BEFORE UPDATE OF status ON exam_attempts
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION exam_attempts_guard_status();

ALTER TABLE answers
    ADD COLUMN original_answer   json,                              -- the first that was accepted
    ADD COLUMN first_answered_at timestamptz,                       -- when that was
    ADD COLUMN status            text NOT NULL DEFAULT 'ungraded',
    ADD COLUMN is_correct        boolean,                           -- full points; null until marked
    ADD COLUMN grading_method    text,                              -- auto or manual; null until marked
    ADD COLUMN graded_by         bigint,
    ADD COLUMN graded_at         timestamptz,
    ADD COLUMN feedback          text,                              -- for the candidate
    ADD CONSTRAINT answers_status_check
        CHECK (status IN ('ungraded', 'correct', 'incorrect', 'partial', 'pending_review')),
    ADD CONSTRAINT answers_grading_method_check CHECK (grading_method IN ('auto', 'manual')),
    -- What is earned has two decimals, what is possible as many as its author gave it.
    ADD CONSTRAINT answers_points_range_check
        CHECK (points_earned BETWEEN -round(points_possible, 2) AND round(points_possible, 2));

UPDATE answers SET
    status = CASE WHEN points_possible IS NULL THEN 'ungraded'
                  WHEN points_earned IS NULL THEN 'pending_review'
                  WHEN points_earned >= round(points_possible, 2) THEN 'correct'
                  WHEN points_earned <= 0 THEN 'incorrect'
                  ELSE 'partial' END,
    is_correct = points_earned >= round(points_possible, 2),
    grading_method = CASE WHEN points_earned IS NOT NULL THEN 'auto' END
WHERE points_possible IS NOT NULL;

ALTER TABLE answers ADD CONSTRAINT answers_status_points_check
    CHECK ((status IN ('correct', 'incorrect', 'partial')) = (points_earned IS NOT NULL));

-- Only what is graded or waits for a person enters these: they cost nothing while an exam runs.
CREATE INDEX answers_question_id_idx ON answers (question_id, is_correct, points_earned)
    WHERE status IN ('correct', 'incorrect', 'partial');
CREATE INDEX answers_pending_review_idx ON answers (question_id, attempt_id) WHERE status = 'pending_review';

-- What people gave: one row a marker and answer. Two markers never see each other's row before both are
-- there; `answers.points_earned` is what came of them.
CREATE TABLE answer_marks (
    attempt_id  bigint NOT NULL,
    question_id bigint NOT NULL,
    marker_id   bigint NOT NULL,
    round       smallint NOT NULL,                  -- 1 first marker, 2 second, 3 who decides between them
    points      numeric(12, 2),                     -- null: claimed, not yet marked
    rubric      jsonb NOT NULL DEFAULT '[]',        -- [{criterion, points, comment}]
    comment     text NOT NULL DEFAULT '',           -- for the candidate
    note        text NOT NULL DEFAULT '',           -- for other markers
    claimed_at  timestamptz NOT NULL DEFAULT now(), -- a claim without a mark ends after an hour
    marked_at   timestamptz,
    CONSTRAINT answer_marks_pkey PRIMARY KEY (attempt_id, question_id, round),
    CONSTRAINT answer_marks_marker_id_key UNIQUE (attempt_id, question_id, marker_id),
    CONSTRAINT answer_marks_round_check CHECK (round BETWEEN 1 AND 3),
    CONSTRAINT answer_marks_points_check CHECK (points >= 0),
    CONSTRAINT answer_marks_marked_at_check CHECK ((points IS NULL) = (marked_at IS NULL)),
    CONSTRAINT answer_marks_rubric_check CHECK (jsonb_typeof(rubric) = 'array'),
    CONSTRAINT answer_marks_marker_id_fkey FOREIGN KEY (marker_id) REFERENCES users (id)
);

CREATE INDEX answer_marks_marker_id_idx ON answer_marks (marker_id, claimed_at);

DROP VIEW attempt_summaries;
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
    a.needs_marking,
    least(a.released_at, e.results_released_at) AS released_at
FROM exam_attempt_keys AS k
JOIN exam_attempts AS a ON a.id = k.attempt_id AND a.started_at = k.started_at
JOIN exams AS e ON e.id = k.exam_id
JOIN exam_versions AS v ON v.id = k.exam_version_id
JOIN users AS u ON u.id = k.user_id;
