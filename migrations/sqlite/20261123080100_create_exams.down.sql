DROP TABLE exam_version_questions;
DROP TABLE exams;
DROP TABLE exam_versions;
