//! Personal data, sealed with keys that the database never sees.
//!
//! A sealed value consists of its key's number (4 bytes, big endian), a nonce
//! (12 bytes) and the AES-256-GCM ciphertext with its tag. The person and column
//! are its associated data, so a value copied to another row does not open there.
//! A keyed hash beside it serves look-ups; equal values have equal hashes.
//!
//! The key file is readable by the engine alone. Each line holds a key's number and
//! 32 bytes in base64. New values are sealed with the highest number; `invigil keys
//! rotate` adds a key and seals all values again. Number 0 makes the keyed hashes
//! and never changes, so hashes stay comparable.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

const NUMBER_BYTES: usize = 4;
const NONCE_BYTES: usize = 12;

/// Number of the key that makes keyed hashes.
const HASH_KEY_NUMBER: u32 = 0;

/// The sealing keys of an installation.
#[derive(Clone)]
pub struct SealingKeys {
    by_number: BTreeMap<u32, [u8; 32]>,
    file: PathBuf,
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SealingKeys")
            .field("numbers", &self.by_number.keys())
            .finish_non_exhaustive()
    }
}

/// Errors of the key file and of sealed values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("access the key file {}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// A line of the file is not a key, or keys are missing.
    #[error("the key file {}: line {} is not a key", .0.display(), .1)]
    Line(PathBuf, usize),
    /// The value was sealed with a key that the file does not have.
    #[error("key {0} is not in the key file")]
    UnknownKey(u32),
    /// The value was altered, or belongs to another person or column.
    #[error("a sealed value is damaged or misplaced")]
    Damaged,
    /// The system has no randomness for a nonce or key.
    #[error("draw random bytes")]
    Random(#[from] getrandom::Error),
}

impl SealingKeys {
    /// Reads a key file, or creates one with a first key if it is missing.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Line`], [`Error::Random`].
    pub fn open(file: &Path) -> Result<Self, Error> {
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse_lines(&text, file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut keys = Self {
                    by_number: BTreeMap::new(),
                    file: file.to_owned(),
                };
                let mut root = [0; 32];
                getrandom::fill(&mut root)?;
                keys.by_number.insert(HASH_KEY_NUMBER, root);
                keys.add_key()?;
                Ok(keys)
            }
            Err(error) => Err(Error::File(file.to_owned(), error)),
        }
    }

    fn parse_lines(text: &str, file: &Path) -> Result<Self, Error> {
        let mut by_number = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let key = line.split_once(' ').and_then(|(number, key)| {
                let bytes = STANDARD.decode(key.trim()).ok()?;
                Some((number.parse().ok()?, <[u8; 32]>::try_from(bytes).ok()?))
            });
            let (number, key) = key.ok_or_else(|| Error::Line(file.to_owned(), index + 1))?;
            by_number.insert(number, key);
        }
        // At least the key of hashes and one sealing key.
        if by_number.len() < 2 || !by_number.contains_key(&HASH_KEY_NUMBER) {
            return Err(Error::Line(file.to_owned(), 1));
        }
        Ok(Self {
            by_number,
            file: file.to_owned(),
        })
    }

    /// Adds a key that seals all new values, and returns its number. The file is
    /// replaced atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add_key(&mut self) -> Result<u32, Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let number = self.current_key().map_or(1, |(number, _)| number + 1);
        self.by_number.insert(number, key);
        self.write_file()?;
        Ok(number)
    }

    /// Removes every sealing key but the current one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn forget_old(&mut self) -> Result<(), Error> {
        let current = self.current_number();
        self.by_number
            .retain(|number, _| *number == current || *number == HASH_KEY_NUMBER);
        self.write_file()
    }

    fn write_file(&self) -> Result<(), Error> {
        let failed = |error| Error::File(self.file.clone(), error);
        let mut text = String::new();
        for (number, key) in &self.by_number {
            writeln!(text, "{number} {}", STANDARD.encode(key))
                .expect("writing to a string cannot fail");
        }
        let fresh = self.file.with_extension("new");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&fresh, &self.file).map_err(failed)
    }

    fn current_key(&self) -> Option<(u32, &[u8; 32])> {
        let (number, key) = self.by_number.last_key_value()?;
        Some((*number, key))
    }

    /// Returns the number of the key that seals new values.
    pub fn current_number(&self) -> u32 {
        self.current_key().map_or(0, |(number, _)| number)
    }

    /// Seals a value for one field.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn seal_value(&self, field: &SealedField<'_>, value: &str) -> Result<Vec<u8>, Error> {
        let (number, key) = self.current_key().ok_or(Error::UnknownKey(0))?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let sealed = Aes256Gcm::new(key.into())
            .encrypt(
                &nonce.into(),
                field.bound_message(value.as_bytes()).as_payload(),
            )
            .map_err(|_opaque| Error::Damaged)?;
        Ok([&number.to_be_bytes()[..], &nonce, &sealed].concat())
    }

    /// Opens a value that was sealed for this field.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::Damaged`].
    pub fn open_value(&self, field: &SealedField<'_>, sealed: &[u8]) -> Result<String, Error> {
        let (number, rest) = sealed
            .split_first_chunk::<NUMBER_BYTES>()
            .ok_or(Error::Damaged)?;
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(Error::Damaged)?;
        let number = u32::from_be_bytes(*number);
        let key = self
            .by_number
            .get(&number)
            .ok_or(Error::UnknownKey(number))?;
        let opened = Aes256Gcm::new(key.into())
            .decrypt(nonce.into(), field.bound_message(ciphertext).as_payload())
            .map_err(|_opaque| Error::Damaged)?;
        String::from_utf8(opened).map_err(|_not_text| Error::Damaged)
    }

    /// Returns the keyed hash by which a value is found. The key prevents a search through all
    /// possible numbers.
    pub fn blind_index(&self, column: &str, value: &str) -> [u8; 32] {
        let key = self
            .by_number
            .get(&HASH_KEY_NUMBER)
            .copied()
            .unwrap_or_default();
        let mut mac =
            <Hmac<Sha256> as Mac>::new_from_slice(&key).expect("HMAC takes a key of any length");
        for part in ["invigil blind index", column, value] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// Returns the key that seals audit chains, derived so that no key serves two purposes.
    pub fn audit_key(&self) -> [u8; 32] {
        self.blind_index("audit", "chain")
    }
}

/// The person and column that a sealed value is bound to.
#[derive(Debug, Clone, Copy)]
pub struct SealedField<'a> {
    /// Number of the person.
    pub user: i64,
    /// Name of the column.
    pub column: &'a str,
}

/// A message and its associated data.
struct BoundMessage<'a> {
    message: &'a [u8],
    binding: Vec<u8>,
}

impl SealedField<'_> {
    fn bound_message<'a>(&self, message: &'a [u8]) -> BoundMessage<'a> {
        BoundMessage {
            message,
            binding: format!("{}/{}", self.column, self.user).into_bytes(),
        }
    }
}

impl BoundMessage<'_> {
    fn as_payload(&self) -> Payload<'_, '_> {
        Payload {
            msg: self.message,
            aad: &self.binding,
        }
    }
}

/// Masks a value for lists: at most the first 3 and last 4 characters stay readable.
pub fn mask_value(value: &str) -> String {
    let count = value.chars().count();
    let (first, last) = match count {
        0..=5 => (0, 0),
        6..=9 => (2, 1),
        _ => (3, 4),
    };
    value
        .chars()
        .enumerate()
        .map(|(index, c)| {
            if index < first || index >= count - last {
                c
            } else {
                '*'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PHONE: SealedField<'static> = SealedField {
        user: 7,
        column: "phone",
    };

    #[test]
    fn a_value_opens_in_its_place_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        let keys = SealingKeys::open(&file).unwrap();
        let sealed = keys.seal_value(&PHONE, "+8613800138000").unwrap();
        assert_ne!(sealed, keys.seal_value(&PHONE, "+8613800138000").unwrap());
        assert_eq!(keys.open_value(&PHONE, &sealed).unwrap(), "+8613800138000");
        for place in [
            SealedField { user: 8, ..PHONE },
            SealedField {
                column: "id_card",
                ..PHONE
            },
        ] {
            assert!(matches!(
                keys.open_value(&place, &sealed),
                Err(Error::Damaged)
            ));
        }
        for index in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[index] ^= 1;
            assert!(keys.open_value(&PHONE, &broken).is_err(), "byte {index}");
            assert!(keys.open_value(&PHONE, &sealed[..index]).is_err());
        }
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn old_values_open_after_a_new_key_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        let mut keys = SealingKeys::open(&file).unwrap();
        let old = keys.seal_value(&PHONE, "1").unwrap();
        let index = keys.blind_index("phone", "1");
        assert_eq!(keys.add_key().unwrap(), 2);
        let mut keys = SealingKeys::open(&file).unwrap();
        assert_eq!(keys.open_value(&PHONE, &old).unwrap(), "1");
        assert_eq!(keys.blind_index("phone", "1"), index);
        let new = keys.seal_value(&PHONE, "1").unwrap();
        keys.forget_old().unwrap();
        assert!(matches!(
            keys.open_value(&PHONE, &old),
            Err(Error::UnknownKey(1))
        ));
        assert_eq!(
            SealingKeys::open(&file)
                .unwrap()
                .open_value(&PHONE, &new)
                .unwrap(),
            "1"
        );
    }

    #[test]
    fn a_file_that_is_none_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        for text in ["", "1 short\n", "x AAAA\n"] {
            std::fs::write(&file, text).unwrap();
            let error = SealingKeys::open(&file).unwrap_err().to_string();
            assert!(error.ends_with("line 1 is not a key"), "{error}");
        }
    }

    #[test]
    fn a_mask_shows_little() {
        for (value, shown) in [
            ("13800138000", "138****8000"),
            ("110101199003072316", "110***********2316"),
            ("1234567", "12****7"),
            ("12345", "*****"),
            ("", ""),
        ] {
            assert_eq!(mask_value(value), shown);
        }
    }
}
