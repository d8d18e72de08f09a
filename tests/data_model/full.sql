-- Tables filled as at a medium-sized school, for query plans. Triggers and foreign keys are off:
-- only the planner's statistics use these rows.
SET session_replication_role = replica;
SET synchronous_commit = off;

INSERT INTO organizations (id, name, code, type, parent_id)
SELECT n, n::text, n::text, 'school', CASE WHEN n > 1000 THEN n % 900 + 2 END
FROM generate_series(2, 2000) AS n;
INSERT INTO users (id, username, name, email, organization_id, created_at, last_login, is_active,
                   phone_sealed, phone_hmac, phone_masked, profile)
SELECT n, 'user_' || n, 'Name ' || n, 'u' || n || '@example.org', n % 200 + 1,
       now() - n * interval '1 minute', now() - n * interval '2 hours', n % 10 > 0,
       'x', sha256(n::text::bytea), 'x', jsonb_build_object('location', 'town ' || n % 500)
FROM generate_series(1, 20000) AS n;
INSERT INTO user_roles (user_id, organization_id, role, granted_by)
SELECT n, n % 200 + 1, CASE WHEN n % 20 = 0 THEN 'teacher' ELSE 'candidate' END,
       CASE WHEN n % 2 = 0 THEN n % 300 END
FROM generate_series(1, 20000) AS n;
INSERT INTO user_sessions (token_sha256, user_id, created_at, expires_at, ip_address)
SELECT sha256(n::text::bytea), n, now() - n * interval '2 minutes',
       now() + interval '1 day' - n * interval '2 minutes', inet '10.0.0.0' + n % 1000
FROM generate_series(1, 20000) AS n;
INSERT INTO login_attempts (username, user_id, ip_address, success, attempted_at)
SELECT 'user_' || n % 5000, n % 5000, inet '10.0.0.0' + n % 1000, n % 10 > 0,
       now() - n * interval '1 minute'
FROM generate_series(1, 20000) AS n;

INSERT INTO course_categories (id, organization_id, name, code, parent_id)
SELECT n, n % 200 + 1, 'x', n::text, CASE WHEN n > 300 THEN n % 300 END
FROM generate_series(1, 3000) AS n;
INSERT INTO question_categories (id, organization_id, name, code, parent_id)
SELECT n, n % 200 + 1, 'x', n::text, CASE WHEN n > 300 THEN n % 300 END
FROM generate_series(1, 3000) AS n;
INSERT INTO courses (id, title, code, instructor_id, organization_id, category_id, status)
SELECT n, 'x', n::text, n % 1000, n % 200 + 1, n % 300, CASE WHEN n % 3 = 0 THEN 'active' ELSE 'archived' END
FROM generate_series(1, 3000) AS n;
INSERT INTO course_enrollments (course_id, user_id)
SELECT n % 3000 + 1, n FROM generate_series(1, 20000) AS n;

INSERT INTO questions (id, type, definition, definition_sha256, organization_id, category_id, created_by,
                       status, difficulty, tags, created_at, usage_count, correct_rate, search_vector)
SELECT n, CASE WHEN n % 50 = 0 THEN 'hotspot' ELSE 'essay' END,
       json_build_object('content', 'a question of word' || n % 2000), sha256(n::text::bytea),
       n % 200 + 1, n % 300, n % 1000,
       CASE WHEN n % 100 = 0 THEN 'review' WHEN n % 10 = 0 THEN 'draft' ELSE 'active' END,
       CASE WHEN n % 7 = 0 THEN 'expert' ELSE 'easy' END, ARRAY['tag' || n % 500],
       now() - n * interval '1 minute', n % 900, n % 100,
       to_tsvector('simple', 'a question of word' || n % 2000)
FROM generate_series(1, 20000) AS n;
INSERT INTO question_media (question_id, name, kind, bytes)
SELECT n, encode(sha256(n::text::bytea), 'hex') || '.png', 'image/png', 9
FROM generate_series(1, 5000) AS n;
INSERT INTO exams (id, code, title, organization_id, course_id, created_by, status, published_at,
                   available_from, available_until, proctoring_config, settings)
SELECT n, 'E' || n, 'x', n % 200 + 1, n % 1000, n % 1000,
       CASE WHEN n % 2 = 0 THEN 'published' ELSE 'draft' END, now() - n * interval '1 hour',
       now() + (n - 1000) * interval '1 hour', now() + (n - 990) * interval '1 hour',
       jsonb_build_object('enabled', n % 100 = 0),
       jsonb_build_object('on_disconnect', CASE WHEN n % 100 = 0 THEN 'pause' ELSE 'continue' END)
FROM generate_series(1, 2000) AS n;
INSERT INTO exam_versions (id, exam_id, version, title, definition)
SELECT n, n, n::text, 'x', '{}' FROM generate_series(1, 2000) AS n;
INSERT INTO exam_questions (exam_id, question_id, question_key, section_key, position, points)
SELECT n % 2000 + 1, n, 'q' || n, 's', n, 1 FROM generate_series(1, 20000) AS n;
INSERT INTO exam_version_questions (exam_version_id, question_id, question_key, position, points)
SELECT n % 2000 + 1, n, 'q' || n, n, 1 FROM generate_series(1, 20000) AS n;
INSERT INTO exam_accommodations (exam_id, user_id)
SELECT n % 2000 + 1, n FROM generate_series(1, 5000) AS n;

-- Half in the month before; a tenth still in progress, every twentieth waiting for a marker.
INSERT INTO exam_attempt_keys
    (attempt_id, exam_id, exam_version_id, user_id, attempt_no, started_at, closed_at, last_activity_at)
SELECT n, n % 200 + 1, n % 200 + 1, n % 10000 + 1, n / 10000 + 1, at,
       CASE WHEN n > 2000 THEN at + interval '1 hour' END, at
FROM generate_series(1, 20000) AS n
CROSS JOIN LATERAL (SELECT now() - CASE WHEN n % 2 = 0 THEN interval '1 month' ELSE '0' END AS at) AS t;
INSERT INTO exam_attempts
    (id, started_at, exam_id, user_id, seed, time_factor, extra_time_ms, ip_address, status, control,
     entered_at, close_at, submitted_at, handed_in_by, score, max_score, percentage, penalty,
     needs_marking, receipt)
SELECT attempt_id, started_at, exam_id, user_id, 1, 1, 0, '10.0.0.1',
       CASE WHEN closed_at IS NULL THEN 'in_progress' ELSE 'submitted' END, '{}', started_at,
       CASE WHEN closed_at IS NULL THEN now() + (attempt_id - 100) * interval '1 minute' END,
       closed_at, 'candidate', attempt_id % 100, 100, attempt_id % 100, 0, attempt_id % 20 = 1, '{}'
FROM exam_attempt_keys;
INSERT INTO answers (attempt_id, question_id, seq, user_answer, rev, answered_at, spent_ms,
                     points_earned, points_possible, status, is_correct, grading_method)
SELECT a, a % 1000 + q, 1, '"x"', 1, now(), 1000, CASE WHEN q < 5 THEN 1 END, 2,
       CASE WHEN q < 5 THEN 'partial' ELSE 'pending_review' END, CASE WHEN q < 5 THEN false END,
       CASE WHEN q < 5 THEN 'auto' END
FROM generate_series(1, 20000) AS a, generate_series(1, 5) AS q;
INSERT INTO answer_marks (attempt_id, question_id, marker_id, round)
SELECT n, n, n % 300, 1 FROM generate_series(1, 10000) AS n;
INSERT INTO attempt_evidence (id, attempt_id, kind, content_type, bytes, file, at, stored_at)
SELECT md5(n::text), n % 20000 + 1, 'snapshot', 'image/png', 1, 'x', now() - n * interval '1 minute',
       CASE WHEN n % 100 > 0 THEN now() END
FROM generate_series(1, 40000) AS n;

INSERT INTO proctor_logs (attempt_id, event_type, severity, requires_review)
SELECT n % 2000, 'x', CASE WHEN n % 3 = 0 THEN 'high' ELSE 'low' END, n % 5 = 0
FROM generate_series(1, 20000) AS n;
INSERT INTO user_activity_logs (user_id, organization_id, activity_type, created_at)
SELECT n % 5000, n % 200 + 1, 'x', now() - (60000 - n) * interval '1 minute'
FROM generate_series(1, 60000) AS n;
INSERT INTO security_events (event_type, severity, description, status, resolved_at, created_at)
SELECT CASE WHEN n % 2 = 0 THEN 'many_logins' ELSE 'password_guessing' END, 'low', 'x',
       CASE WHEN n % 20 = 0 THEN 'new' ELSE 'resolved' END, CASE WHEN n % 20 > 0 THEN now() END,
       now() - n * interval '2 minutes'
FROM generate_series(1, 20000) AS n;
INSERT INTO audit_logs (table_name, operation, record_id, user_id, session_id, seal_no, seal)
SELECT CASE WHEN n % 2 = 0 THEN 'users' ELSE 'exams' END, 'UPDATE', n % 5000, n % 2000, n % 3000,
       CASE WHEN n % 50 > 0 THEN n END, CASE WHEN n % 50 > 0 THEN '\x00'::bytea END
FROM generate_series(1, 40000) AS n;
INSERT INTO engine_nodes (node_id, last_alive_at)
SELECT n::text, now() - n * interval '1 s' FROM generate_series(1, 1000) AS n;

ANALYZE;
SELECT refresh_statistics();
ANALYZE exam_statistics, question_statistics, exam_reliability;
