//! What a run offers its drivers through `run-context`: its context, how its steps stand, earlier outputs.
//!
//! Outputs of this process are at hand; those of an earlier one are read from the store when asked for.

use crate::runs::{Runs, StoredRun};
use crate::wasm::{Outputs, RunContext, StepSummary};
use beltline_engine::{Run, RunId, Step, StepState};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use std::sync::Arc;

pub(super) struct Offered {
    runs: Runs,
    id: RunId,
    values: Arc<Map<String, Value>>,
}

impl Offered {
    pub(super) fn new(runs: Runs, stored: &StoredRun) -> Self {
        let values = Arc::new(stored.pipeline.context.clone());
        Offered { runs, id: stored.run.id, values }
    }

    /// The run as a driver sees it that begins now.
    pub(super) fn context(self: &Arc<Self>, run: &Run) -> RunContext {
        let steps = run.plan.steps.iter().zip(&run.steps);
        let steps = steps.map(|(plan, step)| StepSummary {
            step_id: plan.id.clone(),
            driver: plan.driver.clone(),
            status: step.state.status().as_str(),
            message: message(&step.state).to_owned(),
            attempts: step.attempts,
            elapsed_ms: elapsed_ms(step),
            output: output(step),
        });
        let outputs: Arc<dyn Outputs> = Arc::<Self>::clone(self);
        RunContext { values: Arc::clone(&self.values), steps: steps.collect(), outputs }
    }
}

impl Outputs for Offered {
    fn output(&self, step: u32, attempt: u32) -> BoxFuture<'_, anyhow::Result<Option<Arc<str>>>> {
        async move { Ok(self.runs.output(self.id, step, attempt).await?) }.boxed()
    }
}

/// The attempt whose output counts.
fn output(step: &Step) -> Option<u32> {
    match step.state {
        StepState::Succeeded { output: true, .. } => Some(step.attempts),
        StepState::Succeeded { .. }
        | StepState::Pending
        | StepState::Waiting { .. }
        | StepState::Running { .. }
        | StepState::Retrying { .. }
        | StepState::Failed { .. }
        | StepState::Skipped { .. }
        | StepState::Cancelled { .. }
        | StepState::TimedOut { .. } => None,
    }
}

/// What a step's state says to a person: the outcome's message or the failure's reason.
pub(crate) fn message(state: &StepState) -> &str {
    match state {
        StepState::Succeeded { message, .. } => message,
        StepState::Retrying { failure, .. }
        | StepState::Failed { failure, .. }
        | StepState::TimedOut { failure, .. } => &failure.reason,
        StepState::Cancelled { reason, .. } => reason.as_deref().unwrap_or_default(),
        StepState::Pending
        | StepState::Waiting { .. }
        | StepState::Running { .. }
        | StepState::Skipped { .. } => "",
    }
}

/// From a step's first start of its round to its end, in milliseconds.
pub(crate) fn elapsed_ms(step: &Step) -> Option<u64> {
    let ended = match step.state {
        StepState::Succeeded { at_ms, .. }
        | StepState::Failed { at_ms, .. }
        | StepState::Cancelled { at_ms, .. }
        | StepState::TimedOut { at_ms, .. } => at_ms,
        StepState::Pending
        | StepState::Waiting { .. }
        | StepState::Running { .. }
        | StepState::Retrying { .. }
        | StepState::Skipped { .. } => return None,
    };
    step.first_started_ms.map(|started| ended.saturating_sub(started))
}
