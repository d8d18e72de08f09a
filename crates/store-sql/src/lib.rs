//! The two SQL stores: `sqlite` for one machine, `postgres` for servers.

mod convert;
mod outline;
pub mod postgres;
mod shared;
pub mod sqlite;
