//! The end of an attempt. An answer counts only while its attempt is open, so that each step has one
//! outcome a round, however often and late answers come.

use crate::change::Change;
use crate::{Answer, Failure, FailureKind, Phase, StepState};

impl Change<'_> {
    /// Folds an answer, unless it is late, repeated or of another attempt.
    pub(crate) fn answer(&mut self, step: u32, attempt: u32, answer: &Answer) {
        if !self.before().is_open(step, attempt) {
            return;
        }
        match answer {
            Answer::Succeeded { message, output } => {
                let (at_ms, message, output) = (self.stamp_ms, message.clone(), *output);
                self.set_state(
                    step,
                    StepState::Succeeded {
                        at_ms,
                        message,
                        output,
                    },
                );
            }
            Answer::Failed(failure) => self.fail(step, failure.clone()),
        }
    }

    /// The open attempt failed: the step is tried again, or fails for good.
    pub(crate) fn fail(&mut self, step: u32, failure: Failure) {
        match self.next_attempt_ms(step, &failure) {
            Some(at_ms) => self.set_state(step, StepState::Retrying { at_ms, failure }),
            None => self.fail_for_good(step, failure),
        }
    }

    /// The open attempt failed and there will not be another in this round.
    pub(crate) fn fail_for_good(&mut self, step: u32, failure: Failure) {
        let at_ms = self.stamp_ms;
        match failure.kind {
            FailureKind::AttemptTimeout | FailureKind::QueueTimeout | FailureKind::RunTimeout => {
                self.set_state(step, StepState::TimedOut { at_ms, failure });
            }
            FailureKind::Cancelled => self.stopped(step, failure.reason),
            FailureKind::Permanent
            | FailureKind::Retryable { .. }
            | FailureKind::Other
            | FailureKind::Trap
            | FailureKind::Limit
            | FailureKind::Lost => self.set_state(step, StepState::Failed { at_ms, failure }),
        }
    }

    /// The driver says that it was cancelled: where nobody had asked the run to stop, this does.
    fn stopped(&mut self, step: u32, reason: String) {
        let at_ms = self.stamp_ms;
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        self.set_state(step, StepState::Cancelled { at_ms, reason });
        match self.phase() {
            Phase::Running { .. } => self.cancel(false),
            Phase::Cancelling { .. } | Phase::Ended { .. } => {}
        }
    }
}
