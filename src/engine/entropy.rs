//! Where the engine's random numbers come from.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::domain::id::SessionId;

/// Over how long the clients of a node that shuts down come back.
const DRAIN_SPREAD_MS: u64 = 2_000;

/// A source of random bytes. The system's is the only one outside of simulations,
/// which want the same bytes again.
pub trait Entropy: Send + Sync {
    /// Fills a buffer.
    ///
    /// # Errors
    /// Where there are none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error>;
}

/// The system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        getrandom::fill(bytes)
    }
}

/// A session id that nobody can guess.
///
/// # Errors
/// Where there are no random bytes.
pub fn fresh_session(entropy: &dyn Entropy) -> Result<SessionId, getrandom::Error> {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

/// A number that nobody can guess.
///
/// # Errors
/// Where there are no random bytes.
pub(super) fn number(entropy: &dyn Entropy) -> Result<u64, getrandom::Error> {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// When a client of a node that shuts down should come back: spread, so that
/// ten thousand do not come at once.
pub(super) fn drain_retry_ms(entropy: &dyn Entropy) -> u64 {
    // Without randomness they come back at once, which is no harm.
    number(entropy).map_or(0, |random| random % DRAIN_SPREAD_MS)
}
