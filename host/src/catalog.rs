//! The catalog: definitions, pipelines and resources as people have applied them, in the store.
//!
//! Owns their keys and the batches that write them. A run keeps snapshots of its own, so nothing in here is read again
//! once a run has begun. Never starts a run and never syncs by itself.
//!
//! ```text
//! definition/<kind>
//! pipeline/<name>
//! resource/<kind>/<name>                as it is now
//! version/<kind>/<name>/<generation>    as it was; the latest hundred
//! ```

use crate::documents::{Definition, Pipeline, Resource};
use crate::records::{RecordError, decode, encode};
use crate::runs::RunsError;
use crate::store::{Batch, Order, Revision, Store};
use beltline_engine::RunId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many versions of a resource are kept.
pub const VERSIONS_MAX: u64 = 100;

/// A definition, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefinitionRecord {
    /// Given by the server; 24 hexadecimal digits.
    pub id: String,
    /// The definition.
    pub definition: Definition,
}

/// A pipeline, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineRecord {
    /// The pipeline.
    pub pipeline: Pipeline,
}

/// A resource, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceRecord {
    /// Given by the server; 24 hexadecimal digits, and the same as long as the resource is there.
    pub id: String,
    /// 1 when it is made, and one more with each change of its spec or its pipeline.
    pub generation: u64,
    /// The resource; its own `id` is the one above.
    pub resource: Resource,
    /// The last run of it that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The first run of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<RunId>,
}

/// A record, and what a write compares to replace it.
#[derive(Debug, Clone)]
pub struct Found<T> {
    /// What is stored.
    pub record: T,
    /// Of the commit that wrote it.
    pub revision: Revision,
}

/// What people have applied.
#[derive(Clone)]
pub struct Catalog {
    store: Arc<dyn Store>,
}

impl Catalog {
    /// Of this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Catalog { store }
    }

    /// The definition of a kind.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn definition(
        &self,
        kind: &str,
    ) -> Result<Option<Found<DefinitionRecord>>, RunsError> {
        self.read(&definition_key(kind)).await
    }

    /// A pipeline by its name.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn pipeline(&self, name: &str) -> Result<Option<Found<PipelineRecord>>, RunsError> {
        self.read(&pipeline_key(name)).await
    }

    /// A resource by its kind and name.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn resource(
        &self,
        kind: &str,
        name: &str,
    ) -> Result<Option<Found<ResourceRecord>>, RunsError> {
        self.read(&resource_key(kind, name)).await
    }

    /// A resource as it was in one of its generations.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn version(
        &self,
        kind: &str,
        name: &str,
        generation: u64,
    ) -> Result<Option<Found<ResourceRecord>>, RunsError> {
        self.read(&version_key(kind, name, generation)).await
    }

    /// Definitions in the order of their kinds, at most `limit`, after the kind `after`.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn definitions(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DefinitionRecord>, RunsError> {
        self.list(DEFINITION, after, limit).await
    }

    /// Pipelines in the order of their names, at most `limit`, after the one named `after`.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn pipelines(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<PipelineRecord>, RunsError> {
        self.list(PIPELINE, after, limit).await
    }

    /// The resources of a kind in the order of their names, at most `limit`, after the one named `after`.
    ///
    /// # Errors
    /// The store's, or the name of a record that cannot be read.
    pub async fn resources(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ResourceRecord>, RunsError> {
        self.list(&format!("{RESOURCE}{kind}/"), after, limit).await
    }

    /// Makes a batch's changes, durably.
    ///
    /// # Errors
    /// The store's.
    pub async fn commit(&self, batch: Batch) -> Result<(), RunsError> {
        let revision = self.store.commit(batch).await?;
        self.store.sync(revision).await?;
        Ok(())
    }

    async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Found<T>>, RunsError> {
        let Some(found) = self.store.get(key).await? else {
            return Ok(None);
        };
        Ok(Some(Found {
            record: decode(key, &found.value)?,
            revision: found.revision,
        }))
    }

    async fn list<T: DeserializeOwned>(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<T>, RunsError> {
        let after = after.map(|after| format!("{prefix}{after}"));
        let found = self
            .store
            .scan(prefix, after.as_deref(), Order::Ascending, limit)
            .await?;
        let decoded = found.iter().map(|one| decode(&one.key, &one.value));
        Ok(decoded.collect::<Result<_, RecordError>>()?)
    }
}

/// Adds to a batch that a key is only written where it is as it was found.
fn expect(batch: Batch, key: &str, found: Option<Revision>) -> Batch {
    match found {
        Some(revision) => batch.expect(key, revision),
        None => batch.expect_absent(key),
    }
}

/// Adds a definition in the place of the one found.
pub fn define(batch: Batch, record: &DefinitionRecord, found: Option<Revision>) -> Batch {
    let key = definition_key(&record.definition.name);
    expect(batch, &key, found).put(key, encode(record))
}

/// Adds a pipeline in the place of the one found.
pub fn keep_pipeline(batch: Batch, record: &PipelineRecord, found: Option<Revision>) -> Batch {
    let key = pipeline_key(&record.pipeline.name);
    expect(batch, &key, found).put(key, encode(record))
}

/// Adds a resource in the place of the one found; `is_new` where it is of a generation of its own.
pub fn keep_resource(
    batch: Batch,
    record: &ResourceRecord,
    found: Option<Revision>,
    is_new: bool,
) -> Batch {
    let (kind, name) = (&record.resource.resource, &record.resource.name);
    let key = resource_key(kind, name);
    let batch = expect(batch, &key, found).put(key, encode(record));
    if !is_new {
        return batch;
    }
    let batch = batch.put(version_key(kind, name, record.generation), encode(record));
    match record.generation.checked_sub(VERSIONS_MAX) {
        Some(old) if old > 0 => batch.delete(version_key(kind, name, old)),
        Some(_) | None => batch,
    }
}

/// Adds that a definition goes.
pub fn remove_definition(kind: &str, found: Revision) -> Batch {
    let key = definition_key(kind);
    Batch::new().expect(&key, found).delete(key)
}

/// Adds that a pipeline goes.
pub fn remove_pipeline(name: &str, found: Revision) -> Batch {
    let key = pipeline_key(name);
    Batch::new().expect(&key, found).delete(key)
}

/// Adds that a resource goes, with its versions.
pub fn remove_resource(record: &ResourceRecord, found: Revision) -> Batch {
    let (kind, name) = (&record.resource.resource, &record.resource.name);
    let key = resource_key(kind, name);
    let batch = Batch::new().expect(&key, found).delete(key);
    let oldest = record.generation.saturating_sub(VERSIONS_MAX) + 1;
    (oldest..=record.generation).fold(batch, |batch, generation| {
        batch.delete(version_key(kind, name, generation))
    })
}

/// Whether a key is the catalog's.
pub fn owns(key: &str) -> bool {
    let own = [DEFINITION, PIPELINE, RESOURCE, VERSION];
    own.iter().any(|prefix| key.starts_with(prefix))
}

const DEFINITION: &str = "definition/";
const PIPELINE: &str = "pipeline/";
const RESOURCE: &str = "resource/";
const VERSION: &str = "version/";

fn definition_key(kind: &str) -> String {
    format!("{DEFINITION}{kind}")
}

fn pipeline_key(name: &str) -> String {
    format!("{PIPELINE}{name}")
}

fn resource_key(kind: &str, name: &str) -> String {
    format!("{RESOURCE}{kind}/{name}")
}

fn version_key(kind: &str, name: &str, generation: u64) -> String {
    format!("{VERSION}{kind}/{name}/{generation:012}")
}
