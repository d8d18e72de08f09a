//! Faults of a program that would lose answers, take time or do things twice, each put
//! in on purpose: a simulation that does not find them proves nothing.

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// Writes of owners that were replaced are committed.
    FenceRemoved,
    /// An owner is replaced without a new epoch.
    EpochNotRaised,
    /// An attempt is read before its epoch is raised, not after.
    TakeReadsFirst,
    /// A new owner does not see the last answer.
    TakeForgetsAnAnswer,
    /// A new owner takes one more command for durable than are.
    TakeClaimsMore,
    /// What the fence kept out is called saved.
    FencedCalledSaved,
    /// A batch is called saved before it is.
    AckBeforeCommit,
    /// A crash of the database takes the last commits with it.
    CommitLost,
    /// How far a session is becomes durable, and its answers do not.
    ProgressWithoutAnswers,
    /// An older batch that comes late replaces a newer one.
    OlderOverwrites,
    /// Which commands of staff were done is not kept.
    CommandForgotten,
    /// A node's clock is a minute ahead.
    ClockAhead,
    /// A client takes what it sent for saved.
    ClientTrustsTheWire,
    /// A client takes what it did not hear the refusal of for saved.
    ClientTrustsTheNumber,
}

impl Mutation {
    /// Every one.
    pub(crate) const ALL: [Self; 14] = [
        Self::FenceRemoved,
        Self::EpochNotRaised,
        Self::TakeReadsFirst,
        Self::TakeForgetsAnAnswer,
        Self::TakeClaimsMore,
        Self::FencedCalledSaved,
        Self::AckBeforeCommit,
        Self::CommitLost,
        Self::ProgressWithoutAnswers,
        Self::OlderOverwrites,
        Self::CommandForgotten,
        Self::ClockAhead,
        Self::ClientTrustsTheWire,
        Self::ClientTrustsTheNumber,
    ];
}
