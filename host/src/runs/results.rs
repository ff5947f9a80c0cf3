//! What each driver of a run answered, in Conveyor's words.

use super::{Runs, RunsError};
use crate::documents::DRIVER_RESULT;
use crate::view::message;
use beltline_engine::{Run, StepState};
use serde_json::{Map, Value, json};

/// What each driver of a run answered: JSON text under its name. Of a driver with several steps, the last. `keeps_data`
/// says of which step what it left stands there too.
///
/// # Errors
/// The store's.
pub async fn driver_results(
    runs: &Runs,
    run: &Run,
    keeps_data: impl Fn(&str) -> bool,
) -> Result<Map<String, Value>, RunsError> {
    let mut results = Map::new();
    for (index, (plan, step)) in (0_u32..).zip(run.plan.steps.iter().zip(&run.steps)) {
        let success = match step.state {
            StepState::Succeeded { .. } => true,
            StepState::Failed { .. } | StepState::TimedOut { .. } => false,
            StepState::Pending
            | StepState::Waiting { .. }
            | StepState::Running { .. }
            | StepState::Retrying { .. }
            | StepState::Skipped { .. }
            | StepState::Cancelled { .. } => continue,
        };
        let output = match keeps_data(&plan.id) {
            true => runs.output(run.id, index, step.attempts).await?,
            false => None,
        };
        let data = output.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let result = json!({
            "success": success,
            "message": message(&step.state),
            "data": data,
            "driver": plan.driver,
        });
        results.insert(
            format!("{DRIVER_RESULT}{}", plan.driver),
            result.to_string().into(),
        );
    }
    Ok(results)
}
