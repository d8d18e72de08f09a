-- An owner that dies before its first save does not forget what the one before it owes.

-- Whoever reads the table for long would have this wait, and everybody else behind it.
SET LOCAL lock_timeout = '2s';

ALTER TABLE exam_attempt_keys
    ADD COLUMN lost_at timestamptz; -- the last sign of life of an owner that died, by its clock; null once a later owner has saved
