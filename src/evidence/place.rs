//! Where files of evidence are: a folder, or S3.

use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    io,
    ops::Range,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt as _};
use object_store::{
    Attribute, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, RetryConfig, WriteMultipart,
    aws::{AmazonS3, AmazonS3Builder},
    local::LocalFileSystem,
    path::Path as Key,
    signer::{HeaderName, HeaderValue, Method, SignedUrlOptions, Signer as _, Url},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::Error;
use crate::{domain::evidence::MediaType, media::Found, store::EvidenceRow};

/// So much of a file shows its type.
const HEAD_BYTES: usize = 4096;

/// A file is written in parts of this size, of which few are in memory.
const PART_BYTES: usize = 1 << 20;
const PARTS_AT_ONCE: usize = 2;

/// How often, and how long, S3 is asked again where it does not answer. Somebody waits.
const RETRIES: usize = 2;
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where files are kept.
#[derive(Debug, Clone)]
pub enum Place {
    /// In this folder.
    Folder(PathBuf),
    /// In a bucket.
    S3(S3),
}

/// A bucket, and how it is reached.
#[derive(Debug, Clone)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// What the names of all files begin with; may be empty.
    pub prefix: String,
    /// The server, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// None: those of the machine.
    pub credentials: Option<Credentials>,
}

impl Place {
    /// The origin at which clients reach files that do not pass through the engine.
    pub fn origin(&self) -> Option<String> {
        let Self::S3(s3) = self else { return None };
        let amazon = || format!("https://s3.{}.amazonaws.com", s3.region);
        let server = Url::parse(&s3.endpoint.clone().unwrap_or_else(amazon)).ok()?;
        Some(server.origin().ascii_serialization())
    }
}

/// What proves to S3 who sends a request.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The name of the key.
    pub access_key: String,
    /// The key.
    pub secret_key: SecretString,
}

/// A place that can be used.
pub(super) enum Opened {
    Folder(Folder),
    S3(Box<Bucket>),
}

impl Opened {
    pub(super) fn open(place: &Place) -> object_store::Result<Self> {
        match place {
            Place::Folder(path) => Folder::open(path).map(Self::Folder),
            Place::S3(s3) => Bucket::open(s3).map(|bucket| Self::S3(Box::new(bucket))),
        }
    }

    /// Removes a file, where it is there.
    pub(super) async fn remove(&self, file: &Key) -> object_store::Result<()> {
        let removed = match self {
            Self::Folder(folder) => folder.remove(file).await,
            Self::S3(bucket) => bucket.store.delete(&bucket.key(file)).await,
        };
        match removed {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}

/// A folder that the engine writes and reads.
pub(super) struct Folder(LocalFileSystem);

impl Folder {
    fn open(path: &Path) -> object_store::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| {
                let named = format!("{}: {error}", path.display());
                unusable(io::Error::new(error.kind(), named))
            })?;
        let store = LocalFileSystem::new_with_prefix(path)?;
        Ok(Self(store.with_fsync(true).with_automatic_cleanup(true)))
    }

    /// Keeps a file that is as it was announced, and nothing of one that is not.
    pub(super) async fn write(
        &self,
        row: &EvidenceRow,
        mut content: impl Stream<Item = Result<Bytes, Error>> + Unpin,
    ) -> Result<(), Error> {
        let mut head = BytesMut::new();
        while head.len() < HEAD_BYTES {
            match content.try_next().await? {
                Some(part) => head.extend_from_slice(&part),
                None => break,
            }
        }
        let shown = infer::get(&head).map_or("", |shown| shown.mime_type());
        if !media_type(row)?.looks_like.contains(&shown) {
            return Err(Error::Type);
        }
        let key = Key::from(row.file.as_str());
        // Where this ends early, what was written so far is removed with it.
        let upload = self.0.put_multipart(&key).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut left = row.bytes;
        let mut next = Some(head.freeze());
        while let Some(part) = next {
            let bytes = u64::try_from(part.len()).unwrap_or(u64::MAX);
            left = left.checked_sub(bytes).ok_or(Error::TooLarge)?;
            upload.wait_for_capacity(PARTS_AT_ONCE).await?;
            upload.put(part);
            next = content.try_next().await?;
        }
        if left > 0 {
            return Err(Error::NotWhole);
        }
        upload.finish().await?;
        Ok(())
    }

    /// Removes a file, and what processes that were killed left of its upload: the first of them
    /// has the file's name with `#1`, the second with `#2`.
    async fn remove(&self, file: &Key) -> object_store::Result<()> {
        let path = self.0.path_to_filesystem(file)?;
        for number in 1_u32.. {
            let mut rest = path.clone().into_os_string();
            rest.push(format!("#{number}"));
            match tokio::fs::remove_file(rest).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                removed => removed.map_err(unusable)?,
            }
        }
        self.0.delete(file).await
    }

    /// A file or a part of it; none where it is not there.
    pub(super) async fn read(
        &self,
        row: &EvidenceRow,
        part: Option<Range<u64>>,
    ) -> Result<Option<Found>, Error> {
        let options = GetOptions {
            range: part.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let kind = media_type(row)?.name;
        match self
            .0
            .get_opts(&Key::from(row.file.as_str()), options)
            .await
        {
            Ok(result) => Ok(Some(Found::new(kind, result))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn unusable(source: io::Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "folder",
        source: Box::new(source),
    }
}

fn media_type(row: &EvidenceRow) -> Result<&'static MediaType, Error> {
    MediaType::of(row.kind, &row.content_type).ok_or(Error::Type)
}

/// A bucket that clients write and read by themselves.
pub(super) struct Bucket {
    store: AmazonS3,
    prefix: Key,
}

/// What is there under a name.
pub(super) struct Presence {
    pub(super) bytes: u64,
    pub(super) content_type: String,
}

impl Bucket {
    fn open(s3: &S3) -> object_store::Result<Self> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&s3.bucket)
            .with_region(&s3.region)
            .with_retry(RetryConfig {
                max_retries: RETRIES,
                retry_timeout: RETRY_TIMEOUT,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = &s3.endpoint {
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(credentials) = &s3.credentials {
            builder = builder
                .with_access_key_id(&credentials.access_key)
                .with_secret_access_key(credentials.secret_key.expose_secret());
        }
        Ok(Self {
            store: builder.build()?,
            prefix: Key::from(s3.prefix.as_str()),
        })
    }

    fn key(&self, file: &Key) -> Key {
        self.prefix.parts().chain(file.parts()).collect()
    }

    fn key_of(&self, row: &EvidenceRow) -> Key {
        self.key(&Key::from(row.file.as_str()))
    }

    /// An address to upload a file to, and the headers that are signed with it: its type, and that
    /// there is none yet. Its size cannot be: that shows afterwards.
    pub(super) async fn upload(
        &self,
        row: &EvidenceRow,
        good_for: Duration,
    ) -> Result<(String, BTreeMap<&'static str, String>), Error> {
        let content_type = media_type(row)?.name;
        let headers = BTreeMap::from([("content-type", content_type), ("if-none-match", "*")]);
        let mut signed = SignedUrlOptions::new();
        for (name, value) in &headers {
            let (name, value) = (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            signed = signed.with_signed_header(name, value);
        }
        let url = self
            .store
            .signed_url_opts(Method::PUT, &self.key_of(row), good_for, &signed)
            .await?;
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name, value.to_owned()));
        Ok((url.into(), headers.collect()))
    }

    /// An address to read a file from.
    pub(super) async fn download(
        &self,
        row: &EvidenceRow,
        good_for: Duration,
    ) -> Result<String, Error> {
        let key = self.key_of(row);
        let url = self.store.signed_url(Method::GET, &key, good_for).await?;
        Ok(url.into())
    }

    /// What was uploaded; none where nothing was.
    pub(super) async fn look(&self, row: &EvidenceRow) -> Result<Option<Presence>, Error> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match self.store.get_opts(&self.key_of(row), options).await {
            Ok(found) => {
                let content_type = found.attributes.get(&Attribute::ContentType);
                Ok(Some(Presence {
                    bytes: found.meta.size,
                    content_type: content_type.map_or(String::new(), |name| name.to_string()),
                }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
