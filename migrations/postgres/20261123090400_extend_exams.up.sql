-- Exams as people write them: settings, sections and questions that may still change. Publishing
-- freezes them into a row of exam_versions, which is all that attempts ever look at.

ALTER TABLE exams
    ADD COLUMN organization_id           bigint NOT NULL DEFAULT default_organization(),
    ADD COLUMN course_id                 bigint,                          -- null: of the organisation as a whole
    ADD COLUMN created_by                bigint,                          -- null: an import by the operator
    ADD COLUMN description               text,                            -- for staff
    ADD COLUMN instructions              text NOT NULL DEFAULT '',        -- for candidates, Markdown
    ADD COLUMN type                      text NOT NULL DEFAULT 'quiz',
    ADD COLUMN status                    text NOT NULL DEFAULT 'draft',
    ADD COLUMN duration_minutes          integer NOT NULL DEFAULT 60,
    ADD COLUMN max_attempts              integer NOT NULL DEFAULT 1,
    ADD COLUMN passing_score             numeric NOT NULL DEFAULT 60,     -- percent
    ADD COLUMN total_points              numeric NOT NULL DEFAULT 0,      -- of the composition
    ADD COLUMN questions_count           integer NOT NULL DEFAULT 0,      -- of the composition
    ADD COLUMN available_from            timestamptz,
    ADD COLUMN available_until           timestamptz,
    ADD COLUMN lobby_minutes             integer NOT NULL DEFAULT 15,
    ADD COLUMN grace_period_minutes      integer NOT NULL DEFAULT 0,
    ADD COLUMN late_submission_penalty   numeric NOT NULL DEFAULT 0,      -- fraction
    ADD COLUMN full_duration_after_close boolean NOT NULL DEFAULT false,
    ADD COLUMN shuffle_questions         boolean NOT NULL DEFAULT false,
    ADD COLUMN shuffle_options           boolean NOT NULL DEFAULT false,
    ADD COLUMN show_results_immediately  boolean NOT NULL DEFAULT true,
    ADD COLUMN allow_review              boolean NOT NULL DEFAULT true,
    ADD COLUMN show_correct_answers      boolean NOT NULL DEFAULT false,
    ADD COLUMN exam_password             text,                            -- salted SHA-256: it is told to a whole room
    ADD COLUMN password_protected        boolean NOT NULL
        GENERATED ALWAYS AS (exam_password IS NOT NULL) STORED,
    ADD COLUMN ip_restrictions           inet[] NOT NULL DEFAULT '{}',
    ADD COLUMN session_policy            text NOT NULL DEFAULT 'takeover',
    ADD COLUMN settings                  jsonb NOT NULL DEFAULT '{}',     -- the exam file's other keys: on_disconnect
    ADD COLUMN proctoring_config         jsonb NOT NULL DEFAULT '{}',     -- the exam file's `proctoring`
    ADD COLUMN proctoring_enabled        boolean NOT NULL
        GENERATED ALWAYS AS (proctoring_config @> '{"enabled": true}') STORED,
    ADD COLUMN grading_config            jsonb NOT NULL DEFAULT '{}',     -- the exam file's `grading`
    ADD COLUMN second_marking            boolean NOT NULL DEFAULT false,  -- two people mark each answer
    ADD COLUMN second_marking_tolerance  numeric NOT NULL DEFAULT 0,      -- points by which they may differ
    ADD COLUMN attempts_count            integer NOT NULL DEFAULT 0,      -- from here on written back by the
    ADD COLUMN completed_attempts        integer NOT NULL DEFAULT 0,      --   statistics
    ADD COLUMN avg_score                 numeric(12, 2),
    ADD COLUMN avg_duration              interval,
    ADD COLUMN first_attempt_at          timestamptz,
    ADD COLUMN last_attempt_at           timestamptz,
    ADD COLUMN published_at              timestamptz,
    ADD COLUMN results_released_at       timestamptz,                     -- when staff released all results
    ADD COLUMN revision                  integer NOT NULL DEFAULT 1,      -- the ETag
    ADD CONSTRAINT exams_type_check
        CHECK (type IN ('quiz', 'assignment', 'midterm', 'final', 'certification', 'practice')),
    ADD CONSTRAINT exams_status_check
        CHECK (status IN ('draft', 'review', 'published', 'active', 'completed', 'archived')),
    ADD CONSTRAINT exams_duration_minutes_check CHECK (duration_minutes BETWEEN 1 AND 1440),
    ADD CONSTRAINT exams_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 10),
    ADD CONSTRAINT exams_passing_score_check CHECK (passing_score BETWEEN 0 AND 100),
    ADD CONSTRAINT exams_total_points_check CHECK (total_points >= 0),
    ADD CONSTRAINT exams_available_until_check CHECK (available_from < available_until),
    ADD CONSTRAINT exams_lobby_minutes_check CHECK (lobby_minutes >= 0),
    ADD CONSTRAINT exams_grace_period_minutes_check CHECK (grace_period_minutes >= 0),
    ADD CONSTRAINT exams_late_submission_penalty_check CHECK (late_submission_penalty BETWEEN 0 AND 1),
    ADD CONSTRAINT exams_exam_password_check CHECK (exam_password LIKE 'sha256$%'),
    ADD CONSTRAINT exams_second_marking_tolerance_check CHECK (second_marking_tolerance >= 0),
    ADD CONSTRAINT exams_session_policy_check CHECK (session_policy IN ('takeover', 'reject')),
    ADD CONSTRAINT exams_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations (id),
    ADD CONSTRAINT exams_course_id_fkey FOREIGN KEY (course_id) REFERENCES courses (id),
    ADD CONSTRAINT exams_created_by_fkey FOREIGN KEY (created_by) REFERENCES users (id);

-- What was imported before is published.
UPDATE exams AS e
SET status = 'published',
    published_at = e.created_at,
    type = coalesce(v.definition ->> 'type', e.type),
    duration_minutes = coalesce((v.definition ->> 'duration_minutes')::integer, e.duration_minutes),
    max_attempts = coalesce((v.definition ->> 'max_attempts')::integer, e.max_attempts),
    available_from = (v.definition ->> 'available_from')::timestamptz,
    available_until = (v.definition ->> 'available_until')::timestamptz
FROM exam_versions AS v
WHERE v.id = e.current_version_id;

-- The statistics are not a change by people.
CREATE TRIGGER exams_touch BEFORE UPDATE OF code, title, status, organization_id, course_id, current_version_id,
    available_from, available_until, results_released_at, revision ON exams
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE INDEX exams_course_id_idx ON exams (course_id, status) WHERE course_id IS NOT NULL;
CREATE INDEX exams_published_at_idx ON exams (published_at DESC) WHERE status = 'published';
CREATE INDEX exams_created_by_idx ON exams (created_by, organization_id) WHERE created_by IS NOT NULL;
CREATE INDEX exams_organization_id_idx ON exams (organization_id, id);
CREATE INDEX exams_window_idx ON exams (available_from, available_until) WHERE status IN ('published', 'active');
CREATE INDEX exams_proctored_idx ON exams (id) WHERE proctoring_enabled;
CREATE INDEX exams_settings_idx ON exams USING gin (settings jsonb_path_ops);

CREATE TABLE exam_sections (
    exam_id            bigint NOT NULL,
    section_key        text COLLATE "C" NOT NULL, -- the exam file's id of the section
    title              text NOT NULL DEFAULT '',
    time_limit_minutes integer,                   -- null: none of its own
    position           integer NOT NULL,          -- from 1
    CONSTRAINT exam_sections_pkey PRIMARY KEY (exam_id, section_key),
    CONSTRAINT exam_sections_position_key UNIQUE (exam_id, position) DEFERRABLE,
    CONSTRAINT exam_sections_position_check CHECK (position > 0),
    CONSTRAINT exam_sections_time_limit_minutes_check CHECK (time_limit_minutes > 0),
    CONSTRAINT exam_sections_exam_id_fkey FOREIGN KEY (exam_id) REFERENCES exams (id) ON DELETE CASCADE
);

CREATE TABLE exam_questions (
    exam_id      bigint NOT NULL,
    question_id  bigint NOT NULL,           -- this version of the question
    question_key text COLLATE "C" NOT NULL, -- the exam file's id of the question
    section_key  text COLLATE "C" NOT NULL,
    position     integer NOT NULL,          -- from 1, within the section
    points       numeric NOT NULL,
    CONSTRAINT exam_questions_pkey PRIMARY KEY (exam_id, question_id),
    CONSTRAINT exam_questions_question_key_key UNIQUE (exam_id, question_key) DEFERRABLE,
    CONSTRAINT exam_questions_position_key UNIQUE (exam_id, section_key, position) DEFERRABLE,
    CONSTRAINT exam_questions_position_check CHECK (position > 0),
    CONSTRAINT exam_questions_points_check CHECK (points > 0),
    CONSTRAINT exam_questions_section_key_fkey
        FOREIGN KEY (exam_id, section_key) REFERENCES exam_sections (exam_id, section_key) ON DELETE CASCADE,
    CONSTRAINT exam_questions_question_id_fkey FOREIGN KEY (question_id) REFERENCES questions (id)
);

CREATE INDEX exam_questions_question_id_idx ON exam_questions (question_id);

-- A candidate's time at one exam, over what holds for the person at all exams.
CREATE TABLE exam_accommodations (
    exam_id       bigint NOT NULL,
    user_id       bigint NOT NULL,
    time_factor   numeric NOT NULL DEFAULT 1,
    extra_time_ms bigint NOT NULL DEFAULT 0,
    reason        text NOT NULL DEFAULT '',
    granted_by    bigint,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT exam_accommodations_pkey PRIMARY KEY (exam_id, user_id),
    CONSTRAINT exam_accommodations_time_factor_check CHECK (time_factor >= 1),
    CONSTRAINT exam_accommodations_extra_time_ms_check CHECK (extra_time_ms >= 0),
    CONSTRAINT exam_accommodations_exam_id_fkey FOREIGN KEY (exam_id) REFERENCES exams (id) ON DELETE CASCADE,
    CONSTRAINT exam_accommodations_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT exam_accommodations_granted_by_fkey FOREIGN KEY (granted_by) REFERENCES users (id)
);

CREATE INDEX exam_accommodations_user_id_idx ON exam_accommodations (user_id);

CREATE TRIGGER exam_accommodations_touch BEFORE UPDATE ON exam_accommodations
    FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

-- A key that was found wrong after people were graded by it. The frozen version stays as it is.
CREATE TABLE key_corrections (
    exam_version_id bigint NOT NULL,
    revision        integer NOT NULL,                   -- 1 for the version's first correction
    question_id     bigint NOT NULL,
    answer          json NOT NULL,                      -- the right key, in the exam file's shape
    reason          text NOT NULL,
    corrected_by    bigint,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT key_corrections_pkey PRIMARY KEY (exam_version_id, revision),
    CONSTRAINT key_corrections_revision_check CHECK (revision > 0),
    CONSTRAINT key_corrections_reason_check CHECK (reason <> ''),
    CONSTRAINT key_corrections_question_id_fkey
        FOREIGN KEY (exam_version_id, question_id)
        REFERENCES exam_version_questions (exam_version_id, question_id),
    CONSTRAINT key_corrections_corrected_by_fkey FOREIGN KEY (corrected_by) REFERENCES users (id)
);

-- Organisations that a person administers: where the role was given, and everything below.
CREATE FUNCTION administered_organizations(person bigint) RETURNS bigint[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE own AS (
        SELECT o.id
        FROM organizations AS o
        JOIN user_roles AS r ON r.organization_id = o.id AND r.role = 'admin' OR r.role = 'super_admin'
        WHERE r.user_id = person AND r.is_active AND (r.expires_at IS NULL OR r.expires_at > now())
        UNION
        SELECT o.id FROM organizations AS o JOIN own ON o.parent_id = own.id
    )
    SELECT coalesce(array_agg(id), '{}') FROM own
$$;

-- The codes of the exams that a person may take or watch; null: every exam there is. People of a roster
-- have the list of the roster (null: all of where their role is); everybody has what their courses give.
-- An exam of another organisation is reached by no list.
CREATE FUNCTION exam_scope(person bigint) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH p AS MATERIALIZED (
        SELECT u.id, u.organization_id, u.exam_codes, r.role,
               CASE WHEN r.role IN ('admin', 'super_admin') THEN administered_organizations(u.id)
                    ELSE ARRAY(
                        -- Where the role was given: a teacher of one organisation may be a candidate of
                        -- another.
                        SELECT x.organization_id
                        FROM user_roles AS x
                        WHERE x.user_id = u.id AND x.role = r.role AND x.is_active
                          AND (x.expires_at IS NULL OR x.expires_at > now())
                    ) END AS organizations
        FROM users AS u
        CROSS JOIN LATERAL effective_role(u.id) AS r (role)
        WHERE u.id = person
    )
    SELECT CASE
        WHEN p.exam_codes IS NULL
             AND NOT EXISTS (SELECT FROM exams AS e WHERE e.organization_id <> ALL (p.organizations)) THEN NULL
        ELSE
            ARRAY(
                SELECT c.code
                FROM unnest(p.exam_codes) WITH ORDINALITY AS c (code, n)
                WHERE NOT EXISTS (
                    SELECT FROM exams AS e
                    WHERE e.code = c.code AND e.organization_id <> ALL (p.organizations)
                )
                ORDER BY c.n
            ) || ARRAY(
                SELECT e.code
                FROM exams AS e
                WHERE e.code <> ALL (coalesce(p.exam_codes, '{}'))
                  AND (p.exam_codes IS NULL AND e.organization_id = ANY (p.organizations)
                       OR p.role = 'teacher' AND e.created_by = p.id
                       OR p.role = 'teacher'
                          AND e.course_id IN (SELECT c.id FROM courses AS c WHERE c.instructor_id = p.id)
                       OR p.role = 'candidate'
                          AND e.course_id IN (
                              SELECT n.course_id FROM course_enrollments AS n
                              WHERE n.user_id = p.id AND n.status = 'active'))
                ORDER BY e.code
            )
        END
    FROM p
$$;
