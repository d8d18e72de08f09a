//! Source of the engine's random numbers.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use invigil_domain::id::SessionId;

/// Time over which the clients of a draining node come back, milliseconds.
const DRAIN_SPREAD_MS: u64 = 2_000;

/// A source of random bytes. Only simulations, which want the same bytes again, use
/// another than the system's.
pub trait EntropySource: Send + Sync {
    /// Fills a buffer with random bytes.
    ///
    /// # Errors
    /// If there are no random bytes.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error>;
}

/// Random bytes of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl EntropySource for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        getrandom::fill(bytes)
    }
}

/// A session id that cannot be guessed.
///
/// # Errors
/// If there are no random bytes.
pub fn fresh_session(entropy: &dyn EntropySource) -> Result<SessionId, getrandom::Error> {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

/// A number that cannot be guessed.
///
/// # Errors
/// If there are no random bytes.
pub(crate) fn random_number(entropy: &dyn EntropySource) -> Result<u64, getrandom::Error> {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Delay after which a client of a draining node comes back: spread, so that ten thousand
/// do not come at once.
pub(crate) fn drain_retry_ms(entropy: &dyn EntropySource) -> u64 {
    // Without randomness they come back at once, which is no harm.
    random_number(entropy).map_or(0, |random| random % DRAIN_SPREAD_MS)
}
