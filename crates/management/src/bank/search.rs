//! Search in the question bank.

use serde_json::Value;
use sqlx::types::Json;

use super::{QuestionHit, QuestionSearch};
use crate::{ManagementError, UnitOfWork, resource::ListPage};

const SEARCH: &str = "
SELECT to_jsonb(t) - 'search_vector' - 'definition_sha256' || jsonb_build_object('rank', f.rank)
FROM search_questions($1, $2, $3, $4, $5, $6, $7, $8, $9) WITH ORDINALITY AS f (id, rank, place)
JOIN questions AS t ON t.id = f.id
ORDER BY f.place";

/// Returns a page of matching questions, the most relevant first.
///
/// # Errors
/// Database errors.
pub async fn search_questions(
    work: &mut UnitOfWork,
    search: &QuestionSearch,
) -> Result<ListPage<QuestionHit>, ManagementError> {
    let limit = search.limit.clamp(1, 100);
    let rows: Vec<Json<QuestionHit>> = sqlx::query_scalar(SEARCH)
        .bind(&search.text)
        .bind(search.category_id)
        .bind(&search.kind)
        .bind(&search.difficulty)
        .bind(&search.status)
        .bind(&search.tags)
        .bind(search.organization_id)
        .bind(search.offset.max(0))
        .bind(limit + 1)
        .fetch_all(&mut *work.tx)
        .await?;
    let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items: Vec<QuestionHit> = rows.into_iter().map(|Json(row)| row).collect();
    if more {
        items.pop();
    }
    if let Some(text) = &search.text {
        for found in &mut items {
            let content = found.question.draft.definition.get("content");
            let content = content.and_then(Value::as_str).unwrap_or_default();
            found.highlights = find_highlights(content, text);
        }
    }
    Ok(ListPage {
        items,
        next: more.then_some(search.offset + limit),
    })
}

/// Returns the matches of search words in a text, as start and end in characters.
/// Case is ignored, and so are excluded words.
fn find_highlights(text: &str, words: &str) -> Vec<(usize, usize)> {
    let lower: Vec<char> = text
        .chars()
        .map(|c| c.to_lowercase().next().unwrap_or(c))
        .collect();
    let mut places = Vec::new();
    for word in words.split_whitespace() {
        let word = word.trim_matches('"');
        if word.is_empty() || word.starts_with('-') || word.eq_ignore_ascii_case("or") {
            continue;
        }
        let word: Vec<char> = word.to_lowercase().chars().collect();
        let mut from = 0;
        while let Some(at) = lower
            .get(from..)
            .and_then(|rest| rest.windows(word.len()).position(|window| window == word))
        {
            places.push((from + at, from + at + word.len()));
            from += at + word.len();
        }
    }
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_where_they_stand() {
        let text = "\u{5149}\u{5408}\u{4f5c}\u{7528}: Light and light.";
        assert_eq!(find_highlights(text, "\u{5408}\u{4f5c}"), [(1, 3)]);
        assert_eq!(find_highlights(text, "LIGHT -and"), [(6, 11), (16, 21)]);
        assert_eq!(
            find_highlights(text, "\"light\" or zebra"),
            [(6, 11), (16, 21)]
        );
        assert_eq!(find_highlights("", "x"), []);
    }
}
