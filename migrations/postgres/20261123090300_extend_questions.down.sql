DROP TRIGGER questions_touch ON questions;
DROP TRIGGER questions_index_words ON questions;
DROP FUNCTION questions_index_words();
-- Of several rows with one definition, the others' attempts go to the first.
UPDATE exam_version_questions AS x
SET question_id = first.id
FROM questions AS q
JOIN LATERAL (
    SELECT min(o.id) AS id FROM questions AS o WHERE o.definition_sha256 = q.definition_sha256
) AS first ON true
WHERE x.question_id = q.id AND q.id <> first.id;
UPDATE answers AS a
SET question_id = first.id
FROM questions AS q
JOIN LATERAL (
    SELECT min(o.id) AS id FROM questions AS o WHERE o.definition_sha256 = q.definition_sha256
) AS first ON true
WHERE a.question_id = q.id AND q.id <> first.id;
ALTER TABLE questions DROP COLUMN root_id;
DELETE FROM questions AS q
USING questions AS o
WHERE o.definition_sha256 = q.definition_sha256 AND o.id < q.id;
ALTER TABLE questions
    DROP COLUMN search_vector,
    DROP COLUMN organization_id,
    DROP COLUMN title,
    DROP COLUMN content,
    DROP COLUMN explanation,
    DROP COLUMN partial_credit,
    DROP COLUMN negative_marking,
    DROP COLUMN difficulty,
    DROP COLUMN default_points,
    DROP COLUMN hints,
    DROP COLUMN media_type,
    DROP COLUMN media_url,
    DROP COLUMN media_metadata,
    DROP COLUMN category_id,
    DROP COLUMN subject,
    DROP COLUMN topic,
    DROP COLUMN subtopic,
    DROP COLUMN keywords,
    DROP COLUMN tags,
    DROP COLUMN created_by,
    DROP COLUMN source,
    DROP COLUMN copyright_info,
    DROP COLUMN status,
    DROP COLUMN review_status,
    DROP COLUMN reviewed_by,
    DROP COLUMN reviewed_at,
    DROP COLUMN review_notes,
    DROP COLUMN usage_count,
    DROP COLUMN correct_rate,
    DROP COLUMN avg_score,
    DROP COLUMN avg_time_seconds,
    DROP COLUMN difficulty_index,
    DROP COLUMN discrimination_index,
    DROP COLUMN last_used_at,
    DROP COLUMN version,
    DROP COLUMN is_latest_version,
    DROP COLUMN revision,
    DROP COLUMN updated_at,
    DROP CONSTRAINT questions_type_check,
    ADD CONSTRAINT questions_definition_sha256_key UNIQUE (definition_sha256);
DROP FUNCTION search_query(text);
DROP FUNCTION question_search(text, text, text, text[]);
DROP TABLE question_categories;
DROP FUNCTION search_words(text);
