DROP VIEW attempt_summaries;
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

ALTER TABLE exam_attempts DROP COLUMN groups;
ALTER TABLE users DROP COLUMN groups;
