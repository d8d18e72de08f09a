ALTER TABLE exam_attempt_keys
    DROP COLUMN lost_at;
