//! Reads of attempts: from memory where an attempt is live, else from the store. Nothing
//! here acquires an attempt or changes it.

use std::{collections::BTreeMap, sync::Arc};

use invigil_protocol::{
    candidate::AttemptStatus,
    paper::{RecordedAnswer, RecordedAnswers},
    rest::AttemptView,
};

use crate::{
    Engine, Error,
    attempt::load,
    content::{ExamContent, PaperBody},
    wire::wire_status,
};
use invigil_domain::{
    attempt::{Answer, AttemptControl, LifecycleStatus},
    exam::Exam,
    grading::{AttemptResult, KeyVisibility, MarkedAnswer, ResultHeader, build_result},
    id::{AttemptId, ExamCode, ExamVersion, PersonId},
    time::{Timestamp, duration_ms},
    timing::TimeAllowance,
};
use invigil_store::{AttemptSummary, ResultLine, TimelineRow};

impl Engine {
    /// The newest version of every exam, by code.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn newest_exams(&self) -> Result<Arc<[Arc<Exam>]>, Error> {
        self.inner.contents.newest_exams().await
    }

    /// The newest version of one exam.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn newest_exam(&self, code: &ExamCode) -> Result<Option<Arc<Exam>>, Error> {
        self.inner.contents.newest_exam(code).await
    }

    /// A frozen exam version.
    ///
    /// # Errors
    /// If the store fails or does not have it.
    pub async fn exam_version(&self, version: &ExamVersion) -> Result<Arc<Exam>, Error> {
        Ok(Arc::clone(
            self.inner.contents.load_version(version).await?.exam(),
        ))
    }

    /// Stored summary of an attempt; `None` if there is no such attempt.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn summary(&self, attempt: AttemptId) -> Result<Option<AttemptSummary>, Error> {
        Ok(self.inner.attempts.read_summary(attempt).await?)
    }

    /// All attempts of a person, oldest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn attempts_of(&self, person: &PersonId) -> Result<Vec<AttemptSummary>, Error> {
        Ok(self.inner.attempts.list_attempts_of(person).await?)
    }

    /// Status, times and number of answers of an attempt.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn attempt_view(&self, attempt: AttemptId) -> Result<Option<AttemptView>, Error> {
        if let Some(look) = self.attempt_snapshot(attempt).await {
            let content = self
                .inner
                .contents
                .load_version(&look.identity.exam_version)
                .await?;
            let allowance = allowance_of(&content, &look.identity);
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
            .load_version(&summary.identity.exam_version)
            .await?;
        let allowance = allowance_of(&content, &summary.identity);
        let control = load::parse_control(&summary.control.state).ok_or(Error::Damaged {
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
        content: &ExamContent,
        allowance: &TimeAllowance,
        control: &AttemptControl,
        (attempt, started_at, status, answered): (AttemptId, Timestamp, LifecycleStatus, u32),
    ) -> AttemptView {
        let now = self.now();
        let status: AttemptStatus = wire_status(status);
        let remaining = if status.is_over() {
            0
        } else {
            duration_ms(control.ledger.remaining_time(allowance, now))
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

    /// Current answers, including those not yet durable.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn current_answers(
        &self,
        attempt: AttemptId,
    ) -> Result<Option<RecordedAnswers>, Error> {
        if let Some(look) = self.attempt_snapshot(attempt).await {
            let answers = look.answers.into_iter();
            let answers =
                answers.map(|(question, answer)| (question.to_string(), wire_answer(&answer)));
            return Ok(Some(RecordedAnswers {
                session: look.session.map(|session| session.to_string()),
                saved_seq: look.saved_seq,
                answers: answers.collect(),
            }));
        }
        let Some(summary) = self.summary(attempt).await? else {
            return Ok(None);
        };
        let rows = self.inner.attempts.read_graded_answers(attempt).await?;
        let answers = rows.into_iter().map(|(row, _)| {
            let question = row.question.to_string();
            (question, wire_answer(&load::restore_answer(row)))
        });
        Ok(Some(RecordedAnswers {
            session: summary.progress.session.map(|session| session.to_string()),
            saved_seq: summary.progress.last_seq,
            answers: answers.collect(),
        }))
    }

    /// A paper by its version, if the attempt uses it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn paper_by_version(
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
            .load_version(&summary.identity.exam_version)
            .await?;
        let body = (content.paper_version() == version).then(|| content.paper_at(self.now()));
        Ok(body)
    }

    /// An attempt's paper, with the candidate's own order.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn own_paper(&self, attempt: AttemptId) -> Result<Option<PaperBody>, Error> {
        let Some(summary) = self.summary(attempt).await? else {
            return Ok(None);
        };
        let content = self
            .inner
            .contents
            .load_version(&summary.identity.exam_version)
            .await?;
        Ok(Some(content.own_paper(&summary.identity, self.now())))
    }

    /// The result of a handed-in attempt, as far as it is marked.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn attempt_result(
        &self,
        attempt: AttemptId,
        key: KeyVisibility,
    ) -> Result<Option<AttemptResult>, Error> {
        let Some(summary) = self.summary(attempt).await? else {
            return Ok(None);
        };
        let Some(totals) = &summary.totals else {
            return Ok(None);
        };
        let exam = self.exam_version(&summary.identity.exam_version).await?;
        let rows = self.inner.attempts.read_graded_answers(attempt).await?;
        let marked: BTreeMap<_, _> = rows
            .iter()
            .filter_map(|(row, grade)| {
                let points_earned = grade.as_ref().and_then(|grade| grade.points_earned);
                let standing = MarkedAnswer {
                    value: row.value.as_deref()?,
                    points_earned,
                };
                Some((&row.question, standing))
            })
            .collect();
        let head = ResultHeader {
            attempt,
            status: summary.control.status,
            late: summary.late,
            totals,
        };
        Ok(Some(build_result(
            &exam,
            head,
            |question| marked.get(question).copied(),
            key,
        )))
    }

    /// The signed receipt of a handed-in attempt, JSON.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn receipt(&self, attempt: AttemptId) -> Result<Option<Arc<str>>, Error> {
        Ok(self.inner.attempts.read_receipt(attempt).await?)
    }

    /// The public key of receipts, standard base64 with padding.
    pub fn receipt_key(&self) -> String {
        self.inner.shared.keys.receipt_key_base64()
    }

    /// Timeline entries after a cursor, oldest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn timeline(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TimelineRow>, Error> {
        let kept = self
            .inner
            .attempts
            .read_timeline(attempt, after, limit)
            .await?;
        let Some(recorder) = &self.inner.shared.recorder else {
            return Ok(kept);
        };
        // Entries that are not recorded yet are still with the attempts.
        let recorded = recorder.store().read_records(attempt, after, limit).await?;
        let mut entries: BTreeMap<u64, TimelineRow> = recorded
            .into_iter()
            .map(|record| (record.number, record.into()))
            .collect();
        entries.extend(kept.into_iter().map(|entry| (entry.number, entry)));
        Ok(entries.into_values().take(limit as usize).collect())
    }

    /// Result lines of all attempts of an exam.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn exam_results(&self, exam: &ExamCode) -> Result<Vec<ResultLine>, Error> {
        Ok(self.inner.attempts.list_results(exam).await?)
    }
}

fn allowance_of(
    content: &ExamContent,
    identity: &invigil_domain::attempt::AttemptIdentity,
) -> TimeAllowance {
    TimeAllowance::new(content.exam(), identity.time_factor, identity.extra_time)
}

fn wire_answer(answer: &Answer) -> RecordedAnswer {
    let value = answer.value.as_deref();
    RecordedAnswer {
        value: value
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default(),
        flagged: answer.flagged,
        rev: answer.rev,
    }
}
