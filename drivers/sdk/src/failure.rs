//! Why the world does not match the resource.

use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::time::Duration;

/// What `reconcile` returns when the world does not match the resource.
///
/// `?` turns any error into one: its text with its causes, permanent, but retryable where an I/O error says
/// that another try may do better (interrupted, timed out, reset, busy). [`Explain::explain`] puts in front
/// what was being done, which the errors of `std::fs` do not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No attempt will do better. The reason is for a person.
    Permanent(String),
    /// Another attempt may do better; the step's `retry` says how many there are.
    Retryable {
        /// For a person.
        reason: String,
        /// Not earlier than this from now; none leaves it to the step's backoff. Whole milliseconds count.
        after: Option<Duration>,
    },
    /// The driver stopped because it was asked to.
    Cancelled,
    /// Anything else; not retried.
    Other(String),
}

impl Failure {
    /// A failure that no attempt will mend.
    pub fn permanent(reason: impl Into<String>) -> Failure {
        Failure::Permanent(reason.into())
    }

    /// A failure that another attempt may mend, after the step's backoff.
    pub fn retryable(reason: impl Into<String>) -> Failure {
        Failure::Retryable {
            reason: reason.into(),
            after: None,
        }
    }

    /// Not earlier than so long from now. Makes a permanent or other failure retryable; a cancelled one stays.
    #[must_use]
    pub fn after(self, delay: Duration) -> Failure {
        match self {
            Failure::Permanent(reason)
            | Failure::Other(reason)
            | Failure::Retryable { reason, .. } => Failure::Retryable {
                reason,
                after: Some(delay),
            },
            Failure::Cancelled => Failure::Cancelled,
        }
    }

    /// The reason, for a person.
    pub fn reason(&self) -> &str {
        match self {
            Failure::Permanent(reason)
            | Failure::Other(reason)
            | Failure::Retryable { reason, .. } => reason,
            Failure::Cancelled => "cancelled",
        }
    }

    fn prefixed(self, what: &dyn Display) -> Failure {
        match self {
            Failure::Permanent(reason) => Failure::Permanent(format!("{what}: {reason}")),
            Failure::Retryable { reason, after } => Failure::Retryable {
                reason: format!("{what}: {reason}"),
                after,
            },
            Failure::Cancelled => Failure::Cancelled,
            Failure::Other(reason) => Failure::Other(format!("{what}: {reason}")),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        let mut reason = error.to_string();
        let mut transient = may_pass(&error);
        let mut cause = error.source();
        while let Some(error) = cause {
            reason = format!("{reason}: {error}");
            transient |= may_pass(error);
            cause = error.source();
        }
        if transient {
            Failure::retryable(reason)
        } else {
            Failure::Permanent(reason)
        }
    }
}

fn may_pass(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, ResourceBusy, TimedOut,
        WouldBlock,
    };
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            ConnectionAborted
                | ConnectionRefused
                | ConnectionReset
                | Interrupted
                | ResourceBusy
                | TimedOut
                | WouldBlock
        )
    })
}

/// Says what was being done when something failed.
pub trait Explain<T> {
    /// Puts `what` and a colon in front of the reason: `fs::read(&path).explain(path.display())?`.
    ///
    /// # Errors
    /// The failure, if there was one.
    fn explain(self, what: impl Display) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> Explain<T> for Result<T, E> {
    fn explain(self, what: impl Display) -> Result<T, Failure> {
        self.map_err(|error| error.into().prefixed(&what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(kind: io::ErrorKind) -> Result<(), Failure> {
        Err(io::Error::new(kind, "no luck"))?;
        Ok(())
    }

    #[test]
    fn io_errors_are_permanent_unless_they_may_pass() {
        assert_eq!(
            io(io::ErrorKind::NotFound),
            Err(Failure::permanent("no luck"))
        );
        assert_eq!(
            io(io::ErrorKind::TimedOut),
            Err(Failure::retryable("no luck"))
        );
    }

    #[test]
    fn causes_are_told_and_looked_at() {
        #[derive(Debug)]
        struct Outer(io::Error);
        impl Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("upload")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let failure = Failure::from(Outer(io::Error::new(io::ErrorKind::ResourceBusy, "busy")));
        assert_eq!(failure, Failure::retryable("upload: busy"));
    }

    #[test]
    fn explained_keeps_its_kind() {
        let explained = io(io::ErrorKind::TimedOut)
            .explain("fetching x")
            .unwrap_err();
        assert_eq!(explained, Failure::retryable("fetching x: no luck"));
        let delayed = Failure::permanent("later").after(Duration::from_secs(3));
        assert_eq!(
            Err::<(), _>(delayed).explain("y"),
            Err(Failure::Retryable {
                reason: "y: later".into(),
                after: Some(Duration::from_secs(3))
            })
        );
        assert_eq!(
            Err::<(), _>(Failure::Cancelled).explain("z"),
            Err(Failure::Cancelled)
        );
    }
}
