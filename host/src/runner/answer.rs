//! From how an attempt ended to what the engine is told: the one place where the three kinds of failure, the
//! driver's own, its traps and its limits, become data.

use crate::wasm::{Ended, GuestFailure, MESSAGE_BYTES, RetryHint};
use beltline_engine::{Answer, Failure, FailureKind};
use std::sync::Arc;

/// What an attempt came to.
#[derive(Debug, Clone)]
pub struct Told {
    /// What the engine is told.
    pub answer: Answer,
    /// What it left, JSON text within the limit.
    pub output: Option<Arc<str>>,
    /// How soon the driver wants to look again.
    pub requeue_after_ms: Option<u64>,
}

pub(super) fn from(ended: Ended) -> Told {
    let failure = match ended {
        Ended::Outcome {
            message,
            output,
            requeue_after_ms,
        } => {
            let answer = Answer::Succeeded {
                message,
                output: output.is_some(),
            };
            return Told {
                answer,
                output,
                requeue_after_ms,
            };
        }
        Ended::Failure(failure) => guest_failure(failure),
        Ended::Trap(reason) => Failure::new(FailureKind::Trap, reason),
        Ended::Limit(over, reason) => {
            let reason = format!("over its {} limit of {}: {reason}", over.limit, over.value);
            Failure::new(FailureKind::Limit, reason)
        }
    };
    let reason = crate::text::cut(&failure.reason, MESSAGE_BYTES);
    Told {
        answer: Answer::Failed(Failure { reason, ..failure }),
        output: None,
        requeue_after_ms: None,
    }
}

fn guest_failure(failure: GuestFailure) -> Failure {
    match failure {
        GuestFailure::Permanent(reason) => Failure::new(FailureKind::Permanent, reason),
        GuestFailure::Retryable(RetryHint { reason, after_ms }) => {
            Failure::new(FailureKind::Retryable { after_ms }, reason)
        }
        GuestFailure::Cancelled => Failure::new(FailureKind::Cancelled, "the driver stopped"),
        GuestFailure::Other(reason) => Failure::new(FailureKind::Other, reason),
    }
}
