-- Three similar organisations, A with A1 below it, and B beside them, with the roles of their
-- people. Numbers show the organisation of a row: all rows of A are 1xx, of A1 2xx, of B 3xx.
--
--   n00 the organisation          n10 its administrator        n40 a proctor
--   n20 a teacher                 n30 the candidate of n20's course and exam
--   n21 another teacher           n31 the candidate of n21's
--
-- A course, its exam and the exam's version have the number of their teacher, an attempt that of
-- its candidate. A teacher's questions have the teacher's number and a further digit: 0 is a draft,
-- 1 is active.

INSERT INTO organizations (id, name, code, type, parent_id, billing_info)
VALUES (100, 'A', 'A', 'university', NULL, '{"iban": "1"}'), (200, 'A1', 'A1', 'school', 100, '{}'),
       (300, 'B', 'B', 'company', NULL, '{}');

CREATE TEMP TABLE people AS
SELECT org + n AS id, org AS organization_id, role, lower(o.code) || '_' || called AS username
FROM (VALUES (100), (200), (300)) AS orgs (org)
JOIN organizations AS o ON o.id = org
CROSS JOIN (VALUES (10, 'admin', 'admin'), (20, 'teacher', 'teacher1'), (21, 'teacher', 'teacher2'),
                   (30, 'candidate', 'candidate1'), (31, 'candidate', 'candidate2'),
                   (40, 'proctor', 'proctor')) AS p (n, role, called)
UNION ALL
SELECT 10, default_organization(), 'super_admin', 'root';

INSERT INTO users (id, username, name, organization_id, password_hash, access_code_hmac, exam_codes)
SELECT id, username, username, organization_id, '$argon2id$v=19$secret-of-' || username,
       sha256(username::bytea), '{}'
FROM people;
INSERT INTO user_roles (id, user_id, organization_id, role)
SELECT id, id, CASE WHEN role <> 'super_admin' THEN organization_id END, role FROM people;
-- The token of a log-in is the person's name.
INSERT INTO user_sessions (id, token_sha256, user_id, created_at, expires_at, ip_address)
SELECT id, sha256(username::bytea), id, now() - interval '1 hour', now() + interval '1 hour', '10.0.0.1'
FROM people;
INSERT INTO login_attempts (username, user_id, ip_address, success)
SELECT username, id, inet '10.0.0.1', true FROM people
UNION ALL SELECT 'stranger', NULL, '10.9.9.9', false;
INSERT INTO user_activity_logs (user_id, organization_id, activity_type)
SELECT id, organization_id, 'login' FROM people;
INSERT INTO security_events (event_type, severity, user_id, description)
SELECT 'many_logins', 'low', id, username FROM people
UNION ALL SELECT 'password_guessing', 'high', NULL, 'from somewhere';

INSERT INTO course_categories (id, organization_id, name, code)
SELECT id, id, code, 'C' FROM organizations WHERE id >= 100;
INSERT INTO question_categories (id, organization_id, name, code)
SELECT id, id, code, 'Q' FROM organizations WHERE id >= 100;

CREATE TEMP TABLE teachers AS SELECT * FROM people WHERE role = 'teacher';
INSERT INTO courses (id, title, code, instructor_id, organization_id)
SELECT id, username, username, id, organization_id FROM teachers;
INSERT INTO course_enrollments (course_id, user_id) SELECT id, id + 10 FROM teachers;
INSERT INTO questions (id, type, definition, definition_sha256, organization_id, created_by, status)
SELECT t.id * 10 + n, 'essay', format('{"content":"why %s","id":"q%s","type":"essay"}', t.username, n)::json,
       sha256((t.username || n)::bytea), t.organization_id, t.id, CASE n WHEN 0 THEN 'draft' ELSE 'active' END
FROM teachers AS t CROSS JOIN generate_series(0, 1) AS n;
INSERT INTO question_media (id, question_id, name, kind, bytes)
SELECT id, id, encode(sha256(id::text::bytea), 'hex') || '.png', 'image/png', 9 FROM questions;
INSERT INTO exams (id, code, title, organization_id, course_id, created_by, status)
SELECT id, username, username, organization_id, id, id, 'published' FROM teachers;
INSERT INTO exam_sections (exam_id, section_key, position) SELECT id, 's', 1 FROM teachers;
INSERT INTO exam_questions (exam_id, question_id, question_key, section_key, position, points)
SELECT id, id * 10 + n, 'q' || n, 's', n + 1, 2 FROM teachers CROSS JOIN generate_series(0, 1) AS n;
INSERT INTO exam_accommodations (exam_id, user_id, extra_time_ms, reason)
SELECT id, id + 10, 60000, 'an illness' FROM teachers;
INSERT INTO exam_versions (id, exam_id, version, title, definition)
SELECT id, id, 'sha256:' || id, username, '{}' FROM teachers;
UPDATE exams SET current_version_id = id WHERE id >= 100;
INSERT INTO exam_version_questions (exam_version_id, question_id, question_key, position, points)
SELECT exam_id, question_id, question_key, position, points FROM exam_questions;
INSERT INTO key_corrections (exam_version_id, revision, question_id, answer, reason)
SELECT id, 1, id * 10 + 1, '"because"', 'it was wrong' FROM teachers;

INSERT INTO exam_attempt_keys
    (attempt_id, exam_id, exam_version_id, user_id, attempt_no, started_at, closed_at, last_activity_at)
SELECT id + 10, id, id, id + 10, 1, now(), now(), now() FROM teachers;
INSERT INTO exam_attempts
    (id, started_at, exam_id, user_id, seed, time_factor, extra_time_ms, ip_address, status, control,
     entered_at, submitted_at, handed_in_by, score, max_score, percentage, penalty, needs_marking, receipt)
SELECT attempt_id, started_at, exam_id, user_id, 1, 1, 0, '10.0.0.1', 'submitted', '{}',
       started_at, started_at, 'candidate', 2, 4, 50, 0, false, '{}'
FROM exam_attempt_keys;
INSERT INTO answers
    (attempt_id, question_id, seq, user_answer, rev, answered_at, spent_ms, points_earned,
     points_possible, status, is_correct, grading_method)
SELECT k.attempt_id, q.question_id, 1, '"mine"', 1, now(), 1000,
       CASE q.position WHEN 2 THEN 2 END, 2, CASE q.position WHEN 2 THEN 'correct' ELSE 'pending_review' END,
       CASE q.position WHEN 2 THEN true END, CASE q.position WHEN 2 THEN 'auto' END
FROM exam_attempt_keys AS k
JOIN exam_version_questions AS q ON q.exam_version_id = k.exam_version_id;
INSERT INTO answer_marks (attempt_id, question_id, marker_id, round, points, marked_at)
SELECT id + 10, id * 10, id, 1, 1, now() FROM teachers;
INSERT INTO attempt_timeline (attempt_id, entry_no, at, kind, data)
SELECT attempt_id, 1, now(), 'connected', '{}' FROM exam_attempt_keys;
INSERT INTO attempt_evidence (id, attempt_id, kind, content_type, bytes, file, at)
SELECT md5(attempt_id::text), attempt_id, 'snapshot', 'image/png', 1, 'x', now() FROM exam_attempt_keys;
INSERT INTO proctor_logs (attempt_id, event_type, severity)
SELECT attempt_id, 'pause', 'low' FROM exam_attempt_keys;

-- One audit entry by each person, and no others.
TRUNCATE audit_logs;
DO $$
DECLARE
    person bigint;
BEGIN
    FOR person IN SELECT id FROM people LOOP
        PERFORM set_config('app.user_id', person::text, true);
        UPDATE users SET name = 'called ' || username WHERE id = person;
    END LOOP;
END $$;

SELECT refresh_statistics();

-- Rows that tests add later take free numbers.
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT pg_get_serial_sequence(c.oid::regclass::text, a.attname) AS sequence
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attidentity <> ''
        WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
    LOOP
        PERFORM setval(r.sequence, 10000);
    END LOOP;
END $$;

DROP TABLE people, teachers;
