//! Regrading of attempts after a corrected key.

use sqlx::{Postgres, Transaction};

use crate::{ManagementError, UnitOfWork, marking};

/// Regrades attempts that were graded by a key corrected since. Returns the transaction, which
/// regrading owns meanwhile.
pub(in crate::maintenance) async fn run(
    mut tx: Transaction<'static, Postgres>,
) -> Result<(Transaction<'static, Postgres>, String), ManagementError> {
    let stale = marking::correction::stale_attempts(&mut tx).await?;
    let mut work = UnitOfWork::of_engine(tx);
    for attempt in &stale {
        marking::recompute_attempt(&mut work, *attempt).await?;
    }
    Ok((work.tx, format!("{} attempts graded again", stale.len())))
}
