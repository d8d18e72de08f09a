//! A node's connection to the model of PostgreSQL: slow, and at times it fails, before
//! the commit, after it, or so that the commit comes later.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use invigil_domain::{
    id::{AttemptId, ExamCode, ExamVersion, NodeId, PersonId},
    time::Timestamp,
};
use invigil_store::{
    AcquireOutcome, AnswerRow, AttemptOwner, AttemptStore, AttemptSummary, AttemptWrite,
    CandidateScope, CatalogStore, CommandState, Error, GradeRow, LoginRow, NewAttempt,
    OverdueScope, PersonCredentials, ResultLine, RosterPerson, SignInOutcome, StartOutcome,
    StoredExam, TimelineRow, WriteOutcome,
};

use crate::{
    dice::Dice,
    mutation::Mutation,
    network::Network,
    node::Switch,
    shared::lock,
    world::{Tables, World},
};

/// A node's connection.
pub(crate) struct Store {
    world: Arc<World>,
    network: Arc<Network>,
    switch: Switch,
    dice: Mutex<Dice>,
}

/// Fate of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    FailsBefore,
    FailsAfter,
    /// The caller hears of a failure, and the server goes on with the call.
    FailsAndComesLate,
}

fn away() -> Error {
    Error::Unavailable {
        operation: "simulated",
        source: "the simulation says so".into(),
    }
}

impl Store {
    pub(crate) fn new(
        world: Arc<World>,
        network: Arc<Network>,
        switch: Switch,
        dice: Dice,
    ) -> Self {
        Self {
            world,
            network,
            switch,
            dice: Mutex::new(dice),
        }
    }

    fn fate(&self) -> Fate {
        if self.network.is_calm() {
            return Fate::Fine;
        }
        match lock(&self.dice).below(100) {
            0 => Fate::FailsBefore,
            1 => Fate::FailsAfter,
            2 => Fate::FailsAndComesLate,
            _ => Fate::Fine,
        }
    }

    /// Waits for the way to the store, as long as the node runs.
    async fn travel(&self) {
        let most_ms = self.network.store_slow_ms();
        let late = Duration::from_millis(lock(&self.dice).next() % (most_ms + 1));
        tokio::time::sleep(late).await;
        self.switch.is_on().await;
    }

    /// Makes one call: a step of the database, if the call gets there, and its response, if
    /// it comes back.
    async fn call<T: Send>(&self, step: impl FnOnce(&mut Tables) -> T + Send) -> Result<T, Error> {
        self.travel().await;
        let fate = self.fate();
        if self.network.is_store_away() || fate == Fate::FailsBefore {
            return Err(away());
        }
        let crashes = self.network.store_crashes();
        let done = self.world.step(step);
        self.travel().await;
        let crashed = self.network.store_crashes() != crashes;
        if crashed || self.network.is_store_away() || fate != Fate::Fine {
            return Err(away());
        }
        Ok(done)
    }

    /// Commits a batch later, without a caller that waits for it.
    fn save_late(&self, batch: &[AttemptWrite], most_ms: u64) {
        let (world, batch) = (Arc::clone(&self.world), batch.to_vec());
        let late = Duration::from_millis(lock(&self.dice).next() % most_ms);
        let (network, crashes) = (Arc::clone(&self.network), self.network.store_crashes());
        tokio::spawn(async move {
            tokio::time::sleep(late).await;
            // A crash of the server ends its pending commits.
            if network.store_crashes() == crashes {
                world.save(&batch, false);
            }
        });
    }
}

#[async_trait]
impl AttemptStore for Store {
    async fn start_attempt(&self, new: NewAttempt) -> Result<StartOutcome, Error> {
        self.call(|tables| tables.start(new)).await
    }

    async fn acquire_attempt(
        &self,
        attempt: AttemptId,
        node: &NodeId,
        living: &[NodeId],
        from: Option<u64>,
    ) -> Result<Option<AcquireOutcome>, Error> {
        let read = self
            .world
            .oracle(|_, tables| tables.attempts.get(&attempt).cloned());
        if self.world.is(Mutation::TakeReadsFirst) {
            self.travel().await;
        }
        let world = &self.world;
        let mut take = self
            .call(|tables| tables.take(attempt, node, living, from, world))
            .await?;
        if let (Some(AcquireOutcome::Acquired(taken)), Some(read), true) =
            (&mut take, read, world.is(Mutation::TakeReadsFirst))
        {
            taken.progress = read.progress;
            taken.control = read.control.state;
            taken.answers = read.answers.into_values().collect();
        }
        Ok(take)
    }

    async fn read_owners(&self, attempts: &[AttemptId]) -> Result<Vec<AttemptOwner>, Error> {
        self.call(|tables| tables.owners(attempts)).await
    }

    async fn save_batch(&self, batch: &[AttemptWrite]) -> Result<Vec<WriteOutcome>, Error> {
        self.travel().await;
        let fate = self.fate();
        if self.network.is_store_away() || fate == Fate::FailsBefore {
            return Err(away());
        }
        if self.world.is(Mutation::AckBeforeCommit) {
            self.save_late(batch, 600);
            return Ok(vec![WriteOutcome::Saved; batch.len()]);
        }
        if fate == Fate::FailsAndComesLate {
            self.save_late(batch, 3_000);
            return Err(away());
        }
        let dropped =
            self.world.is(Mutation::ProgressWithoutAnswers) && lock(&self.dice).below(20) == 0;
        let crashes = self.network.store_crashes();
        self.world
            .oracle(|oracle, tables| batch.iter().for_each(|write| oracle.comes(write, tables)));
        let written = self.world.save(batch, dropped);
        self.travel().await;
        let crashed = self.network.store_crashes() != crashes;
        if crashed || self.network.is_store_away() || fate == Fate::FailsAfter {
            return Err(away());
        }
        if self.world.is(Mutation::FencedCalledSaved) {
            return Ok(vec![WriteOutcome::Saved; batch.len()]);
        }
        Ok(written)
    }

    async fn find_overdue(
        &self,
        now: Timestamp,
        node: &NodeId,
        whose: OverdueScope<'_>,
        limit: u32,
    ) -> Result<Vec<(AttemptId, u64)>, Error> {
        self.call(|tables| tables.overdue(now, node, whose, limit))
            .await
    }

    async fn read_summary(&self, attempt: AttemptId) -> Result<Option<AttemptSummary>, Error> {
        self.call(|tables| tables.summary(attempt)).await
    }

    async fn list_attempts_of(&self, person: &PersonId) -> Result<Vec<AttemptSummary>, Error> {
        self.call(|tables| {
            let rows = tables.attempts.iter();
            let mine = rows.filter(|(_, row)| row.identity.candidate == *person);
            mine.filter_map(|(id, _)| tables.summary(*id)).collect()
        })
        .await
    }

    async fn list_results(&self, _exam: &ExamCode) -> Result<Vec<ResultLine>, Error> {
        self.call(|tables| {
            let ids = tables.attempts.keys();
            let lines = ids
                .filter_map(|id| tables.summary(*id))
                .map(|summary| ResultLine {
                    candidate_name: summary.identity.candidate.to_string(),
                    summary,
                });
            lines.collect()
        })
        .await
    }

    async fn read_graded_answers(
        &self,
        attempt: AttemptId,
    ) -> Result<Vec<(AnswerRow, Option<GradeRow>)>, Error> {
        self.call(|tables| {
            let rows = tables.attempts.get(&attempt).into_iter();
            let answers = rows.flat_map(|row| row.answers.values().cloned());
            answers.map(|answer| (answer, None)).collect()
        })
        .await
    }

    async fn read_receipt(&self, attempt: AttemptId) -> Result<Option<Arc<str>>, Error> {
        self.call(|tables| {
            Some(Arc::clone(
                &tables.attempts.get(&attempt)?.hand_in.as_ref()?.receipt,
            ))
        })
        .await
    }

    async fn read_timeline(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TimelineRow>, Error> {
        self.call(|tables| {
            let rows = tables.attempts.get(&attempt).into_iter();
            let entries = rows.flat_map(|row| row.timeline.range(after + 1..));
            entries
                .take(limit as usize)
                .map(|(_, entry)| entry.clone())
                .collect()
        })
        .await
    }

    async fn list_unrecorded(
        &self,
        _after: (AttemptId, u64),
        _before: Timestamp,
        _limit: u32,
    ) -> Result<Vec<(AttemptId, ExamCode, TimelineRow)>, Error> {
        // The store of timeline records is missing: history stays where it is.
        Ok(Vec::new())
    }

    async fn delete_recorded(&self, _entries: &[(AttemptId, u64)]) -> Result<(), Error> {
        Ok(())
    }

    async fn begin_command(
        &self,
        person: &PersonId,
        command: &str,
        body: &[u8; 32],
        exam: Option<(&ExamCode, &CandidateScope)>,
    ) -> Result<CommandState, Error> {
        self.call(|tables| tables.begin_command(person, command, body, exam))
            .await
    }

    async fn end_command(
        &self,
        person: &PersonId,
        command: &str,
        result: &str,
    ) -> Result<(), Error> {
        self.call(|tables| tables.end_command(person, command, result))
            .await
    }

    async fn mark_node_alive(
        &self,
        node: &NodeId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        self.call(|tables| tables.node_alive(node, now)).await
    }

    async fn mark_node_left(&self, node: &NodeId) -> Result<(), Error> {
        self.call(|tables| tables.node_left(node)).await
    }

    async fn record_outage(&self, from: Timestamp, until: Timestamp) -> Result<(), Error> {
        self.call(|tables| {
            if !tables.outages.contains(&(from, until)) {
                tables.outages.push((from, until));
                tables.outages.sort_unstable();
            }
        })
        .await
    }

    async fn list_outages(&self) -> Result<Vec<(Timestamp, Timestamp)>, Error> {
        self.call(|tables| tables.outages.clone()).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.call(|_| ()).await
    }
}

/// Exams and people never change here, and no person signs in.
#[async_trait]
impl CatalogStore for Store {
    async fn upsert_exams(&self, _exams: &[StoredExam]) -> Result<(), Error> {
        Ok(())
    }

    async fn list_exams(&self) -> Result<Vec<StoredExam>, Error> {
        self.call(|_| ()).await?;
        Ok(vec![self.world.exam.clone()])
    }

    async fn read_exam_version(&self, _version: &ExamVersion) -> Result<Option<StoredExam>, Error> {
        self.call(|_| ()).await?;
        Ok(Some(self.world.exam.clone()))
    }

    async fn upsert_people(&self, _people: &[(RosterPerson, [u8; 32])]) -> Result<(), Error> {
        Ok(())
    }

    async fn read_credentials(&self, _id: &PersonId) -> Result<Option<PersonCredentials>, Error> {
        Ok(None)
    }

    async fn record_sign_in(&self, _tried: &SignInOutcome<'_>) -> Result<(), Error> {
        Ok(())
    }

    async fn insert_login(&self, _login: &LoginRow) -> Result<(), Error> {
        Ok(())
    }

    async fn rotate_login_token(
        &self,
        _token: &[u8; 32],
        _fresh: &[u8; 32],
        _now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        Ok(None)
    }

    async fn verify_login(
        &self,
        _token: &[u8; 32],
        _now: Timestamp,
    ) -> Result<Option<RosterPerson>, Error> {
        Ok(None)
    }

    async fn end_login(&self, _token: &[u8; 32]) -> Result<(), Error> {
        Ok(())
    }

    async fn ensure_secret(&self, _name: &str, _fresh: &[u8; 32]) -> Result<[u8; 32], Error> {
        // The secret is the same in every run, so that receipts are.
        Ok([7; 32])
    }
}
