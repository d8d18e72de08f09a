//! The keys of the installation, which every node reads from the store.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;

use crate::Error;
use invigil_store::CatalogStore;

/// Keys of this installation, stored with the data.
pub(crate) struct InstallationKeys {
    /// Signs receipts.
    pub receipt: SigningKey,
    /// Seals papers.
    pub paper: [u8; 32],
}

impl std::fmt::Debug for InstallationKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("InstallationKeys")
            .finish_non_exhaustive()
    }
}

impl InstallationKeys {
    /// The key that verifies receipts, standard base64 with padding.
    pub(crate) fn receipt_key_base64(&self) -> String {
        STANDARD.encode(self.receipt.verifying_key().as_bytes())
    }

    /// The keys of this installation, created on the first start.
    ///
    /// # Errors
    /// If the store or the system's randomness fails.
    pub(crate) async fn from_store(store: &dyn CatalogStore) -> Result<Self, Error> {
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh)?;
        let receipt = store.ensure_secret("receipt-signing-key", &fresh).await?;
        getrandom::fill(&mut fresh)?;
        let paper = store.ensure_secret("paper-seal", &fresh).await?;
        Ok(Self {
            receipt: SigningKey::from_bytes(&receipt),
            paper,
        })
    }
}
