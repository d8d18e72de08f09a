//! Nothing but a manifest: one choice of features for what crates with a runtime are built from.
