DROP FUNCTION ensure_attempt_partitions(integer);
DROP TABLE exam_attempts;
DROP TABLE exam_attempt_keys;
