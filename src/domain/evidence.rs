//! What may be evidence: the kinds that a proctoring client sends, and the types of their files.

use serde::{Deserialize, Serialize};

/// What a file of evidence shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A picture of the candidate.
    Snapshot,
    /// What was heard.
    Audio,
    /// A film of the candidate.
    Video,
    /// The screen, as a picture or a film.
    Screen,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Snapshot, Self::Audio, Self::Video, Self::Screen];

    /// Its name on the wire and in the stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Screen => "screen",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    fn takes(self, media_type: &MediaType) -> bool {
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
    /// As it is announced and served.
    pub name: &'static str,
    /// The ending of the file's name.
    pub ending: &'static str,
    /// What its content is taken for: a sound of `audio/webm` looks like a film.
    pub looks_like: &'static [&'static str],
}

const fn media_type(
    name: &'static str,
    ending: &'static str,
    looks_like: &'static [&'static str],
) -> MediaType {
    MediaType {
        name,
        ending,
        looks_like,
    }
}

/// No SVG and no HTML: they carry programs.
static TYPES: [MediaType; 9] = [
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
    /// The type of this name; parameters, as in `audio/webm;codecs=opus`, are left aside.
    pub fn from_name(name: &str) -> Option<&'static Self> {
        let name = name.split(';').next().unwrap_or_default().trim();
        TYPES
            .iter()
            .find(|known| known.name.eq_ignore_ascii_case(name))
    }

    /// The type of this name, where evidence of this kind may have it.
    pub fn of(kind: Kind, name: &str) -> Option<&'static Self> {
        Self::from_name(name).filter(|found| kind.takes(found))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn each_kind_has_its_types() {
        let list: Vec<String> = Kind::ALL
            .into_iter()
            .map(|kind| {
                assert_eq!(Kind::from_name(kind.as_str()), Some(kind));
                let may = |found: &&MediaType| MediaType::of(kind, found.name).is_some();
                let names: Vec<_> = TYPES.iter().filter(may).map(|found| found.name).collect();
                format!("{}: {}", kind.as_str(), names.join(" "))
            })
            .collect();
        expect![[r"
            snapshot: image/jpeg image/png image/webp
            audio: audio/webm audio/ogg audio/mpeg audio/wav
            video: video/webm video/mp4
            screen: image/jpeg image/png image/webp video/webm video/mp4"]]
        .assert_eq(&list.join("\n"));
        assert_eq!(Kind::from_name("diary"), None);
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
