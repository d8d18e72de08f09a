//! Cryptography: password hashes, sealed personal data and signed texts.

pub mod password;
pub mod sealed;
pub mod signed;
