//! What `/openapi.json` says of the documents that people write. They are read by `documents`, which says more of what is
//! wrong than a schema can.
//!
//! One form describes what is sent and what is shown: what has a default may be left out, and what a host adds is passed
//! over where it is sent back.

#![allow(dead_code, reason = "these are described and never made")]

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A pipeline: which drivers run, in which order, with what.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"name": "line", "resource": "app", "steps": [{"driver": "echo"}]}))]
pub(super) struct PipelineForm {
    /// Its name.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,253}$")]
    name: String,
    /// The kind of resource that it carries.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    resource: String,
    /// What every driver may read.
    #[schema(value_type = Option<Object>)]
    context: Option<Map<String, Value>>,
    /// The same, as Conveyor calls it.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    /// How long a run may take, `1h` where nothing is said.
    timeout: Option<Time>,
    /// In order; may be none.
    #[schema(max_items = 1000)]
    steps: Vec<StepForm>,
    /// What it is for.
    description: Option<String>,
    /// The author's own numbering.
    version: Option<String>,
}

/// A step of a pipeline.
#[derive(Serialize, ToSchema)]
pub(super) struct StepForm {
    /// Unique in the pipeline; the driver's name where nothing is said.
    #[schema(pattern = "^[A-Za-z0-9_-]{0,64}$")]
    id: Option<String>,
    /// A label for people.
    name: Option<String>,
    /// The driver's name.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    driver: String,
    /// What the driver is given besides the resource.
    #[schema(value_type = Option<Object>)]
    with: Option<Map<String, Value>>,
    /// How long one attempt may take, `10m` where nothing is said.
    timeout: Option<Time>,
    /// How long a native driver may be waited for, `1h` where nothing is said.
    queue_timeout: Option<Time>,
    /// What becomes of a retryable failure: nothing where nothing is said.
    retry: Option<RetryForm>,
    /// What becomes of an attempt with effects whose end nobody recorded.
    on_lost: Option<OnLostForm>,
}

/// How often a step is tried, and the pauses between.
#[derive(Serialize, ToSchema)]
pub(super) struct RetryForm {
    /// 1 is no retry.
    #[schema(minimum = 1, maximum = 100)]
    max_attempts: Option<u32>,
    /// The first pause.
    backoff: Option<Time>,
    /// How much longer each pause is than the one before.
    #[schema(minimum = 1, maximum = 10)]
    factor: Option<f64>,
    /// The longest pause.
    max_backoff: Option<Time>,
}

/// What becomes of an attempt with effects whose end nobody recorded.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnLostForm {
    /// It starts again.
    Retry,
    /// It fails.
    Fail,
}

/// A time in whole numbers with units from large to small: `1h30m`, `500ms`.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9]+(ms|[smhd])([0-9]+(ms|[smhd]))*$", example = "1h30m")]
pub(super) struct Time(String);

/// A resource: what the drivers shall make true.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"name": "thing", "resource": "app", "pipeline": "line", "spec": {"size": 3}}))]
pub(super) struct ResourceForm {
    /// Given by the server.
    id: Option<String>,
    /// Its name, unique among those of its kind.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,253}$")]
    name: String,
    /// Its kind.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    resource: String,
    /// The pipeline that it goes through; without one it goes to every driver that listens for its kind.
    #[schema(pattern = "^[A-Za-z0-9._-]{0,253}$")]
    pipeline: Option<String>,
    /// What is said about it; shown with `driverresults.<driver>`, what each driver answered last, as JSON text.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    /// What is wished, in the form that its kind's definition asks for.
    spec: Value,
}

/// A resource as it is shown. It can be sent back as it is.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownResource {
    #[serde(flatten)]
    resource: ResourceForm,
    /// Which spec this is, counted from 1.
    generation: u64,
    /// Its last run.
    last_run: Option<LastRun>,
}

/// The last run of a resource.
#[derive(Serialize, ToSchema)]
pub(super) struct LastRun {
    /// Its id.
    run: String,
    /// Its status in one word.
    status: String,
}

/// A name, or the document itself.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum PipelineOrName {
    /// Of one that is there.
    Name(String),
    /// Applied with the run.
    Itself(Box<PipelineForm>),
}

/// A name, or the document itself.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ResourceOrName {
    /// Of one that is there; with its kind, `KIND/NAME`, where no pipeline says that.
    Name(String),
    /// Applied with the run.
    Itself(Box<ResourceForm>),
}

/// A JSON Schema.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum JsonSchema {
    /// What a value has to be.
    #[schema(value_type = Object)]
    Object(Map<String, Value>),
    /// Anything, or nothing.
    Bool(bool),
}

/// Bytes as they are.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(super) struct Bytes(Vec<u8>);
