DROP FUNCTION answer_status(numeric, numeric);
