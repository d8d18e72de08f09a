//! Rows, statements and the logic between them that both databases share.
//!
//! A statement stands here if one text serves both databases: parameters are `$1`, and
//! JSON is read by `CAST(.. AS text)`. Where the schemas differ, the adapter passes the
//! text, and the parameters and rows are the same.

pub(crate) mod columns;
pub(crate) mod commands;
pub(crate) mod connection;
pub(crate) mod evidence;
pub(crate) mod exams;
pub(crate) mod people;
pub(crate) mod read;
pub(crate) mod rows;
