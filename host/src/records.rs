//! The records of a run, as stored: separate from the engine's types, each with a version.
//!
//! Owns the JSON of a run's records and the conversion both ways. Never reads or writes a store. A record is
//! written often and read seldom, so its keys are short words and what does not change is kept apart: the
//! [`RunRecord`] is written when the run is made, the [`HeadRecord`] at each transition, a [`StepRecord`] when that step changes.

mod state;

pub use state::{HeadRecord, StepRecord};

use crate::digest::Digest;
use crate::documents::Grants;
use crate::ledger::Ledger;
use beltline_engine::{Event, RunId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The version of every record that this host writes.
pub const RECORD_VERSION: u32 = 1;

/// What a run is of, from its making on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run.
    pub run: RunId,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Why its drivers are called: `create`, `update` or `resync`.
    pub event: String,
    /// The pipeline's name; empty where the resource names none.
    pub pipeline: String,
    /// The kind of the resource.
    pub kind: String,
    /// The resource's name.
    pub resource: String,
    /// The snapshot of the pipeline, its context included.
    pub pipeline_digest: Digest,
    /// The snapshot of the resource.
    pub resource_digest: Digest,
    /// The drivers that its steps name, by the operator's name for them.
    pub drivers: BTreeMap<String, DriverRecord>,
    /// The operator's file, read again when the run goes on; absolute.
    pub config: PathBuf,
    /// Whether it takes the drivers that its host serves, by whichever operator's file the host has then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_served: bool,
    /// The directory that it works on; absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<PathBuf>,
    /// The archive that the workspace was made from, where a client sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Digest>,
    /// Where its steps put what they make; absolute.
    pub out: PathBuf,
    /// Whether a person chose that folder, so that a rerun takes it again.
    #[serde(default)]
    pub out_given: bool,
    /// Other values that whoever ordered it gave for keys of the pipeline's context.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Value>,
    /// Whether drivers were refused that the operator's file does not pin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
    /// The run whose snapshots it took, where it is a rerun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<RunId>,
}

/// That a run has not ended. There is one for each that has not, so that a start finds them without reading the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenRecord {
    /// The kind of its resource.
    pub kind: String,
    /// The name of its resource.
    pub resource: String,
}

/// That a driver wants to look at a resource again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResyncRecord {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The run whose driver asked for it.
    pub run: RunId,
    /// Why it could not begin when its time came, where it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What a driver answered last about a resource, by the run that ended with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnsweredRecord {
    /// The run.
    pub run: RunId,
    /// Whether its step succeeded.
    pub success: bool,
    /// What it said.
    pub message: String,
    /// Whose output it left, while the run is there: its step and the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<AttemptId>,
    /// The output itself, JSON text, once the run has gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

/// How long after its success a run's drivers want to look again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RequeueRecord {
    /// In milliseconds; the shortest that a step of it asked for.
    pub after_ms: u64,
}

/// A driver, as it was when the run was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriverRecord {
    /// Of its bytes, which the state keeps; none where it is a program of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its own version, where its manifest has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it was granted. The run never gets more, whatever the operator grants later.
    pub grants: Grants,
}

/// What one commit meant, under the revision of the run that it led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// In the order in which a person would tell them.
    pub events: Vec<Event>,
    /// What attempts have used that ended with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ledgers: Vec<LedgerRecord>,
    /// The attempts that ended with it by an answer that does not show what it is the answer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfenced: Vec<AttemptId>,
}

/// An attempt of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptId {
    /// The step, by index.
    pub step: u32,
    /// The attempt.
    pub attempt: u32,
}

/// The message that an attempt is in whose driver is native.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DispatchRecord {
    /// The attempt.
    pub attempt: u32,
    /// The message's place in its stream.
    pub sequence: u64,
    /// When the stream was made, by the broker's clock.
    pub stream_ms: i64,
    /// When the driver's consumer was made, by the broker's clock.
    pub consumer_ms: i64,
    /// When the broker had taken it, by the host's clock.
    #[serde(default)]
    pub at_ms: u64,
    /// Whether other drivers of the run share it.
    #[serde(default)]
    pub shared: bool,
    /// Answers that were on the broker before it.
    #[serde(default)]
    pub answers_before: u64,
}

/// An answer that was not taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IgnoredRecord {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Whose it is, as it says.
    pub driver: String,
    /// The step that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The attempt that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Why not.
    pub reason: String,
}

/// What an attempt has used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerRecord {
    /// The step.
    pub step: u32,
    /// The attempt.
    pub attempt: u32,
    /// What it used.
    #[serde(flatten)]
    pub ledger: Ledger,
}

/// A stored record that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Its bytes are not what this host writes.
    #[error("the record `{key}` cannot be read: {source}")]
    Malformed {
        /// The record's key.
        key: String,
        /// Why; its text is part of ours.
        source: serde_json::Error,
    },
    /// It was written by another version.
    #[error("the record `{key}` is of version {found}; this host reads version {RECORD_VERSION}")]
    Version {
        /// The record's key.
        key: String,
        /// Its version.
        found: u32,
    },
    /// It is not there, though another record says that it is.
    #[error("the record `{0}` is missing")]
    Missing(String),
}

/// The bytes of a record: its JSON with the version before its first key.
pub fn encode<T: Serialize>(record: T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(format!(r#"{{"v":{RECORD_VERSION}"#).as_bytes());
    let brace = bytes.len();
    serde_json::to_writer(&mut bytes, &record)
        .expect("records have string keys and no value that JSON lacks");
    if let Some(brace) = bytes.get_mut(brace) {
        *brace = b',';
    }
    bytes
}

/// The record of these bytes; `key` is for the error.
///
/// # Errors
/// [`RecordError::Version`] and [`RecordError::Malformed`].
pub fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, RecordError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let malformed = |source| RecordError::Malformed {
        key: key.to_owned(),
        source,
    };
    let Version { v: found } = serde_json::from_slice(bytes).map_err(malformed)?;
    if found != RECORD_VERSION {
        return Err(RecordError::Version {
            key: key.to_owned(),
            found,
        });
    }
    serde_json::from_slice(bytes).map_err(malformed)
}
