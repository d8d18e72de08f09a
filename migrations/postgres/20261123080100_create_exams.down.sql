DROP TABLE exam_version_questions;
DROP TABLE questions;
ALTER TABLE exams DROP CONSTRAINT exams_current_version_id_fkey;
DROP TABLE exam_versions;
DROP TABLE exams;
