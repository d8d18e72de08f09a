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

ALTER TABLE exam_attempt_keys
    DROP COLUMN groups;

ALTER TABLE users
    DROP COLUMN groups;
