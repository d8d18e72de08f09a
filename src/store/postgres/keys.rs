//! The numbers of questions: answers are stored under them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sqlx::PgConnection;

use crate::{
    domain::id::{ExamVersion, QuestionId},
    store::convert::refuse,
};

/// Question numbers of one exam version, by the exam file's ids.
pub(super) type Numbers = HashMap<QuestionId, i64>;

/// Versions that are kept; over it all are read again.
const VERSIONS_MAX: usize = 1_000;

/// What was read of the versions; they never change.
#[derive(Debug, Default)]
pub(super) struct QuestionKeys(Mutex<HashMap<ExamVersion, Arc<Numbers>>>);

impl QuestionKeys {
    /// The numbers of a version's questions.
    pub(super) async fn of(
        &self,
        connection: &mut PgConnection,
        version: &ExamVersion,
    ) -> Result<Arc<Numbers>, sqlx::Error> {
        if let Some(numbers) = self.lock().get(version) {
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
            return Err(refuse(format!("no exam has version {version}")));
        }
        let numbers: Numbers = rows.into_iter().map(|(key, id)| (key.into(), id)).collect();
        let numbers = Arc::new(numbers);
        let mut versions = self.lock();
        if versions.len() >= VERSIONS_MAX {
            versions.clear();
        }
        versions.insert(version.clone(), Arc::clone(&numbers));
        Ok(numbers)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ExamVersion, Arc<Numbers>>> {
        // A panic between two of these calls leaves a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of one question.
pub(super) fn number(numbers: &Numbers, question: &QuestionId) -> Result<i64, sqlx::Error> {
    numbers
        .get(question)
        .copied()
        .ok_or_else(|| refuse(format!("the attempt's exam has no question {question}")))
}
