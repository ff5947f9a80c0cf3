//! The sweep: runs that have been kept long enough go, with all that was theirs.
//!
//! A run that has not ended never goes. What several runs share (snapshots, drivers, archives) goes when none of those
//! that are left names it. Dying in between leaves something for the next sweep, never a run by half: its records go in
//! one commit, before its files.

use super::carry::line_of;
use super::registry::Put;
use super::{Owner, OwnerError, blocking};
use crate::clock;
use crate::digest::Digest;
use crate::records::RunRecord;
use crate::runs::SNAPSHOT;
use crate::store::{Batch, Order, Store, StoreError};
use crate::text;
use beltline_engine::{Phase, RunId};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Between two sweeps.
const PAUSE: Duration = Duration::from_secs(60);

/// Keys that are read at once.
const PAGE: usize = 1_000;

/// Between two looks for what nobody names, where no run goes: uploads that no run was made of.
const UNNAMED_PAUSE_MS: u64 = 60 * 60 * 1_000;

/// What nobody names is left alone for so long: whoever has just brought it may be about to.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// Sweeps now and then, for as long as the owner is there.
pub(super) async fn keep(owner: Weak<Owner>) {
    let mut unnamed_ms = 0;
    loop {
        {
            let Some(owner) = owner.upgrade() else { return };
            let now_ms = clock::now_ms();
            let is_due = now_ms >= unnamed_ms;
            if is_due {
                unnamed_ms = now_ms + UNNAMED_PAUSE_MS;
            }
            match owner.sweep(is_due).await {
                Ok(0) => {}
                Ok(swept) => tracing::info!(runs = swept, "runs were kept long enough"),
                Err(error) => {
                    tracing::warn!(error = %text::chain(&error), "the sweep could not be made");
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Owner {
    /// Removes what has been kept long enough, and what nobody names where a run went or `looks_for_unnamed`. Says how many
    /// runs went.
    ///
    /// # Errors
    /// The store's or the file system's; what is left goes with the next sweep.
    async fn sweep(self: &Arc<Self>, looks_for_unnamed: bool) -> Result<usize, OwnerError> {
        let retention = self.registry.served().config().retention;
        let now_ms = clock::now_ms();
        let oldest_ms = now_ms.saturating_sub(clock::millis(retention.age));
        let count = usize::try_from(retention.count).unwrap_or(usize::MAX);
        let (mut before, mut seen, mut swept) = (None, 0_usize, 0);
        loop {
            let ids = self.runs.before(before, None, PAGE).await?;
            before = ids.last().copied().or(before);
            let is_last = ids.len() < PAGE;
            for id in ids {
                seen += 1;
                // It ended after it was made: a young one among the latest is not looked at.
                if seen <= count && id.made_ms() >= oldest_ms {
                    continue;
                }
                // One that cannot be read is for people to look at.
                let Ok(Some(head)) = self.runs.head(id).await else {
                    continue;
                };
                let Phase::Ended { at_ms, .. } = head.phase else {
                    continue;
                };
                if (seen > count || at_ms < oldest_ms) && self.remove(id).await? {
                    swept += 1;
                }
            }
            if is_last {
                break;
            }
        }
        self.repeats.sweep(&*self.store, now_ms).await?;
        if swept > 0 || looks_for_unnamed {
            self.remove_unnamed().await?;
        }
        Ok(swept)
    }

    /// Removes an ended run that nobody carries and no resource waits for.
    async fn remove(self: &Arc<Self>, id: RunId) -> Result<bool, OwnerError> {
        let Some(record) = self.runs.record(id).await? else {
            return Ok(false);
        };
        // It is in the books meanwhile: whoever wants it to go on waits, and finds none.
        let line = line_of(&record.kind, &record.resource);
        if self.hold(id, &line).is_err() {
            return Ok(false);
        }
        let removed = self.remove_held(&record).await;
        self.carried.lock().ended(id);
        self.changes.send_replace(());
        self.fill();
        removed
    }

    async fn remove_held(&self, record: &RunRecord) -> Result<bool, OwnerError> {
        let id = record.run;
        let Some(head) = self.runs.ended_head(id).await? else {
            return Ok(false);
        };
        let resync = self.runs.resync(&record.kind, &record.resource).await?;
        let is_asked_for = resync.is_some_and(|(resync, _)| resync.run == id);
        if is_asked_for {
            return Ok(false);
        }
        self.runs.keep_answers(record).await?;
        if !self.runs.remove(record, head).await? {
            return Ok(false);
        }
        let _ = fs::remove_file(crate::logs::path(&self.state.logs(), id));
        if !record.out_given && record.out.starts_with(self.state.outs()) {
            let _ = fs::remove_dir_all(&record.out);
        }
        Ok(true)
    }

    /// Removes snapshots, drivers, workspaces and archives that no run names which is left.
    async fn remove_unnamed(self: &Arc<Self>) -> Result<(), OwnerError> {
        let mut named = Named::default();
        let mut before = None;
        loop {
            let ids = self.runs.before(before, None, PAGE).await?;
            before = ids.last().copied().or(before);
            let is_last = ids.len() < PAGE;
            for id in ids {
                if let Some(record) = self.runs.record(id).await? {
                    named.add(&record);
                }
            }
            if is_last {
                break;
            }
        }
        self.remove_snapshots(&named).await?;
        named.drivers.extend(self.registry.digests());
        // Also those that have not been compiled yet, or could not be.
        let puts = self.puts().await?;
        named.drivers.extend(puts.values().filter_map(Put::digest));
        let owner = Arc::clone(self);
        blocking(move || owner.remove_files(&named)).await
    }

    async fn remove_snapshots(&self, named: &Named) -> Result<(), OwnerError> {
        let mut after: Option<String> = None;
        loop {
            let keys = self
                .store
                .keys(SNAPSHOT, after.as_deref(), Order::Ascending, PAGE)
                .await?;
            let is_last = keys.len() < PAGE;
            after = keys.last().cloned();
            for key in &keys {
                let hex = key.strip_prefix(SNAPSHOT).unwrap_or_default();
                if named.snapshots.contains(hex) {
                    continue;
                }
                let Some(found) = self.store.get(key).await? else {
                    continue;
                };
                // A run that is made in this moment writes its snapshots again.
                let batch = Batch::new().expect(key, found.revision).delete(key);
                match self.store.commit(batch).await {
                    Ok(_) | Err(StoreError::Conflict { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn remove_files(&self, named: &Named) {
        let drivers = self.state.driver(Digest::of(b""));
        let drivers = drivers.parent().map(Path::to_owned).unwrap_or_default();
        for path in old_entries(&drivers) {
            let is_named = named
                .drivers
                .iter()
                .any(|digest| self.state.driver(*digest) == path);
            if !is_named {
                let _ = fs::remove_file(path);
            }
        }
        let workspaces = self.workspaces();
        for path in old_entries(&self.state.workspaces()) {
            let run = path.file_name().and_then(|name| name.to_str());
            if let (Some(run), false) = (run, named.workspaces.contains(&path)) {
                let _ = workspaces.remove(run);
            }
        }
        for path in old_entries(&self.state.archives()) {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let digest = name
                .strip_suffix(".tar.gz")
                .map(|hex| format!("sha256:{hex}"));
            if let Some(digest) = digest.and_then(|digest| digest.parse().ok())
                && !named.archives.contains(&digest)
            {
                let _ = workspaces.forget(digest);
            }
        }
    }
}

/// The keys of answers to requests that may be repeated.
pub const ANSWERS: &str = "idempotency/";

/// What the runs that are left name.
#[derive(Default)]
struct Named {
    snapshots: HashSet<String>,
    drivers: HashSet<Digest>,
    archives: HashSet<Digest>,
    workspaces: HashSet<PathBuf>,
}

impl Named {
    fn add(&mut self, record: &RunRecord) {
        self.snapshots.insert(record.pipeline_digest.hex());
        self.snapshots.insert(record.resource_digest.hex());
        self.drivers
            .extend(record.drivers.values().filter_map(|driver| driver.digest));
        self.archives.extend(record.archive);
        self.workspaces.extend(record.workspace.clone());
    }
}

/// What lies in a folder and is not fresh when it is come to; nothing where there is no folder.
fn old_entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let since = clock::system_time(clock::now_ms()) - FRESH;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let old = entries.filter(move |entry| {
        let modified = entry.metadata().and_then(|found| found.modified());
        modified.is_ok_and(|modified| modified < since)
    });
    old.map(|entry| entry.path())
}
