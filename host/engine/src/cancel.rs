//! Stopping a run. Asked kindly, what has not begun is cancelled at once and what runs gets a time to
//! answer; asked with force, or when that time is over, everything ends at once. Telling the drivers
//! is the shell's: it stops what is no longer wanted. An attempt that waits for its native driver counts
//! as one that runs, for the driver may have it: a shell that has taken it back in time answers it with
//! [`crate::FailureKind::Cancelled`], and the run need not wait for it.

use crate::change::Change;
use crate::{End, Phase, StepState};

/// How long attempts under way may still answer after a cancel, in milliseconds: long enough for a
/// driver to finish a request and undo a little, short enough for a person at a terminal.
pub const CANCEL_GRACE_MS: u64 = 10_000;

impl Change<'_> {
    /// Stops the run, unless it is over, or stopping already and not to be forced.
    pub(crate) fn cancel(&mut self, force: bool) {
        match self.phase() {
            Phase::Ended { .. } => {}
            Phase::Running { .. } | Phase::Cancelling { .. } if force => self.end_cancelled(),
            Phase::Cancelling { .. } => {}
            &Phase::Running { deadline_ms } => {
                let until_ms = self.now_ms.saturating_add(CANCEL_GRACE_MS).min(deadline_ms);
                self.set_phase(Phase::Cancelling { until_ms });
                self.cancel_steps(false);
            }
        }
    }

    /// Ends the run as cancelled, and with it all that is open.
    pub(crate) fn end_cancelled(&mut self) {
        self.cancel_steps(true);
        self.set_phase(Phase::Ended {
            at_ms: self.stamp_ms,
            end: End::Cancelled,
        });
    }

    /// Cancels the steps that no attempt is under way for, or all that have not ended.
    fn cancel_steps(&mut self, running: bool) {
        for step in self.indices() {
            let Some(current) = self.step(step) else {
                continue;
            };
            let stops = match current.state {
                StepState::Pending | StepState::Retrying { .. } => true,
                StepState::Waiting { .. } | StepState::Running { .. } => running,
                StepState::Succeeded { .. }
                | StepState::Failed { .. }
                | StepState::Skipped { .. }
                | StepState::Cancelled { .. }
                | StepState::TimedOut { .. } => false,
            };
            if stops {
                let at_ms = self.stamp_ms;
                self.set_state(
                    step,
                    StepState::Cancelled {
                        at_ms,
                        reason: None,
                    },
                );
            }
        }
    }
}
