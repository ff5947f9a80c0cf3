//! Why a person's request would change nothing. Asked before the request is folded, so that the
//! person can be told; the fold itself refuses for the same reasons.

use std::fmt;

use crate::{Input, Phase, Run, RunStatus};

/// Why a person's request would change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A cancel of a run that is over.
    AlreadyEnded {
        /// How it ended.
        status: RunStatus,
    },
    /// A second cancel, without force, of a run that is stopping.
    AlreadyCancelling {
        /// When it stops at the latest, in Unix milliseconds.
        until_ms: u64,
    },
    /// A retry of a run that is not over.
    NotEnded {
        /// How it stands.
        status: RunStatus,
    },
    /// A retry without a step of a run all of whose steps succeeded.
    NothingToRetry,
    /// A retry from a step that the run does not have.
    NoSuchStep {
        /// The index asked for.
        step: u32,
        /// How many steps there are.
        steps: usize,
    },
}

impl Run {
    /// Why this cancel or retry would change nothing; `None` where it would, and for all other inputs.
    pub fn refuses(&self, input: &Input) -> Option<Refusal> {
        match input {
            Input::Cancel { force } => self.refuses_cancel(*force),
            Input::Retry { from } => self.refuses_retry(*from),
            Input::Tick
            | Input::Start { .. }
            | Input::Delivered { .. }
            | Input::Answer { .. }
            | Input::Claim { .. } => None,
        }
    }

    fn refuses_cancel(&self, force: bool) -> Option<Refusal> {
        match &self.head.phase {
            Phase::Running { .. } => None,
            Phase::Cancelling { .. } if force => None,
            Phase::Cancelling { until_ms } => Some(Refusal::AlreadyCancelling {
                until_ms: *until_ms,
            }),
            Phase::Ended { end, .. } => Some(Refusal::AlreadyEnded {
                status: end.status(),
            }),
        }
    }

    pub(crate) fn refuses_retry(&self, from: Option<u32>) -> Option<Refusal> {
        if !self.is_ended() {
            return Some(Refusal::NotEnded {
                status: self.status(),
            });
        }
        match from {
            Some(step) if self.step(step).is_none() => Some(Refusal::NoSuchStep {
                step,
                steps: self.steps.len(),
            }),
            Some(_) => None,
            None if self.first_unsuccessful().is_none() => Some(Refusal::NothingToRetry),
            None => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::AlreadyEnded { status } => write!(f, "the run has ended already: {status}"),
            Refusal::AlreadyCancelling { .. } => {
                write!(f, "the run is stopping already; force it to stop at once")
            }
            Refusal::NotEnded { status } => {
                write!(f, "the run has not ended: it is {status}; cancel it first")
            }
            Refusal::NothingToRetry => {
                write!(
                    f,
                    "every step of the run succeeded; name the step to retry from"
                )
            }
            Refusal::NoSuchStep { step, steps } => {
                write!(
                    f,
                    "the run has no step number {step}; it has {steps}, counted from 0"
                )
            }
        }
    }
}

impl std::error::Error for Refusal {}
