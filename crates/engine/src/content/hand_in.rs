//! Grades and receipt of a hand-in. Both follow from the attempt's state, so they come
//! out the same however often they are computed.

use serde_json::Value;

use super::ExamContent;
use crate::node::keys::InstallationKeys;
use invigil_domain::{
    attempt::{Attempt, AttemptPhase},
    grading::{self, AttemptGrades, KeyVisibility, MarkedAnswer, ResultHeader},
    id::QuestionId,
    receipt::{self, FinalAnswer, Receipt},
};
use invigil_store::HandInRow;

/// Row of the hand-in; `None` before it.
pub(crate) fn hand_in_row(
    attempt: &Attempt,
    content: &ExamContent,
    keys: &InstallationKeys,
) -> Option<HandInRow> {
    let control = attempt.control();
    let AttemptPhase::HandedIn { at, by, .. } = control.phase else {
        return None;
    };
    let AttemptGrades { rows, totals, .. } = grade_answers(attempt);
    Some(HandInRow {
        submitted_at: at,
        handed_in_by: by.as_str(),
        late: control.late,
        totals,
        grades: rows,
        receipt: sign_receipt(attempt, content, keys)?.to_json().into(),
    })
}

/// The result as the candidate may see it.
pub(crate) fn candidate_result(attempt: &Attempt, key: KeyVisibility) -> Value {
    let AttemptGrades { rows, totals, .. } = grade_answers(attempt);
    let head = ResultHeader {
        attempt: attempt.identity().id,
        status: attempt.status(),
        late: attempt.control().late,
        totals: &totals,
    };
    let standing = |question: &QuestionId| {
        let grade = rows.iter().find(|row| row.question == *question)?;
        Some(MarkedAnswer {
            value: answer_value(attempt, question)?,
            points_earned: grade.points_earned,
        })
    };
    let view = grading::build_result(attempt.indexed_exam().exam(), head, standing, key);
    serde_json::to_value(view).expect("a result is plain JSON")
}

fn grade_answers(attempt: &Attempt) -> AttemptGrades {
    let exam = attempt.indexed_exam().exam();
    grading::grade_attempt(
        exam,
        |question| answer_value(attempt, question),
        attempt.control().late,
    )
}

fn answer_value<'a>(attempt: &'a Attempt, question: &QuestionId) -> Option<&'a str> {
    let number = attempt.indexed_exam().question_number(question)?;
    attempt.answers().get(number)?.value.as_deref()
}

/// The signed receipt; `None` before the hand-in.
pub(crate) fn sign_receipt(
    attempt: &Attempt,
    content: &ExamContent,
    keys: &InstallationKeys,
) -> Option<Receipt> {
    let AttemptPhase::HandedIn { at, by, .. } = attempt.control().phase else {
        return None;
    };
    let identity = attempt.identity();
    let ledger = &attempt.control().ledger;
    let plan = attempt.indexed_exam();
    let answered = attempt
        .answers()
        .iter()
        .filter(|(_, answer)| answer.rev > 0);
    let answers = answered.map(|(number, answer)| {
        let question = plan.question(number).id.clone();
        FinalAnswer::new(question, answer.rev, answer.value.as_deref())
    });
    let content = receipt::ReceiptContent {
        answers: answers.collect(),
        attempt: identity.id.to_string(),
        candidate: identity.candidate.clone(),
        deadline_at: attempt.deadline(at),
        entered_at: ledger.entered_at,
        exam: identity.exam.clone(),
        exam_version: identity.exam_version.clone(),
        format: receipt::ReceiptFormat::V1,
        handed_in: by,
        late: attempt.control().late,
        paper_version: content.paper_version().into(),
        started_at: identity.started_at,
        submitted_at: at,
    };
    Some(receipt::sign_receipt(content, &keys.receipt))
}
