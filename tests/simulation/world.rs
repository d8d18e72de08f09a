//! A model of PostgreSQL: every call is one step that happens whole or not at all. Beside
//! it stands the oracle, which trusts none of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use invigil_domain::{
    attempt::AttemptIdentity,
    id::{AttemptId, ExamCode, NodeId, PersonId, QuestionId},
    time::Timestamp,
};
use invigil_store::{
    AcquireOutcome, Acquired, AnswerRow, AttemptOwner, AttemptSummary, AttemptWrite,
    CandidateScope, CommandState, ControlRow, HandInRow, NewAttempt, OverdueScope, ProgressRow,
    StartOutcome, StoredExam, TimelineRow, WriteOutcome,
};
use tokio::time::Instant;

use crate::{mutation::Mutation, oracle::Oracle, shared::lock, variant::Variant};

/// The instant at which every simulation begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_ms(1_795_420_800_000);

/// Equal to those of the PostgreSQL adapter.
const LOST_AFTER: Duration = Duration::from_secs(2);
const DEAD_AFTER: Duration = Duration::from_secs(5);
const CUT_OFF_AFTER: Duration = Duration::from_mins(1);

/// Age under which a database with a mutation forgets commits in a crash.
const FORGOTTEN: Duration = Duration::from_millis(400);

/// An attempt as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) identity: AttemptIdentity,
    pub(crate) control: ControlRow,
    pub(crate) progress: ProgressRow,
    pub(crate) answers: BTreeMap<QuestionId, AnswerRow>,
    pub(crate) timeline: BTreeMap<u64, TimelineRow>,
    pub(crate) hand_in: Option<HandInRow>,
    pub(crate) owner: Option<NodeId>,
    pub(crate) epoch: u64,
    lost_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Command {
    body: [u8; 32],
    targets: Vec<AttemptId>,
    result: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct NodeRow {
    /// By the node's clock.
    alive_at: Timestamp,
    /// By the database's.
    heard_at: Instant,
    left: bool,
}

impl Row {
    /// Returns true if nothing is to come: the attempt is handed in, or was never entered
    /// and its clock has not begun.
    pub(crate) const fn is_over(&self) -> bool {
        self.hand_in.is_some() || self.control.entered_at.is_none()
    }
}

/// All tables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    pub(crate) attempts: BTreeMap<AttemptId, Row>,
    commands: BTreeMap<(PersonId, String), Command>,
    nodes: BTreeMap<NodeId, NodeRow>,
    pub(crate) outages: Vec<(Timestamp, Timestamp)>,
}

/// The database, and the oracle that watches it.
pub(crate) struct World {
    pub(crate) exam: StoredExam,
    pub(crate) variant: Variant,
    pub(crate) mutation: Option<Mutation>,
    started: Instant,
    state: Mutex<State>,
}

struct State {
    tables: Tables,
    oracle: Oracle,
    /// States that a mutated database may fall back to.
    past: Vec<(Instant, Tables)>,
}

impl World {
    pub(crate) fn new(variant: Variant, mutation: Option<Mutation>) -> Self {
        Self {
            exam: variant.exam(),
            variant,
            mutation,
            started: Instant::now(),
            state: Mutex::new(State {
                tables: Tables::default(),
                oracle: Oracle::new(variant),
                past: Vec::new(),
            }),
        }
    }

    /// Returns the time of an exact clock.
    pub(crate) fn now(&self) -> Timestamp {
        BEGIN + self.started.elapsed()
    }

    pub(crate) fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Does one step of the database.
    pub(crate) fn step<T>(&self, step: impl FnOnce(&mut Tables) -> T) -> T {
        let mut state = self.lock();
        if self.is(Mutation::CommitLost) {
            let now = Instant::now();
            let before = state.tables.clone();
            state.past.push((now, before));
            state
                .past
                .retain(|(at, _)| now.duration_since(*at) < FORGOTTEN);
        }
        step(&mut state.tables)
    }

    /// The database crashes and recovers.
    pub(crate) fn crash(&self) {
        let mut state = self.lock();
        let oldest = std::mem::take(&mut state.past).into_iter().next();
        if let Some((_, tables)) = oldest {
            state.tables = tables;
        }
    }

    /// Calls the oracle, which sees the tables.
    pub(crate) fn oracle<T>(&self, look: impl FnOnce(&mut Oracle, &Tables) -> T) -> T {
        let State { tables, oracle, .. } = &mut *self.lock();
        look(oracle, tables)
    }

    /// Saves a batch.
    pub(crate) fn save(&self, batch: &[AttemptWrite], dropped: bool) -> Vec<WriteOutcome> {
        let mut written = Vec::with_capacity(batch.len());
        let now = self.now();
        self.step(|tables| {
            for write in batch {
                written.push(tables.save(write, self, dropped));
            }
        });
        let pairs = batch.iter().zip(&written);
        for (write, _) in pairs.filter(|(_, written)| **written == WriteOutcome::Saved) {
            self.oracle(|oracle, tables| oracle.committed(write, tables, now));
        }
        written
    }
}

impl Tables {
    pub(crate) fn start(&mut self, new: NewAttempt) -> StartOutcome {
        let mine = |row: &&Row| row.identity.candidate == new.identity.candidate;
        let known: Vec<&Row> = self.attempts.values().filter(mine).collect();
        if let Some(open) = known.iter().find(|row| row.control.closed_at.is_none()) {
            return StartOutcome::Open(open.identity.clone());
        }
        if known.len() >= usize::from(new.max_attempts) {
            return StartOutcome::NoneLeft;
        }
        let id = AttemptId(i64::try_from(self.attempts.len()).unwrap() + 1);
        let identity = AttemptIdentity {
            id,
            number: 1,
            ..new.identity
        };
        let row = Row {
            identity: identity.clone(),
            control: new.control,
            progress: ProgressRow::default(),
            answers: BTreeMap::new(),
            timeline: BTreeMap::new(),
            hand_in: None,
            owner: None,
            epoch: 0,
            lost_at: None,
        };
        self.attempts.insert(id, row);
        StartOutcome::Created(identity)
    }

    pub(crate) fn take(
        &mut self,
        attempt: AttemptId,
        node: &NodeId,
        living: &[NodeId],
        from: Option<u64>,
        world: &World,
    ) -> Option<AcquireOutcome> {
        let row = self.attempts.get_mut(&attempt)?;
        let holder = row.owner.clone().filter(|owner| owner != node);
        let lives = holder.as_ref().is_some_and(|owner| living.contains(owner));
        if let Some(node) = holder.clone().filter(|_| lives && from != Some(row.epoch)) {
            let epoch = row.epoch;
            return Some(AcquireOutcome::Held { node, epoch });
        }
        row.owner = Some(node.clone());
        let lost = holder.filter(|_| !lives);
        let lost = lost.and_then(|owner| self.nodes.get(&owner));
        let lost = lost.filter(|lost| !lost.left && lost.heard_at.elapsed() > LOST_AFTER);
        row.lost_at = row.lost_at.or_else(|| lost.map(|lost| lost.alive_at));
        if !world.is(Mutation::EpochNotRaised) || row.epoch == 0 {
            row.epoch += 1;
        }
        let mut taken = Acquired {
            epoch: row.epoch,
            identity: row.identity.clone(),
            candidate_name: row.identity.candidate.to_string(),
            control: Arc::clone(&row.control.state),
            progress: row.progress.clone(),
            answers: row.answers.values().cloned().collect(),
            lost_at: row.lost_at,
        };
        if world.is(Mutation::TakeForgetsAnAnswer) {
            taken.answers.pop();
        }
        if world.is(Mutation::TakeClaimsMore) && taken.progress.session.is_some() {
            taken.progress.last_seq += 1;
        }
        Some(AcquireOutcome::Acquired(Box::new(taken)))
    }

    pub(crate) fn owners(&self, attempts: &[AttemptId]) -> Vec<AttemptOwner> {
        let rows = attempts.iter().filter_map(|id| self.attempts.get(id));
        rows.map(|row| AttemptOwner {
            attempt: row.identity.id,
            node: row.owner.clone(),
            epoch: row.epoch,
        })
        .collect()
    }

    fn save(&mut self, write: &AttemptWrite, world: &World, dropped: bool) -> WriteOutcome {
        let Some(row) = self.attempts.get_mut(&write.attempt) else {
            return WriteOutcome::Fenced;
        };
        if row.epoch != write.epoch && !world.is(Mutation::FenceRemoved) {
            return WriteOutcome::Fenced;
        }
        let unguarded = world.is(Mutation::OlderOverwrites);
        if row.progress.version <= write.progress.version || unguarded {
            row.progress = write.progress.clone();
            row.lost_at = None;
            if let Some(control) = &write.control {
                row.control = (**control).clone();
                if world.is(Mutation::CommandForgotten) {
                    row.control.state = without_commands(&control.state);
                }
            }
            if let Some(hand_in) = &write.hand_in {
                row.hand_in = Some((**hand_in).clone());
            }
        }
        for answer in write.answers.iter().filter(|_| !dropped) {
            let known = row.answers.get(&answer.question);
            if unguarded || known.is_none_or(|known| known.version < answer.version) {
                row.answers.insert(answer.question.clone(), answer.clone());
            }
        }
        for entry in &write.timeline {
            row.timeline
                .entry(entry.number)
                .or_insert_with(|| entry.clone());
        }
        WriteOutcome::Saved
    }

    pub(crate) fn overdue(
        &self,
        now: Timestamp,
        node: &NodeId,
        whose: OverdueScope<'_>,
        limit: u32,
    ) -> Vec<(AttemptId, u64)> {
        let is_heard = |owner: &NodeId, lately: Duration| {
            let row = self.nodes.get(owner);
            row.is_some_and(|row| !row.left && row.heard_at.elapsed() < lately)
        };
        let is_mine = |owner: &NodeId| match whose {
            _ if owner == node => true,
            OverdueScope::Own => false,
            OverdueScope::OwnAndLost(living) if living.contains(owner) => {
                !is_heard(owner, CUT_OFF_AFTER)
            }
            OverdueScope::OwnAndLost(_) => !is_heard(owner, DEAD_AFTER),
        };
        let rows = self.attempts.values();
        let rows = rows.filter(|row| row.owner.as_ref().is_none_or(is_mine));
        let due = rows.filter_map(|row| Some((row.control.close_at?, row.identity.id, row.epoch)));
        let mut due: Vec<_> = due.filter(|(at, ..)| *at <= now).collect();
        due.sort_unstable();
        due.truncate(limit as usize);
        due.into_iter().map(|(_, id, epoch)| (id, epoch)).collect()
    }

    pub(crate) fn begin_command(
        &mut self,
        person: &PersonId,
        command: &str,
        body: &[u8; 32],
        exam: Option<(&ExamCode, &CandidateScope)>,
    ) -> CommandState {
        let open = |row: &&Row| row.control.closed_at.is_none();
        let targets = self.attempts.values().filter(open);
        let targets = targets.map(|row| row.identity.id);
        let fresh = || Command {
            body: *body,
            targets: exam.map(|_| targets.collect()).unwrap_or_default(),
            result: None,
        };
        let key = (person.clone(), command.to_owned());
        let known = self.commands.entry(key).or_insert_with(fresh);
        match &known.result {
            _ if known.body != *body => CommandState::Conflict,
            Some(result) => CommandState::Done(result.as_str().into()),
            None => CommandState::Begun(known.targets.clone()),
        }
    }

    /// Returns the attempts that a command on the whole exam is for.
    pub(crate) fn targets(&self, person: &PersonId, command: &str) -> Vec<AttemptId> {
        let key = (person.clone(), command.to_owned());
        let known = self.commands.get(&key);
        known.map_or_else(Vec::new, |known| known.targets.clone())
    }

    pub(crate) fn end_command(&mut self, person: &PersonId, command: &str, result: &str) {
        let key = (person.clone(), command.to_owned());
        if let Some(known) = self.commands.get_mut(&key) {
            known.result.get_or_insert_with(|| result.to_owned());
        }
    }

    pub(crate) fn node_alive(&mut self, node: &NodeId, now: Timestamp) -> Option<Timestamp> {
        let last = self.nodes.values().map(|row| row.alive_at).max();
        let known = self.nodes.get(node).map(|row| row.alive_at);
        let row = NodeRow {
            alive_at: known.map_or(now, |known| known.max(now)),
            heard_at: Instant::now(),
            left: false,
        };
        self.nodes.insert(node.clone(), row);
        last
    }

    pub(crate) fn node_left(&mut self, node: &NodeId) {
        if let Some(row) = self.nodes.get_mut(node) {
            row.left = true;
        }
    }

    pub(crate) fn summary(&self, attempt: AttemptId) -> Option<AttemptSummary> {
        let row = self.attempts.get(&attempt)?;
        let hand_in = row.hand_in.as_ref();
        let answered = row.answers.values().filter(|row| row.value.is_some());
        Some(AttemptSummary {
            identity: row.identity.clone(),
            control: row.control.clone(),
            progress: row.progress.clone(),
            answered: u32::try_from(answered.count()).unwrap(),
            submitted_at: hand_in.map(|hand_in| hand_in.submitted_at),
            late: hand_in.is_some_and(|hand_in| hand_in.late),
            totals: hand_in.map(|hand_in| hand_in.totals.clone()),
            released: false,
        })
    }
}

/// Returns a control state without the list of commands that were done.
fn without_commands(state: &str) -> Arc<str> {
    let mut state: serde_json::Value = serde_json::from_str(state).unwrap();
    state["commands"] = serde_json::json!([]);
    state.to_string().into()
}
