//! Evidence: pictures, sounds and films that a proctoring client uploads about an attempt.
//!
//! A client announces a file, uploads it by a link that ends soon, and staff read it by another.
//! Where files are kept in S3 both links are S3's own, and no file passes through the engine;
//! where they are kept in a folder the engine signs the links and does both by itself.

mod place;

use std::{
    cmp::Ordering, collections::BTreeMap, num::NonZeroU32, ops::Range, sync::Arc, time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use object_store::path::Path as Key;
use serde::{Deserialize, Serialize};

pub use self::place::{Credentials, Place, S3};
use self::place::{Opened, Presence};
use crate::{
    domain::{
        evidence::{Kind, MediaType},
        id::{AttemptId, EvidenceId, ExamCode, SessionId},
        time::Timestamp,
    },
    media::Found,
    secrets::signed::Signer,
    store::{self, Allowed, Announced, EvidenceRow, EvidenceStore},
};

/// Where the engine itself takes and gives files, by a link.
pub const LINKS: &str = "/api/v1/evidence/";

/// So long after its end an attempt still gets evidence: what the client had not sent before.
const AFTER_THE_END: Duration = Duration::from_mins(10);

/// In which files are counted.
const HOUR: Duration = Duration::from_hours(1);

/// What was not uploaded by then never will be.
const UNSTORED_KEPT: Duration = Duration::from_hours(24);

/// Files of one round of [`EvidenceFiles::sweep`], and how many of them are removed at once.
const SWEPT: u32 = 500;
const SWEPT_AT_ONCE: usize = 8;

/// Why there is no file, or no link to one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Evidence of this kind is of other types, or the content is not what was announced.
    #[error("no evidence of this kind has this type")]
    Type,
    /// Larger than allowed, or than announced.
    #[error("the file is too large")]
    TooLarge,
    /// Smaller than announced, or nothing at all.
    #[error("the file is not whole")]
    NotWhole,
    /// Too many files an hour; when to try again.
    #[error("the attempt has too many files")]
    TooMany(Duration),
    /// The attempt ended too long ago.
    #[error("the attempt is over")]
    Over,
    /// There is nothing of this id in this attempt.
    #[error("there is no such evidence")]
    NotFound,
    /// Announced and not uploaded.
    #[error("the file is not uploaded yet")]
    NotStored,
    /// Uploaded before: evidence does not change.
    #[error("the file is there already")]
    Stored,
    /// A link that has ended, or was not made here.
    #[error("the link is not valid, or no longer")]
    Link,
    /// The client did not send it all.
    #[error("receive the file")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The place of the files.
    #[error("the place of evidence")]
    Place(#[from] object_store::Error),
    /// What is known of them.
    #[error("what is known of evidence")]
    Records(#[from] store::Error),
    /// Ids are random.
    #[error("draw random bytes")]
    Random(#[from] getrandom::Error),
}

/// What is allowed, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The most bytes of one file.
    pub file_bytes: u64,
    /// The most files of an attempt in an hour.
    pub files_per_hour: NonZeroU32,
    /// How long a link is good.
    pub link: Duration,
    /// How long files are kept.
    pub keep: Duration,
}

/// An attempt that a file is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The attempt.
    pub attempt: AttemptId,
    /// Its exam.
    pub exam: &'a ExamCode,
    /// When it ended, where it has.
    pub closed_at: Option<Timestamp>,
}

/// A file that a client wants to upload.
#[derive(Debug, Clone)]
pub struct Offer {
    /// What it shows.
    pub kind: Kind,
    /// Its media type.
    pub content_type: String,
    /// Its size.
    pub bytes: u64,
    /// The session in which it was made.
    pub session: Option<SessionId>,
    /// The event of that session which it belongs to.
    pub event: Option<u64>,
}

/// A request that whoever has it may send, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its address; without a host where that is the engine's own.
    pub url: String,
    /// Headers that it must have.
    pub headers: BTreeMap<&'static str, String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a link of the engine's own lets one do.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Verb {
    #[serde(rename = "put")]
    Put,
    #[serde(rename = "get")]
    Get,
}

/// What a link of the engine's own says.
#[derive(Serialize, Deserialize)]
struct Grant {
    #[serde(rename = "v")]
    verb: Verb,
    #[serde(rename = "a")]
    attempt: AttemptId,
    #[serde(rename = "i")]
    id: EvidenceId,
    #[serde(rename = "e")]
    expires_at: Timestamp,
}

/// The files of evidence, and what is known of them.
pub struct EvidenceFiles {
    place: Opened,
    records: Arc<dyn EvidenceStore>,
    links: Signer,
    rules: Rules,
}

impl EvidenceFiles {
    /// Files at a place. A folder is made where it is missing, for this user alone; several nodes
    /// need the same one, and the same `secret`.
    ///
    /// # Errors
    /// Where there can be no such folder, or S3 cannot be used as it is set.
    pub fn open(
        place: &Place,
        rules: Rules,
        records: Arc<dyn EvidenceStore>,
        secret: &[u8; 32],
    ) -> Result<Self, Error> {
        Ok(Self {
            place: Opened::open(place)?,
            records,
            links: Signer::new(secret),
            rules,
        })
    }

    /// Takes a file's announcement, and tells how to upload it.
    ///
    /// # Errors
    /// [`Error::Over`], [`Error::Type`], [`Error::TooLarge`], [`Error::NotWhole`],
    /// [`Error::TooMany`].
    pub async fn announce(
        &self,
        about: About<'_>,
        offer: Offer,
        now: Timestamp,
    ) -> Result<(EvidenceId, Link), Error> {
        if about
            .closed_at
            .is_some_and(|at| now.since(at) > AFTER_THE_END)
        {
            return Err(Error::Over);
        }
        let media_type = MediaType::of(offer.kind, &offer.content_type).ok_or(Error::Type)?;
        match offer.bytes {
            0 => return Err(Error::NotWhole),
            bytes if bytes > self.rules.file_bytes => return Err(Error::TooLarge),
            _ => {}
        }
        let id = new_id()?;
        let (exam, attempt) = (about.exam, about.attempt);
        let row = EvidenceRow {
            attempt,
            file: format!("{exam}/{attempt}/{id}.{}", media_type.ending),
            id,
            kind: offer.kind,
            content_type: media_type.name.to_owned(),
            bytes: offer.bytes,
            session: offer.session,
            event: offer.event,
            at: now,
            stored_at: None,
        };
        let allowed = Allowed {
            files: self.rules.files_per_hour.get(),
            since: now - HOUR,
        };
        if let Announced::TooMany(oldest) = self.records.put(&row, allowed).await? {
            return Err(Error::TooMany((oldest + HOUR).since(now)));
        }
        let link = match &self.place {
            Opened::Folder(_) => self.own_link(Verb::Put, &row, now),
            Opened::S3(bucket) => {
                let (url, headers) = bucket.upload(&row, self.rules.link).await?;
                self.link(url, headers, now)
            }
        };
        Ok((row.id, link))
    }

    /// Takes a file by a link of the engine's own. What is not as it was announced leaves nothing.
    ///
    /// # Errors
    /// [`Error::Link`], [`Error::Stored`], [`Error::TooLarge`], [`Error::NotWhole`],
    /// [`Error::Type`], [`Error::Broken`].
    pub async fn receive<S, E>(
        &self,
        link: &str,
        length: Option<u64>,
        content: S,
        now: Timestamp,
    ) -> Result<(), Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let row = self.granted(link, Verb::Put, now).await?;
        let Opened::Folder(folder) = &self.place else {
            return Err(Error::Link);
        };
        if row.stored_at.is_some() {
            return Err(Error::Stored);
        }
        if length.is_some_and(|length| length > row.bytes) {
            return Err(Error::TooLarge);
        }
        let content = content.map(|part| part.map_err(|error| Error::Broken(error.into())));
        folder.write(&row, content).await?;
        self.note(&row, now).await
    }

    /// Notes that a file was uploaded to S3, after a look whether it was. One that is not as it was
    /// announced is removed. A repeat changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotStored`], [`Error::TooLarge`], [`Error::NotWhole`],
    /// [`Error::Type`].
    pub async fn confirm(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
        now: Timestamp,
    ) -> Result<(), Error> {
        let row = self.row(attempt, id).await?;
        if row.stored_at.is_some() {
            return Ok(());
        }
        let Opened::S3(bucket) = &self.place else {
            return Err(Error::NotStored);
        };
        let Presence {
            bytes,
            content_type,
        } = bucket.look(&row).await?.ok_or(Error::NotStored)?;
        let fault = match bytes.cmp(&row.bytes) {
            Ordering::Greater => Error::TooLarge,
            Ordering::Less => Error::NotWhole,
            Ordering::Equal if content_type != row.content_type => Error::Type,
            Ordering::Equal => return self.note(&row, now).await,
        };
        self.place.remove(&Key::from(row.file.as_str())).await?;
        Err(fault)
    }

    /// The evidence of an attempt, oldest first.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn list(&self, attempt: AttemptId) -> Result<Vec<EvidenceRow>, Error> {
        Ok(self.records.list(attempt).await?)
    }

    /// A link to read a file.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotStored`].
    pub async fn read_link(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
        now: Timestamp,
    ) -> Result<Link, Error> {
        let row = self.row(attempt, id).await?;
        if row.stored_at.is_none() {
            return Err(Error::NotStored);
        }
        match &self.place {
            Opened::Folder(_) => Ok(self.own_link(Verb::Get, &row, now)),
            Opened::S3(bucket) => {
                let url = bucket.download(&row, self.rules.link).await?;
                Ok(self.link(url, BTreeMap::new(), now))
            }
        }
    }

    /// What a link of the engine's own lets one read.
    ///
    /// # Errors
    /// [`Error::Link`].
    pub async fn linked(&self, link: &str, now: Timestamp) -> Result<EvidenceRow, Error> {
        self.granted(link, Verb::Get, now).await
    }

    /// The content of a file in the folder, or a part of it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn read(&self, row: &EvidenceRow, part: Option<Range<u64>>) -> Result<Found, Error> {
        let Opened::Folder(folder) = &self.place else {
            return Err(Error::Link);
        };
        folder.read(row, part).await?.ok_or(Error::NotFound)
    }

    /// Removes what is over its time, and what was announced a day ago and never came. Tells how
    /// many there were.
    ///
    /// # Errors
    /// The first of all, after whatever can be removed of this round is.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, Error> {
        let (before, unstored) = (now - self.rules.keep, now - UNSTORED_KEPT);
        let mut swept = 0;
        loop {
            let rows = self.records.expired(before, unstored, SWEPT).await?;
            if rows.is_empty() {
                return Ok(swept);
            }
            // A row goes after its file: whatever stops this, none is forgotten.
            let removals = stream::iter(&rows).map(async |row| {
                let removed = self.place.remove(&Key::from(row.file.as_str())).await;
                removed.map(|()| row.id.clone())
            });
            let removed: Vec<_> = removals.buffer_unordered(SWEPT_AT_ONCE).collect().await;
            let mut fault = None;
            let mut gone = Vec::with_capacity(removed.len());
            for outcome in removed {
                match outcome {
                    Ok(id) => gone.push(id),
                    Err(error) => fault = fault.or(Some(error)),
                }
            }
            self.records.remove(&gone).await?;
            swept += gone.len();
            if let Some(error) = fault {
                return Err(error.into());
            }
        }
    }

    async fn row(&self, attempt: AttemptId, id: &EvidenceId) -> Result<EvidenceRow, Error> {
        let row = self.records.get(attempt, id).await?;
        row.ok_or(Error::NotFound)
    }

    async fn note(&self, row: &EvidenceRow, now: Timestamp) -> Result<(), Error> {
        let known = self.records.confirm(row.attempt, &row.id, now).await?;
        known.then_some(()).ok_or(Error::NotFound)
    }

    fn link(&self, url: String, headers: BTreeMap<&'static str, String>, now: Timestamp) -> Link {
        Link {
            url,
            headers,
            expires_at: now + self.rules.link,
        }
    }

    fn own_link(&self, verb: Verb, row: &EvidenceRow, now: Timestamp) -> Link {
        let grant = Grant {
            verb,
            attempt: row.attempt,
            id: row.id.clone(),
            expires_at: now + self.rules.link,
        };
        let headers = match verb {
            Verb::Put => BTreeMap::from([("content-type", row.content_type.clone())]),
            Verb::Get => BTreeMap::new(),
        };
        self.link(format!("{LINKS}{}", self.links.sign(&grant)), headers, now)
    }

    async fn granted(&self, link: &str, verb: Verb, now: Timestamp) -> Result<EvidenceRow, Error> {
        let grant: Option<Grant> = self.links.verify(link);
        let grant = grant
            .filter(|grant| grant.verb == verb && now < grant.expires_at)
            .ok_or(Error::Link)?;
        self.row(grant.attempt, &grant.id).await
    }
}

fn new_id() -> Result<EvidenceId, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)).into())
}
