//! Limits that clients are told.

/// Clients hold back events under this health.
pub(crate) const HEALTH_EVENTS_MIN: u8 = 5;

/// Limits of a candidate's connection.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// The largest frame from a client, bytes.
    pub frame_bytes: usize,
    /// The largest answer, bytes of JSON.
    pub answer_bytes: usize,
    /// Commands a second on one connection, in the long run.
    pub commands_per_second: u32,
    /// Commands that may come at once.
    pub burst: u32,
    /// Commands that may wait unsaved.
    pub unsaved: u32,
}
