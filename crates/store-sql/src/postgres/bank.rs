//! An exam's questions in the question bank.
//!
//! The bank keeps the content of a question; its id and points belong to the
//! exam. An existing question of the organisation is reused, so that its
//! statistics continue.

use std::collections::HashMap;

use rust_decimal::Decimal;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use crate::{convert::encode_error, outline};

/// Adds the questions that the organisation lacks: the n-th of a definition if
/// there are fewer than n.
const INSERT_MISSING: &str = "
INSERT INTO questions
    (organization_id, definition_sha256, type, definition, default_points, review_status, source,
     created_by)
SELECT e.organization_id, n.hash, n.type, n.definition::json, n.points,
       -- An operator vouches for the file; a person's import is used but awaits review.
       CASE WHEN app_user_id() IS NULL THEN 'approved' ELSE 'pending' END, e.code, app_user_id()
FROM exams AS e
CROSS JOIN unnest($2::bytea[], $3::integer[], $4::text[], $5::text[], $6::numeric[])
    WITH ORDINALITY AS n (hash, nth, type, definition, points, position)
WHERE e.id = $1
  AND n.nth > (
      SELECT count(*) FROM questions AS q
      WHERE q.organization_id = e.organization_id AND q.definition_sha256 = n.hash
        AND q.is_latest_version)
ORDER BY n.position";

const NUMBER_QUESTIONS: &str = "
INSERT INTO exam_version_questions
    (exam_version_id, question_id, question_key, position, points)
SELECT $2, q.id, n.key, n.position, n.points
FROM exams AS e
CROSS JOIN unnest($3::bytea[], $4::integer[], $5::text[], $6::numeric[])
    WITH ORDINALITY AS n (hash, nth, key, points, position)
JOIN LATERAL (
    SELECT b.id
    FROM questions AS b
    WHERE b.organization_id = e.organization_id AND b.definition_sha256 = n.hash
      AND b.is_latest_version
    ORDER BY b.id
    OFFSET n.nth - 1
    LIMIT 1
) AS q ON true
WHERE e.id = $1";

/// Finds or creates the rows of a version's questions, and numbers them.
pub(super) async fn number_questions(
    connection: &mut PgConnection,
    exam_id: i64,
    exam_version_id: i64,
    definition: &str,
) -> Result<(), sqlx::Error> {
    let questions = outline::outline_questions(definition)?;
    let mut columns = BankArrays::default();
    let mut seen: HashMap<[u8; 32], i32> = HashMap::new();
    for question in &questions {
        let text = bank_definition(question.definition)?;
        let hash: [u8; 32] = Sha256::digest(&text).into();
        // Two equal questions of an exam are two rows.
        let nth = seen.entry(hash).and_modify(|n| *n += 1).or_insert(1);
        columns.keys.push(question.key.as_str());
        columns.kinds.push(question.kind.as_str());
        columns.points.push(question.points);
        columns.texts.push(text);
        columns.hashes.push(hash.to_vec());
        columns.nths.push(*nth);
    }
    // Concurrent imports would both find that a question is missing.
    sqlx::query(
        "SELECT pg_advisory_xact_lock(hashtext('questions'), organization_id::integer)
         FROM exams WHERE id = $1",
    )
    .bind(exam_id)
    .execute(&mut *connection)
    .await?;
    sqlx::query(INSERT_MISSING)
        .bind(exam_id)
        .bind(&columns.hashes)
        .bind(&columns.nths)
        .bind(&columns.kinds)
        .bind(&columns.texts)
        .bind(&columns.points)
        .execute(&mut *connection)
        .await?;
    sqlx::query(NUMBER_QUESTIONS)
        .bind(exam_id)
        .bind(exam_version_id)
        .bind(&columns.hashes)
        .bind(&columns.nths)
        .bind(&columns.keys)
        .bind(&columns.points)
        .execute(connection)
        .await?;
    Ok(())
}

#[derive(Default)]
struct BankArrays<'a> {
    keys: Vec<&'a str>,
    kinds: Vec<&'a str>,
    points: Vec<Decimal>,
    texts: Vec<String>,
    hashes: Vec<Vec<u8>>,
    nths: Vec<i32>,
}

/// Returns a question without its id and points, as canonical JSON.
pub(crate) fn bank_definition(question: &str) -> Result<String, sqlx::Error> {
    let mut tree: Value = serde_json::from_str(question)
        .map_err(|error| encode_error(format!("question: {error}")))?;
    if let Some(question) = tree.as_object_mut() {
        question.remove("id");
        question.remove("points");
    }
    Ok(tree.to_string())
}

/// Replaces the composition of an exam by that of its current version.
pub(super) async fn compose_exam(
    connection: &mut PgConnection,
    exam_id: i64,
) -> Result<(), sqlx::Error> {
    for statement in [
        "DELETE FROM exam_sections WHERE exam_id = $1",
        "INSERT INTO exam_sections (exam_id, section_key, title, time_limit_minutes, position)
         SELECT e.id, s.section ->> 'id', coalesce(s.section ->> 'title', ''),
                (s.section ->> 'time_limit_minutes')::integer, s.position
         FROM exams AS e
         JOIN exam_versions AS v ON v.id = e.current_version_id
         CROSS JOIN LATERAL json_array_elements(v.definition -> 'sections')
             WITH ORDINALITY AS s (section, position)
         WHERE e.id = $1",
        "INSERT INTO exam_questions (exam_id, question_id, question_key, section_key, position, points)
         SELECT e.id, n.question_id, n.question_key, s.section ->> 'id', q.position, n.points
         FROM exams AS e
         JOIN exam_versions AS v ON v.id = e.current_version_id
         CROSS JOIN LATERAL json_array_elements(v.definition -> 'sections') AS s (section)
         CROSS JOIN LATERAL json_array_elements(s.section -> 'questions')
             WITH ORDINALITY AS q (question, position)
         JOIN exam_version_questions AS n
           ON n.exam_version_id = v.id AND n.question_key = q.question ->> 'id'
         WHERE e.id = $1",
        "UPDATE exams AS e
         SET questions_count = s.questions, total_points = s.points
         FROM (
             SELECT count(*) AS questions, coalesce(sum(q.points), 0) AS points
             FROM exam_questions AS q WHERE q.exam_id = $1
         ) AS s
         WHERE e.id = $1",
    ] {
        sqlx::query(statement)
            .bind(exam_id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bank_keeps_what_a_question_asks() {
        let question = r#"{"points":2,"type":"essay","id":"q1","content":"Why?"}"#;
        assert_eq!(
            bank_definition(question).unwrap(),
            r#"{"content":"Why?","type":"essay"}"#
        );
        assert!(bank_definition("{").is_err());
    }
}
