//! Deadlines: each open state has one, directly or through its run. Here they are enforced when they
//! have passed, and cut where a clock that jumped backwards would give more than the whole allowance.

use crate::change::Change;
use crate::failure::duration_text;
use crate::start::{attempt_timeout, queue_timeout};
use crate::{CANCEL_GRACE_MS, End, Failure, FailureKind, Phase, StepState};

impl Change<'_> {
    /// Cuts every deadline to what would be left of it if its allowance began now.
    pub(crate) fn clamp(&mut self) {
        match *self.phase() {
            Phase::Running { deadline_ms } => {
                if let Some(deadline_ms) = self.cut(deadline_ms, self.plan().timeout_ms) {
                    self.set_phase(Phase::Running { deadline_ms });
                }
            }
            Phase::Cancelling { until_ms } => {
                if let Some(until_ms) = self.cut(until_ms, CANCEL_GRACE_MS) {
                    self.set_phase(Phase::Cancelling { until_ms });
                }
            }
            Phase::Ended { .. } => return,
        }
        for step in self.indices() {
            if let Some(state) = self.clamped(step) {
                self.set_state(step, state);
            }
        }
    }

    /// Enforces every deadline that has passed. The run's own comes first: when it is over, nothing
    /// else matters.
    pub(crate) fn enforce(&mut self) {
        let now_ms = self.now_ms;
        match *self.phase() {
            Phase::Running { deadline_ms } if deadline_ms <= now_ms => self.time_out(),
            Phase::Cancelling { until_ms } if until_ms <= now_ms => self.end_cancelled(),
            Phase::Running { .. } | Phase::Cancelling { .. } => {
                for step in self.indices() {
                    self.enforce_step(step);
                }
            }
            Phase::Ended { .. } => {}
        }
    }

    fn enforce_step(&mut self, step: u32) {
        let now_ms = self.now_ms;
        let (Some(current), Some(plan)) = (self.step(step), self.plan().step(step)) else {
            return;
        };
        match current.state {
            StepState::Waiting { deadline_ms, .. } if deadline_ms <= now_ms => {
                self.fail(step, queue_timeout(&plan.driver, plan.queue_timeout_ms));
            }
            StepState::Running { deadline_ms, .. } if deadline_ms <= now_ms => {
                self.fail(step, attempt_timeout(plan.timeout_ms));
            }
            StepState::Retrying { at_ms, .. } if at_ms <= now_ms => {
                self.set_state(step, StepState::Pending);
            }
            StepState::Pending
            | StepState::Waiting { .. }
            | StepState::Running { .. }
            | StepState::Retrying { .. }
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. }
            | StepState::TimedOut { .. } => {}
        }
    }

    /// Ends the run as timed out: what has begun is timed out with it, what has not is skipped.
    pub(crate) fn time_out(&mut self) {
        for step in self.indices() {
            let Some(current) = self.step(step) else {
                continue;
            };
            if current.state.is_ended() {
                continue;
            }
            let at_ms = self.stamp_ms;
            let state = if current.tries() > 0 {
                let timeout = duration_text(self.plan().timeout_ms);
                let reason = format!("the run's timeout of {timeout} passed");
                let failure = Failure::new(FailureKind::RunTimeout, reason);
                StepState::TimedOut { at_ms, failure }
            } else {
                StepState::Skipped { at_ms }
            };
            self.set_state(step, state);
        }
        self.set_phase(Phase::Ended {
            at_ms: self.stamp_ms,
            end: End::TimedOut,
        });
    }

    fn clamped(&self, step: u32) -> Option<StepState> {
        let plan = self.plan().step(step)?;
        match &self.step(step)?.state {
            &StepState::Waiting {
                attempt,
                since_ms,
                deadline_ms,
            } => {
                let deadline_ms = self.cut(deadline_ms, plan.queue_timeout_ms)?;
                Some(StepState::Waiting {
                    attempt,
                    since_ms,
                    deadline_ms,
                })
            }
            &StepState::Running {
                attempt,
                starts,
                started_ms,
                deadline_ms,
                placement,
            } => {
                let deadline_ms = self.cut(deadline_ms, plan.timeout_ms)?;
                Some(StepState::Running {
                    attempt,
                    starts,
                    started_ms,
                    deadline_ms,
                    placement,
                })
            }
            StepState::Retrying { at_ms, failure } => {
                let at_ms = self.cut(*at_ms, self.rest_ms(step, failure)?)?;
                Some(StepState::Retrying {
                    at_ms,
                    failure: failure.clone(),
                })
            }
            StepState::Pending
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. }
            | StepState::TimedOut { .. } => None,
        }
    }

    /// The latest that a deadline of this allowance may be, if it is later than that.
    fn cut(&self, deadline_ms: u64, allowance_ms: u64) -> Option<u64> {
        let latest_ms = self.now_ms.saturating_add(allowance_ms);
        (deadline_ms > latest_ms).then_some(latest_ms)
    }
}
