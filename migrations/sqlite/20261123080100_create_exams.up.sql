-- Exams, their frozen versions, and the questions of each.

-- A version never changes: attempts are about a version, not about an exam.
CREATE TABLE exam_versions (
    version    TEXT NOT NULL, -- sha256:<hex> of the definition
    code       TEXT NOT NULL, -- the exam file's code
    title      TEXT NOT NULL, -- shown in listings
    definition TEXT NOT NULL, -- canonical JSON
    CONSTRAINT exam_versions_pkey PRIMARY KEY (version)
) STRICT;

CREATE TABLE exams (
    code            TEXT NOT NULL, -- the exam file's code
    current_version TEXT NOT NULL, -- the newest version
    CONSTRAINT exams_pkey PRIMARY KEY (code),
    CONSTRAINT exams_code_check CHECK (code <> ''),
    CONSTRAINT exams_current_version_fkey FOREIGN KEY (current_version) REFERENCES exam_versions (version)
) STRICT;

CREATE TABLE exam_version_questions (
    version      TEXT NOT NULL,    -- the version
    question_key TEXT NOT NULL,    -- the exam file's id of the question
    position     INTEGER NOT NULL, -- from 1, in the file's order, over all sections
    points       TEXT NOT NULL,    -- decimal, what a right answer earns
    CONSTRAINT exam_version_questions_pkey PRIMARY KEY (version, question_key),
    CONSTRAINT exam_version_questions_position_key UNIQUE (version, position),
    CONSTRAINT exam_version_questions_position_check CHECK (position > 0),
    CONSTRAINT exam_version_questions_version_fkey FOREIGN KEY (version) REFERENCES exam_versions (version)
) STRICT, WITHOUT ROWID;
