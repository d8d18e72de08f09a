DROP TABLE attempt_evidence;
