//! How a success is told.

use std::time::Duration;

/// What `reconcile` returns when the world matches the resource: a line for a person and, if later steps
/// have a use for it, an output of type `O`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome<O = ()> {
    /// One line for a person. What is over 4 KiB is cut.
    pub message: String,
    /// What this step leaves for later steps: at most 256 KiB of JSON.
    pub output: Option<O>,
    /// Look again so long after the run's success. `belt run` ignores it.
    pub requeue_after: Option<Duration>,
}

impl<O> Outcome<O> {
    /// A success with a line for a person and no output.
    pub fn new(message: impl Into<String>) -> Outcome<O> {
        Outcome {
            message: message.into(),
            output: None,
            requeue_after: None,
        }
    }

    /// Leaves this for later steps.
    #[must_use]
    pub fn output(self, output: O) -> Outcome<O> {
        Outcome {
            output: Some(output),
            ..self
        }
    }

    /// Asks for another look so long after the run's success. Whole milliseconds count.
    #[must_use]
    pub fn requeue_after(self, delay: Duration) -> Outcome<O> {
        Outcome {
            requeue_after: Some(delay),
            ..self
        }
    }
}
