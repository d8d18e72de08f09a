//! Evidence: the kinds that a proctoring client sends, and the types of their files.

use serde::{Deserialize, Serialize};

/// Kind of a file of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// A picture of the candidate.
    Snapshot,
    /// Sound from the candidate's microphone.
    Audio,
    /// A video of the candidate.
    Video,
    /// The candidate's screen, as a picture or a video.
    Screen,
}

impl EvidenceKind {
    /// All kinds, in the order of the declaration.
    pub const ALL: [Self; 4] = [Self::Snapshot, Self::Audio, Self::Video, Self::Screen];

    /// Name of the kind on the wire and in the stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Screen => "screen",
        }
    }

    /// Returns the kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    fn accepts(self, media_type: &MediaType) -> bool {
        let (family, _) = media_type.name.split_once('/').unwrap_or_default();
        match self {
            Self::Snapshot => family == "image",
            Self::Audio => family == "audio",
            Self::Video => family == "video",
            Self::Screen => family == "image" || family == "video",
        }
    }
}

/// The type of a file of evidence.
#[derive(Debug, PartialEq, Eq)]
pub struct MediaType {
    /// Name in `Content-Type`, of the upload and of the download.
    pub name: &'static str,
    /// Extension of the file's name.
    pub extension: &'static str,
    /// Types that a look at the content may find: `audio/webm` is taken for a video.
    pub detected_as: &'static [&'static str],
}

const fn media_type(
    name: &'static str,
    ending: &'static str,
    looks_like: &'static [&'static str],
) -> MediaType {
    MediaType {
        name,
        extension: ending,
        detected_as: looks_like,
    }
}

/// Accepted types. No SVG and no HTML: they can hold scripts.
static MEDIA_TYPES: [MediaType; 9] = [
    media_type("image/jpeg", "jpg", &["image/jpeg"]),
    media_type("image/png", "png", &["image/png"]),
    media_type("image/webp", "webp", &["image/webp"]),
    media_type("audio/webm", "weba", &["video/webm"]),
    media_type("audio/ogg", "oga", &["audio/ogg", "audio/opus"]),
    media_type("audio/mpeg", "mp3", &["audio/mpeg"]),
    media_type("audio/wav", "wav", &["audio/x-wav"]),
    media_type("video/webm", "webm", &["video/webm"]),
    media_type("video/mp4", "mp4", &["video/mp4"]),
];

impl MediaType {
    /// Returns the type with this name, without its parameters such as `;codecs=opus`.
    pub fn from_name(name: &str) -> Option<&'static Self> {
        let name = name.split(';').next().unwrap_or_default().trim();
        MEDIA_TYPES
            .iter()
            .find(|known| known.name.eq_ignore_ascii_case(name))
    }

    /// Returns the type with this name, if evidence of this kind may have it.
    pub fn for_kind(kind: EvidenceKind, name: &str) -> Option<&'static Self> {
        Self::from_name(name).filter(|found| kind.accepts(found))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn each_kind_has_its_types() {
        let list: Vec<String> = EvidenceKind::ALL
            .into_iter()
            .map(|kind| {
                assert_eq!(EvidenceKind::from_name(kind.as_str()), Some(kind));
                let may = |found: &&MediaType| MediaType::for_kind(kind, found.name).is_some();
                let names: Vec<_> = MEDIA_TYPES
                    .iter()
                    .filter(may)
                    .map(|found| found.name)
                    .collect();
                format!("{}: {}", kind.as_str(), names.join(" "))
            })
            .collect();
        expect![[r"
            snapshot: image/jpeg image/png image/webp
            audio: audio/webm audio/ogg audio/mpeg audio/wav
            video: video/webm video/mp4
            screen: image/jpeg image/png image/webp video/webm video/mp4"]]
        .assert_eq(&list.join("\n"));
        assert_eq!(EvidenceKind::from_name("diary"), None);
    }

    #[test]
    fn a_type_is_known_with_its_parameters_and_in_capitals() {
        let sound = MediaType::from_name("Audio/WebM; codecs=opus").unwrap();
        assert_eq!(sound.name, "audio/webm");
        for other in ["", ";", "image/svg+xml", "text/html", "image/pngx", "image"] {
            assert_eq!(MediaType::from_name(other), None, "{other}");
        }
    }
}
