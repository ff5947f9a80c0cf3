//! Runs that begin by themselves, because a driver wants to look at a resource again.

use super::order::{Along, InPlace, Named, RunOrder, Workspace};
use super::timers::Due;
use super::{Owner, OwnerError};
use crate::catalog::{Found, ResourceRecord};
use crate::clock;
use crate::documents::Override;
use crate::records::{ResyncRecord, RunRecord, encode};
use crate::runs::resync_key;
use crate::store::Batch;
use crate::text;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// After so long a resync that could not begin is tried again, and twice as long after each time in a row.
const PAUSE_MS: u64 = 5_000;

/// The longest of those pauses, and the one where only somebody's change can help: that itself has it tried again at once,
/// wherever this host sees it.
const PAUSE_MS_MAX: u64 = 600_000;

/// The resources, by kind and name, whose resync has begun to be tried and has not come about: how often in a row.
#[derive(Debug, Default)]
pub(super) struct Tried(Mutex<HashMap<(String, String), u32>>);

impl Tried {
    fn once_more(&self, kind: &str, name: &str) -> u32 {
        let mut tried = self.0.lock();
        let times = tried.entry((kind.to_owned(), name.to_owned())).or_default();
        *times = times.saturating_add(1);
        *times
    }

    fn done(&self, kind: &str, name: &str) {
        self.0.lock().remove(&(kind.to_owned(), name.to_owned()));
    }
}

/// Tries again what could not begin whenever the drivers that are served change, for as long as the owner is there.
pub(super) async fn keep(owner: Weak<Owner>) {
    let Some(mut changes) = owner.upgrade().map(|owner| owner.registry.changes()) else {
        return;
    };
    while changes.changed().await.is_ok() {
        let Some(owner) = owner.upgrade() else { return };
        owner.try_resyncs_again();
    }
}

impl Owner {
    /// Begins a run of the resource as it is now, unless nobody wants that any more.
    pub(super) fn resync(self: &Arc<Self>, kind: String, name: String) {
        let owner = Arc::clone(self);
        self.runtime.spawn(async move {
            // Counted before it is tried: what changes meanwhile has it tried again.
            let times = owner.tried.once_more(&kind, &name);
            match owner.resync_now(&kind, &name).await {
                Ok(()) | Err(OwnerError::Closed) => owner.tried.done(&kind, &name),
                Err(error) => {
                    let pause_ms = pause_ms(times, error.is_lasting());
                    owner.could_not(&kind, &name, &error).await;
                    let due = Due::Resync(kind, name);
                    owner.timers.set(clock::now_ms() + pause_ms, due);
                }
            }
        });
    }

    /// Something changed that a resync may have lacked.
    pub(crate) fn try_resyncs_again(&self) {
        let tried = self.tried.0.lock();
        for (kind, name) in tried.keys().cloned() {
            self.timers.set(clock::now_ms(), Due::Resync(kind, name));
        }
    }

    /// Says why a resync could not begin: once, in the log and beside the resource.
    async fn could_not(&self, kind: &str, name: &str, error: &OwnerError) {
        let Ok(Some((record, revision))) = self.runs.resync(kind, name).await else {
            return;
        };
        let why = text::chain(error);
        if record.trouble.as_ref() == Some(&why) {
            return;
        }
        tracing::warn!(
            kind,
            resource = name,
            error = why,
            "a resync could not begin"
        );
        let key = resync_key(kind, name);
        let record = ResyncRecord {
            trouble: Some(why),
            ..record
        };
        let batch = Batch::new()
            .expect(&key, revision)
            .put(&key, encode(record));
        // Where it cannot be written, the next time says it again.
        let _ = self.catalog.commit(batch).await;
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
        let done = move |batch: Batch| batch.expect(&key, revision).delete(&key);
        let resource = self.catalog.resource(kind, name).await?;
        // A run of one that had the name before asks for nothing.
        let is_of_it = |found: &Found<ResourceRecord>| {
            let since = found.record.since;
            since.is_some_and(|since| since <= record.run)
        };
        let resource = resource.filter(is_of_it);
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

    /// The run that asked for it gives what was given for it: its workspace, its values for keys of the context, and for one
    /// of this machine its operator's file, its out folder, and whether drivers must be pinned. And its pipeline where the
    /// resource names none.
    fn resync_order(
        &self,
        kind: &str,
        name: &str,
        own: Option<String>,
        asked: RunRecord,
        along: Along,
    ) -> RunOrder {
        let config = self.registry.config_of(&asked);
        let pipeline = own.or(Some(asked.pipeline).filter(|name| !name.is_empty()));
        let is_served = self.registry.is_served(&config);
        let in_place = match is_served && !asked.out_given && !asked.locked {
            true => None,
            false => Some(InPlace {
                config,
                out: asked.out_given.then_some(asked.out),
                locked: asked.locked,
            }),
        };
        let workspace = asked
            .workspace
            .map(|folder| Workspace::Folder(folder, asked.archive));
        let set = asked.set.into_iter();
        RunOrder {
            pipeline: pipeline.map(Named::Name),
            resource: Named::Name(format!("{kind}/{name}")),
            context: set.map(|(key, value)| Override { key, value }).collect(),
            workspace,
            is_new: false,
            is_change: false,
            event: Some("resync"),
            along: Some(along),
            in_place,
        }
    }
}

fn pause_ms(times: u32, is_lasting: bool) -> u64 {
    let doubled = times.saturating_sub(1);
    let longer = 2_u64.saturating_pow(doubled).saturating_mul(PAUSE_MS);
    match is_lasting {
        true => PAUSE_MS_MAX,
        false => longer.min(PAUSE_MS_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_change_is_not_tried_again_and_again() {
        let minutes = |times, is_lasting| pause_ms(times, is_lasting) as f64 / 60_000.0;
        assert_eq!(pause_ms(1, false), PAUSE_MS);
        assert_eq!(pause_ms(3, false), 4 * PAUSE_MS);
        assert_eq!(minutes(100, false), 10.0);
        assert_eq!(minutes(1, true), 10.0);
    }
}
