//! The numbers of questions, under which answers are stored.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sqlx::PgConnection;

use crate::convert::encode_error;
use invigil_domain::id::{ExamVersion, QuestionId};

/// Question numbers of an exam version, by question id.
pub(super) type QuestionNumbers = HashMap<QuestionId, i64>;

/// Maximum number of cached versions; beyond it the cache is cleared.
const VERSIONS_MAX: usize = 1_000;

/// A cache of question numbers by exam version; a version never changes.
#[derive(Debug, Default)]
pub(super) struct QuestionNumberCache(Mutex<HashMap<ExamVersion, Arc<QuestionNumbers>>>);

impl QuestionNumberCache {
    /// Returns the question numbers of a version.
    pub(super) async fn numbers_of(
        &self,
        connection: &mut PgConnection,
        version: &ExamVersion,
    ) -> Result<Arc<QuestionNumbers>, sqlx::Error> {
        if let Some(numbers) = self.lock_versions().get(version) {
            return Ok(Arc::clone(numbers));
        }
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT q.question_key, q.question_id
             FROM exam_version_questions AS q
             JOIN exam_versions AS v ON v.id = q.exam_version_id
             WHERE v.version = $1",
        )
        .bind(version.as_str())
        .fetch_all(connection)
        .await?;
        if rows.is_empty() {
            return Err(encode_error(format!("no exam has version {version}")));
        }
        let numbers: QuestionNumbers = rows.into_iter().map(|(key, id)| (key.into(), id)).collect();
        let numbers = Arc::new(numbers);
        let mut versions = self.lock_versions();
        if versions.len() >= VERSIONS_MAX {
            versions.clear();
        }
        versions.insert(version.clone(), Arc::clone(&numbers));
        Ok(numbers)
    }

    fn lock_versions(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<ExamVersion, Arc<QuestionNumbers>>> {
        // Every change of the map is a single call, so a panic cannot leave half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the number of a question.
pub(super) fn question_number(
    numbers: &QuestionNumbers,
    question: &QuestionId,
) -> Result<i64, sqlx::Error> {
    numbers
        .get(question)
        .copied()
        .ok_or_else(|| encode_error(format!("the attempt's exam has no question {question}")))
}
