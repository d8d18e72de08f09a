//! Exams as attempts use them: parsed, indexed, with the paper built once.
//!
//! A frozen version is loaded on demand and kept: there are few, and every attempt shares
//! one. The list of the newest exams is read at most every [`LIST_FRESH`], so that ten
//! thousand people who look at their exams cost the store nothing.

pub(crate) mod hand_in;

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dashmap::DashMap;
use invigil_protocol::{
    candidate::PaperRef,
    paper::{PaperQuestionOrder, PaperSectionOrder},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::{Error, node::keys::InstallationKeys};
use invigil_domain::{
    attempt::{AttemptIdentity, IndexedExam},
    exam::{Exam, ProctoringPolicy, definition},
    id::{ExamCode, ExamVersion},
    paper::{Paper, PaperOrder, draw_order, seal},
    time::Timestamp,
};
use invigil_store::{CatalogStore, StoredExam};
use invigil_telemetry::error_chain;

/// Longest age of the list of exams: a new exam shows up after at most this time.
const LIST_FRESH: Duration = Duration::from_secs(2);

/// Interval between checks for changed rules.
const RULES_INTERVAL: Duration = Duration::from_secs(2);

/// The largest order that goes into `welcome`, bytes of JSON: with the rest it
/// must stay under the 64 KiB of a frame. A larger one comes with the paper.
const ORDER_INLINE_MAX: usize = 20 * 1024;

/// A frozen exam and everything that is derived from it.
#[derive(Debug)]
pub struct ExamContent {
    /// The exam, indexed.
    pub plan: Arc<IndexedExam>,
    paper: Paper,
    sealed: Arc<str>,
    seal_key: [u8; 32],
    /// Number of the exam's answer keys that were corrected when it was read.
    corrections: usize,
}

/// Body of a paper.
#[derive(Debug, Clone)]
pub struct PaperBody {
    /// JSON.
    pub json: Arc<str>,
    /// True if encrypted, because the exam has not opened.
    pub sealed: bool,
}

impl ExamContent {
    pub(super) fn new(exam: Arc<Exam>, corrections: usize, keys: &InstallationKeys) -> Self {
        let paper = Paper::from_exam(&exam);
        let secret = &keys.paper;
        Self {
            sealed: seal::sealed_document(&paper, secret, &exam.code).into(),
            seal_key: seal::seal_key(secret, &exam.code, paper.version()),
            plan: Arc::new(IndexedExam::new(exam)),
            paper,
            corrections,
        }
    }

    /// The exam.
    pub fn exam(&self) -> &Arc<Exam> {
        self.plan.exam()
    }

    /// `sha256:` and the hash of the public sections.
    pub fn paper_version(&self) -> &str {
        self.paper.version()
    }

    /// The key that opens the sealed paper. It leaves the engine at the opening.
    pub fn seal_key_base64(&self) -> String {
        STANDARD.encode(self.seal_key)
    }

    /// The paper as it may be seen at `now`.
    pub fn paper_at(&self, now: Timestamp) -> PaperBody {
        let sealed = self.is_sealed(now);
        let json = if sealed {
            &self.sealed
        } else {
            self.paper.document()
        };
        PaperBody {
            json: Arc::clone(json),
            sealed,
        }
    }

    /// The paper with a candidate's own order in it.
    pub fn own_paper(&self, identity: &AttemptIdentity, now: Timestamp) -> PaperBody {
        let PaperBody { json, sealed } = self.paper_at(now);
        let order = serde_json::to_string(&draw_order(self.exam(), identity.seed))
            .expect("an order is plain JSON");
        // Both documents are objects with at least one member.
        let body = json.strip_suffix('}').unwrap_or(&json);
        PaperBody {
            json: format!(r#"{body},"order":{order}}}"#).into(),
            sealed,
        }
    }

    /// Reference to the paper, for `welcome`.
    pub fn paper_ref(&self, identity: &AttemptIdentity, now: Timestamp) -> PaperRef {
        let version = self.paper.version();
        let order = wire_order(draw_order(self.exam(), identity.seed));
        let size = serde_json::to_string(&order).map_or(usize::MAX, |json| json.len());
        let inline = size <= ORDER_INLINE_MAX;
        PaperRef {
            version: version.to_owned(),
            url: if inline {
                format!("/api/v1/papers/{}", version.replace(':', "-"))
            } else {
                format!("/api/v1/attempts/{}/paper", identity.id)
            },
            sealed: self.is_sealed(now),
            order: inline.then_some(order),
        }
    }

    fn is_sealed(&self, now: Timestamp) -> bool {
        self.exam().available_from.is_some_and(|opens| now < opens)
    }
}

fn wire_order(order: PaperOrder) -> Vec<PaperSectionOrder> {
    let sections = order.sections.into_iter();
    sections
        .map(|section| PaperSectionOrder {
            section: section.section.to_string(),
            questions: section
                .questions
                .into_iter()
                .map(|question| PaperQuestionOrder {
                    q: question.q.to_string(),
                    options: question.options.iter().map(ToString::to_string).collect(),
                })
                .collect(),
        })
        .collect()
}

/// Proctoring rules of an exam, shared by all its attempts: a rule that is changed during
/// the exam applies from then on.
#[derive(Debug)]
pub(super) struct LiveRules(RwLock<Arc<ProctoringPolicy>>);

impl LiveRules {
    /// The present rules.
    pub(super) fn current_rules(&self) -> Arc<ProctoringPolicy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the rules. Returns true if they changed.
    fn replace_if_changed(&self, proctoring: &ProctoringPolicy) -> bool {
        let changed = *self.current_rules() != *proctoring;
        if changed {
            let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::new(proctoring.clone());
        }
        changed
    }
}

/// Exams by code.
type ExamList = Arc<[Arc<Exam>]>;

/// Exam contents that this node has loaded.
pub(super) struct ContentCache {
    store: Arc<dyn CatalogStore>,
    keys: Arc<InstallationKeys>,
    versions: DashMap<ExamVersion, Arc<ExamContent>>,
    rules: DashMap<ExamCode, Arc<LiveRules>>,
    list: Mutex<Option<(Instant, ExamList)>>,
}

impl ContentCache {
    /// An empty cache.
    pub(super) fn new(store: Arc<dyn CatalogStore>, keys: Arc<InstallationKeys>) -> Self {
        Self {
            store,
            keys,
            versions: DashMap::new(),
            rules: DashMap::new(),
            list: Mutex::default(),
        }
    }

    /// A frozen exam version, loaded if needed.
    ///
    /// # Errors
    /// [`Error::Content`] if the store does not have it or it is not valid.
    pub(super) async fn load_version(
        &self,
        version: &ExamVersion,
    ) -> Result<Arc<ExamContent>, Error> {
        if let Some(content) = self.versions.get(version) {
            return Ok(Arc::clone(&*content));
        }
        let stored = self.store.read_exam_version(version).await?;
        let stored = stored.ok_or_else(|| Error::Content(version.to_string()))?;
        let exam = Arc::new(parse_exam(&stored)?);
        // Two loads at once make the same content; either may stay.
        let content = Arc::new(ExamContent::new(exam, stored.corrections.len(), &self.keys));
        self.versions.insert(version.clone(), Arc::clone(&content));
        Ok(content)
    }

    /// The rules of the exam of `content`. Until the newest version is read, they are the
    /// content's.
    pub(super) fn rules_for(&self, content: &ExamContent) -> Arc<LiveRules> {
        let rules = self.rules.entry(content.exam().code.clone());
        let own = || {
            Arc::new(LiveRules(RwLock::new(Arc::clone(
                content.plan.proctoring(),
            ))))
        };
        Arc::clone(&rules.or_insert_with(own))
    }

    /// Refreshes the rules of exams in use, until `stop`.
    pub(super) async fn watch_rules(
        &self,
        mut changes: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        let mut interval = tokio::time::interval(RULES_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = changes.changed() => self.forget_list(),
                _ = interval.tick() => {}
            }
            // Rules without another holder belong to no attempt in memory.
            self.rules.retain(|_, rules| Arc::strong_count(rules) > 1);
            if !self.rules.is_empty()
                && let Err(error) = self.renew_rules().await
            {
                tracing::debug!(
                    error = error_chain(&error),
                    "cannot refresh the rules of exams"
                );
            }
        }
    }

    async fn renew_rules(&self) -> Result<(), Error> {
        for exam in &*self.newest_exams().await? {
            let rules = self.rules.get(&exam.code).map(|rules| Arc::clone(&rules));
            if rules.is_some_and(|rules| rules.replace_if_changed(&exam.proctoring)) {
                tracing::info!(exam = %exam.code, "other rules hold from now on");
            }
        }
        Ok(())
    }

    /// The newest version of every exam, by code.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) async fn newest_exams(&self) -> Result<Arc<[Arc<Exam>]>, Error> {
        let now = Instant::now();
        let known = self
            .list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((at, list)) = known
            && now.duration_since(at) < LIST_FRESH
        {
            return Ok(list);
        }
        let mut exams = Vec::new();
        for stored in self.store.list_exams().await? {
            let known = self.versions.get(&stored.version);
            let known = known.filter(|known| known.corrections == stored.corrections.len());
            let exam = if let Some(content) = known {
                Arc::clone(content.exam())
            } else {
                let exam = Arc::new(parse_exam(&stored)?);
                let content =
                    ExamContent::new(Arc::clone(&exam), stored.corrections.len(), &self.keys);
                self.versions.insert(stored.version, Arc::new(content));
                exam
            };
            exams.push(exam);
        }
        let list: Arc<[Arc<Exam>]> = exams.into();
        *self.list.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&list)));
        Ok(list)
    }

    /// Makes the next read of the list ask the store.
    pub(super) fn forget_list(&self) {
        *self.list.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The newest version of one exam.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) async fn newest_exam(&self, code: &ExamCode) -> Result<Option<Arc<Exam>>, Error> {
        Ok(self
            .newest_exams()
            .await?
            .iter()
            .find(|exam| exam.code == *code)
            .cloned())
    }
}

fn parse_exam(stored: &StoredExam) -> Result<Exam, Error> {
    let version = &stored.version;
    definition::with_corrected_keys(&stored.definition, &stored.corrections).map_err(|faults| {
        for fault in &faults {
            tracing::error!(exam.version = %version, %fault, "a stored exam is not valid");
        }
        Error::Content(version.to_string())
    })
}
