//! What a hand-in is worth, and the receipt for it. All of it follows from the
//! attempt as it stands, so it comes out the same however often it is asked for.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use serde_json::Value;

use super::{Error, content::Content};
use crate::{
    domain::{
        attempt::{Attempt, Phase},
        grading::{self, Grading, Head, Key, Standing},
        id::QuestionId,
        receipt::{self, FinalAnswer, Receipt},
    },
    store::{Catalog, HandInRow},
};

/// Keys that are kept with the data.
pub(super) struct Keys {
    /// Signs receipts.
    pub receipt: SigningKey,
    /// Seals papers.
    pub paper: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// The key that receipts are verified with, standard base64 with padding.
    pub(super) fn public_base64(&self) -> String {
        STANDARD.encode(self.receipt.verifying_key().as_bytes())
    }

    /// The keys of this installation, made on the first start.
    ///
    /// # Errors
    /// Where the store or the system's randomness fails.
    pub(super) async fn from_store(store: &dyn Catalog) -> Result<Self, Error> {
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh)?;
        let receipt = store.secret("receipt-signing-key", &fresh).await?;
        getrandom::fill(&mut fresh)?;
        let paper = store.secret("paper-seal", &fresh).await?;
        Ok(Self {
            receipt: SigningKey::from_bytes(&receipt),
            paper,
        })
    }
}

/// What a hand-in makes durable; none before it.
pub(super) fn row(attempt: &Attempt, content: &Content, keys: &Keys) -> Option<HandInRow> {
    let control = attempt.control();
    let Phase::HandedIn { at, by, .. } = control.phase else {
        return None;
    };
    let Grading { rows, totals, .. } = grade(attempt);
    Some(HandInRow {
        submitted_at: at,
        handed_in_by: by.as_str(),
        late: control.late,
        totals,
        grades: rows,
        receipt: receipt(attempt, content, keys)?.to_json().into(),
    })
}

/// The result as the candidate may see it.
pub(super) fn result(attempt: &Attempt, key: Key) -> Value {
    let Grading { rows, totals, .. } = grade(attempt);
    let head = Head {
        attempt: attempt.identity().id,
        status: attempt.status(),
        late: attempt.control().late,
        totals: &totals,
    };
    let standing = |question: &QuestionId| {
        let grade = rows.iter().find(|row| row.question == *question)?;
        Some(Standing {
            value: value(attempt, question)?,
            points_earned: grade.points_earned,
        })
    };
    let view = grading::result_view(attempt.plan().exam(), head, standing, key);
    serde_json::to_value(view).expect("a result is plain JSON")
}

fn grade(attempt: &Attempt) -> Grading {
    let exam = attempt.plan().exam();
    grading::grade_attempt(
        exam,
        |question| value(attempt, question),
        attempt.control().late,
    )
}

fn value<'a>(attempt: &'a Attempt, question: &QuestionId) -> Option<&'a str> {
    let number = attempt.plan().number(question)?;
    attempt.answers().get(number)?.value.as_deref()
}

/// The signed receipt; none before the hand-in.
pub(super) fn receipt(attempt: &Attempt, content: &Content, keys: &Keys) -> Option<Receipt> {
    let Phase::HandedIn { at, by, .. } = attempt.control().phase else {
        return None;
    };
    let identity = attempt.identity();
    let ledger = &attempt.control().ledger;
    let plan = attempt.plan();
    let answered = attempt
        .answers()
        .iter()
        .filter(|(_, answer)| answer.rev > 0);
    let answers = answered.map(|(number, answer)| {
        let question = plan.question(number).id.clone();
        FinalAnswer::new(question, answer.rev, answer.value.as_deref())
    });
    let content = receipt::Content {
        answers: answers.collect(),
        attempt: identity.id.to_string(),
        candidate: identity.candidate.clone(),
        deadline_at: attempt.deadline(at),
        entered_at: ledger.entered_at,
        exam: identity.exam.clone(),
        exam_version: identity.exam_version.clone(),
        format: receipt::Format::V1,
        handed_in: by,
        late: attempt.control().late,
        paper_version: content.paper_version().into(),
        started_at: identity.started_at,
        submitted_at: at,
    };
    Some(receipt::sign(content, &keys.receipt))
}
