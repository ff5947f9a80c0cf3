//! From what somebody asks for to a run that is carried.
//!
//! Owns what is checked on the way, and that the resource, the pipeline and the run are written in one commit: either
//! all of it is there, durably, or nothing.

use super::registry::Taking;
use super::{HeldFeed, Owner, OwnerError, blocking};
use crate::catalog::{self, Found, PipelineRecord, ResourceRecord, keep_pipeline, keep_resource};
use crate::digest::Digest;
use crate::documents::{Document, Override, Pipeline, Resource, apply_overrides, misfits};
use crate::drivers::Resolved;
use crate::launch::{Launch, Order, Prepared, Subject, new_id};
use crate::records::RunRecord;
use crate::runs::StoredRun;
use crate::store::{Batch, Revision, Store};
use beltline_engine::RunId;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use uuid::Uuid;

/// How often an order is tried again that others have overtaken.
pub(super) const RACES_MAX: usize = 16;

/// Something that an order names or brings along.
#[derive(Debug, Clone)]
pub enum Named<T> {
    /// By name.
    Name(String),
    /// Itself: it is stored with the run.
    Inline(T),
}

/// Adds to the commit that makes or moves a run.
pub type Along<T = Accepted> = Arc<dyn Fn(Batch, &T) -> Batch + Send + Sync>;

/// What somebody wants to run.
#[derive(Clone)]
pub struct RunOrder {
    /// The pipeline; without one the resource's own, and where that names none, each driver that listens for its kind.
    pub pipeline: Option<Named<Document<Pipeline>>>,
    /// The resource: `name`, or `kind/name` where no pipeline tells the kind.
    pub resource: Named<Document<Resource>>,
    /// Other values for keys of the pipeline's context.
    pub context: Vec<Override>,
    /// What it works on.
    pub workspace: Option<Workspace>,
    /// Whether the resource must not be there yet.
    pub is_new: bool,
    /// Whether the resource must come to be another than it was.
    pub is_change: bool,
    /// Why its drivers are called, where that is not plain from what becomes of the resource.
    pub event: Option<&'static str>,
    /// Adds what is written in the same commit, once it is known what is accepted.
    pub along: Option<Along>,
    /// What only whoever is on the same machine may say.
    pub in_place: Option<InPlace>,
}

impl RunOrder {
    /// Other values for keys of the pipeline's context, as a run keeps them.
    fn set(&self) -> Map<String, Value> {
        let set = self.context.iter().cloned();
        set.map(|one| (one.key, one.value)).collect()
    }
}

/// What a run works on.
#[derive(Debug, Clone)]
pub enum Workspace {
    /// What a client has sent: unpacked into a folder of the run's own.
    Archive(Digest),
    /// A directory, and the archive that it was made from, if it was.
    Folder(PathBuf, Option<Digest>),
}

/// What a client of the same user on the same machine decides, as `belt run` does.
#[derive(Debug, Clone)]
pub struct InPlace {
    /// The operator's file, absolute.
    pub config: PathBuf,
    /// Where steps put what they make.
    pub out: Option<PathBuf>,
    /// Whether drivers are refused that the operator's file does not pin.
    pub locked: bool,
}

/// A run that is durable, and what whoever ordered it may want to know.
pub struct Accepted {
    /// Held since before it began.
    pub feed: HeldFeed,
    /// The run, as it was made.
    pub stored: StoredRun,
    /// The resource that it is of, as it is stored; none where that is gone.
    pub resource: Option<ResourceRecord>,
    /// In sentences.
    pub notes: Vec<String>,
}

/// What becomes of a resource, and why its drivers are called.
pub(super) struct Change {
    pub(super) record: ResourceRecord,
    pub(super) found: Option<Revision>,
    pub(super) event: &'static str,
    /// Whether it is of a new generation.
    pub(super) is_new: bool,
}

impl Owner {
    /// Makes a run of an order. It is durable when this returns.
    ///
    /// # Errors
    /// Every way in which the order cannot be met; then nothing of it is stored.
    pub async fn order(self: &Arc<Self>, order: RunOrder) -> Result<Accepted, OwnerError> {
        for _ in 0..RACES_MAX {
            match self.try_order(&order).await {
                Err(error) => match error.lost_race() {
                    None => return Err(error),
                    // A key that came along, and somebody has used it.
                    Some(key) if !catalog::owns(key) => return Err(OwnerError::Repeated),
                    Some(_) => {}
                },
                done => {
                    if matches!(order.pipeline, Some(Named::Inline(_))) {
                        self.try_resyncs_again();
                    }
                    return done;
                }
            }
        }
        Err(OwnerError::Contended)
    }

    /// The same on the owner's own threads: it is carried out to the end, whatever becomes of whoever asked.
    ///
    /// # Errors
    /// As [`Owner::order`].
    pub async fn order_apart(self: &Arc<Self>, order: RunOrder) -> Result<Accepted, OwnerError> {
        let owner = Arc::clone(self);
        self.apart(async move { owner.order(order).await }).await
    }

    /// Waits until all that has been written is durable.
    ///
    /// # Errors
    /// The store's: then some of it is taken back.
    pub async fn synced(self: &Arc<Self>) -> Result<(), OwnerError> {
        let owner = Arc::clone(self);
        let sync = async move {
            let last = owner.store.commit(Batch::new()).await?;
            Ok(owner.store.sync(last).await?)
        };
        self.apart(sync).await
    }

    /// Does something on the owner's own threads, to the end, whatever becomes of whoever asked for it.
    ///
    /// # Errors
    /// Those of what is done.
    pub async fn apart<T: Send + 'static, E: From<OwnerError> + Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E> {
        let done = self.runtime.spawn(work);
        done.await.map_err(|_| OwnerError::Panicked)?
    }

    async fn try_order(self: &Arc<Self>, order: &RunOrder) -> Result<Accepted, OwnerError> {
        let mut along = Batch::new();
        let named = match &order.pipeline {
            Some(Named::Inline(document)) => {
                let found = self.catalog.pipeline(&document.name).await?;
                let record = PipelineRecord {
                    pipeline: document.value.clone(),
                };
                if found.as_ref().is_none_or(|found| found.record != record) {
                    along = keep_pipeline(along, &record, found.map(|found| found.revision));
                }
                Some(record.pipeline)
            }
            Some(Named::Name(name)) => Some(self.pipeline(name).await?),
            None => None,
        };
        let change = self.change(&order.resource, named.as_ref()).await?;
        if order.is_new && change.found.is_some() {
            let resource = &change.record.resource;
            return Err(OwnerError::Exists {
                what: "resource",
                name: format!("{}/{}", resource.resource, resource.name),
            });
        }
        if order.is_change && change.found.is_some() && !change.is_new {
            return Err(OwnerError::Unchanged);
        }
        let resource = &change.record.resource;
        let pipeline = match (named, &resource.pipeline) {
            (Some(pipeline), _) => Some(pipeline),
            (None, Some(name)) => Some(self.named_pipeline(name).await?),
            (None, None) => None,
        };
        let mut notes = Vec::new();
        let is_checked = self.check(resource, pipeline.as_ref()).await?;
        if !is_checked {
            let kind = &resource.resource;
            if order.in_place.is_none() {
                let why = format!("kind `{kind}` has no definition; apply one first");
                return Err(OwnerError::resource("/resource", why));
            }
            notes.push(format!(
                "no definition of `{kind}` was given, so the spec is unchecked"
            ));
        }
        let has_pipeline = pipeline.is_some();
        let (taking, prepared) = self.prepare(pipeline, &resource.resource, order).await?;
        notes.extend(lacks(&prepared));
        if !has_pipeline && prepared.used.is_empty() {
            let kind = &resource.resource;
            notes.push(format!(
                "no driver listens for kind `{kind}`, so there is nothing to do"
            ));
        }
        let accepted = self.run_of(change, along, &prepared, order, notes).await;
        drop(taking);
        accepted
    }

    async fn run_of(
        self: &Arc<Self>,
        mut change: Change,
        along: Batch,
        prepared: &Prepared,
        order: &RunOrder,
        notes: Vec<String>,
    ) -> Result<Accepted, OwnerError> {
        let id = new_id();
        let (workspace, archive) = match order.workspace.clone() {
            None => (None, None),
            Some(Workspace::Folder(folder, archive)) => (Some(folder), archive),
            Some(Workspace::Archive(digest)) => {
                (Some(self.unpacked(digest, id).await?), Some(digest))
            }
        };
        let in_place = order.in_place.as_ref();
        let event = order.event.unwrap_or(change.event);
        let launch = prepared.new_run(
            Order {
                id,
                event: event.to_owned(),
                resource: Subject::new(&change.record.resource, change.record.generation),
                workspace,
                archive,
                out: in_place.and_then(|place| place.out.clone()),
                set: order.set(),
                locked: in_place.is_some_and(|place| place.locked),
                rerun_of: None,
            },
            &self.state,
        )?;
        prepared.keep(&launch, &self.state)?;
        change.record.run = Some(id);
        if change.found.is_none() {
            change.record.since = Some(id);
        }
        let along = keep_resource(along, &change.record, change.found, change.is_new);
        let add = order.along.as_ref();
        self.accept(launch, Some(change.record), notes, along, add)
            .await
    }

    /// Carries a new run of a resource, with what is to be written along with it.
    pub(super) async fn accept(
        self: &Arc<Self>,
        launch: Launch,
        resource: Option<ResourceRecord>,
        notes: Vec<String>,
        along: Batch,
        add: Option<&Along>,
    ) -> Result<Accepted, OwnerError> {
        let accepted = Accepted {
            feed: self.feed(launch.stored.run.id),
            stored: launch.stored.clone(),
            resource,
            notes,
        };
        let along = match add {
            Some(add) => add(along, &accepted),
            None => along,
        };
        self.carry(launch, along).await?;
        Ok(accepted)
    }

    /// The folder of a run that works on what a client has sent.
    pub(super) async fn unpacked(&self, digest: Digest, id: RunId) -> Result<PathBuf, OwnerError> {
        let workspaces = self.workspaces();
        Ok(blocking(move || workspaces.make(digest, &id.to_string())).await??)
    }

    /// Whether a run was given what only whoever is on the same machine may say.
    pub fn is_of_here(&self, record: &RunRecord) -> bool {
        record.out_given
            || record.locked
            || record.workspace.is_some() && record.archive.is_none()
            || !record.is_served && !self.registry.is_served(&record.config)
    }

    /// A pipeline by its name.
    async fn pipeline(&self, name: &str) -> Result<Pipeline, OwnerError> {
        let found = self.catalog.pipeline(name).await?;
        let found = found.ok_or_else(|| OwnerError::not_found("pipeline", name))?;
        Ok(found.record.pipeline)
    }

    /// The pipeline that a resource names.
    async fn named_pipeline(&self, name: &str) -> Result<Pipeline, OwnerError> {
        let found = self.catalog.pipeline(name).await?;
        let found = found.ok_or_else(|| {
            let why = format!("there is no pipeline `{name}`; apply it first");
            OwnerError::resource("/pipeline", why)
        })?;
        Ok(found.record.pipeline)
    }

    /// What becomes of the resource of an order.
    async fn change(
        &self,
        resource: &Named<Document<Resource>>,
        pipeline: Option<&Pipeline>,
    ) -> Result<Change, OwnerError> {
        match resource {
            Named::Inline(document) => {
                let (kind, name) = (&document.resource, &document.name);
                let found = self.catalog.resource(kind, name).await?;
                Ok(Change::to(document.value.clone(), found))
            }
            Named::Name(named) => {
                let of_pipeline = pipeline.map(|pipeline| pipeline.resource.as_str());
                let parts = named.split_once('/').map(|(kind, name)| (Some(kind), name));
                let (kind, name) = parts.unwrap_or((of_pipeline, named));
                let kind = kind.ok_or_else(|| OwnerError::Field {
                    field: "/resource",
                    why: format!("`{named}` could be of any kind; give `KIND/NAME`, or a pipeline"),
                })?;
                let found = self.catalog.resource(kind, name).await?;
                let missing = || OwnerError::not_found("resource", format!("{kind}/{name}"));
                let Found { record, revision } = found.ok_or_else(missing)?;
                Ok(Change {
                    record,
                    found: Some(revision),
                    event: "update",
                    is_new: false,
                })
            }
        }
    }

    /// Checks a resource against its pipeline and the definition of its kind. Says whether there is one.
    pub(super) async fn check(
        &self,
        resource: &Resource,
        pipeline: Option<&Pipeline>,
    ) -> Result<bool, OwnerError> {
        let definition = self.catalog.definition(&resource.resource).await?;
        let fits_pipeline = pipeline.is_none_or(|pipeline| {
            let named = resource.pipeline.as_ref();
            pipeline.resource == resource.resource
                && named.is_none_or(|named| *named == pipeline.name)
        });
        let fits = match &definition {
            None => true,
            Some(found) => {
                let check = self.registry.spec_check(found);
                check.is_some_and(|check| check.fits(&resource.spec))
            }
        };
        if !(fits && fits_pipeline) {
            let definition = definition.as_ref().map(|found| &found.record.definition);
            let found = misfits(resource, pipeline, definition);
            if !found.is_empty() {
                return Err(OwnerError::Resource(found));
            }
        }
        Ok(definition.is_some())
    }

    async fn prepare(
        self: &Arc<Self>,
        pipeline: Option<Pipeline>,
        kind: &str,
        order: &RunOrder,
    ) -> Result<(Taking, Arc<Prepared>), OwnerError> {
        let mut pipeline = match pipeline {
            Some(pipeline) => pipeline,
            None => self.registry.listening(kind, order.in_place.as_ref())?,
        };
        apply_overrides(&mut pipeline, &order.context)?;
        match order.in_place.clone() {
            None if !self.registry.serves() => Err(OwnerError::Conflict(
                "this host serves no drivers of its own; `belt up` does".to_owned(),
            )),
            None => self.registry.prepared(self, pipeline).await,
            Some(place) => {
                let taking = self.registry.take(&pipeline).await?;
                let owner = Arc::clone(self);
                let prepared = move || owner.registry.prepared_by(&owner, pipeline, &place);
                Ok((taking, blocking(prepared).await??))
            }
        }
    }
}

impl Change {
    /// To what somebody wishes, from what was found.
    pub(super) fn to(mut wish: Resource, found: Option<Found<ResourceRecord>>) -> Change {
        let Some(Found { record, revision }) = found else {
            let id = wish.id.unwrap_or_else(new_resource_id);
            wish.id = Some(id.clone());
            return Change {
                record: ResourceRecord {
                    id,
                    generation: 1,
                    resource: wish,
                    run: None,
                    since: None,
                },
                found: None,
                event: "create",
                is_new: true,
            };
        };
        wish.id = Some(record.id.clone());
        let was = &record.resource;
        let is_new = wish.spec != was.spec || wish.pipeline != was.pipeline;
        Change {
            record: ResourceRecord {
                generation: record.generation + u64::from(is_new),
                resource: wish,
                ..record
            },
            found: Some(revision),
            event: "update",
            is_new,
        }
    }
}

/// 24 hexadecimal digits, as Conveyor's ids have.
pub fn new_resource_id() -> String {
    let id = Uuid::now_v7().simple().to_string();
    id.chars().rev().take(24).collect()
}

fn lacks(prepared: &Prepared) -> impl Iterator<Item = String> {
    let here = prepared.used.values().filter_map(Resolved::wasm);
    here.flat_map(|driver| {
        driver.lacks.iter().map(|lacking| {
            let name = &driver.name;
            format!("driver `{name}` wants `{lacking}` and belt.yaml grants less")
        })
    })
}
