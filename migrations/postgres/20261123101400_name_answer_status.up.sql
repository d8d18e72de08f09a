-- What the points of an answer make it.
CREATE FUNCTION answer_status(earned numeric, possible numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN earned IS NULL THEN 'pending_review'
                WHEN earned >= round(possible, 2) THEN 'correct'
                WHEN earned <= 0 THEN 'incorrect'
                ELSE 'partial' END
$$;
