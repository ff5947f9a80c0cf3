//! What a native driver answers and says, as Conveyor has it, and beside it what a driver of ours adds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An answer, on `pipelines.driver.result`. Its first four fields are Conveyor's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriverResult {
    /// `driver.result`; newer drivers of Conveyor's put the operation here.
    #[serde(default)]
    pub event: String,
    /// The run.
    pub run_id: String,
    /// The resource of the message, with its `metadata`; where a driver echoes the rest, it may leave it out.
    #[serde(default)]
    pub resource: Value,
    /// How it went.
    pub driverresult: DriverOutcome,
    /// The step that this is the answer of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<String>,
    /// Its attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The attempt's token, as the message had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The place on the broker of the last line that the attempt has said: it stands in the run's log before the answer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_sequence: Option<u64>,
    /// The host in whose process the step ran, which publishes what it has stored: for those who watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// How an attempt went. Its first four fields are Conveyor's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DriverOutcome {
    /// Whether it succeeded.
    pub success: bool,
    /// One line for a person.
    #[serde(default)]
    pub message: String,
    /// What the step leaves for later ones.
    #[serde(default)]
    pub data: Value,
    /// The driver.
    pub driver: String,
    /// How it failed; a failure that does not say may be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<DriverFailure>,
    /// The same in one word, for drivers that say no more: `false` where trying again is no use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// Not earlier than after this many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// How long after the run's success the driver wants to look again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requeue_after_ms: Option<u64>,
}

/// The kinds of failure that a driver tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriverFailure {
    /// Trying again is no use.
    Permanent,
    /// It may be tried again.
    Retryable,
    /// It stopped because it was told to, or wants the run to stop.
    Cancelled,
    /// It failed in a way that it does not know.
    Other,
}

/// A line, on `logs.<run>` and `live.logs.<run>.<driver>`. Its first five fields are Conveyor's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DriverLog {
    /// The run.
    pub runid: String,
    /// The driver.
    #[serde(default)]
    pub driver: String,
    /// The pipeline.
    #[serde(default)]
    pub pipeline: String,
    /// Seconds since the Unix epoch.
    #[serde(default)]
    pub timestamp: String,
    /// The text.
    pub message: String,
    /// The step that says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<String>,
    /// Its attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// When, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// Names and values beside the text.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub fields: serde_json::Map<String, Value>,
}
