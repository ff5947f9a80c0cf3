//! Runs that begin by themselves, because a driver wants to look at a resource again.

use super::order::{Along, InPlace, Named, RunOrder, Workspace};
use super::timers::Due;
use super::{Owner, OwnerError};
use crate::clock;
use crate::records::RunRecord;
use crate::runs::resync_key;
use crate::store::Batch;
use crate::text;
use std::sync::Arc;

/// After so long a resync that could not begin is tried again.
const PAUSE_MS: u64 = 5_000;

impl Owner {
    /// Begins a run of the resource as it is now, unless nobody wants that any more.
    pub(super) fn resync(self: &Arc<Self>, kind: String, name: String) {
        let owner = Arc::clone(self);
        self.runtime.spawn(async move {
            match owner.resync_now(&kind, &name).await {
                Ok(()) | Err(OwnerError::Closed) => {}
                Err(error) => {
                    let error = text::chain(&error);
                    tracing::warn!(kind, resource = name, error, "a resync could not begin");
                    let at_ms = clock::now_ms() + PAUSE_MS;
                    owner.timers.set(at_ms, Due::Resync(kind, name));
                }
            }
        });
    }

    async fn resync_now(self: &Arc<Self>, kind: &str, name: &str) -> Result<(), OwnerError> {
        let Some((record, revision)) = self.runs.resync(kind, name).await? else {
            return Ok(());
        };
        if record.at_ms > clock::now_ms() {
            let due = Due::Resync(kind.to_owned(), name.to_owned());
            self.timers.set(record.at_ms, due);
            return Ok(());
        }
        let key = resync_key(kind, name);
        let done = move |batch: Batch| batch.expect(key.clone(), revision).delete(key.clone());
        let resource = self.catalog.resource(kind, name).await?;
        let (Some(resource), Some(asked)) = (resource, self.runs.record(record.run).await?) else {
            return Ok(self.catalog.commit(done(Batch::new())).await?);
        };
        let own = resource.record.resource.pipeline;
        let along = Arc::new(move |batch, _: &_| done(batch));
        let order = self.resync_order(kind, name, own, asked, along);
        match self.order(order).await {
            // Others have begun one meanwhile, or have taken the wish back.
            Err(OwnerError::Contended | OwnerError::Repeated) => Ok(()),
            done => done.map(drop),
        }
    }

    /// The run that asked for it gives its workspace, and its pipeline where the resource names none.
    fn resync_order(
        &self,
        kind: &str,
        name: &str,
        own: Option<String>,
        asked: RunRecord,
        along: Along,
    ) -> RunOrder {
        let pipeline = own.or(Some(asked.pipeline).filter(|name| !name.is_empty()));
        let in_place = match self.registry.is_served(&asked.config) {
            true => None,
            false => Some(InPlace {
                config: asked.config,
                out: None,
                locked: false,
            }),
        };
        let workspace = asked
            .workspace
            .map(|folder| Workspace::Folder(folder, asked.archive));
        RunOrder {
            pipeline: pipeline.map(Named::Name),
            resource: Named::Name(format!("{kind}/{name}")),
            context: Vec::new(),
            workspace,
            is_new: false,
            event: Some("resync"),
            along: Some(along),
            in_place,
        }
    }
}
