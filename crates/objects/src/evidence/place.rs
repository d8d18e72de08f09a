//! Storage backends of evidence files: a folder, or S3.

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
use crate::media::FileContent;
use invigil_domain::evidence::MediaType;
use invigil_store::EvidenceRow;

/// Leading bytes of a file that its type is detected from.
const HEAD_BYTES: usize = 4096;

/// Size of the parts in which a file is written, and the number of parts in memory.
const PART_BYTES: usize = 1 << 20;
const PARTS_AT_ONCE: usize = 2;

/// Retries of a request to S3, and their total time; short, because a client waits.
const RETRIES: usize = 2;
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);

/// The configured location of evidence files.
#[derive(Debug, Clone)]
pub enum EvidenceLocation {
    /// A folder.
    Folder(PathBuf),
    /// An S3 bucket.
    S3(S3Settings),
}

/// An S3 bucket and the access to it.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// Name of the bucket.
    pub bucket: String,
    /// Prefix of all object keys; may be empty.
    pub prefix: String,
    /// Address of the server, if it is not Amazon's.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: String,
    /// Credentials; none: those of the machine.
    pub credentials: Option<S3Credentials>,
}

impl EvidenceLocation {
    /// Returns the origin of S3, from which clients load files directly; none for a folder.
    pub fn origin(&self) -> Option<String> {
        let Self::S3(s3) = self else { return None };
        let amazon = || format!("https://s3.{}.amazonaws.com", s3.region);
        let server = Url::parse(&s3.endpoint.clone().unwrap_or_else(amazon)).ok()?;
        Some(server.origin().ascii_serialization())
    }
}

/// An access key of S3.
#[derive(Debug, Clone)]
pub struct S3Credentials {
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: SecretString,
}

/// An opened location.
pub(super) enum FileBackend {
    Folder(FolderBackend),
    S3(Box<S3Backend>),
}

impl FileBackend {
    pub(super) fn open(location: &EvidenceLocation) -> object_store::Result<Self> {
        match location {
            EvidenceLocation::Folder(path) => FolderBackend::open(path).map(Self::Folder),
            EvidenceLocation::S3(s3) => {
                S3Backend::open(s3).map(|bucket| Self::S3(Box::new(bucket)))
            }
        }
    }

    /// Removes a file; a missing file is no error.
    pub(super) async fn remove_file(&self, file: &Key) -> object_store::Result<()> {
        let removed = match self {
            Self::Folder(folder) => folder.remove_file(file).await,
            Self::S3(bucket) => bucket.store.delete(&bucket.object_key(file)).await,
        };
        match removed {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}

/// A folder that the engine reads and writes.
pub(super) struct FolderBackend(LocalFileSystem);

impl FolderBackend {
    fn open(path: &Path) -> object_store::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| {
                let named = format!("{}: {error}", path.display());
                storage_error(io::Error::new(error.kind(), named))
            })?;
        let store = LocalFileSystem::new_with_prefix(path)?;
        Ok(Self(store.with_fsync(true).with_automatic_cleanup(true)))
    }

    /// Writes a file, unless it differs from its announcement.
    pub(super) async fn write_file(
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
        if !media_type(row)?.detected_as.contains(&shown) {
            return Err(Error::WrongType);
        }
        let key = Key::from(row.file.as_str());
        // An early return drops the upload, which removes the parts written so far.
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
            return Err(Error::Incomplete);
        }
        upload.finish().await?;
        Ok(())
    }

    /// Removes a file and the remains of its uploads by killed processes, which have the file's
    /// name with `#1`, `#2` and so on.
    async fn remove_file(&self, file: &Key) -> object_store::Result<()> {
        let path = self.0.path_to_filesystem(file)?;
        for number in 1_u32.. {
            let mut rest = path.clone().into_os_string();
            rest.push(format!("#{number}"));
            match tokio::fs::remove_file(rest).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                removed => removed.map_err(storage_error)?,
            }
        }
        self.0.delete(file).await
    }

    /// Reads a file or a part of it; none if it does not exist.
    pub(super) async fn read_file(
        &self,
        row: &EvidenceRow,
        part: Option<Range<u64>>,
    ) -> Result<Option<FileContent>, Error> {
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
            Ok(result) => Ok(Some(FileContent::new(kind, result))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn storage_error(source: io::Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "folder",
        source: Box::new(source),
    }
}

fn media_type(row: &EvidenceRow) -> Result<&'static MediaType, Error> {
    MediaType::for_kind(row.kind, &row.content_type).ok_or(Error::WrongType)
}

/// A bucket that clients read and write directly.
pub(super) struct S3Backend {
    store: AmazonS3,
    prefix: Key,
}

/// Metadata of an object in the bucket.
pub(super) struct UploadedObject {
    pub(super) bytes: u64,
    pub(super) content_type: String,
}

impl S3Backend {
    fn open(s3: &S3Settings) -> object_store::Result<Self> {
        // The client of S3 takes the provider of the process; another may stand already.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
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

    fn object_key(&self, file: &Key) -> Key {
        self.prefix.parts().chain(file.parts()).collect()
    }

    fn row_key(&self, row: &EvidenceRow) -> Key {
        self.object_key(&Key::from(row.file.as_str()))
    }

    /// Returns the address that uploads a file and its signed headers: the type, and a condition
    /// that the object is new. The size cannot be signed; it is checked after the upload.
    pub(super) async fn upload_link(
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
            .signed_url_opts(Method::PUT, &self.row_key(row), good_for, &signed)
            .await?;
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name, value.to_owned()));
        Ok((url.into(), headers.collect()))
    }

    /// Returns the address that reads a file.
    pub(super) async fn download_link(
        &self,
        row: &EvidenceRow,
        good_for: Duration,
    ) -> Result<String, Error> {
        let key = self.row_key(row);
        let url = self.store.signed_url(Method::GET, &key, good_for).await?;
        Ok(url.into())
    }

    /// Reads the metadata of an uploaded file; none if it was not uploaded.
    pub(super) async fn inspect_upload(
        &self,
        row: &EvidenceRow,
    ) -> Result<Option<UploadedObject>, Error> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match self.store.get_opts(&self.row_key(row), options).await {
            Ok(found) => {
                let content_type = found.attributes.get(&Attribute::ContentType);
                Ok(Some(UploadedObject {
                    bytes: found.meta.size,
                    content_type: content_type.map_or(String::new(), |name| name.to_string()),
                }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
