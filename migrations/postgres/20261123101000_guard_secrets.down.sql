ALTER TABLE maintenance_runs DROP COLUMN took_ms, DROP COLUMN changes;
DROP TRIGGER user_sessions_audit ON user_sessions;
DROP TRIGGER exam_versions_audit ON exam_versions;
DROP FUNCTION audit_exam_version();
DROP TRIGGER course_enrollments_audit ON course_enrollments;
ALTER TABLE users DROP COLUMN has_password, DROP COLUMN has_access_code;
