//! What must not work.
