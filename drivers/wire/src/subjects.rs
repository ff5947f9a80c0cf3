//! The subjects and streams that host and native drivers share on the broker.

/// The stream of what goes to drivers.
pub const MESSAGES_STREAM: &str = "messages";

/// The stream of what drivers answer.
pub const RESULTS_STREAM: &str = "pipeline-engine";

/// The stream of what drivers say.
pub const LOGS_STREAM: &str = "logs-engine";

/// Where drivers answer.
pub const RESULT_SUBJECT: &str = "pipelines.driver.result";

/// The header that carries the key of an attempt.
pub const KEY_HEADER: &str = "Beltline-Key";

/// Where a driver listens for everything that is meant for it alone.
pub fn driver_subjects(driver: &str) -> String {
    format!("{driver}.resources.*")
}

/// Where an attempt of a driver goes.
pub fn driver_subject(driver: &str, kind: &str) -> String {
    format!("{driver}.resources.{kind}")
}

/// The same, where the driver is one of Conveyor's.
pub fn conveyor_subject(driver: &str, kind: &str) -> String {
    format!("drivers.{driver}.resources.{kind}")
}

/// Where all of Conveyor's drivers hear of a resource that names no pipeline.
pub fn resource_subject(kind: &str) -> String {
    format!("resources.{kind}")
}

/// Where the lines of a run go that are kept.
pub fn log_subject(run: &str) -> String {
    format!("logs.{run}")
}

/// Where the lines of a driver in a run go that nobody keeps.
pub fn live_log_subject(run: &str, driver: &str) -> String {
    format!("live.logs.{run}.{driver}")
}

/// Where a run's drivers hear that it is to stop: a [`crate::Cancel`] each.
pub fn cancel_subject(run: &str) -> String {
    format!("live.cancel.{run}")
}

/// Where each program of a driver answers that it is there, with any message.
pub fn present_subject(driver: &str) -> String {
    format!("live.present.{driver}")
}

/// Where a driver asks for an output that its message did not carry: an [`crate::OutputRequest`], answered with an
/// [`crate::OutputReply`].
pub fn outputs_subject(run: &str) -> String {
    format!("live.outputs.{run}")
}
