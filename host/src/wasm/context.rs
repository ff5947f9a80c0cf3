//! What a run offers to the driver of a step: its context and what earlier steps left.
//!
//! Outputs are fetched when asked for. Owned by the runner, read by the `run-context` import.

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Gives what a step has left; the runner's own, backed by the store.
pub trait Outputs: Send + Sync {
    /// The output of an attempt, as JSON text; none where that attempt left none.
    fn output(&self, step: u32, attempt: u32) -> BoxFuture<'_, anyhow::Result<Option<Arc<str>>>>;
}

/// How a step stands, as later steps may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepSummary {
    /// The step's id.
    pub step_id: String,
    /// The driver's name.
    pub driver: String,
    /// Its status in the words of the run record.
    pub status: &'static str,
    /// The outcome's message or the failure's reason.
    pub message: String,
    /// Attempts begun.
    pub attempts: u32,
    /// From the first start to the end, in milliseconds.
    pub elapsed_ms: Option<u64>,
    /// The attempt whose output counts, where it left one.
    pub output: Option<u32>,
}

/// The run, as a driver sees it when its attempt begins.
#[derive(Clone)]
pub struct RunContext {
    /// The pipeline's read-only context.
    pub values: Arc<Map<String, Value>>,
    /// All steps in pipeline order.
    pub steps: Vec<StepSummary>,
    /// Where outputs come from.
    pub outputs: Arc<dyn Outputs>,
}

impl RunContext {
    /// What the step of that id left.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn output(&self, step_id: &str) -> anyhow::Result<Option<Arc<str>>> {
        let found = self
            .steps
            .iter()
            .zip(0_u32..)
            .find(|(step, _)| step.step_id == step_id);
        match found.and_then(|(step, index)| Some((index, step.output?))) {
            Some((step, attempt)) => self.outputs.output(step, attempt).await,
            None => Ok(None),
        }
    }
}
