//! Personal data, sealed with keys that the database never sees.
//!
//! A sealed value is the number of its key (4 bytes, big endian), a nonce
//! (12 bytes) and the AES-256-GCM ciphertext with its tag. What it belongs to (a
//! person and a column) is authenticated with it, so that a value that is copied
//! to another row does not open there. For look-ups stands a keyed hash beside
//! it, the same for the same value in one organisation.
//!
//! The keys are a file that only the engine can read: one line a key, its number
//! and 32 bytes of base64. New values are sealed with the one of the highest
//! number; `invigil keys rotate` adds one and seals everything again. Number 0
//! seals nothing: keyed hashes are made with it, and stay comparable.

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

/// The key of hashes.
const ROOT: u32 = 0;

/// The keys of an installation.
#[derive(Clone)]
pub struct Keys {
    by_number: BTreeMap<u32, [u8; 32]>,
    file: PathBuf,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Keys")
            .field("numbers", &self.by_number.keys())
            .finish_non_exhaustive()
    }
}

/// What is wrong with the keys, or with what they should open.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or written.
    #[error("the key file {}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// The file is no key file.
    #[error("the key file {}: line {} is no key", .0.display(), .1)]
    Line(PathBuf, usize),
    /// The value was sealed with a key that is not in the file.
    #[error("key {0} is not in the key file")]
    UnknownKey(u32),
    /// The value was changed, or is another's.
    #[error("a sealed value does not open")]
    Damaged,
    /// No nonce or no key.
    #[error("draw random bytes")]
    Random(#[from] getrandom::Error),
}

impl Keys {
    /// Reads a key file; makes one with a first key where there is none.
    ///
    /// # Errors
    /// Where that cannot be done.
    pub fn open(file: &Path) -> Result<Self, Error> {
        match std::fs::read_to_string(file) {
            Ok(text) => Self::read(&text, file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut keys = Self {
                    by_number: BTreeMap::new(),
                    file: file.to_owned(),
                };
                let mut root = [0; 32];
                getrandom::fill(&mut root)?;
                keys.by_number.insert(ROOT, root);
                keys.add()?;
                Ok(keys)
            }
            Err(error) => Err(Error::File(file.to_owned(), error)),
        }
    }

    fn read(text: &str, file: &Path) -> Result<Self, Error> {
        let mut by_number = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let key = line.split_once(' ').and_then(|(number, key)| {
                let bytes = STANDARD.decode(key.trim()).ok()?;
                Some((number.parse().ok()?, <[u8; 32]>::try_from(bytes).ok()?))
            });
            let (number, key) = key.ok_or_else(|| Error::Line(file.to_owned(), index + 1))?;
            by_number.insert(number, key);
        }
        // At least one for hashes and one that seals.
        if by_number.len() < 2 || !by_number.contains_key(&ROOT) {
            return Err(Error::Line(file.to_owned(), 1));
        }
        Ok(Self {
            by_number,
            file: file.to_owned(),
        })
    }

    /// Adds a key with which everything is sealed from now on, and gives its
    /// number. The file is replaced as a whole: either it has the key or not.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn add(&mut self) -> Result<u32, Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let number = self.current().map_or(1, |(number, _)| number + 1);
        self.by_number.insert(number, key);
        self.write()?;
        Ok(number)
    }

    /// Forgets every key but the current one.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn forget_old(&mut self) -> Result<(), Error> {
        let current = self.current_number();
        self.by_number
            .retain(|number, _| *number == current || *number == ROOT);
        self.write()
    }

    fn write(&self) -> Result<(), Error> {
        let failed = |error| Error::File(self.file.clone(), error);
        let mut text = String::new();
        for (number, key) in &self.by_number {
            writeln!(text, "{number} {}", STANDARD.encode(key)).expect("a string takes all");
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

    fn current(&self) -> Option<(u32, &[u8; 32])> {
        let (number, key) = self.by_number.last_key_value()?;
        Some((*number, key))
    }

    /// The number of the key that new values are sealed with.
    pub fn current_number(&self) -> u32 {
        self.current().map_or(0, |(number, _)| number)
    }

    /// Seals a value for one place.
    ///
    /// # Errors
    /// Where the system gives no randomness.
    pub fn seal(&self, place: &Place<'_>, value: &str) -> Result<Vec<u8>, Error> {
        let (number, key) = self.current().ok_or(Error::UnknownKey(0))?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let sealed = Aes256Gcm::new(key.into())
            .encrypt(&nonce.into(), place.payload(value.as_bytes()).borrow())
            .map_err(|_opaque| Error::Damaged)?;
        Ok([&number.to_be_bytes()[..], &nonce, &sealed].concat())
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// Where it does not open: never anything that looks like a value.
    pub fn open_value(&self, place: &Place<'_>, sealed: &[u8]) -> Result<String, Error> {
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
            .decrypt(nonce.into(), place.payload(ciphertext).borrow())
            .map_err(|_opaque| Error::Damaged)?;
        String::from_utf8(opened).map_err(|_not_text| Error::Damaged)
    }

    /// The keyed hash by which a value is found: without the keys nobody can try
    /// all numbers that there are.
    pub fn blind_index(&self, column: &str, value: &str) -> [u8; 32] {
        let key = self.by_number.get(&ROOT).copied().unwrap_or_default();
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&key).expect("any length is a key");
        for part in ["invigil blind index", column, value] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// The key that audit chains are sealed with, derived so that no key serves two
    /// purposes.
    pub fn audit_key(&self) -> [u8; 32] {
        self.blind_index("audit", "chain")
    }
}

/// Where a sealed value belongs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The person's number.
    pub user: i64,
    /// The column.
    pub column: &'a str,
}

/// A message with what it is bound to.
struct Bound<'a> {
    message: &'a [u8],
    place: Vec<u8>,
}

impl Place<'_> {
    fn payload<'a>(&self, message: &'a [u8]) -> Bound<'a> {
        Bound {
            message,
            place: format!("{}/{}", self.column, self.user).into_bytes(),
        }
    }
}

impl Bound<'_> {
    fn borrow(&self) -> Payload<'_, '_> {
        Payload {
            msg: self.message,
            aad: &self.place,
        }
    }
}

/// A value for lists: its first and last characters, at most half of it.
pub fn masked(value: &str) -> String {
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

    const PHONE: Place<'static> = Place {
        user: 7,
        column: "phone",
    };

    #[test]
    fn a_value_opens_in_its_place_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        let keys = Keys::open(&file).unwrap();
        let sealed = keys.seal(&PHONE, "+8613800138000").unwrap();
        assert_ne!(sealed, keys.seal(&PHONE, "+8613800138000").unwrap());
        assert_eq!(keys.open_value(&PHONE, &sealed).unwrap(), "+8613800138000");
        for place in [
            Place { user: 8, ..PHONE },
            Place {
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
        let mut keys = Keys::open(&file).unwrap();
        let old = keys.seal(&PHONE, "1").unwrap();
        let index = keys.blind_index("phone", "1");
        assert_eq!(keys.add().unwrap(), 2);
        let mut keys = Keys::open(&file).unwrap();
        assert_eq!(keys.open_value(&PHONE, &old).unwrap(), "1");
        assert_eq!(keys.blind_index("phone", "1"), index);
        let new = keys.seal(&PHONE, "1").unwrap();
        keys.forget_old().unwrap();
        assert!(matches!(
            keys.open_value(&PHONE, &old),
            Err(Error::UnknownKey(1))
        ));
        assert_eq!(
            Keys::open(&file).unwrap().open_value(&PHONE, &new).unwrap(),
            "1"
        );
    }

    #[test]
    fn a_file_that_is_none_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        for text in ["", "1 short\n", "x AAAA\n"] {
            std::fs::write(&file, text).unwrap();
            let error = Keys::open(&file).unwrap_err().to_string();
            assert!(error.ends_with("line 1 is no key"), "{error}");
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
            assert_eq!(masked(value), shown);
        }
    }
}
