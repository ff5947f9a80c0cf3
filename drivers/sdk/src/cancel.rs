//! The wish to stop. A driver that works for long looks here between two pieces of work; one that does not
//! is ended when its grace is over.

use crate::{Failure, host};

/// Whether the run has been asked to stop.
pub fn requested() -> bool {
    host::cancel_requested()
}

/// Whether nothing that the driver answers counts any more: its deadline is past, the run was cancelled with force, or a later
/// attempt has begun. A native driver leaves everything as it is then, and at once; a component is ended and never sees it.
pub fn is_over() -> bool {
    host::is_over()
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
