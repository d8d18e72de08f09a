//! Exams as attempts use them: parsed, indexed, with the paper made once.
//!
//! A frozen version is loaded on demand and kept: there are few, and every
//! attempt shares one. The list of the newest exams is asked of the store at
//! most every [`LIST_FRESH`], so that ten thousand people who look at their
//! exams cost it nothing.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dashmap::DashMap;
use invigil_protocol::{
    candidate::PaperRef,
    paper::{QuestionOrder, SectionOrder},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{Error, hand_in::Keys};
use crate::{
    domain::{
        attempt::{Identity, Plan},
        exam::{Exam, Proctoring, definition},
        id::{ExamCode, ExamVersion},
        paper::{Order, Paper, order_for, seal},
        time::Timestamp,
    },
    store::{Catalog, StoredExam},
    telemetry::chain,
};

/// How old the list of exams may be: how long a new exam takes to show.
const LIST_FRESH: Duration = Duration::from_secs(2);

/// How often changed rules are looked for.
const RULES_INTERVAL: Duration = Duration::from_secs(2);

/// The largest order that goes into `welcome`, bytes of JSON: with the rest it
/// must stay under the 64 KiB of a frame. A larger one comes with the paper.
const ORDER_INLINE_MAX: usize = 20 * 1024;

/// One frozen exam and everything that is derived from it.
#[derive(Debug)]
pub struct Content {
    /// The exam, indexed.
    pub plan: Arc<Plan>,
    paper: Paper,
    sealed: Arc<str>,
    seal_key: [u8; 32],
    /// How many of its keys were corrected when it was read.
    corrections: usize,
}

/// A paper's body.
#[derive(Debug, Clone)]
pub struct PaperBody {
    /// JSON.
    pub json: Arc<str>,
    /// Whether it is encrypted, because the exam has not opened.
    pub sealed: bool,
}

impl Content {
    fn new(exam: Arc<Exam>, corrections: usize, keys: &Keys) -> Self {
        let paper = Paper::of(&exam);
        let secret = &keys.paper;
        Self {
            sealed: seal::sealed_document(&paper, secret, &exam.code).into(),
            seal_key: seal::seal_key(secret, &exam.code, paper.version()),
            plan: Arc::new(Plan::new(exam)),
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
    pub fn paper(&self, now: Timestamp) -> PaperBody {
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
    pub fn own_paper(&self, identity: &Identity, now: Timestamp) -> PaperBody {
        let PaperBody { json, sealed } = self.paper(now);
        let order = serde_json::to_string(&order_for(self.exam(), identity.seed))
            .expect("an order is plain JSON");
        // Both documents are objects with at least one member.
        let body = json.strip_suffix('}').unwrap_or(&json);
        PaperBody {
            json: format!(r#"{body},"order":{order}}}"#).into(),
            sealed,
        }
    }

    /// What `welcome` says of the paper.
    pub fn paper_ref(&self, identity: &Identity, now: Timestamp) -> PaperRef {
        let version = self.paper.version();
        let order = wire_order(order_for(self.exam(), identity.seed));
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

fn wire_order(order: Order) -> Vec<SectionOrder> {
    let sections = order.sections.into_iter();
    sections
        .map(|section| SectionOrder {
            section: section.section.to_string(),
            questions: section
                .questions
                .into_iter()
                .map(|question| QuestionOrder {
                    q: question.q.to_string(),
                    options: question.options.iter().map(ToString::to_string).collect(),
                })
                .collect(),
        })
        .collect()
}

/// How an exam's attempts are watched, for all of them at once: a rule that is
/// changed while they are taken holds from then on.
#[derive(Debug)]
pub(super) struct Rules(RwLock<Arc<Proctoring>>);

impl Rules {
    /// As they are now.
    pub(super) fn current(&self) -> Arc<Proctoring> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// True: they are others than before.
    fn replace(&self, proctoring: &Proctoring) -> bool {
        let changed = *self.current() != *proctoring;
        if changed {
            let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::new(proctoring.clone());
        }
        changed
    }
}

/// Exams by code.
type ExamList = Arc<[Arc<Exam>]>;

/// The contents that this node has seen.
pub(super) struct Contents {
    store: Arc<dyn Catalog>,
    keys: Arc<Keys>,
    versions: DashMap<ExamVersion, Arc<Content>>,
    rules: DashMap<ExamCode, Arc<Rules>>,
    list: Mutex<Option<(Instant, ExamList)>>,
}

impl Contents {
    /// Nothing seen yet.
    pub(super) fn new(store: Arc<dyn Catalog>, keys: Arc<Keys>) -> Self {
        Self {
            store,
            keys,
            versions: DashMap::new(),
            rules: DashMap::new(),
            list: Mutex::default(),
        }
    }

    /// A frozen version.
    ///
    /// # Errors
    /// [`Error::Content`] where the store does not have it or it is not valid.
    pub(super) async fn version(&self, version: &ExamVersion) -> Result<Arc<Content>, Error> {
        if let Some(content) = self.versions.get(version) {
            return Ok(Arc::clone(&*content));
        }
        let stored = self.store.exam_version(version).await?;
        let stored = stored.ok_or_else(|| Error::Content(version.to_string()))?;
        let exam = Arc::new(parse(&stored)?);
        // Two loads at once make the same content; either may stay.
        let content = Arc::new(Content::new(exam, stored.corrections.len(), &self.keys));
        self.versions.insert(version.clone(), Arc::clone(&content));
        Ok(content)
    }

    /// The rules of an exam, for an attempt that has `content`. Until the newest
    /// version was looked at, they are the content's.
    pub(super) fn rules(&self, content: &Content) -> Arc<Rules> {
        let rules = self.rules.entry(content.exam().code.clone());
        let own = || Arc::new(Rules(RwLock::new(Arc::clone(content.plan.proctoring()))));
        Arc::clone(&rules.or_insert_with(own))
    }

    /// Looks for changed rules of exams that are taken, until `stop`.
    pub(super) async fn follow_rules(
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
            // One that nobody holds is of no attempt in memory.
            self.rules.retain(|_, rules| Arc::strong_count(rules) > 1);
            if !self.rules.is_empty()
                && let Err(error) = self.renew_rules().await
            {
                tracing::debug!(error = chain(&error), "rules of exams stay as they are");
            }
        }
    }

    async fn renew_rules(&self) -> Result<(), Error> {
        for exam in &*self.exams().await? {
            let rules = self.rules.get(&exam.code).map(|rules| Arc::clone(&rules));
            if rules.is_some_and(|rules| rules.replace(&exam.proctoring)) {
                tracing::info!(exam = %exam.code, "other rules hold from now on");
            }
        }
        Ok(())
    }

    /// The newest version of every exam, by code.
    ///
    /// # Errors
    /// Where the store fails.
    pub(super) async fn exams(&self) -> Result<Arc<[Arc<Exam>]>, Error> {
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
        for stored in self.store.exams().await? {
            let known = self.versions.get(&stored.version);
            let known = known.filter(|known| known.corrections == stored.corrections.len());
            let exam = if let Some(content) = known {
                Arc::clone(content.exam())
            } else {
                let exam = Arc::new(parse(&stored)?);
                let content = Content::new(Arc::clone(&exam), stored.corrections.len(), &self.keys);
                self.versions.insert(stored.version, Arc::new(content));
                exam
            };
            exams.push(exam);
        }
        let list: Arc<[Arc<Exam>]> = exams.into();
        *self.list.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&list)));
        Ok(list)
    }

    /// Asks the store again at the next look at the list.
    pub(super) fn forget_list(&self) {
        *self.list.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The newest version of one exam.
    ///
    /// # Errors
    /// Where the store fails.
    pub(super) async fn exam(&self, code: &ExamCode) -> Result<Option<Arc<Exam>>, Error> {
        Ok(self
            .exams()
            .await?
            .iter()
            .find(|exam| exam.code == *code)
            .cloned())
    }
}

fn parse(stored: &StoredExam) -> Result<Exam, Error> {
    let version = &stored.version;
    definition::corrected(&stored.definition, &stored.corrections).map_err(|faults| {
        for fault in &faults {
            tracing::error!(exam.version = %version, %fault, "a stored exam is not valid");
        }
        Error::Content(version.to_string())
    })
}
