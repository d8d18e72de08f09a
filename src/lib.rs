//! The program's library: what a node of Invigil adds to the crates below it, settings and
//! everything that is spoken over HTTP. In reading order, from the rules outwards:
//!
//! 1. [`invigil_domain`]: the rules of an exam, pure.
//! 2. [`invigil_store`]: the traits of what must last; [`invigil_store_sql`] and
//!    [`invigil_store_mongo`] keep it.
//! 3. [`invigil_cluster`]: the bus between nodes.
//! 4. [`invigil_engine`]: live attempts as actors.
//! 5. [`invigil_management`]: everything around exams that is not live.
//! 6. [`invigil_objects`], [`invigil_secrets`], [`invigil_telemetry`]: files, keys, metrics.
//! 7. [`web`] and [`config`], here; the subcommands stand beside them in `cli`.

pub mod config;
pub mod web;
