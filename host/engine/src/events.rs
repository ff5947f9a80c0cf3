//! What a transition means for a person, found by comparing the states before and after it. Nothing
//! is decided here, and nothing kept: the log of events is the shell's.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Failure, Phase, Placement, Run, RunStatus, Step, StepState, StepStatus};

/// Something that a person may want to know. Steps are named by index, times are Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run was made.
    RunStarted {
        /// How many steps it has.
        steps: u32,
    },
    /// A person had an ended run go on.
    RoundStarted {
        /// The new round.
        round: u32,
        /// The steps that it covers.
        steps: Vec<u32>,
    },
    /// Another owner took the run.
    RunClaimed {
        /// Its epoch.
        epoch: u64,
    },
    /// The run was asked to stop.
    RunCancelling {
        /// When it stops at the latest.
        until_ms: u64,
    },
    /// An attempt waits for its native driver.
    AttemptWaiting {
        /// The step.
        step: u32,
        /// The attempt.
        attempt: u32,
        /// Until when it waits at most.
        deadline_ms: u64,
    },
    /// An attempt started, or started again after a crash of the host.
    AttemptStarted {
        /// The step.
        step: u32,
        /// The attempt.
        attempt: u32,
        /// Which start of this very attempt it is, from 1.
        start: u32,
        /// Where it runs.
        placement: Placement,
    },
    /// An attempt ended.
    AttemptEnded {
        /// The step.
        step: u32,
        /// The attempt.
        attempt: u32,
        /// How.
        end: AttemptEnd,
    },
    /// There will be another attempt.
    RetryScheduled {
        /// The step.
        step: u32,
        /// The attempt to come.
        attempt: u32,
        /// When.
        at_ms: u64,
    },
    /// A step is over for this round.
    StepEnded {
        /// The step.
        step: u32,
        /// How it ended.
        status: StepStatus,
    },
    /// The run is over.
    RunEnded {
        /// How it ended.
        status: RunStatus,
        /// The step that failed first, in a failed run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<u32>,
    },
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// It succeeded.
    Succeeded {
        /// The driver's words.
        message: String,
        /// Whether it left an output.
        output: bool,
    },
    /// It failed or timed out.
    Failed(Failure),
    /// It was cancelled.
    Cancelled {
        /// The driver's words, where it was the driver that stopped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// What happened between two states of one run, one transition apart, in the order in which a person
/// would tell it. `before` is `None` for a new run.
pub fn events(before: Option<&Run>, after: &Run) -> Vec<Event> {
    let mut events = Vec::new();
    match before {
        None => events.push(Event::RunStarted {
            steps: count(after),
        }),
        Some(before) => {
            run_begins(before, after, &mut events);
            for (step, (old, new)) in (0u32..).zip(before.steps.iter().zip(&after.steps)) {
                if !Arc::ptr_eq(old, new) {
                    step_changed(step, old, new, &mut events);
                }
            }
        }
    }
    run_ends(before, after, &mut events);
    events
}

fn count(run: &Run) -> u32 {
    u32::try_from(run.steps.len()).unwrap_or(u32::MAX)
}

fn run_begins(before: &Run, after: &Run, events: &mut Vec<Event>) {
    if after.head.epoch != before.head.epoch {
        events.push(Event::RunClaimed {
            epoch: after.head.epoch,
        });
    }
    let round = after.head.round;
    if round != before.head.round {
        let steps = (0u32..)
            .zip(&after.steps)
            .filter(|(_, step)| step.round == round);
        events.push(Event::RoundStarted {
            round,
            steps: steps.map(|(index, _)| index).collect(),
        });
    }
    if let (Phase::Running { .. }, &Phase::Cancelling { until_ms }) =
        (&before.head.phase, &after.head.phase)
    {
        events.push(Event::RunCancelling { until_ms });
    }
}

fn run_ends(before: Option<&Run>, after: &Run, events: &mut Vec<Event>) {
    if before.is_some_and(Run::is_ended) {
        return;
    }
    if let Phase::Ended { end, .. } = &after.head.phase {
        let step = match end {
            crate::End::Failed { step, .. } => Some(*step),
            crate::End::Succeeded | crate::End::Cancelled | crate::End::TimedOut => None,
        };
        events.push(Event::RunEnded {
            status: end.status(),
            step,
        });
    }
}

fn step_changed(step: u32, old: &Step, new: &Step, events: &mut Vec<Event>) {
    if old.round != new.round {
        return;
    }
    if let (Some(attempt), Some(end)) = (old.open_attempt(), attempt_end(&new.state)) {
        events.push(Event::AttemptEnded { step, attempt, end });
    }
    match &new.state {
        &StepState::Waiting {
            attempt,
            deadline_ms,
            ..
        } => {
            if !old.waits_in(attempt) {
                events.push(Event::AttemptWaiting {
                    step,
                    attempt,
                    deadline_ms,
                });
            }
        }
        &StepState::Running {
            attempt,
            starts,
            placement,
            ..
        } => {
            if starts_of(old) != Some((attempt, starts)) {
                events.push(Event::AttemptStarted {
                    step,
                    attempt,
                    start: starts,
                    placement,
                });
            }
        }
        &StepState::Retrying { at_ms, .. } => {
            if old.open_attempt().is_some() {
                let attempt = new.attempts.saturating_add(1);
                events.push(Event::RetryScheduled {
                    step,
                    attempt,
                    at_ms,
                });
            }
        }
        StepState::Pending => {}
        StepState::Succeeded { .. }
        | StepState::Failed { .. }
        | StepState::Skipped { .. }
        | StepState::Cancelled { .. }
        | StepState::TimedOut { .. } => {
            events.push(Event::StepEnded {
                step,
                status: new.state.status(),
            });
        }
    }
}

fn starts_of(step: &Step) -> Option<(u32, u32)> {
    match step.state {
        StepState::Running {
            attempt, starts, ..
        } => Some((attempt, starts)),
        StepState::Pending
        | StepState::Waiting { .. }
        | StepState::Retrying { .. }
        | StepState::Succeeded { .. }
        | StepState::Failed { .. }
        | StepState::Skipped { .. }
        | StepState::Cancelled { .. }
        | StepState::TimedOut { .. } => None,
    }
}

/// How the attempt ended that led to this state.
fn attempt_end(state: &StepState) -> Option<AttemptEnd> {
    match state {
        StepState::Succeeded {
            message, output, ..
        } => Some(AttemptEnd::Succeeded {
            message: message.clone(),
            output: *output,
        }),
        StepState::Retrying { failure, .. }
        | StepState::Failed { failure, .. }
        | StepState::TimedOut { failure, .. } => Some(AttemptEnd::Failed(failure.clone())),
        StepState::Cancelled { reason, .. } => Some(AttemptEnd::Cancelled {
            reason: reason.clone(),
        }),
        StepState::Pending
        | StepState::Waiting { .. }
        | StepState::Running { .. }
        | StepState::Skipped { .. } => None,
    }
}
