//! The wish to stop. A driver that works for long looks here between two pieces of work; one that does not
//! is ended when its grace is over.

use crate::{Failure, host};

/// Whether the run has been asked to stop.
pub fn requested() -> bool {
    host::cancel_requested()
}

/// Stops here if the run has been asked to: `cancel::check()?`.
///
/// # Errors
/// [`Failure::Cancelled`] if [`requested`].
pub fn check() -> Result<(), Failure> {
    if requested() {
        Err(Failure::Cancelled)
    } else {
        Ok(())
    }
}
