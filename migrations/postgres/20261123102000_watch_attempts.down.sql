ALTER TABLE exam_attempts
    DROP COLUMN integrity_verified,
    DROP COLUMN proctoring_score,
    DROP COLUMN security_flags,
    DROP COLUMN violations_count;
