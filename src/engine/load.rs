//! From stored rows to a live attempt.

use std::sync::Arc;

use super::{Error, content::Content};
use crate::{
    domain::attempt::{Answer, Answers, Attempt, Control, Plan, Session, Stored},
    store::{AnswerRow, Taken},
};

/// Brings a taken attempt to life.
///
/// # Errors
/// [`Error::Damaged`] where what is stored is not what this program writes.
pub(super) fn attempt(
    taken: Taken,
    content: &Content,
    answer_size_max: usize,
) -> Result<Attempt, Error> {
    let attempt = taken.identity.id;
    let damaged = |what: &'static str| Error::Damaged { attempt, what };
    let control = control(&taken.control).ok_or_else(|| damaged("control state"))?;
    let plan = Arc::clone(&content.plan);
    let answers = answers(&plan, taken.answers).ok_or_else(|| damaged("answers"))?;
    let progress = taken.progress;
    let stored = Stored {
        control,
        version: progress.version,
        session: progress.session.map(|id| Session {
            applied_seq: progress.last_seq,
            applied_event: progress.last_event,
            connected: false,
            ..Session::new(id)
        }),
        answers,
    };
    Ok(Attempt::load(
        taken.identity,
        plan,
        answer_size_max,
        taken.epoch,
        stored,
    ))
}

/// Reads a control state.
pub(super) fn control(state: &str) -> Option<Control> {
    serde_json::from_str(state).ok()
}

/// Answers by question number; none where one is to no question of the exam.
fn answers(plan: &Plan, rows: Vec<AnswerRow>) -> Option<Answers> {
    rows.into_iter()
        .map(|row| {
            let number = plan.number(&row.question)?;
            Some((number, answer(row)))
        })
        .collect()
}

/// An answer as it is stored.
pub(super) fn answer(row: AnswerRow) -> Answer {
    Answer {
        value: row.value,
        flagged: row.flagged,
        rev: row.rev,
        version: row.version,
        answered_at: row.answered_at,
        spent_ms: row.spent_ms,
    }
}
