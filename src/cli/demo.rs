//! `invigil demo`
