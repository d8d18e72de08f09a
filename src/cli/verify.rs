//! `invigil verify`
