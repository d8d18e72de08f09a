//! Live attempts from stored rows.

use std::sync::Arc;

use crate::{Error, content::ExamContent};
use invigil_domain::attempt::{
    Answer, AnswerMap, Attempt, AttemptControl, AttemptRecord, AttemptSession, IndexedExam,
};
use invigil_store::{Acquired, AnswerRow};

/// Restores an acquired attempt.
///
/// # Errors
/// [`Error::Damaged`] if stored data is not what this program writes.
pub(crate) fn restore_attempt(
    acquired: Acquired,
    content: &ExamContent,
    answer_size_max: usize,
) -> Result<Attempt, Error> {
    let attempt = acquired.identity.id;
    let damaged = |what: &'static str| Error::Damaged { attempt, what };
    let control = parse_control(&acquired.control).ok_or_else(|| damaged("control state"))?;
    let plan = Arc::clone(&content.plan);
    let answers = restore_answers(&plan, acquired.answers).ok_or_else(|| damaged("answers"))?;
    let progress = acquired.progress;
    let stored = AttemptRecord {
        control,
        version: progress.version,
        session: progress.session.map(|id| AttemptSession {
            applied_seq: progress.last_seq,
            applied_event: progress.last_event,
            connected: false,
            ..AttemptSession::new(id)
        }),
        answers,
    };
    Ok(Attempt::from_record(
        acquired.identity,
        plan,
        answer_size_max,
        acquired.epoch,
        stored,
    ))
}

/// Parses a control state.
pub(crate) fn parse_control(state: &str) -> Option<AttemptControl> {
    serde_json::from_str(state).ok()
}

/// Answers by question number; `None` if one is to no question of the exam.
fn restore_answers(plan: &IndexedExam, rows: Vec<AnswerRow>) -> Option<AnswerMap> {
    rows.into_iter()
        .map(|row| {
            let number = plan.question_number(&row.question)?;
            Some((number, restore_answer(row)))
        })
        .collect()
}

/// Restores an answer from its row.
pub(crate) fn restore_answer(row: AnswerRow) -> Answer {
    Answer {
        value: row.value,
        flagged: row.flagged,
        rev: row.rev,
        version: row.version,
        answered_at: row.answered_at,
        spent_ms: row.spent_ms,
    }
}
