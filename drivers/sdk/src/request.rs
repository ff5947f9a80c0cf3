//! What a driver is asked to do.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One call of `reconcile`: a resource whose spec is an `S`, and the step's own `with`, a `W`.
///
/// Both are decoded before the driver is called; what does not fit is a permanent failure that names the
/// field. `serde_json::Value` takes anything; `#[serde(default, deny_unknown_fields)]` suits a `W`, so that
/// every key has a default and a misspelt one is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request<S = Value, W = Value> {
    /// Why it is called.
    pub event: Event,
    /// The resource's kind.
    pub kind: String,
    /// What the world is to match.
    pub resource: Resource<S>,
    /// The step's own settings.
    pub with: W,
    /// Where in which run this call stands.
    pub run: RunInfo,
}

/// Why a driver is called.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The resource is new.
    Create,
    /// It has changed.
    Update,
    /// It is to go.
    Delete,
    /// Nothing has changed; look whether the world still matches.
    Resync,
    /// A word of a later host.
    Other(String),
}

/// A resource: a named thing of some kind whose wished-for state is its spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Resource<S = Value> {
    /// Its name, unique in its kind.
    pub name: String,
    /// Its kind; `resource` in JSON.
    #[serde(rename = "resource")]
    pub kind: String,
    /// What is wished for.
    pub spec: S,
    /// Counts the changes of the spec, from 1.
    #[serde(default)]
    pub generation: u64,
    /// Whatever else the host says about it.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Where in which run a call stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunInfo {
    /// The run's id, a UUIDv7 in its usual text form.
    pub run_id: String,
    /// The pipeline's name; none when the resource went straight to the drivers of its kind.
    pub pipeline: Option<String>,
    /// The step's id, unique in its pipeline.
    pub step_id: String,
    /// Which try of this step, from 1. It only fences answers; use `key` outwards.
    pub attempt: u32,
    /// The idempotency key, the same for all attempts: hand it to whatever you call, so that what was done
    /// twice counts once.
    pub key: String,
    /// When the host ends this attempt.
    pub deadline: Option<SystemTime>,
    /// W3C trace context of the run. None from 0.1 hosts.
    pub traceparent: Option<String>,
    /// Say what would be done and change nothing. False from 0.1 hosts.
    pub dry_run: bool,
}

impl From<&str> for Event {
    fn from(word: &str) -> Event {
        match word {
            "create" => Event::Create,
            "update" => Event::Update,
            "delete" => Event::Delete,
            "resync" => Event::Resync,
            other => Event::Other(other.to_owned()),
        }
    }
}

impl From<crate::bindings::beltline::driver::types::RunInfo> for RunInfo {
    fn from(info: crate::bindings::beltline::driver::types::RunInfo) -> RunInfo {
        RunInfo {
            run_id: info.run_id,
            pipeline: info.pipeline,
            step_id: info.step_id,
            attempt: info.attempt,
            key: info.key,
            deadline: info
                .deadline_ms
                .map(|ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms)),
            traceparent: info.traceparent,
            dry_run: info.dry_run,
        }
    }
}
