//! Nothing but a manifest: one choice of features for what every crate is built from.
