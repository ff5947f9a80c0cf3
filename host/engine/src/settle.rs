//! What follows from the states of the steps: who may begin, who never will, and when the run is over.

use std::sync::Arc;

use crate::change::Change;
use crate::{End, Phase, Plan, Run, Step, StepState};

impl Change<'_> {
    /// Skips the steps that can no longer begin, and ends the run when none is open.
    pub(crate) fn settle(&mut self) {
        if matches!(self.phase(), Phase::Ended { .. }) || !self.steps_changed() {
            return;
        }
        let mut open = false;
        // Steps wait only for earlier ones: one pass forward reaches all that wait for a failed one.
        for step in self.indices() {
            let Some(current) = self.step(step) else {
                continue;
            };
            match current.state {
                StepState::Pending if self.is_cut_off(step) => {
                    self.set_state(
                        step,
                        StepState::Skipped {
                            at_ms: self.stamp_ms,
                        },
                    );
                }
                StepState::Pending
                | StepState::Waiting { .. }
                | StepState::Running { .. }
                | StepState::Retrying { .. } => open = true,
                StepState::Succeeded { .. }
                | StepState::Failed { .. }
                | StepState::Skipped { .. }
                | StepState::Cancelled { .. }
                | StepState::TimedOut { .. } => {}
            }
        }
        if !open {
            let end = self.end();
            self.set_phase(Phase::Ended {
                at_ms: self.stamp_ms,
                end,
            });
        }
    }

    /// Whether every step that this one waits for succeeded.
    pub(crate) fn is_ready(&self, step: u32) -> bool {
        is_ready(self.plan(), self.steps(), step)
    }

    /// Whether a step that this one waits for ended without success.
    fn is_cut_off(&self, step: u32) -> bool {
        let Some(plan) = self.plan().step(step) else {
            return false;
        };
        plan.after.iter().any(|&after| {
            self.step(after)
                .is_some_and(|s| s.state.is_ended() && !s.state.is_succeeded())
        })
    }

    fn end(&self) -> End {
        match self.phase() {
            // Where all was done by the time it was to stop, there was nothing left to cancel.
            Phase::Cancelling { .. } if !self.steps().iter().all(|s| s.state.is_succeeded()) => {
                return End::Cancelled;
            }
            Phase::Cancelling { .. } | Phase::Running { .. } | Phase::Ended { .. } => {}
        }
        let failures =
            self.indices()
                .filter_map(|step| match &self.step(step)?.state {
                    StepState::Failed { at_ms, failure }
                    | StepState::TimedOut { at_ms, failure } => Some((*at_ms, step, failure)),
                    StepState::Pending
                    | StepState::Waiting { .. }
                    | StepState::Running { .. }
                    | StepState::Retrying { .. }
                    | StepState::Succeeded { .. }
                    | StepState::Skipped { .. }
                    | StepState::Cancelled { .. } => None,
                });
        match failures.min_by_key(|(at_ms, step, _)| (*at_ms, *step)) {
            Some((_, step, failure)) => End::Failed {
                step,
                failure: failure.clone(),
            },
            None => End::Succeeded,
        }
    }
}

impl Run {
    /// Whether every step that this one waits for succeeded.
    pub(crate) fn is_ready(&self, step: u32) -> bool {
        is_ready(&self.plan, &self.steps, step)
    }
}

fn is_ready(plan: &Plan, steps: &[Arc<Step>], step: u32) -> bool {
    let succeeded = |after: &u32| {
        steps
            .get(*after as usize)
            .is_some_and(|step| step.state.is_succeeded())
    };
    plan.step(step)
        .is_some_and(|plan| plan.after.iter().all(succeeded))
}
