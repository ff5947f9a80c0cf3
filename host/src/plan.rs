//! From the pipeline that people write to the plan that the engine runs.
//!
//! Owns the snapshot of a pipeline, from which the plan is made anew whenever a run is loaded: an edit of the
//! file never reaches a run that has begun. Steps wait for the one before them, but where the pipeline is
//! made of the drivers that listen for a kind: there none waits for another.

use crate::clock::millis;
use crate::documents::{OnLost, Pipeline, StepDocument};
use beltline_engine::{Plan, PlanStep, Retry};

/// The largest pipeline, in bytes of its snapshot: one record of the store.
pub const PIPELINE_BYTES_MAX: usize = crate::store::VALUE_BYTES_MAX;

/// The plan of a checked pipeline.
pub fn of(pipeline: &Pipeline) -> Plan {
    let steps = (0_u32..).zip(&pipeline.steps).map(|(index, document)| {
        let before = index.checked_sub(1).filter(|_| !pipeline.independent);
        step(before, document)
    });
    Plan {
        timeout_ms: millis(pipeline.timeout),
        steps: steps.collect(),
    }
}

fn step(before: Option<u32>, document: &StepDocument) -> PlanStep {
    let retry = document.retry;
    PlanStep {
        id: document.id.clone(),
        driver: document.driver.clone(),
        after: before.into_iter().collect(),
        timeout_ms: millis(document.timeout),
        queue_timeout_ms: millis(document.queue_timeout),
        retry: Retry {
            max_attempts: retry.max_attempts,
            backoff_ms: millis(retry.backoff),
            factor: retry.factor,
            max_backoff_ms: millis(retry.max_backoff),
        },
        on_lost: match document.on_lost {
            OnLost::Retry => beltline_engine::OnLost::Retry,
            OnLost::Fail => beltline_engine::OnLost::Fail,
        },
    }
}

/// The canonical JSON text of a pipeline.
pub fn snapshot(pipeline: &Pipeline) -> String {
    serde_json::to_string(pipeline).expect("a pipeline has string keys and finite numbers")
}

/// A pipeline from its canonical JSON text.
///
/// # Errors
/// Where the text is none.
pub fn from_snapshot(text: &str) -> Result<Pipeline, serde_json::Error> {
    serde_json::from_str(text)
}
