//! What an attempt can answer: a success or a failure, and the kinds of failure. A failure is data
//! here, whoever made it: the driver, the sandbox, or this machine when a deadline passed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an attempt ended, as its driver or its host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It succeeded.
    Succeeded {
        /// The driver's words.
        message: String,
        /// Whether it left an output; the output itself is not kept here.
        output: bool,
    },
    /// It failed.
    Failed(Failure),
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure it is: it decides whether the step is tried again.
    pub kind: FailureKind,
    /// One line for a person.
    pub reason: String,
}

/// The kinds of failure. Tried again are only `Retryable`, `AttemptTimeout` and `Lost`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The driver says that trying again is no use.
    Permanent,
    /// The driver says that it may be tried again.
    Retryable {
        /// Not earlier than after this many milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_ms: Option<u64>,
    },
    /// The driver stopped because it was told to, or wants the run to stop.
    Cancelled,
    /// The driver failed in a way that it does not know.
    Other,
    /// The guest trapped or panicked.
    Trap,
    /// The guest went over one of its limits.
    Limit,
    /// Nobody recorded how the attempt ended.
    Lost,
    /// There was no answer within the step's timeout.
    AttemptTimeout,
    /// The native driver did not take the attempt within the step's queue timeout.
    QueueTimeout,
    /// The run's own timeout passed while the step was open.
    RunTimeout,
}

impl Failure {
    /// A failure of this kind for this reason.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Failure {
        Failure {
            kind,
            reason: reason.into(),
        }
    }
}

impl FailureKind {
    /// Its word in records and for people.
    pub fn as_str(&self) -> &'static str {
        match self {
            FailureKind::Permanent => "permanent",
            FailureKind::Retryable { .. } => "retryable",
            FailureKind::Cancelled => "cancelled",
            FailureKind::Other => "other",
            FailureKind::Trap => "trap",
            FailureKind::Limit => "limit",
            FailureKind::Lost => "lost",
            FailureKind::AttemptTimeout => "attempt_timeout",
            FailureKind::QueueTimeout => "queue_timeout",
            FailureKind::RunTimeout => "run_timeout",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Failure {
    /// `<kind>: <reason>`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.reason)
    }
}

/// A duration in the largest unit that says it exactly, as the files have it: `90s`, `5m`.
pub(crate) fn duration_text(ms: u64) -> String {
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    for (unit, name) in units {
        if ms > 0 && ms.is_multiple_of(unit) {
            return format!("{}{name}", ms / unit);
        }
    }
    format!("{ms}ms")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_the_files() {
        let texts = [0, 7, 1_500, 90_000, 300_000, 7_200_000].map(duration_text);
        assert_eq!(texts, ["0ms", "7ms", "1500ms", "90s", "5m", "2h"]);
    }
}
