//! What a run offers its drivers through `run-context`: its context, how its steps stand, earlier outputs.
//!
//! Outputs are read from the store when asked for, this process's own as well as an earlier one's.

use crate::runs::{Runs, StoredRun};
use crate::view::{elapsed_ms, message};
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
        Offered {
            runs,
            id: stored.run.id,
            values,
        }
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
        RunContext {
            values: Arc::clone(&self.values),
            steps: steps.collect(),
            outputs,
        }
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
