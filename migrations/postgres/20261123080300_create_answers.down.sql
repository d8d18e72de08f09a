DROP VIEW attempt_summaries;
DROP TABLE attempt_timeline;
DROP TABLE answers;
