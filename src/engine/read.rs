//! Looking at attempts: live state where one is live, the store otherwise.
//! Nothing here takes an attempt or changes it.

use std::{collections::BTreeMap, sync::Arc};

use invigil_protocol::{
    candidate::AttemptStatus,
    paper::{StoredAnswer, StoredAnswers},
    rest::AttemptView,
};

use super::{
    Engine, Error,
    content::{Content, PaperBody},
    load,
    shared::wire_status,
};
use crate::{
    domain::{
        attempt::{Answer, Control, Status},
        exam::Exam,
        grading::{Head, Key, ResultView, Standing, result_view},
        id::{AttemptId, ExamCode, ExamVersion, PersonId},
        time::{Timestamp, duration_ms},
        timing::Allowance,
    },
    store::{ResultLine, Summary, TimelineRow},
};

impl Engine {
    /// The newest version of every exam, by code.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn exams(&self) -> Result<Arc<[Arc<Exam>]>, Error> {
        self.inner.contents.exams().await
    }

    /// The newest version of one exam.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn exam(&self, code: &ExamCode) -> Result<Option<Arc<Exam>>, Error> {
        self.inner.contents.exam(code).await
    }

    /// A frozen version.
    ///
    /// # Errors
    /// Where the store fails or does not have it.
    pub async fn exam_version(&self, version: &ExamVersion) -> Result<Arc<Exam>, Error> {
        Ok(Arc::clone(
            self.inner.contents.version(version).await?.exam(),
        ))
    }

    /// An attempt seen from outside. None where there is no such attempt.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn summary(&self, attempt: AttemptId) -> Result<Option<Summary>, Error> {
        Ok(self.inner.attempts.summary(attempt).await?)
    }

    /// All attempts of a person, oldest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn attempts_of(&self, person: &PersonId) -> Result<Vec<Summary>, Error> {
        Ok(self.inner.attempts.attempts_of(person).await?)
    }

    /// Where an attempt stands.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn view(&self, attempt: AttemptId) -> Result<Option<AttemptView>, Error> {
        if let Some(look) = self.look(attempt).await {
            let content = self
                .inner
                .contents
                .version(&look.identity.exam_version)
                .await?;
            let allowance = allowance(&content, &look.identity);
            let answered = look
                .answers
                .iter()
                .filter(|(_, answer)| answer.value.is_some());
            let answered = u32::try_from(answered.count()).unwrap_or(u32::MAX);
            let status = look.control.status();
            let view = (attempt, look.identity.started_at, status, answered);
            return Ok(Some(self.build_view(
                &content,
                &allowance,
                &look.control,
                view,
            )));
        }
        let Some(summary) = self.summary(attempt).await? else {
            return Ok(None);
        };
        let content = self
            .inner
            .contents
            .version(&summary.identity.exam_version)
            .await?;
        let allowance = allowance(&content, &summary.identity);
        let control = load::control(&summary.control.state).ok_or(Error::Damaged {
            attempt,
            what: "control state",
        })?;
        let status = summary.control.status;
        let view = (
            attempt,
            summary.identity.started_at,
            status,
            summary.answered,
        );
        Ok(Some(self.build_view(&content, &allowance, &control, view)))
    }

    fn build_view(
        &self,
        content: &Content,
        allowance: &Allowance,
        control: &Control,
        (attempt, started_at, status, answered): (AttemptId, Timestamp, Status, u32),
    ) -> AttemptView {
        let now = self.now();
        let status: AttemptStatus = wire_status(status);
        let remaining = if status.is_over() {
            0
        } else {
            duration_ms(control.ledger.remaining(allowance, now))
        };
        AttemptView {
            id: attempt.to_string(),
            status,
            started_at: started_at.as_ms(),
            deadline_at: control
                .ledger
                .deadline(allowance, now)
                .map(Timestamp::as_ms),
            remaining_ms: Some(remaining),
            timing_rev: control.ledger.timing_rev,
            answered,
            questions: u32::try_from(content.plan.question_count()).unwrap_or(u32::MAX),
        }
    }

    /// The answers as they stand, those not yet durable too.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn answers(&self, attempt: AttemptId) -> Result<Option<StoredAnswers>, Error> {
        if let Some(look) = self.look(attempt).await {
            let answers = look.answers.into_iter();
            let answers = answers.map(|(question, answer)| (question.to_string(), wire(&answer)));
            return Ok(Some(StoredAnswers {
                session: look.session.map(|session| session.to_string()),
                saved_seq: look.saved_seq,
                answers: answers.collect(),
            }));
        }
        let Some(summary) = self.summary(attempt).await? else {
            return Ok(None);
        };
        let rows = self.inner.attempts.graded_answers(attempt).await?;
        let answers = rows.into_iter().map(|(row, _)| {
            let question = row.question.to_string();
            (question, wire(&load::answer(row)))
        });
        Ok(Some(StoredAnswers {
            session: summary.progress.session.map(|session| session.to_string()),
            saved_seq: summary.progress.last_seq,
            answers: answers.collect(),
        }))
    }

    /// A paper by its version, where the attempt is about it.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn paper(
        &self,
        version: &str,
        attempt: AttemptId,
    ) -> Result<Option<PaperBody>, Error> {
        let Some(summary) = self.summary(attempt).await? else {
            return Ok(None);
        };
        let content = self
            .inner
            .contents
            .version(&summary.identity.exam_version)
            .await?;
        let body = (content.paper_version() == version).then(|| content.paper(self.now()));
        Ok(body)
    }

    /// An attempt's paper, with its own order in it.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn own_paper(&self, attempt: AttemptId) -> Result<Option<PaperBody>, Error> {
        let Some(summary) = self.summary(attempt).await? else {
            return Ok(None);
        };
        let content = self
            .inner
            .contents
            .version(&summary.identity.exam_version)
            .await?;
        Ok(Some(content.own_paper(&summary.identity, self.now())))
    }

    /// The result of an attempt that is handed in, as far as it is marked.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn result(&self, attempt: AttemptId, key: Key) -> Result<Option<ResultView>, Error> {
        let Some(summary) = self.summary(attempt).await? else {
            return Ok(None);
        };
        let Some(totals) = &summary.totals else {
            return Ok(None);
        };
        let exam = self.exam_version(&summary.identity.exam_version).await?;
        let rows = self.inner.attempts.graded_answers(attempt).await?;
        let marked: BTreeMap<_, _> = rows
            .iter()
            .filter_map(|(row, grade)| {
                let points_earned = grade.as_ref().and_then(|grade| grade.points_earned);
                let standing = Standing {
                    value: row.value.as_deref()?,
                    points_earned,
                };
                Some((&row.question, standing))
            })
            .collect();
        let head = Head {
            attempt,
            status: summary.control.status,
            late: summary.late,
            totals,
        };
        Ok(Some(result_view(
            &exam,
            head,
            |question| marked.get(question).copied(),
            key,
        )))
    }

    /// The signed receipt of an attempt that is handed in, JSON.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn receipt(&self, attempt: AttemptId) -> Result<Option<Arc<str>>, Error> {
        Ok(self.inner.attempts.receipt(attempt).await?)
    }

    /// The public key of receipts, standard base64 with padding.
    pub fn receipt_key(&self) -> String {
        self.inner.shared.keys.public_base64()
    }

    /// What happened in an attempt after a cursor, oldest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn timeline(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TimelineRow>, Error> {
        let kept = self.inner.attempts.timeline(attempt, after, limit).await?;
        let Some(recorder) = &self.inner.shared.recorder else {
            return Ok(kept);
        };
        // What is not recorded yet is still with the attempts.
        let recorded = recorder.store().timeline(attempt, after, limit).await?;
        let mut entries: BTreeMap<u64, TimelineRow> = recorded
            .into_iter()
            .map(|record| (record.number, record.into()))
            .collect();
        entries.extend(kept.into_iter().map(|entry| (entry.number, entry)));
        Ok(entries.into_values().take(limit as usize).collect())
    }

    /// All attempts of an exam.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn results(&self, exam: &ExamCode) -> Result<Vec<ResultLine>, Error> {
        Ok(self.inner.attempts.results(exam).await?)
    }
}

fn allowance(content: &Content, identity: &crate::domain::attempt::Identity) -> Allowance {
    Allowance::new(content.exam(), identity.time_factor, identity.extra_time)
}

fn wire(answer: &Answer) -> StoredAnswer {
    let value = answer.value.as_deref();
    StoredAnswer {
        value: value
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default(),
        flagged: answer.flagged,
        rev: answer.rev,
    }
}
