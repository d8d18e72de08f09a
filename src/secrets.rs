//! What must not be readable where it is kept (passwords, personal data), and what must not be
//! changed where it goes.

pub mod password;
pub mod sealed;
pub mod signed;
