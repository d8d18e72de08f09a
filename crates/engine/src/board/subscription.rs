//! The subscription of one console to one board.

use std::sync::Arc;

use invigil_protocol::proctor::ConsoleRow;
use tokio::sync::broadcast;

use super::{BoardMessage, ConsoleFrame, ExamBoard};
use invigil_domain::{id::AttemptId, person::CandidateScope};

/// The subscription of one console to one board.
#[derive(Debug)]
pub struct BoardSubscription {
    pub(super) board: Arc<ExamBoard>,
    pub(super) console: u64,
    pub(super) scope: CandidateScope,
    /// Messages published since the subscription began.
    pub(super) messages: Option<broadcast::Receiver<Arc<BoardMessage>>>,
}

impl BoardSubscription {
    /// Returns the receiver of the board's messages, to its first caller only.
    pub fn take_messages(&mut self) -> Option<broadcast::Receiver<Arc<BoardMessage>>> {
        self.messages.take()
    }

    /// The board.
    pub const fn board(&self) -> &Arc<ExamBoard> {
        &self.board
    }

    /// The candidates that the console sees.
    pub const fn scope(&self) -> &CandidateScope {
        &self.scope
    }

    /// Changes which candidates the console sees.
    pub fn set_scope(&mut self, scope: CandidateScope) {
        self.board.set_scope(self.console, &scope);
        self.scope = scope;
    }

    /// Returns the whole board, in parts that fit a frame each.
    pub fn snapshot_frames(&self) -> Vec<Arc<ConsoleFrame>> {
        self.board.snapshot_frames(&self.scope)
    }

    /// Returns true if the console sees the attempt.
    pub fn sees_attempt(&self, attempt: AttemptId) -> bool {
        self.board.find_row(attempt, &self.scope).is_some()
    }

    /// Returns the row of one attempt, if the console sees it.
    pub(crate) fn wire_row(&self, attempt: AttemptId) -> Option<ConsoleRow> {
        let seat = self.board.find_row(attempt, &self.scope)?;
        let shown = seat.current_state()?;
        Some(seat.to_wire(&shown, None))
    }

    /// Begins or ends the inspection of one attempt; none if the console does not see it.
    pub fn set_inspecting(&self, attempt: AttemptId, on: bool) -> Option<()> {
        let seat = self.board.find_row(attempt, &self.scope)?;
        self.board.set_inspecting(self.console, &seat, on);
        Some(())
    }
}
