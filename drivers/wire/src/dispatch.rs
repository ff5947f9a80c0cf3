//! What goes to a native driver: Conveyor's message, and beside it what a driver of ours needs.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The longest sum of the outputs that a message carries, in bytes of JSON; what is left out is asked for.
pub const OUTPUTS_BYTES_MAX: usize = 256 * 1024;

/// One attempt of a step, handed to its driver. Its first four fields are Conveyor's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dispatch {
    /// Why the driver is called: `create`, `update`, `resync`; `process` for a driver of Conveyor's from the second step on.
    pub event: String,
    /// The JSON text of the resource. Its `metadata` has `driverresults.<driver>` of each step that has ended, and in
    /// `beltline` the step, the attempt and the token, for drivers that echo the resource and nothing else.
    pub payload: String,
    /// 24 hexadecimal digits, of this message.
    pub id: String,
    /// The run.
    pub run_id: String,
    /// The attempt that this is; none where the message is for all drivers of a kind.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<DispatchedAttempt>,
}

/// What a driver is told of the attempt that it is to make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DispatchedAttempt {
    /// The step.
    pub step_id: String,
    /// The number of the attempt, from 1 on through all rounds.
    pub attempt: u32,
    /// Shows that an answer is to this attempt: to be sent back.
    pub token: String,
    /// The same for all attempts of a step in a round: hand it to what you call, so that it can tell a repetition.
    pub key: String,
    /// The pipeline; none where the resource names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// The kind of the resource.
    pub kind: String,
    /// Until when the attempt may wait and work, in milliseconds since the Unix epoch: an answer after it counts no more.
    pub deadline_ms: u64,
    /// How long it may work from when the driver has it, in milliseconds.
    pub timeout_ms: u64,
    /// The step's `with`.
    #[serde(default)]
    pub with: Map<String, Value>,
    /// The operator's `config` for this driver.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// The pipeline's context.
    #[serde(default)]
    pub context: Map<String, Value>,
    /// The pipeline's steps, in order.
    #[serde(default)]
    pub steps: Vec<DispatchedStep>,
    /// What earlier steps left, by step; up to [`OUTPUTS_BYTES_MAX`] in all.
    #[serde(default)]
    pub outputs: BTreeMap<String, Value>,
    /// The steps whose outputs are not here and have to be asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs_left: Vec<String>,
    /// The directory that the run works on, on the host's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The run's folder for what its steps make, on the host's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
    /// The host's machine, for a driver that is given folders to tell whether it is on it: of its kernel's boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// W3C trace context, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// A step of the pipeline, as drivers are told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DispatchedStep {
    /// Its id.
    pub id: String,
    /// Its driver.
    pub driver: String,
    /// Where it stands: `succeeded`, `pending`, …
    pub status: String,
}

/// What goes to `live.cancel.<run>`: the attempt is to stop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cancel {
    /// The run.
    pub run_id: String,
    /// The step; none for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_id: Option<String>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Whether its time to stop is over: nothing that it answers counts any more.
    #[serde(default)]
    pub force: bool,
}

/// What a driver sends to `live.outputs.<run>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputRequest {
    /// The step that asks.
    pub step_id: String,
    /// Its attempt.
    pub attempt: u32,
    /// The attempt's token.
    pub token: String,
    /// The step whose output it is to be.
    pub of: String,
}

/// What it is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputReply {
    /// The output; none where the step left none.
    Output(Option<Value>),
    /// Why there is none.
    Refused(String),
}
