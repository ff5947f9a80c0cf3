//! What each driver of a run answered, in Conveyor's words.

use super::{Runs, RunsError};
use crate::documents::DRIVER_RESULT;
use crate::view::message;
use beltline_engine::{Run, StepState};
use serde_json::{Map, Value, json};

/// What each driver of a run answered: JSON text under its name. Of a driver with several steps, the last.
///
/// # Errors
/// The store's.
pub async fn driver_results(runs: &Runs, run: &Run) -> Result<Map<String, Value>, RunsError> {
    let mut results = Map::new();
    for (index, (plan, step)) in (0_u32..).zip(run.plan.steps.iter().zip(&run.steps)) {
        let Some((success, message)) = answer_of(&step.state) else {
            continue;
        };
        let output = runs.output(run.id, index, step.attempts).await?;
        let result = conveyor_result(&plan.driver, success, &message, output.as_deref());
        results.insert(format!("{DRIVER_RESULT}{}", plan.driver), result);
    }
    Ok(results)
}

/// Whether a step that has been answered succeeded, and what was said.
pub(super) fn answer_of(state: &StepState) -> Option<(bool, String)> {
    let success = match state {
        StepState::Succeeded { .. } => true,
        StepState::Failed { .. } | StepState::TimedOut { .. } => false,
        StepState::Pending
        | StepState::Waiting { .. }
        | StepState::Running { .. }
        | StepState::Retrying { .. }
        | StepState::Skipped { .. }
        | StepState::Cancelled { .. } => return None,
    };
    Some((success, message(state).to_owned()))
}

/// JSON text, for Conveyor's users parse it once more.
pub(crate) fn conveyor_result(
    driver: &str,
    success: bool,
    message: &str,
    output: Option<&str>,
) -> Value {
    let data = output.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let result = json!({"success": success, "message": message, "data": data, "driver": driver});
    result.to_string().into()
}
