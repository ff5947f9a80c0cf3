//! The start of an attempt: the first, the one after a crash of the host, and a native driver taking
//! what was handed to it. Who performs the attempt, and how, is the shell's.

use crate::change::Change;
use crate::failure::duration_text;
use crate::{Failure, FailureKind, OnLost, Phase, Placement, Step, StepState};

/// How often one attempt is started. A second start makes up for a crash that had nothing to do with
/// it; where a third would be due, the driver is the likely reason, and it must not take the host down
/// for ever.
pub const STARTS_MAX: u32 = 2;

impl Change<'_> {
    /// Starts an attempt that is wanted, or starts again one that died with the host. A run whose own
    /// timeout has passed ends instead: nothing may begin in it, and the shell is to see that.
    pub(crate) fn start(&mut self, step: u32, attempt: u32, placement: Placement) {
        if matches!(*self.phase(), Phase::Running { deadline_ms } if deadline_ms <= self.now_ms) {
            return self.time_out();
        }
        let Some(current) = self.step(step) else {
            return;
        };
        match current.state {
            StepState::Pending => {
                if current.attempts.checked_add(1) == Some(attempt) && self.may_begin(step) {
                    self.begin(step, attempt, 1, placement);
                }
            }
            StepState::Running {
                attempt: open,
                starts,
                placement: before,
                ..
            } if open == attempt => {
                match before {
                    // A native driver runs on without its host.
                    Placement::Native => {}
                    Placement::Wasm { effects } => {
                        self.start_again(step, attempt, starts, effects, placement);
                    }
                }
            }
            StepState::Running { .. }
            | StepState::Waiting { .. }
            | StepState::Retrying { .. }
            | StepState::Succeeded { .. }
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. }
            | StepState::TimedOut { .. } => {}
        }
    }

    /// The native driver has the attempt: from here its own timeout runs.
    pub(crate) fn delivered(&mut self, step: u32, attempt: u32) {
        let waits = self.step(step).is_some_and(|step| step.waits_in(attempt));
        if waits {
            self.run(step, attempt, 1, Placement::Native);
        }
    }

    fn may_begin(&self, step: u32) -> bool {
        match self.phase() {
            Phase::Running { .. } => self.is_ready(step),
            Phase::Cancelling { .. } | Phase::Ended { .. } => false,
        }
    }

    fn start_again(
        &mut self,
        step: u32,
        attempt: u32,
        starts: u32,
        effects: bool,
        placement: Placement,
    ) {
        match self.phase() {
            Phase::Running { .. } => {}
            Phase::Ended { .. } => return,
            // It no longer runs, and starting it only to stop it serves nobody.
            Phase::Cancelling { .. } => {
                let at_ms = self.stamp_ms;
                self.set_state(
                    step,
                    StepState::Cancelled {
                        at_ms,
                        reason: None,
                    },
                );
                return;
            }
        }
        let on_lost = self
            .plan()
            .step(step)
            .map_or(OnLost::Retry, |plan| plan.on_lost);
        if effects && on_lost == OnLost::Fail {
            let reason = "the host ended before the attempt did, and `on_lost` is `fail`";
            self.fail_for_good(step, Failure::new(FailureKind::Lost, reason));
        } else if starts >= STARTS_MAX {
            let reason = format!("the host ended {starts} times before the attempt did");
            self.fail(step, Failure::new(FailureKind::Lost, reason));
        } else {
            let placement = match placement {
                Placement::Wasm { effects: more } => Placement::Wasm {
                    effects: effects || more,
                },
                Placement::Native => Placement::Native,
            };
            self.begin(step, attempt, starts.saturating_add(1), placement);
        }
    }

    fn begin(&mut self, step: u32, attempt: u32, starts: u32, placement: Placement) {
        match placement {
            Placement::Wasm { .. } => self.run(step, attempt, starts, placement),
            Placement::Native => {
                let Some(plan) = self.plan().step(step) else {
                    return;
                };
                let since_ms = self.stamp_ms;
                let deadline_ms = self.now_ms.saturating_add(plan.queue_timeout_ms);
                self.open(
                    step,
                    attempt,
                    StepState::Waiting {
                        attempt,
                        since_ms,
                        deadline_ms,
                    },
                );
            }
        }
    }

    fn run(&mut self, step: u32, attempt: u32, starts: u32, placement: Placement) {
        let Some(plan) = self.plan().step(step) else {
            return;
        };
        let started_ms = self.stamp_ms;
        let deadline_ms = self.now_ms.saturating_add(plan.timeout_ms);
        let state = StepState::Running {
            attempt,
            starts,
            started_ms,
            deadline_ms,
            placement,
        };
        self.open(step, attempt, state);
    }

    fn open(&mut self, step: u32, attempt: u32, state: StepState) {
        let Some(current) = self.step(step) else {
            return;
        };
        let first_started_ms = current.first_started_ms.or(Some(self.stamp_ms));
        let next = Step {
            attempts: attempt,
            first_started_ms,
            ..current.with(state)
        };
        self.set_step(step, next);
    }
}

/// Why an attempt of this timeout failed when nobody answered.
pub(crate) fn attempt_timeout(timeout_ms: u64) -> Failure {
    let reason = format!("no answer within {}", duration_text(timeout_ms));
    Failure::new(FailureKind::AttemptTimeout, reason)
}

/// Why an attempt of this driver failed when nobody took it.
pub(crate) fn queue_timeout(driver: &str, queue_timeout_ms: u64) -> Failure {
    let within = duration_text(queue_timeout_ms);
    let reason = format!("driver `{driver}` did not take it within {within}; is it running?");
    Failure::new(FailureKind::QueueTimeout, reason)
}
