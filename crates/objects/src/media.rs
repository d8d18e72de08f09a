//! Content-addressed store of images, audio, video and documents that questions show. A file is
//! stored once and never changes.
//!
//! A name grants access to its file, so that pages show it without a token. Names are keyed
//! hashes: without the key a name cannot be computed, not even from the file, so a file stays
//! hidden until a paper shows its name.

use std::{fmt, ops::Range, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use hmac::{Hmac, Mac};
use object_store::{
    GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt as _, local::LocalFileSystem,
    path::Path as Key,
};
use sha2::Sha256;

use invigil_domain::time::Timestamp;

/// Accepted files, as (media type detected from the content, extension). SVG and HTML are left
/// out because they can carry scripts.
const MEDIA_TYPES: [(&str, &str); 15] = [
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("image/avif", "avif"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "oga"),
    ("audio/x-wav", "wav"),
    ("audio/x-flac", "flac"),
    ("audio/m4a", "m4a"),
    ("audio/opus", "opus"),
    ("video/mp4", "mp4"),
    ("video/webm", "webm"),
    ("video/ogg", "ogv"),
    ("application/pdf", "pdf"),
];

/// Count of hexadecimal digits in a name.
const NAME_DIGITS: usize = 64;

/// Errors of the media store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content has none of the accepted media types.
    #[error("is not an image, audio, video or PDF file of an accepted type")]
    WrongType,
    /// The storage failed.
    #[error("access the media files")]
    Storage(#[from] object_store::Error),
}

/// A file in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Name under which the file is read.
    pub name: String,
    /// Media type.
    pub kind: &'static str,
    /// Size in bytes.
    pub bytes: u64,
}

/// Content-addressed store of media files.
#[derive(Clone)]
pub struct MediaStore {
    store: Arc<dyn ObjectStore>,
    key: [u8; 32],
}

impl fmt::Debug for MediaStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MediaStore({})", self.store)
    }
}

impl MediaStore {
    /// Opens a store in a folder, which is created if missing. All nodes must share it.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn open(folder: &Path, key: [u8; 32]) -> Result<Self, Error> {
        let unusable = |source| object_store::Error::Generic {
            store: "folder",
            source: Box::new(source),
        };
        std::fs::create_dir_all(folder).map_err(unusable)?;
        let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            key,
        })
    }

    /// Stores a file; a file that is stored already is left as it is.
    ///
    /// # Errors
    /// [`Error::WrongType`], [`Error::Storage`].
    pub async fn store_file(&self, content: Bytes) -> Result<StoredFile, Error> {
        let shown = infer::get(&content).map(|kind| kind.mime_type());
        let found = MEDIA_TYPES
            .into_iter()
            .find(|(kind, _)| Some(*kind) == shown);
        let (kind, ending) = found.ok_or(Error::WrongType)?;
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.key)
            .expect("HMAC takes a key of any length");
        mac.update(&content);
        let name = format!("{:x}.{ending}", mac.finalize().into_bytes());
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        self.store.put(&object_key(&name), content.into()).await?;
        Ok(StoredFile { name, kind, bytes })
    }

    /// Reads a file or a part of it; none if no file has this name.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn read_file(
        &self,
        name: &str,
        part: Option<Range<u64>>,
    ) -> Result<Option<FileContent>, Error> {
        let Some(kind) = media_type(name) else {
            return Ok(None);
        };
        let options = GetOptions {
            range: part.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        match self.store.get_opts(&object_key(name), options).await {
            Ok(result) => Ok(Some(FileContent { kind, result })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the size of a file in bytes; none if no file has this name.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn file_size(&self, name: &str) -> Result<Option<u64>, Error> {
        if media_type(name).is_none() {
            return Ok(None);
        }
        match self.store.head(&object_key(name)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the names of files that were last written before an instant.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn older_than(&self, instant: Timestamp) -> Result<Vec<String>, Error> {
        let all: Vec<_> = self.store.list(None).try_collect().await?;
        let old = all
            .into_iter()
            .filter(|meta| meta.last_modified.timestamp_millis() < instant.as_ms());
        Ok(old
            .filter_map(|meta| meta.location.filename().map(str::to_owned))
            .filter(|name| media_type(name).is_some())
            .collect())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn remove_file(&self, name: &str) -> Result<(), Error> {
        Ok(self.store.delete(&object_key(name)).await?)
    }
}

/// The content of a file, or of a part of it.
#[derive(Debug)]
pub struct FileContent {
    /// Media type.
    pub kind: &'static str,
    result: GetResult,
}

impl FileContent {
    /// Wraps an opened file of a media type.
    pub(crate) fn new(kind: &'static str, result: GetResult) -> Self {
        Self { kind, result }
    }

    /// Returns the range of the content within the file.
    pub fn byte_range(&self) -> Range<u64> {
        self.result.range.clone()
    }

    /// Streams the content.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, object_store::Error>> {
        self.result.into_stream().boxed()
    }
}

/// Returns a file's path; the first two digits of its name are a folder, which keeps folders small.
fn object_key(name: &str) -> Key {
    Key::from(format!("{}/{name}", &name[..2]))
}

/// Returns the media type of a name; none if it is not a valid name.
fn media_type(name: &str) -> Option<&'static str> {
    let (digits, ending) = name.split_once('.')?;
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let right = digits.len() == NAME_DIGITS && digits.bytes().all(lower);
    let kind = MEDIA_TYPES.into_iter().find(|(_, known)| *known == ending);
    kind.filter(|_| right).map(|(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    async fn read_all(found: Option<FileContent>) -> Vec<u8> {
        let parts: Vec<Bytes> = found.unwrap().into_stream().try_collect().await.unwrap();
        parts.concat()
    }

    #[tokio::test]
    async fn a_file_is_kept_once_and_read_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let media = MediaStore::open(&folder.path().join("new"), [7; 32]).unwrap();
        let kept = media.store_file(Bytes::from_static(PNG)).await.unwrap();
        assert_eq!((kept.kind, kept.bytes), ("image/png", 16));
        assert_eq!(
            media.store_file(Bytes::from_static(PNG)).await.unwrap(),
            kept
        );
        assert_eq!(
            read_all(media.read_file(&kept.name, None).await.unwrap()).await,
            PNG
        );
        let part = media.read_file(&kept.name, Some(1..4)).await.unwrap();
        assert_eq!(read_all(part).await, b"PNG");
        assert_eq!(media.file_size(&kept.name).await.unwrap(), Some(16));
        // Another installation gives the same file another name.
        let other = MediaStore::open(folder.path(), [8; 32]).unwrap();
        assert_ne!(
            other
                .store_file(Bytes::from_static(PNG))
                .await
                .unwrap()
                .name,
            kept.name
        );
        let late = Timestamp::from_ms(i64::MAX / 2_000);
        let old = media.older_than(late).await.unwrap();
        assert_eq!(old, std::slice::from_ref(&kept.name));
        media.remove_file(&kept.name).await.unwrap();
        assert!(media.read_file(&kept.name, None).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_carries_programs_is_not_kept_and_no_other_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        let media = MediaStore::open(&folder.path().join("media"), [7; 32]).unwrap();
        for content in ["<svg onload='x'/>", "<html>", "#!/bin/sh", "", "MZ"] {
            let refused = media
                .store_file(Bytes::from_static(content.as_bytes()))
                .await;
            assert!(matches!(refused, Err(Error::WrongType)), "{content}");
        }
        for name in [
            "../secret",
            "",
            "a",
            ".png",
            "..%2fsecret.png",
            "A".repeat(64).as_str(),
        ] {
            assert!(
                media.read_file(name, None).await.unwrap().is_none(),
                "{name}"
            );
            assert!(media.file_size(name).await.unwrap().is_none(), "{name}");
        }
    }
}
