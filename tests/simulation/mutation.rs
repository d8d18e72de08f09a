//! Mutations of a program, each of which loses answers, takes time or does things twice: a
//! simulation that does not find them proves nothing.

/// A broken promise of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// Writes of replaced owners are committed.
    FenceRemoved,
    /// An owner is replaced without a new epoch.
    EpochNotRaised,
    /// An attempt is read before its epoch is raised, not after.
    TakeReadsFirst,
    /// A new owner does not see the last answer.
    TakeForgetsAnAnswer,
    /// A new owner takes one command too many for durable.
    TakeClaimsMore,
    /// Writes that the fence kept out are called saved.
    FencedCalledSaved,
    /// A batch is called saved before it is.
    AckBeforeCommit,
    /// A crash of the database takes the last commits with it.
    CommitLost,
    /// The progress of a session becomes durable, and its answers do not.
    ProgressWithoutAnswers,
    /// An older batch that comes late replaces a newer one.
    OlderOverwrites,
    /// The list of staff commands that were done is not kept.
    CommandForgotten,
    /// A node's clock is a minute ahead.
    ClockAhead,
    /// A client takes every answer that it sent for saved.
    ClientTrustsTheWire,
    /// A client takes an answer for saved whose refusal it did not hear.
    ClientTrustsTheNumber,
}

impl Mutation {
    /// All mutations.
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
