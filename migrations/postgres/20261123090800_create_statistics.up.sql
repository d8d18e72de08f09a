-- Statistics of exams and questions. Materialised, refreshed beside their readers on a schedule and
-- after an exam closes.

CREATE MATERIALIZED VIEW exam_statistics AS
SELECT
    e.id AS exam_id,
    e.organization_id,
    count(a.id) AS attempts,
    count(a.id) FILTER (WHERE a.submitted_at IS NOT NULL) AS completed,
    count(a.id) FILTER (WHERE a.needs_marking) AS to_mark,
    count(a.id) FILTER (WHERE a.passed) AS passed,
    round(avg(a.score) FILTER (WHERE a.counts), 4) AS mean_score,
    round(stddev_samp(a.score) FILTER (WHERE a.counts), 4) AS score_deviation,
    min(a.score) FILTER (WHERE a.counts) AS min_score,
    percentile_cont(0.25) WITHIN GROUP (ORDER BY a.score::float8) FILTER (WHERE a.counts) AS score_quartile_1,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY a.score::float8) FILTER (WHERE a.counts) AS score_median,
    percentile_cont(0.75) WITHIN GROUP (ORDER BY a.score::float8) FILTER (WHERE a.counts) AS score_quartile_3,
    max(a.score) FILTER (WHERE a.counts) AS max_score,
    round(avg(a.percentage) FILTER (WHERE a.counts), 4) AS mean_percentage,
    avg(a.time_spent) FILTER (WHERE a.submitted_at IS NOT NULL) AS mean_duration,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY a.time_spent) FILTER (WHERE a.submitted_at IS NOT NULL)
        AS median_duration,
    min(a.started_at) AS first_attempt_at,
    max(a.started_at) AS last_attempt_at
FROM exams AS e
LEFT JOIN LATERAL (
    SELECT t.*, t.submitted_at IS NOT NULL AND NOT t.needs_marking AS counts
    FROM exam_attempts AS t
    WHERE t.exam_id = e.id AND t.status <> 'cancelled'
) AS a ON true
GROUP BY e.id, e.organization_id;

CREATE UNIQUE INDEX exam_statistics_exam_id_idx ON exam_statistics (exam_id);

-- Every question of every attempt that counts; unanswered ones earn nothing. The base of all item
-- statistics.
CREATE VIEW item_scores AS
SELECT
    k.exam_id,
    q.question_id,
    k.attempt_id,
    k.exam_version_id,
    q.points AS points_possible,
    coalesce(n.points_earned, 0) AS points_earned,
    coalesce(n.is_correct, false) AS is_correct,
    n.user_answer IS NOT NULL AS answered,
    n.user_answer,
    n.spent_ms,
    n.graded_at
FROM exam_attempt_keys AS k
JOIN exam_attempts AS a ON a.id = k.attempt_id AND a.started_at = k.started_at
JOIN exam_version_questions AS q ON q.exam_version_id = k.exam_version_id
LEFT JOIN answers AS n ON n.attempt_id = k.attempt_id AND n.question_id = q.question_id
WHERE a.submitted_at IS NOT NULL AND NOT a.needs_marking AND a.status <> 'cancelled';

-- Facility is the mean share of the points. Discrimination is the correlation of a question's points
-- with the points of the rest of the exam (corrected: the question itself is not in the rest), the
-- point-biserial where a question is right or wrong. Alpha is Cronbach's, over people who had the same
-- questions: per exam version, of which the largest counts.
CREATE MATERIALIZED VIEW question_statistics AS
WITH scored AS (
    SELECT s.*, sum(s.points_earned) OVER (PARTITION BY s.attempt_id) AS total
    FROM item_scores AS s
)
SELECT
    s.exam_id,
    s.question_id,
    count(*) AS attempts,
    count(*) FILTER (WHERE s.answered) AS answered,
    count(*) FILTER (WHERE s.is_correct) AS correct,
    round(avg(s.points_earned), 4) AS mean_points,
    max(s.points_possible) AS points_possible,
    round(avg(greatest(s.points_earned, 0) / s.points_possible), 4) AS facility,
    corr(s.points_earned::float8, (s.total - s.points_earned)::float8) AS discrimination,
    round(avg(s.spent_ms) FILTER (WHERE s.answered)) AS mean_spent_ms
FROM scored AS s
GROUP BY s.exam_id, s.question_id;

CREATE UNIQUE INDEX question_statistics_key_idx ON question_statistics (exam_id, question_id);
CREATE INDEX question_statistics_question_id_idx ON question_statistics (question_id);

CREATE MATERIALIZED VIEW exam_reliability AS
WITH items AS (
    SELECT s.exam_id, s.exam_version_id, s.question_id, var_samp(s.points_earned) AS variance
    FROM item_scores AS s
    GROUP BY s.exam_id, s.exam_version_id, s.question_id
),
totals AS (
    SELECT t.exam_id, t.exam_version_id, count(*) AS people, var_samp(t.total) AS variance
    FROM (
        SELECT s.exam_id, s.exam_version_id, s.attempt_id, sum(s.points_earned) AS total
        FROM item_scores AS s
        GROUP BY s.exam_id, s.exam_version_id, s.attempt_id
    ) AS t
    GROUP BY t.exam_id, t.exam_version_id
),
versions AS (
    SELECT i.exam_version_id, count(*) AS questions, sum(i.variance) AS variance
    FROM items AS i
    GROUP BY i.exam_version_id
)
SELECT DISTINCT ON (t.exam_id)
    t.exam_id,
    t.people,
    i.questions,
    CASE WHEN i.questions > 1 AND t.variance > 0 THEN
        round(i.questions::numeric / (i.questions - 1) * (1 - i.variance / t.variance), 4)
    END AS alpha
FROM totals AS t
JOIN versions AS i ON i.exam_version_id = t.exam_version_id
ORDER BY t.exam_id, t.people DESC, t.exam_version_id DESC;

CREATE UNIQUE INDEX exam_reliability_exam_id_idx ON exam_reliability (exam_id);

-- Refreshes all, and writes the usage columns of exams and of the question bank. Only what changed is
-- written: a schedule would else rewrite the bank every few minutes.
CREATE FUNCTION refresh_statistics() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('refresh_statistics'));
    REFRESH MATERIALIZED VIEW CONCURRENTLY exam_statistics;
    REFRESH MATERIALIZED VIEW CONCURRENTLY question_statistics;
    REFRESH MATERIALIZED VIEW CONCURRENTLY exam_reliability;
    UPDATE exams AS e
    SET attempts_count = s.attempts,
        completed_attempts = s.completed,
        avg_score = round(s.mean_score, 2),
        avg_duration = s.mean_duration,
        first_attempt_at = s.first_attempt_at,
        last_attempt_at = s.last_attempt_at
    FROM exam_statistics AS s
    WHERE s.exam_id = e.id
      AND (e.attempts_count, e.completed_attempts, e.avg_score, e.avg_duration, e.last_attempt_at)
          IS DISTINCT FROM
          (s.attempts, s.completed, round(s.mean_score, 2), s.mean_duration, s.last_attempt_at);
    UPDATE questions AS q
    SET usage_count = u.attempts,
        correct_rate = u.correct_rate,
        avg_score = u.mean_points,
        avg_time_seconds = u.mean_seconds,
        difficulty_index = u.facility,
        discrimination_index = u.discrimination,
        last_used_at = u.last_used_at
    FROM (
        SELECT s.question_id,
               sum(s.attempts)::integer AS attempts,
               round(100.0 * sum(s.correct) / sum(s.attempts), 2) AS correct_rate,
               round(sum(s.mean_points * s.attempts) / sum(s.attempts), 2) AS mean_points,
               round(sum(s.mean_spent_ms * s.answered) / nullif(sum(s.answered), 0) / 1000)::integer
                   AS mean_seconds,
               round(sum(s.facility * s.attempts) / sum(s.attempts), 3) AS facility,
               round((sum(s.discrimination * s.attempts) FILTER (WHERE s.discrimination IS NOT NULL)
                   / sum(s.attempts) FILTER (WHERE s.discrimination IS NOT NULL))::numeric, 3)
                   AS discrimination,
               max(e.last_attempt_at) AS last_used_at
        FROM question_statistics AS s
        JOIN exam_statistics AS e ON e.exam_id = s.exam_id
        GROUP BY s.question_id
    ) AS u
    WHERE u.question_id = q.id
      AND (q.usage_count, q.correct_rate, q.avg_score, q.avg_time_seconds, q.difficulty_index,
           q.discrimination_index, q.last_used_at)
          IS DISTINCT FROM
          (u.attempts, u.correct_rate, u.mean_points, u.mean_seconds, u.facility,
           u.discrimination, u.last_used_at);
END $$;

REVOKE ALL ON FUNCTION refresh_statistics() FROM PUBLIC;

CREATE VIEW user_performance AS
SELECT
    a.user_id,
    count(*) AS attempts,
    count(*) FILTER (WHERE a.submitted_at IS NOT NULL AND NOT a.needs_marking) AS marked,
    round(avg(a.percentage) FILTER (WHERE a.submitted_at IS NOT NULL AND NOT a.needs_marking), 2)
        AS mean_percentage,
    max(a.submitted_at) AS last_submitted_at
FROM exam_attempts AS a
GROUP BY a.user_id;

-- For analytics: who is who is told by no column. Free text about people is left out altogether.
CREATE FUNCTION mask_text(t text, visible_start integer, visible_end integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT CASE WHEN length(t) <= visible_start + visible_end THEN repeat('*', length(t))
                ELSE left(t, visible_start) || repeat('*', length(t) - visible_start - visible_end)
                     || right(t, visible_end) END
$$;

CREATE FUNCTION mask_email(email text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT CASE WHEN email = '' THEN ''
                WHEN position('@' IN email) = 0 THEN mask_text(email, 0, 0)
                ELSE mask_text(split_part(email, '@', 1), least(2, length(split_part(email, '@', 1)) - 1), 0)
                     || '@' || split_part(email, '@', 2) END
$$;

CREATE FUNCTION mask_address(address inet) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT text(network(set_masklen(address, CASE family(address) WHEN 4 THEN 16 ELSE 48 END)))
$$;

CREATE FUNCTION mask_user_agent(agent text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT CASE WHEN agent ~* '\yedg' THEN 'Edge'          -- which says Chrome and Safari too
                WHEN agent ~* '\yfirefox' THEN 'Firefox'
                WHEN agent ~* '\ychrom' THEN 'Chrome'      -- which says Safari too
                WHEN agent ~* '\ysafari' THEN 'Safari'
                ELSE 'other' END
$$;

CREATE VIEW users_masked WITH (security_barrier = true) AS
SELECT
    u.id,
    u.organization_id,
    mask_text(u.username, 1, 0) AS username_masked,
    mask_email(u.email) AS email_masked,
    u.phone_masked,
    effective_role(u.id) AS role,
    u.is_active,
    u.is_verified,
    u.created_at,
    u.last_login
FROM users AS u;

-- When each job of the maintenance was last done.
CREATE TABLE maintenance_runs (
    job      text NOT NULL,
    ended_at timestamptz NOT NULL,
    said     text NOT NULL,          -- what came of it
    CONSTRAINT maintenance_runs_pkey PRIMARY KEY (job)
);

-- How far the months reach that are made; monitoring alarms on it.
CREATE VIEW partition_runway AS
SELECT
    p.relname::text AS table_name,
    count(*) FILTER (WHERE c.relname !~ '_default$') AS months,
    to_date(max(substring(c.relname FROM '_y(\d{4}m\d{2})$')), 'YYYY"m"MM') AS last_month
FROM pg_partitioned_table AS t
JOIN pg_class AS p ON p.oid = t.partrelid
JOIN pg_inherits AS i ON i.inhparent = p.oid
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE t.partstrat = 'r' AND p.relnamespace = 'public'::regnamespace
GROUP BY p.relname;
