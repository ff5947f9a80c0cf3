//! What the world should be doing for a run, read off its state alone. Asking twice gives the same,
//! and so does asking after a crash: there is no outbox and no current step.

use crate::{Phase, Run, StepState};

/// One thing that a run wants. What it no longer wants is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An attempt is to be performed.
    Attempt {
        /// The step, by index.
        step: u32,
        /// The number of the attempt.
        attempt: u32,
        /// Whether its start is recorded. If not, [`crate::Input::Start`] comes first. If so, and it is a
        /// wasm attempt that this host is not performing, also: it is lost, and starts again. After a
        /// start, [`crate::Run::is_open`] says whether the attempt is to run.
        started: bool,
        /// Whether the run was asked to stop: the driver is to be told.
        cancel: bool,
    },
    /// [`crate::Input::Tick`] is to come at this time: the earliest deadline. The last of the list, and
    /// in the list of every run that has not ended.
    Wake {
        /// Unix milliseconds.
        at_ms: u64,
    },
}

impl Run {
    /// What this run wants now. An ended run wants nothing.
    pub fn wanted(&self) -> Vec<Effect> {
        let (mut wake_ms, cancel) = match self.head.phase {
            Phase::Running { deadline_ms } => (deadline_ms, false),
            Phase::Cancelling { until_ms } => (until_ms, true),
            Phase::Ended { .. } => return Vec::new(),
        };
        let mut wanted = Vec::new();
        for (step, current) in (0u32..).zip(&self.steps) {
            match current.state {
                // Nothing is pending in a run that is stopping.
                StepState::Pending => {
                    if self.is_ready(step) {
                        let attempt = current.attempts.saturating_add(1);
                        wanted.push(Effect::Attempt {
                            step,
                            attempt,
                            started: false,
                            cancel,
                        });
                    }
                }
                StepState::Waiting {
                    attempt,
                    deadline_ms,
                    ..
                }
                | StepState::Running {
                    attempt,
                    deadline_ms,
                    ..
                } => {
                    wake_ms = wake_ms.min(deadline_ms);
                    wanted.push(Effect::Attempt {
                        step,
                        attempt,
                        started: true,
                        cancel,
                    });
                }
                StepState::Retrying { at_ms, .. } => wake_ms = wake_ms.min(at_ms),
                StepState::Succeeded { .. }
                | StepState::Failed { .. }
                | StepState::Skipped { .. }
                | StepState::Cancelled { .. }
                | StepState::TimedOut { .. } => {}
            }
        }
        wanted.push(Effect::Wake { at_ms: wake_ms });
        wanted
    }
}
