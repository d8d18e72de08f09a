//! Pictures, sounds, films and documents of questions, each under a name that is made from its
//! content: the same file is kept once, and never changes.
//!
//! Who knows a name may read what it names, so that a page shows it without a token. The name is
//! a keyed hash: nobody finds it before the paper shows it, not even with the file at hand.

use std::{fmt, ops::Range, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use hmac::{Hmac, Mac};
use object_store::{
    GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt as _, local::LocalFileSystem,
    path::Path as Key,
};
use sha2::Sha256;

use crate::domain::time::Timestamp;

/// What may be kept, as (the type that the content shows, the ending of its name). No SVG and no
/// HTML: they carry programs.
const KINDS: [(&str, &str); 15] = [
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

/// Hexadecimal digits of a name.
const DIGITS: usize = 64;

/// Why a file was not kept or not found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content shows none of the types that may be kept.
    #[error("is no picture, sound, film or PDF that may be kept")]
    Kind,
    /// The place where files are.
    #[error("the place of media files")]
    Store(#[from] object_store::Error),
}

/// What was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The name under which it is read.
    pub name: String,
    /// Its media type.
    pub kind: &'static str,
    /// Its size.
    pub bytes: u64,
}

/// The place where files are.
#[derive(Clone)]
pub struct Media {
    store: Arc<dyn ObjectStore>,
    key: [u8; 32],
}

impl fmt::Debug for Media {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Media({})", self.store)
    }
}

impl Media {
    /// Files in a folder, which is made where it is missing. Several nodes need the same one.
    ///
    /// # Errors
    /// Where there can be no such folder.
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

    /// Keeps a file, or finds it as it is kept.
    ///
    /// # Errors
    /// [`Error::Kind`].
    pub async fn keep(&self, content: Bytes) -> Result<Kept, Error> {
        let shown = infer::get(&content).map(|kind| kind.mime_type());
        let found = KINDS.into_iter().find(|(kind, _)| Some(*kind) == shown);
        let (kind, ending) = found.ok_or(Error::Kind)?;
        let mut mac =
            <Hmac<Sha256> as Mac>::new_from_slice(&self.key).expect("any length is a key");
        mac.update(&content);
        let name = format!("{:x}.{ending}", mac.finalize().into_bytes());
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        self.store.put(&key(&name), content.into()).await?;
        Ok(Kept { name, kind, bytes })
    }

    /// Reads a file, or a part of it; none where nothing has this name.
    ///
    /// # Errors
    /// Where the place does not answer.
    pub async fn read(&self, name: &str, part: Option<Range<u64>>) -> Result<Option<Found>, Error> {
        let Some(kind) = kind_of(name) else {
            return Ok(None);
        };
        let options = GetOptions {
            range: part.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        match self.store.get_opts(&key(name), options).await {
            Ok(result) => Ok(Some(Found { kind, result })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The size of a file; none where nothing has this name.
    ///
    /// # Errors
    /// Where the place does not answer.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, Error> {
        if kind_of(name).is_none() {
            return Ok(None);
        }
        match self.store.head(&key(name)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Names of files that were last written before an instant.
    ///
    /// # Errors
    /// Where the place does not answer.
    pub async fn older_than(&self, instant: Timestamp) -> Result<Vec<String>, Error> {
        let all: Vec<_> = self.store.list(None).try_collect().await?;
        let old = all
            .into_iter()
            .filter(|meta| meta.last_modified.timestamp_millis() < instant.as_ms());
        Ok(old
            .filter_map(|meta| meta.location.filename().map(str::to_owned))
            .filter(|name| kind_of(name).is_some())
            .collect())
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Where the place does not answer.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        Ok(self.store.delete(&key(name)).await?)
    }
}

/// A file that is read.
#[derive(Debug)]
pub struct Found {
    /// Its media type.
    pub kind: &'static str,
    result: GetResult,
}

impl Found {
    /// A file of this media type.
    pub(crate) fn new(kind: &'static str, result: GetResult) -> Self {
        Self { kind, result }
    }

    /// Which bytes of the whole these are.
    pub fn part(&self) -> Range<u64> {
        self.result.range.clone()
    }

    /// The bytes.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, object_store::Error>> {
        self.result.into_stream().boxed()
    }
}

/// Two letters are a folder, so that none has too many files.
fn key(name: &str) -> Key {
    Key::from(format!("{}/{name}", &name[..2]))
}

/// The media type that a name tells; none where it is no name.
fn kind_of(name: &str) -> Option<&'static str> {
    let (digits, ending) = name.split_once('.')?;
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let right = digits.len() == DIGITS && digits.bytes().all(lower);
    let kind = KINDS.into_iter().find(|(_, known)| *known == ending);
    kind.filter(|_| right).map(|(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    async fn text(found: Option<Found>) -> Vec<u8> {
        let parts: Vec<Bytes> = found.unwrap().into_stream().try_collect().await.unwrap();
        parts.concat()
    }

    #[tokio::test]
    async fn a_file_is_kept_once_and_read_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let media = Media::open(&folder.path().join("new"), [7; 32]).unwrap();
        let kept = media.keep(Bytes::from_static(PNG)).await.unwrap();
        assert_eq!((kept.kind, kept.bytes), ("image/png", 16));
        assert_eq!(media.keep(Bytes::from_static(PNG)).await.unwrap(), kept);
        assert_eq!(text(media.read(&kept.name, None).await.unwrap()).await, PNG);
        let part = media.read(&kept.name, Some(1..4)).await.unwrap();
        assert_eq!(text(part).await, b"PNG");
        assert_eq!(media.size(&kept.name).await.unwrap(), Some(16));
        // Another installation gives the same file another name.
        let other = Media::open(folder.path(), [8; 32]).unwrap();
        assert_ne!(
            other.keep(Bytes::from_static(PNG)).await.unwrap().name,
            kept.name
        );
        let late = Timestamp::from_ms(i64::MAX / 2_000);
        let old = media.older_than(late).await.unwrap();
        assert_eq!(old, std::slice::from_ref(&kept.name));
        media.remove(&kept.name).await.unwrap();
        assert!(media.read(&kept.name, None).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_carries_programs_is_not_kept_and_no_other_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        let media = Media::open(&folder.path().join("media"), [7; 32]).unwrap();
        for content in ["<svg onload='x'/>", "<html>", "#!/bin/sh", "", "MZ"] {
            let refused = media.keep(Bytes::from_static(content.as_bytes())).await;
            assert!(matches!(refused, Err(Error::Kind)), "{content}");
        }
        for name in [
            "../secret",
            "",
            "a",
            ".png",
            "..%2fsecret.png",
            "A".repeat(64).as_str(),
        ] {
            assert!(media.read(name, None).await.unwrap().is_none(), "{name}");
            assert!(media.size(name).await.unwrap().is_none(), "{name}");
        }
    }
}
