//! What the run has for all its steps: the pipeline's context, what earlier steps left, and how they stand.
//! Fetched from the host when asked for, so that a driver pays for what it reads.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::{Failure, host, reconcile};

/// A value of the pipeline's read-only context; none where the key is not there.
///
/// # Errors
/// Permanent, naming the field, if it is not of the shape `T`.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Failure> {
    host::context(key)
        .map(|text| reconcile::decode(&format!("context.{key}"), &text))
        .transpose()
}

/// The keys of the context, sorted.
pub fn keys() -> Vec<String> {
    host::context_keys()
}

/// What an earlier step of this run left; none where there is no such step, it has not succeeded, or it left
/// nothing.
///
/// # Errors
/// Permanent, naming the field, if it is not of the shape `T`. A native driver's also, retryable, if it was too large to
/// come along and cannot be fetched.
pub fn output<T: DeserializeOwned>(step_id: &str) -> Result<Option<T>, Failure> {
    host::output(step_id)?
        .map(|text| reconcile::decode(&format!("output of step {step_id}"), &text))
        .transpose()
}

/// The ids of the steps that have left an output, in pipeline order.
pub fn outputs() -> Vec<String> {
    host::outputs()
}

/// All steps of the run, in pipeline order, this one among them.
pub fn steps() -> Vec<Step> {
    host::steps()
}

/// How a step of the run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Its id, unique in the pipeline.
    pub id: String,
    /// The driver's name.
    pub driver: String,
    /// `pending`, `running`, `succeeded` and so on; later hosts may know more.
    pub status: String,
    /// Its outcome's message, or the reason of its failure; empty while it has neither.
    pub message: String,
    /// Attempts begun so far.
    pub attempts: u32,
    /// From its first start to its end; none while it has not ended.
    pub elapsed: Option<Duration>,
}

impl Step {
    /// A step with one attempt, no message and no end, for tests to fill in.
    pub fn new(
        id: impl Into<String>,
        driver: impl Into<String>,
        status: impl Into<String>,
    ) -> Step {
        Step {
            id: id.into(),
            driver: driver.into(),
            status: status.into(),
            message: String::new(),
            attempts: 1,
            elapsed: None,
        }
    }
}
