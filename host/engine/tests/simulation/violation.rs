//! What is said of an invariant that did not hold.

use std::fmt;

/// An invariant that did not hold.
#[derive(Debug)]
pub(crate) struct Violation {
    /// Its letter in the design.
    pub(crate) invariant: &'static str,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold: {}", self.invariant, self.what)
    }
}

/// Holds, or is a violation.
pub(crate) fn must(
    holds: bool,
    invariant: &'static str,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation {
            invariant,
            what: what(),
        })
    }
}
