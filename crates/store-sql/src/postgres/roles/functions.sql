------------------------------------------------------------------------------------------------
-- Functions that reach beyond the caller's rows, each with a rule of its own.
------------------------------------------------------------------------------------------------
-- A step of a review. Reviewers other than the author change only the question's status and review.
CREATE OR REPLACE FUNCTION review_question(
    question bigint, expected integer, next_status text, outcome text, notes text, judged boolean
) RETURNS SETOF bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE questions
    SET status = next_status,
        review_status = outcome,
        review_notes = coalesce(notes, review_notes),
        reviewed_by = CASE WHEN judged THEN app_user_id() ELSE reviewed_by END,
        reviewed_at = CASE WHEN judged THEN now() ELSE reviewed_at END,
        revision = revision + 1
    WHERE id = question AND revision = expected
      AND organization_id = ANY (app_staff_organizations())
      AND (created_by = app_user_id() OR organization_id = ANY (app_organizations())
           OR judged AND status = 'review' AND next_status IN ('active', 'draft'))
    RETURNING id
$$;
REVOKE ALL ON FUNCTION review_question(bigint, integer, text, text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION review_question(bigint, integer, text, text, text, boolean) TO invigil_app;

-- The search. Under a policy the full-text index could not be used: its operator is not leakproof,
-- so it would run only on rows that passed. The query therefore contains the policy of `questions`
-- itself, and the caller's later read of the rows passes the policy again. Of more than 2,000
-- matches only the first 2,000 are ranked: a word that is in every tenth question says little about
-- any.
CREATE OR REPLACE FUNCTION search_questions(
    words text, category bigint, kind text, hardness text, state text, labels text[], organization bigint,
    skip bigint, most bigint
) RETURNS TABLE (id bigint, rank real)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp
SET plan_cache_mode = force_custom_plan
-- For two common words that never occur together the planner expects many matches, and would scan
-- every row for the first ones.
SET enable_seqscan = off AS $$
DECLARE
    asked    CONSTANT tsquery := search_query(words);
    me       CONSTANT bigint := app_user_id();
    admins   CONSTANT bigint[] := app_organizations();
    staff    CONSTANT bigint[] := app_staff_organizations();
    filed    bigint[];
BEGIN
    IF category IS NOT NULL THEN
        WITH RECURSIVE below AS (
            SELECT category AS id
            UNION
            SELECT c.id FROM question_categories AS c JOIN below ON c.parent_id = below.id
        )
        SELECT array_agg(below.id) INTO filed FROM below;
    END IF;
    IF asked IS NULL THEN
        RETURN QUERY
        SELECT t.id, 0::real
        FROM questions AS t
        WHERE t.is_latest_version
          AND (t.organization_id = ANY (admins)
               OR t.organization_id = ANY (staff) AND (t.status <> 'draft' OR t.created_by = me))
          AND (filed IS NULL OR t.category_id = ANY (filed))
          AND (kind IS NULL OR t.type = kind)
          AND (hardness IS NULL OR t.difficulty = hardness)
          AND (state IS NULL OR t.status = state)
          AND (labels = '{}' OR t.tags @> labels)
          AND (organization IS NULL OR t.organization_id = organization)
        ORDER BY t.id DESC
        OFFSET skip LIMIT most;
        RETURN;
    END IF;
    RETURN QUERY
    WITH fit AS MATERIALIZED (
        SELECT t.id, t.search_vector
        FROM questions AS t
        WHERE t.search_vector @@ asked
          AND t.is_latest_version
          AND (t.organization_id = ANY (admins)
               OR t.organization_id = ANY (staff) AND (t.status <> 'draft' OR t.created_by = me))
          AND (filed IS NULL OR t.category_id = ANY (filed))
          AND (kind IS NULL OR t.type = kind)
          AND (hardness IS NULL OR t.difficulty = hardness)
          AND (state IS NULL OR t.status = state)
          AND (labels = '{}' OR t.tags @> labels)
          AND (organization IS NULL OR t.organization_id = organization)
        LIMIT 2000
    )
    SELECT fit.id, ts_rank_cd(fit.search_vector, asked, 32) AS rank
    FROM fit
    ORDER BY rank DESC, fit.id DESC
    OFFSET skip LIMIT most;
END $$;
REVOKE ALL ON FUNCTION
    search_questions(text, bigint, text, text, text, text[], bigint, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    search_questions(text, bigint, text, text, text, text[], bigint, bigint, bigint) TO invigil_app;
