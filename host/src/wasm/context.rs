//! What a run offers to the driver of a step: its context and what earlier steps left.
//!
//! Owned by the runner, read by the `run-context` import; nothing of it is made before a guest asks.

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The run, as a driver sees it when its attempt begins.
pub trait RunContext: Send + Sync {
    /// The pipeline's read-only context.
    fn values(&self) -> &Map<String, Value>;

    /// All steps in pipeline order.
    fn steps(&self) -> Vec<StepSummary>;

    /// What the step of that id left, as JSON text; none where it left none.
    ///
    /// # Errors
    /// A fault of the store.
    fn output<'a>(&'a self, step_id: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Arc<str>>>>;
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
    /// Whether it left an output.
    pub has_output: bool,
}
