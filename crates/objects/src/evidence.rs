//! Evidence: images, audio and video that a proctoring client uploads about an attempt.
//!
//! A client announces a file and uploads it by a short-lived link; staff read it by another. With
//! S3 both links are presigned requests to S3, and no file passes through the engine. With a
//! folder the engine signs the links and serves them itself.

mod place;

use std::{
    cmp::Ordering, collections::BTreeMap, num::NonZeroU32, ops::Range, sync::Arc, time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use object_store::path::Path as Key;
use serde::{Deserialize, Serialize};

pub use self::place::{EvidenceLocation, S3Credentials, S3Settings};
use self::place::{FileBackend, UploadedObject};
use crate::media::FileContent;
use invigil_domain::{
    evidence::{EvidenceKind, MediaType},
    id::{AttemptId, EvidenceId, ExamCode, SessionId},
    time::Timestamp,
};
use invigil_secrets::signed::HmacSigner;
use invigil_store::{self, AnnounceOutcome, EvidenceQuota, EvidenceRow, EvidenceStore};

/// Path of the engine's own links; the signed claims follow it.
pub const LINK_PATH: &str = "/api/v1/evidence/";

/// Time after the end of an attempt in which a client may still upload its last files.
const UPLOAD_GRACE: Duration = Duration::from_mins(10);

/// Window of the limit [`EvidenceLimits::files_per_hour`].
const HOUR: Duration = Duration::from_hours(1);

/// Age at which an announcement without a file is removed.
const UNSTORED_RETENTION: Duration = Duration::from_hours(24);

/// Files in a round of [`EvidenceFiles::remove_expired`], and how many are removed at a time.
const EXPIRED_BATCH: u32 = 500;
const REMOVALS_AT_ONCE: usize = 8;

/// Errors of evidence files and their links.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kind of evidence does not allow the type, or the content differs from the announcement.
    #[error("this kind of evidence does not allow the file's type")]
    WrongType,
    /// The file is larger than allowed or announced.
    #[error("the file is too large")]
    TooLarge,
    /// The file is smaller than announced, or empty.
    #[error("the file is incomplete")]
    Incomplete,
    /// The attempt exceeds its files per hour; the time until a retry may succeed.
    #[error("the attempt has too many files in an hour")]
    TooMany(Duration),
    /// The attempt ended too long ago.
    #[error("the attempt ended too long ago")]
    AttemptOver,
    /// The attempt has no evidence with this id.
    #[error("the attempt has no such evidence")]
    NotFound,
    /// The file is announced, but not uploaded.
    #[error("the file is not uploaded yet")]
    NotStored,
    /// The file is uploaded already; evidence does not change.
    #[error("the file is uploaded already")]
    AlreadyStored,
    /// The link has expired, or has no valid signature.
    #[error("the link is invalid or expired")]
    InvalidLink,
    /// The upload broke off.
    #[error("receive the file")]
    Interrupted(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The storage of the files failed.
    #[error("access the evidence files")]
    Storage(#[from] object_store::Error),
    /// The store of the rows failed.
    #[error("access the rows of evidence")]
    Records(#[from] invigil_store::Error),
    /// The system has no randomness for an id.
    #[error("draw random bytes")]
    Random(#[from] getrandom::Error),
}

/// Limits of evidence.
#[derive(Debug, Clone, Copy)]
pub struct EvidenceLimits {
    /// Largest size of a file in bytes.
    pub file_bytes: u64,
    /// Largest number of files of an attempt in an hour.
    pub files_per_hour: NonZeroU32,
    /// Lifetime of a link.
    pub link_lifetime: Duration,
    /// Time for which files are kept.
    pub retention: Duration,
}

/// The attempt that a file belongs to.
#[derive(Debug, Clone, Copy)]
pub struct EvidenceAttempt<'a> {
    /// Id of the attempt.
    pub attempt: AttemptId,
    /// Code of the exam.
    pub exam: &'a ExamCode,
    /// End of the attempt; none while it runs.
    pub closed_at: Option<Timestamp>,
}

/// A client's announcement of a file.
#[derive(Debug, Clone)]
pub struct UploadOffer {
    /// Kind of evidence.
    pub kind: EvidenceKind,
    /// Media type.
    pub content_type: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Session in which the file was made.
    pub session: Option<SessionId>,
    /// Number of that session's event to which the file belongs.
    pub event: Option<u64>,
}

/// A request that needs no other authorization until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedRequest {
    /// Address; without a host for the engine's own links.
    pub url: String,
    /// Required headers.
    pub headers: BTreeMap<&'static str, String>,
    /// Expiry.
    pub expires_at: Timestamp,
}

/// The action that one of the engine's own links permits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum LinkAction {
    #[serde(rename = "put")]
    Put,
    #[serde(rename = "get")]
    Get,
}

/// The signed content of one of the engine's own links.
#[derive(Serialize, Deserialize)]
struct LinkClaims {
    #[serde(rename = "v")]
    action: LinkAction,
    #[serde(rename = "a")]
    attempt: AttemptId,
    #[serde(rename = "i")]
    id: EvidenceId,
    #[serde(rename = "e")]
    expires_at: Timestamp,
}

/// Evidence files with their rows and links.
pub struct EvidenceFiles {
    backend: FileBackend,
    records: Arc<dyn EvidenceStore>,
    signer: HmacSigner,
    limits: EvidenceLimits,
}

impl EvidenceFiles {
    /// Opens the files at a location. A missing folder is created, readable by this user alone.
    /// All nodes must share the folder and `secret`.
    ///
    /// # Errors
    /// If the folder cannot be created, or the settings of S3 are invalid.
    pub fn open(
        location: &EvidenceLocation,
        limits: EvidenceLimits,
        records: Arc<dyn EvidenceStore>,
        secret: &[u8; 32],
    ) -> Result<Self, Error> {
        Ok(Self {
            backend: FileBackend::open(location)?,
            records,
            signer: HmacSigner::new(secret),
            limits,
        })
    }

    /// Records the announcement of a file, and returns its id and the request that uploads it.
    ///
    /// # Errors
    /// [`Error::AttemptOver`], [`Error::WrongType`], [`Error::TooLarge`], [`Error::Incomplete`],
    /// [`Error::TooMany`].
    pub async fn announce_upload(
        &self,
        about: EvidenceAttempt<'_>,
        offer: UploadOffer,
        now: Timestamp,
    ) -> Result<(EvidenceId, PresignedRequest), Error> {
        if about
            .closed_at
            .is_some_and(|at| now.since(at) > UPLOAD_GRACE)
        {
            return Err(Error::AttemptOver);
        }
        let media_type =
            MediaType::for_kind(offer.kind, &offer.content_type).ok_or(Error::WrongType)?;
        match offer.bytes {
            0 => return Err(Error::Incomplete),
            bytes if bytes > self.limits.file_bytes => return Err(Error::TooLarge),
            _ => {}
        }
        let id = new_id()?;
        let (exam, attempt) = (about.exam, about.attempt);
        let row = EvidenceRow {
            attempt,
            file: format!("{exam}/{attempt}/{id}.{}", media_type.extension),
            id,
            kind: offer.kind,
            content_type: media_type.name.to_owned(),
            bytes: offer.bytes,
            session: offer.session,
            event: offer.event,
            at: now,
            stored_at: None,
        };
        let allowed = EvidenceQuota {
            max_files: self.limits.files_per_hour.get(),
            since: now - HOUR,
        };
        if let AnnounceOutcome::TooMany(oldest) = self.records.announce_file(&row, allowed).await? {
            return Err(Error::TooMany((oldest + HOUR).since(now)));
        }
        let link = match &self.backend {
            FileBackend::Folder(_) => self.own_request(LinkAction::Put, &row, now),
            FileBackend::S3(bucket) => {
                let (url, headers) = bucket.upload_link(&row, self.limits.link_lifetime).await?;
                self.presigned_request(url, headers, now)
            }
        };
        Ok((row.id, link))
    }

    /// Receives a file by one of the engine's own links. A file that differs from its
    /// announcement is not stored.
    ///
    /// # Errors
    /// [`Error::InvalidLink`], [`Error::AlreadyStored`], [`Error::TooLarge`],
    /// [`Error::Incomplete`], [`Error::WrongType`], [`Error::Interrupted`].
    pub async fn receive_upload<S, E>(
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
        let row = self.verify_link(link, LinkAction::Put, now).await?;
        let FileBackend::Folder(folder) = &self.backend else {
            return Err(Error::InvalidLink);
        };
        if row.stored_at.is_some() {
            return Err(Error::AlreadyStored);
        }
        if length.is_some_and(|length| length > row.bytes) {
            return Err(Error::TooLarge);
        }
        let content = content.map(|part| part.map_err(|error| Error::Interrupted(error.into())));
        folder.write_file(&row, content).await?;
        self.mark_stored(&row, now).await
    }

    /// Checks that a file was uploaded to S3, and marks it as stored. A file that differs from its
    /// announcement is removed. A repeat changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotStored`], [`Error::TooLarge`], [`Error::Incomplete`],
    /// [`Error::WrongType`].
    pub async fn confirm_upload(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
        now: Timestamp,
    ) -> Result<(), Error> {
        let row = self.find_row(attempt, id).await?;
        if row.stored_at.is_some() {
            return Ok(());
        }
        let FileBackend::S3(bucket) = &self.backend else {
            return Err(Error::NotStored);
        };
        let UploadedObject {
            bytes,
            content_type,
        } = bucket.inspect_upload(&row).await?.ok_or(Error::NotStored)?;
        let fault = match bytes.cmp(&row.bytes) {
            Ordering::Greater => Error::TooLarge,
            Ordering::Less => Error::Incomplete,
            Ordering::Equal if content_type != row.content_type => Error::WrongType,
            Ordering::Equal => return self.mark_stored(&row, now).await,
        };
        self.backend
            .remove_file(&Key::from(row.file.as_str()))
            .await?;
        Err(fault)
    }

    /// Returns the evidence of an attempt, oldest first.
    ///
    /// # Errors
    /// [`Error::Records`].
    pub async fn list_files(&self, attempt: AttemptId) -> Result<Vec<EvidenceRow>, Error> {
        Ok(self.records.list_files(attempt).await?)
    }

    /// Returns a request that reads a file.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotStored`].
    pub async fn read_link(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
        now: Timestamp,
    ) -> Result<PresignedRequest, Error> {
        let row = self.find_row(attempt, id).await?;
        if row.stored_at.is_none() {
            return Err(Error::NotStored);
        }
        match &self.backend {
            FileBackend::Folder(_) => Ok(self.own_request(LinkAction::Get, &row, now)),
            FileBackend::S3(bucket) => {
                let url = bucket
                    .download_link(&row, self.limits.link_lifetime)
                    .await?;
                Ok(self.presigned_request(url, BTreeMap::new(), now))
            }
        }
    }

    /// Returns the row of the file that one of the engine's own links permits to read.
    ///
    /// # Errors
    /// [`Error::InvalidLink`].
    pub async fn authorize_read(&self, link: &str, now: Timestamp) -> Result<EvidenceRow, Error> {
        self.verify_link(link, LinkAction::Get, now).await
    }

    /// Reads a file in the folder, or a part of it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn read_file(
        &self,
        row: &EvidenceRow,
        part: Option<Range<u64>>,
    ) -> Result<FileContent, Error> {
        let FileBackend::Folder(folder) = &self.backend else {
            return Err(Error::InvalidLink);
        };
        folder.read_file(row, part).await?.ok_or(Error::NotFound)
    }

    /// Removes files past their retention, and announcements that stayed without a file for a
    /// day. Returns the count of removed rows.
    ///
    /// # Errors
    /// The first error of a round, after the other files of the round are removed.
    pub async fn remove_expired(&self, now: Timestamp) -> Result<usize, Error> {
        let (before, unstored) = (now - self.limits.retention, now - UNSTORED_RETENTION);
        let mut swept = 0;
        loop {
            let rows = self
                .records
                .list_expired(before, unstored, EXPIRED_BATCH)
                .await?;
            if rows.is_empty() {
                return Ok(swept);
            }
            // The row is removed after its file: an interruption leaves no file without a row.
            let removals = stream::iter(&rows).map(async |row| {
                let removed = self
                    .backend
                    .remove_file(&Key::from(row.file.as_str()))
                    .await;
                removed.map(|()| row.id.clone())
            });
            let removed: Vec<_> = removals.buffer_unordered(REMOVALS_AT_ONCE).collect().await;
            let mut fault = None;
            let mut gone = Vec::with_capacity(removed.len());
            for outcome in removed {
                match outcome {
                    Ok(id) => gone.push(id),
                    Err(error) => fault = fault.or(Some(error)),
                }
            }
            self.records.delete_rows(&gone).await?;
            swept += gone.len();
            if let Some(error) = fault {
                return Err(error.into());
            }
        }
    }

    async fn find_row(&self, attempt: AttemptId, id: &EvidenceId) -> Result<EvidenceRow, Error> {
        let row = self.records.find_file(attempt, id).await?;
        row.ok_or(Error::NotFound)
    }

    async fn mark_stored(&self, row: &EvidenceRow, now: Timestamp) -> Result<(), Error> {
        let known = self.records.confirm_file(row.attempt, &row.id, now).await?;
        known.then_some(()).ok_or(Error::NotFound)
    }

    fn presigned_request(
        &self,
        url: String,
        headers: BTreeMap<&'static str, String>,
        now: Timestamp,
    ) -> PresignedRequest {
        PresignedRequest {
            url,
            headers,
            expires_at: now + self.limits.link_lifetime,
        }
    }

    fn own_request(&self, verb: LinkAction, row: &EvidenceRow, now: Timestamp) -> PresignedRequest {
        let grant = LinkClaims {
            action: verb,
            attempt: row.attempt,
            id: row.id.clone(),
            expires_at: now + self.limits.link_lifetime,
        };
        let headers = match verb {
            LinkAction::Put => BTreeMap::from([("content-type", row.content_type.clone())]),
            LinkAction::Get => BTreeMap::new(),
        };
        self.presigned_request(
            format!("{LINK_PATH}{}", self.signer.sign(&grant)),
            headers,
            now,
        )
    }

    async fn verify_link(
        &self,
        link: &str,
        verb: LinkAction,
        now: Timestamp,
    ) -> Result<EvidenceRow, Error> {
        let grant: Option<LinkClaims> = self.signer.verify(link);
        let grant = grant
            .filter(|grant| grant.action == verb && now < grant.expires_at)
            .ok_or(Error::InvalidLink)?;
        self.find_row(grant.attempt, &grant.id).await
    }
}

fn new_id() -> Result<EvidenceId, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)).into())
}
