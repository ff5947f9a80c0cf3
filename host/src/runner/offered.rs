//! What a run offers its drivers through `run-context`: its context, how its steps stand, earlier outputs.
//!
//! Outputs are read from the store when asked for, this process's own as well as an earlier one's.

use crate::runs::{Runs, StoredRun};
use crate::view::{elapsed_ms, message};
use crate::wasm::{RunContext, StepSummary};
use beltline_engine::{Run, Step, StepState};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What a run offers to all its attempts.
pub(super) struct Offered {
    runs: Runs,
    values: Map<String, Value>,
}

/// What it offers to one: the run as it was when that began.
struct AtBegin {
    offered: Arc<Offered>,
    run: Arc<Run>,
}

impl Offered {
    pub(super) fn new(runs: Runs, stored: &StoredRun) -> Self {
        let values = stored.pipeline.context.clone();
        Offered { runs, values }
    }

    /// To a driver that begins now.
    pub(super) fn context(self: &Arc<Self>, run: &Arc<Run>) -> Arc<dyn RunContext> {
        Arc::new(AtBegin {
            offered: Arc::clone(self),
            run: Arc::clone(run),
        })
    }
}

impl RunContext for AtBegin {
    fn values(&self) -> &Map<String, Value> {
        &self.offered.values
    }

    fn steps(&self) -> Vec<StepSummary> {
        let steps = self.run.plan.steps.iter().zip(&self.run.steps);
        let steps = steps.map(|(plan, step)| StepSummary {
            step_id: plan.id.clone(),
            driver: plan.driver.clone(),
            status: step.state.status().as_str(),
            message: message(&step.state).to_owned(),
            attempts: step.attempts,
            elapsed_ms: elapsed_ms(step),
            has_output: output(step).is_some(),
        });
        steps.collect()
    }

    fn output<'a>(&'a self, step_id: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Arc<str>>>> {
        let mut steps = (0..).zip(self.run.plan.steps.iter().zip(&self.run.steps));
        let found = steps.find(|(_, (plan, _))| plan.id == step_id);
        let left = found.and_then(|(index, (_, step))| Some((index, output(step)?)));
        async move {
            match left {
                Some((index, attempt)) => Ok(self
                    .offered
                    .runs
                    .output(self.run.id, index, attempt)
                    .await?),
                None => Ok(None),
            }
        }
        .boxed()
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
