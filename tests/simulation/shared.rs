//! Small helpers that several tasks of a simulation use.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a task that panicked has failed the run already.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
