//! The JSON and the queries of runs, as clients write and read them. What runs themselves look like is `view`'s.

use crate::api::schemas::{PipelineOrName, ResourceOrName};
use crate::digest::Digest;
use crate::view::RunView;
use beltline_engine::RunStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;
use utoipa::{IntoParams, ToSchema};

/// What is to be run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"pipeline": "line", "resource": "thing"}))]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// A pipeline's name, or a pipeline, which is applied with the run. Without one the resource's own; where that names
    /// none, each driver that listens for its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PipelineOrName>)]
    pub pipeline: Option<Value>,
    /// A resource's name (`KIND/NAME` without a pipeline), or a resource, which is applied with the run.
    #[schema(value_type = ResourceOrName)]
    pub resource: Value,
    /// Other values for keys that the pipeline's context has; a dot leads into an object.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
    /// The digest of an archive that was sent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub workspace: Option<Digest>,
    /// Over the state folder's own socket only: what `belt run` decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalRun>,
}

/// What only a client of the same user on the same machine decides.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalRun {
    /// The operator's file; absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub config: Option<PathBuf>,
    /// The directory to work on; absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub workspace: Option<PathBuf>,
    /// Where steps put what they make; absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub out: Option<PathBuf>,
    /// Refuse drivers that the operator's file does not pin.
    #[serde(default)]
    pub locked: bool,
}

/// How a run goes on.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoOn {
    /// The step from which a retry begins; else the first that did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Over the state folder's own socket only: paths that are no longer what they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalRun>,
}

/// How a run is cancelled.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// At once, rather than after its attempts have had their time to stop.
    #[serde(default)]
    pub force: bool,
}

/// How long to wait for an answer.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Answer when the run has ended, or after this long: `30s`, at most `5m`.
    #[param(example = "30s", pattern = r"^[0-9]{1,4}(ms|s|m)$")]
    pub wait: Option<String>,
}

/// Which runs.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RunsQuery {
    /// At most so many; 20 where nothing is said, 1000 at most.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
    /// Only those of this status.
    #[param(value_type = Option<String>)]
    pub status: Option<RunStatus>,
    /// Only those of this pipeline.
    pub pipeline: Option<String>,
    /// Only those of resources of this kind.
    pub kind: Option<String>,
    /// Only those of the resource of this name.
    pub resource: Option<String>,
}

/// A page of runs, latest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct RunsPage {
    /// The runs, without attempts and outputs.
    pub runs: Vec<RunView>,
    /// Runs whose records are damaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<DamagedRun>,
    /// Where the next page begins; none on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether something of the store is lost and nobody can tell what.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
}

/// A run that cannot be read.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DamagedRun {
    /// Its id.
    pub run: String,
    /// Why.
    pub error: String,
}
