//! Who may take an exam, when, and from where.
//!
//! Two doors: starting an attempt, and entering one over a socket. Both are
//! decided from values alone; how many attempts are used up is decided again by
//! the store when it makes one, since two starts may come at the same moment.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    exam::Exam,
    id::ExamCode,
    person::{Person, Role},
    time::Timestamp,
};

/// Why somebody may not start or enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// Not a candidate of this exam.
    #[error("You are not enrolled in this exam.")]
    NotEnrolled,
    /// The exam's rules do not allow the address.
    #[error("This exam may not be taken from your address.")]
    AddressNotAllowed,
    /// Before the lobby opens.
    #[error("The exam is not open yet.")]
    NotOpen,
    /// After the exam's window.
    #[error("The exam is closed.")]
    Closed,
    /// All attempts are used.
    #[error("You have no attempts left.")]
    NoAttemptsLeft,
    /// The exam's password is missing or wrong.
    #[error("The password of the exam is wrong.")]
    WrongPassword,
}

impl Refusal {
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

/// A person's wish to start an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// Who.
    pub person: &'a Person,
    /// When.
    pub now: Timestamp,
    /// Where from.
    pub address: IpAddr,
    /// What was given as the exam's password.
    pub password: Option<&'a str>,
    /// What the person did with this exam before.
    pub history: History,
}

/// What a person did with an exam before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// An attempt is open: starting gives that one again.
    Open,
    /// None is open, so many are over.
    Over(u16),
}

/// Decides whether a person may start an attempt, or get the open one again.
/// The open one needs no password a second time, and stays within reach after
/// the exam's window: its own deadline ends it.
///
/// # Errors
/// The first reason against it.
pub fn may_start(exam: &Exam, start: &Start<'_>) -> Result<(), Refusal> {
    if start.person.role != Role::Candidate || !start.person.exams.contains(&exam.code) {
        return Err(Refusal::NotEnrolled);
    }
    check_address(exam, start.address)?;
    check_opened(exam, start.now)?;
    match start.history {
        History::Open => Ok(()),
        History::Over(used) => {
            check_closed(exam, start.now)?;
            if used >= exam.max_attempts {
                return Err(Refusal::NoAttemptsLeft);
            }
            check_password(exam, start.password)
        }
    }
}

/// Decides whether the candidate of an attempt may enter it over a socket.
/// `entered_at` is when that attempt was first entered; one that never was can
/// no longer be after the exam's window.
///
/// # Errors
/// The first reason against it.
pub fn may_enter(
    exam: &Exam,
    address: IpAddr,
    now: Timestamp,
    entered_at: Option<Timestamp>,
) -> Result<(), Refusal> {
    check_address(exam, address)?;
    check_opened(exam, now)?;
    match entered_at {
        Some(_) => Ok(()),
        None => check_closed(exam, now),
    }
}

/// Whether candidates who enter at `now` wait in the lobby, and until when.
pub fn opens_at(exam: &Exam, now: Timestamp) -> Option<Timestamp> {
    exam.available_from.filter(|from| now < *from)
}

fn check_address(exam: &Exam, address: IpAddr) -> Result<(), Refusal> {
    // A socket that listens on IPv6 sees IPv4 addresses as ::ffff:a.b.c.d.
    let address = address.to_canonical();
    let networks = &exam.ip_restrictions;
    if networks.is_empty() || networks.iter().any(|network| network.contains(&address)) {
        Ok(())
    } else {
        Err(Refusal::AddressNotAllowed)
    }
}

fn check_opened(exam: &Exam, now: Timestamp) -> Result<(), Refusal> {
    match exam.available_from {
        Some(from) if now < from - exam.lobby => Err(Refusal::NotOpen),
        _ => Ok(()),
    }
}

fn check_closed(exam: &Exam, now: Timestamp) -> Result<(), Refusal> {
    match exam.available_until {
        Some(until) if now >= until => Err(Refusal::Closed),
        _ => Ok(()),
    }
}

/// How an exam's password is kept: salted by the exam's code. A password that is
/// told to a whole room, and checked for all of them within a minute, is no place
/// for a slow hash.
pub fn hashed_password(code: &ExamCode, password: &str) -> String {
    let hash = Sha256::new()
        .chain_update("invigil exam password")
        .chain_update(code.as_str())
        .chain_update([0])
        .chain_update(password)
        .finalize();
    format!("{HASHED}{hash:x}")
}

/// What stands before a password that is hashed.
const HASHED: &str = "sha256$";

/// Whether it is a hash already.
pub fn is_hashed(password: &str) -> bool {
    password
        .strip_prefix(HASHED)
        .is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn check_password(exam: &Exam, given: Option<&str>) -> Result<(), Refusal> {
    let Some(password) = &exam.password else {
        return Ok(());
    };
    let given = given.unwrap_or_default();
    let given = if is_hashed(password) {
        hashed_password(&exam.code, given)
    } else {
        given.to_owned()
    };
    // Hashes have one length, so that the time tells neither length nor prefix.
    let expected = Sha256::digest(password);
    let given = Sha256::digest(given);
    if bool::from(expected.as_slice().ct_eq(given.as_slice())) {
        Ok(())
    } else {
        Err(Refusal::WrongPassword)
    }
}

#[cfg(test)]
mod tests;
