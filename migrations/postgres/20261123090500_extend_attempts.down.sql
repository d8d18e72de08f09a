DROP VIEW attempt_summaries;
DROP TABLE answer_marks;
DROP INDEX answers_pending_review_idx;
DROP INDEX answers_question_id_idx;
ALTER TABLE answers
    DROP CONSTRAINT answers_points_range_check,
    DROP CONSTRAINT answers_status_points_check,
    DROP COLUMN original_answer,
    DROP COLUMN first_answered_at,
    DROP COLUMN status,
    DROP COLUMN is_correct,
    DROP COLUMN grading_method,
    DROP COLUMN graded_by,
    DROP COLUMN graded_at,
    DROP COLUMN feedback;
DROP TRIGGER exam_attempts_guard_status ON exam_attempts;
DROP FUNCTION exam_attempts_guard_status();
DROP INDEX exam_attempts_needs_marking_idx;
DROP INDEX exam_attempts_ranking_idx;
DROP INDEX exam_attempts_exam_id_idx;
DROP INDEX exam_attempts_user_id_idx;
ALTER TABLE exam_attempts
    DROP CONSTRAINT exam_attempts_score_check,
    DROP COLUMN user_agent,
    DROP COLUMN graded_at,
    DROP COLUMN reviewed_at,
    DROP COLUMN reviewed_by,
    DROP COLUMN released_at,
    DROP COLUMN feedback,
    DROP COLUMN grading_notes,
    DROP COLUMN key_revision,
    DROP COLUMN metadata,
    DROP COLUMN time_spent;
ALTER TABLE exam_attempt_keys DROP COLUMN attempt_code;
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
