//! What must not be readable where it is kept: passwords, and personal data.

pub mod password;
pub mod sealed;
