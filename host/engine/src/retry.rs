//! Trying a step again within its round: what is tried again, and after what rest. Jitter is derived
//! from the run's id, the step and the attempt, so that the machine stays without randomness while
//! runs that failed together do not come back together. A new round is in `rounds.rs`.

use crate::change::Change;
use crate::{Failure, FailureKind, Phase, Retry, RunId};

/// By how much of itself a rest may be shortened. It is never lengthened, so that the maximum that a
/// pipeline gives is one.
const JITTER: f64 = 0.2;

/// Shortest rest in milliseconds: what is scheduled lies ahead.
const REST_MS_MIN: u64 = 1;

impl Change<'_> {
    /// When the step is to be tried again after this failure of its open attempt; `None`: not again.
    pub(crate) fn next_attempt_ms(&self, step: u32, failure: &Failure) -> Option<u64> {
        let current = self.step(step)?;
        let plan = self.plan().step(step)?;
        let goes_on = matches!(self.phase(), Phase::Running { .. });
        if !goes_on || !is_retried(failure.kind) || current.tries() >= plan.retry.max_attempts {
            return None;
        }
        Some(self.now_ms.saturating_add(self.rest_ms(step, failure)?))
    }

    /// The whole rest of a step whose last attempt failed like this, in milliseconds.
    pub(crate) fn rest_ms(&self, step: u32, failure: &Failure) -> Option<u64> {
        let current = self.step(step)?;
        let plan = self.plan().step(step)?;
        let share = jitter(self.before().id, step, current.attempts);
        let rest_ms = backoff_ms(&plan.retry, current.tries(), share);
        // The driver may ask for more, but nothing rests longer than the run may take.
        let asked_ms = asked_ms(failure.kind).min(self.plan().timeout_ms);
        Some(rest_ms.max(asked_ms).max(REST_MS_MIN))
    }
}

fn is_retried(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Retryable { .. } | FailureKind::AttemptTimeout | FailureKind::Lost => true,
        FailureKind::Permanent
        | FailureKind::Cancelled
        | FailureKind::Other
        | FailureKind::Trap
        | FailureKind::Limit
        | FailureKind::QueueTimeout
        | FailureKind::RunTimeout => false,
    }
}

fn asked_ms(kind: FailureKind) -> u64 {
    match kind {
        FailureKind::Retryable { after_ms } => after_ms.unwrap_or(0),
        FailureKind::Permanent
        | FailureKind::Cancelled
        | FailureKind::Other
        | FailureKind::Trap
        | FailureKind::Limit
        | FailureKind::Lost
        | FailureKind::AttemptTimeout
        | FailureKind::QueueTimeout
        | FailureKind::RunTimeout => 0,
    }
}

/// The rest after this many tries: exponential, at most `max_backoff_ms`, and shortened by `share`
/// (0 to 1) of the jitter.
fn backoff_ms(retry: &Retry, tries: u32, share: f64) -> u64 {
    let exponent = i32::try_from(tries.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = retry.backoff_ms as f64 * retry.factor.powi(exponent);
    let whole = grown.min(retry.max_backoff_ms as f64);
    (whole * (1.0 - JITTER * share)) as u64
}

/// A share from 0 to 1, the same whenever it is asked for.
fn jitter(run: RunId, step: u32, attempt: u32) -> f64 {
    let mut hash = (run.0 >> 64) as u64;
    for word in [run.0 as u64, u64::from(step) << 32 | u64::from(attempt)] {
        hash = mix(hash ^ word);
    }
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

/// The finaliser of splitmix64: every bit of the input reaches every bit of the output.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_to_its_maximum() {
        let retry = Retry {
            max_attempts: 9,
            backoff_ms: 1_000,
            factor: 2.0,
            max_backoff_ms: 5_000,
        };
        let rests = [1, 2, 3, 4, 5_000].map(|tries| backoff_ms(&retry, tries, 0.0));
        assert_eq!(rests, [1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(backoff_ms(&retry, 1, 1.0), 800);
    }

    #[test]
    fn jitter_is_repeatable_and_spread() {
        let shares: Vec<f64> = (0..100).map(|run| jitter(RunId(run), 0, 1)).collect();
        assert_eq!(
            shares,
            (0..100)
                .map(|run| jitter(RunId(run), 0, 1))
                .collect::<Vec<_>>()
        );
        let low = shares.iter().filter(|share| **share < 0.5).count();
        assert!((30..=70).contains(&low), "{low} of 100 are below a half");
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        assert_ne!(jitter(RunId(1), 0, 1), jitter(RunId(1), 0, 2));
        assert_ne!(jitter(RunId(1), 0, 1), jitter(RunId(1), 1, 1));
    }
}
