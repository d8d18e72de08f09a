//! Admission: which person may take an exam, when, and from where.
//!
//! There are two checks: for starting an attempt, and for entering one over a
//! socket. Both decide from values alone. The store counts the used attempts
//! again when it creates one, since two starts may come at the same moment.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{
    exam::Exam,
    id::ExamCode,
    person::{PersonRole, RosterPerson},
    time::Timestamp,
};

/// The reason for which a person may not start or enter an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AdmissionError {
    /// Not a candidate of this exam.
    #[error("You are not enrolled in this exam.")]
    NotEnrolled,
    /// The exam's rules do not allow the client's address.
    #[error("This exam may not be taken from your address.")]
    AddressNotAllowed,
    /// Before the lobby opens.
    #[error("The exam is not open yet.")]
    NotOpen,
    /// After the end of the exam's window.
    #[error("The exam is closed.")]
    Closed,
    /// All attempts are used.
    #[error("You have no attempts left.")]
    NoAttemptsLeft,
    /// The exam's password is missing or wrong.
    #[error("The password of the exam is wrong.")]
    WrongPassword,
}

impl AdmissionError {
    /// The stable code on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotEnrolled => "not_enrolled",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::NotOpen => "not_open",
            Self::Closed => "closed",
            Self::NoAttemptsLeft => "no_attempts_left",
            Self::WrongPassword => "wrong_password",
        }
    }
}

/// A person's request to start an attempt.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionRequest<'a> {
    /// The person who asks.
    pub person: &'a RosterPerson,
    /// The time of the request.
    pub now: Timestamp,
    /// The client's address.
    pub address: IpAddr,
    /// The password that the person typed.
    pub password: Option<&'a str>,
    /// The person's earlier attempts at this exam.
    pub history: PriorAttempts,
}

/// A person's earlier attempts at an exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriorAttempts {
    /// An attempt is open: starting returns it again.
    Open,
    /// No attempt is open; this many are over.
    Over(u16),
}

/// Decides if a person may start an attempt, or get the open one again. The open
/// one needs no second password, and can be reached after the exam's window: its
/// own deadline ends it.
///
/// # Errors
/// The first check that fails.
pub fn may_start(exam: &Exam, start: &AdmissionRequest<'_>) -> Result<(), AdmissionError> {
    if start.person.role != PersonRole::Candidate || !start.person.exams.contains(&exam.code) {
        return Err(AdmissionError::NotEnrolled);
    }
    check_address(exam, start.address)?;
    check_opened(exam, start.now)?;
    match start.history {
        PriorAttempts::Open => Ok(()),
        PriorAttempts::Over(used) => {
            check_closed(exam, start.now)?;
            if used >= exam.max_attempts {
                return Err(AdmissionError::NoAttemptsLeft);
            }
            check_password(exam, start.password)
        }
    }
}

/// Decides if the candidate of an attempt may enter it over a socket.
/// `entered_at` is the time of the first entry. After the exam's window an
/// attempt without a first entry can no longer be entered.
///
/// # Errors
/// The first check that fails.
pub fn may_enter(
    exam: &Exam,
    address: IpAddr,
    now: Timestamp,
    entered_at: Option<Timestamp>,
) -> Result<(), AdmissionError> {
    check_address(exam, address)?;
    check_opened(exam, now)?;
    match entered_at {
        Some(_) => Ok(()),
        None => check_closed(exam, now),
    }
}

/// Returns when the exam opens, if candidates who enter at `now` have to wait in
/// the lobby.
pub fn opens_at(exam: &Exam, now: Timestamp) -> Option<Timestamp> {
    exam.available_from.filter(|from| now < *from)
}

fn check_address(exam: &Exam, address: IpAddr) -> Result<(), AdmissionError> {
    // A socket that listens on IPv6 sees IPv4 addresses as ::ffff:a.b.c.d.
    let address = address.to_canonical();
    let networks = &exam.ip_restrictions;
    if networks.is_empty() || networks.iter().any(|network| network.contains(&address)) {
        Ok(())
    } else {
        Err(AdmissionError::AddressNotAllowed)
    }
}

fn check_opened(exam: &Exam, now: Timestamp) -> Result<(), AdmissionError> {
    match exam.available_from {
        Some(from) if now < from - exam.lobby => Err(AdmissionError::NotOpen),
        _ => Ok(()),
    }
}

fn check_closed(exam: &Exam, now: Timestamp) -> Result<(), AdmissionError> {
    match exam.available_until {
        Some(until) if now >= until => Err(AdmissionError::Closed),
        _ => Ok(()),
    }
}

/// Returns the stored form of an exam's password: its hash, salted with the exam's
/// code. The hash is fast on purpose: the password is announced to a whole room
/// and checked for all candidates within a minute.
pub fn hashed_password(code: &ExamCode, password: &str) -> String {
    let hash = Sha256::new()
        .chain_update("invigil exam password")
        .chain_update(code.as_str())
        .chain_update([0])
        .chain_update(password)
        .finalize();
    format!("{HASHED}{hash:x}")
}

/// Prefix of a hashed password.
const HASHED: &str = "sha256$";

/// Returns true if the password is already hashed.
pub fn is_hashed(password: &str) -> bool {
    password
        .strip_prefix(HASHED)
        .is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn check_password(exam: &Exam, given: Option<&str>) -> Result<(), AdmissionError> {
    let Some(password) = &exam.password else {
        return Ok(());
    };
    let given = given.unwrap_or_default();
    let given = if is_hashed(password) {
        hashed_password(&exam.code, given)
    } else {
        given.to_owned()
    };
    // Hashes have one length, so the time of the comparison reveals neither the
    // length nor a prefix.
    let expected = Sha256::digest(password);
    let given = Sha256::digest(given);
    if bool::from(expected.as_slice().ct_eq(given.as_slice())) {
        Ok(())
    } else {
        Err(AdmissionError::WrongPassword)
    }
}

#[cfg(test)]
mod tests;
