//! The embedded store: an append-only log in one folder, with every key in memory.
//!
//! It owns who waits for whom: commits are written one after the other, and whichever caller finds
//! the log idle syncs it for all that wait ([`Embedded::sync_upto`]). A lone caller meets no other
//! thread, and none is blocked but the one that syncs. The format of the files, what is cut and what is refused: `docs/store.md`.
//!
//! One process has the folder at a time. It never repairs damage: that is for people to decide, who
//! can read what is whole with [`Embedded::open_read_only`].

mod bytes;
mod compact;
mod damage;
mod disk;
mod frame;
mod index;
mod keys;
mod lock;
mod log;
mod marker;
mod read;
mod recover;
mod scan;
mod segment;
mod tail;
mod window;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

pub use self::damage::{Damage, Flaw};

use self::compact::Plan;
use self::disk::Disk;
use self::lock::Lock;
use self::log::{Log, SIZES, SealError, Sizes};
use self::marker::Mark;
use self::recover::{Access, Sealed};
use self::segment::Segment;
use super::{Batch, Counters, Order, Record, Revision, Store, StoreError};

/// A store in one folder.
pub struct Embedded {
    access: Access,
    state: Mutex<State>,
    /// Told whenever a sync ends.
    sync_ended: Notify,
    _lock: Option<Lock>,
}

struct State {
    log: Log,
    /// A caller is waiting for the disk, without holding the state. It alone may sync or seal: two
    /// that sync one file at once may each be told only half of the truth about a failure.
    syncing: bool,
    compacting: bool,
    /// Revisions that were taken back.
    lost: Vec<Lost>,
    /// Found while opening, and by reads since. Only of a store opened to read.
    damage: Vec<Damage>,
    compaction_failure: Option<Arc<StoreError>>,
}

/// Revisions that were taken back, and why.
struct Lost {
    from: Revision,
    to: Revision,
    path: PathBuf,
    cause: String,
}

impl Embedded {
    /// Opens the store in `dir`; makes the folder if there is none. All that is found is durable when
    /// this returns.
    ///
    /// # Errors
    /// [`StoreError::Locked`] by the process that writes to it; [`StoreError::BeingRead`] where others
    /// read it and do not end within a moment; [`StoreError::Damaged`] with everything that is wrong, in
    /// which case no commit in the folder has been touched; [`StoreError::Version`];
    /// [`StoreError::ReadOnly`]; [`StoreError::Full`].
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_on(Disk::new(dir), SIZES)
    }

    fn open_on(disk: Disk, sizes: Sizes) -> Result<Self, StoreError> {
        disk.make_dir()?;
        let lock = Lock::exclusive(&disk)?;
        Ok(Self::of(
            Access::Write,
            Log::open(disk, sizes)?,
            Vec::new(),
            Some(lock),
        ))
    }

    /// Opens the store in `dir` to read what is whole, damaged or not, and changes nothing in it.
    ///
    /// A record whose value is damaged is an error of [`Store::get`] and [`Store::scan`];
    /// [`Store::keys`] has its key, and [`Embedded::damage`] names it. Where damage hides which keys a commit changed, keys may be
    /// missing or have an older value; `damage` then has an entry without keys.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while a writer has it; [`StoreError::Version`]; [`StoreError::Io`] where
    /// there is no such folder.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let disk = Disk::new(dir);
        let lock = Lock::shared(&disk)?;
        let (log, damage) = Log::open_read_only(disk)?;
        Ok(Self::of(Access::Read, log, damage, lock))
    }

    fn of(access: Access, log: Log, damage: Vec<Damage>, lock: Option<Lock>) -> Self {
        let state = State {
            log,
            syncing: false,
            compacting: false,
            lost: Vec::new(),
            damage,
            compaction_failure: None,
        };
        Self {
            access,
            state: Mutex::new(state),
            sync_ended: Notify::new(),
            _lock: lock,
        }
    }

    /// What is damaged, as far as it has been read: everything but values in sealed segments when
    /// opened with [`Embedded::open_read_only`], those too once they have been read. Empty for a store
    /// that is open to write.
    pub fn damage(&self) -> Vec<Damage> {
        self.state().damage.clone()
    }

    /// Why the last compaction failed; nothing where it succeeded or none was due. No commit fails for
    /// it and nothing is lost by it, but dead space stays, and damage that stops one is found by nobody
    /// else until that record is read: whoever has committed should say it.
    pub fn compaction_failure(&self) -> Option<Arc<StoreError>> {
        self.state().compaction_failure.clone()
    }

    /// Reads every byte of the sealed segments, which opening does not, and names what is damaged.
    /// The newest segment has been read by opening. Takes as long as reading the files does; commits
    /// go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Io`] where a file cannot be read at all.
    pub fn check(&self) -> Result<Vec<Damage>, StoreError> {
        let state = self.state();
        let disk = state.log.disk.clone();
        let sealed: Vec<_> = state.log.sealed.values().cloned().collect();
        let mut damage = state.damage.clone();
        drop(state);
        for Sealed { segment, .. } in sealed {
            let mut found = scan::scan(&disk, &segment, None)?.damage();
            found.retain(|one| !damage.contains(one));
            damage.append(&mut found);
        }
        Ok(damage)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    async fn commit_batch(&self, batch: &Batch) -> Result<Revision, StoreError> {
        batch.check()?;
        loop {
            let sync_ended = {
                let mut state = self.state();
                if self.access == Access::Read {
                    let path = state.log.disk.dir().to_owned();
                    return Err(StoreError::ReadOnly { path, source: None });
                }
                state.log.mend()?;
                if !state.log.is_full() {
                    return state.log.commit(batch);
                }
                if !state.syncing {
                    return self.commit_to_new_segment(state, batch);
                }
                // The sync may fail and take back what is full, or another may seal it first.
                self.sync_ended.notified()
            };
            sync_ended.await;
        }
    }

    /// Seals the newest segment, durably, and commits to a new one.
    fn commit_to_new_segment(
        &self,
        mut state: MutexGuard<'_, State>,
        batch: &Batch,
    ) -> Result<Revision, StoreError> {
        let sealed = state.log.seal();
        self.sync_ended.notify_waiters();
        match sealed {
            Ok(()) => {}
            Err(SealError::Write(error)) => return Err(error),
            Err(SealError::Sync(error)) => return Err(state.take_back(error)),
        }
        let plan = state.plan();
        let revision = state.log.commit(batch);
        drop(state);
        if let Some(plan) = plan {
            self.compact(plan);
        }
        revision
    }

    /// Rewrites what is still needed of the sealed segments. Others go on meanwhile.
    ///
    /// The commit that led here has been made, whatever becomes of this: a failure is kept and counted,
    /// leaves the old segments in place, and is met again at the next seal.
    fn compact(&self, plan: Plan) {
        let built = plan.build();
        let mut state = self.state();
        let done = built.and_then(|built| built.install(&mut state.log));
        state.compacting = false;
        if done.is_err() {
            state.log.counters.compactions_failed += 1;
        }
        state.compaction_failure = done.err().map(Arc::new);
    }

    /// The group commit: the first caller to find the log idle lets all that are ready write, and then syncs it for
    /// them; those that come meanwhile wait, and one of them syncs what is left.
    async fn sync_upto(&self, upto: Revision) -> Result<(), StoreError> {
        let mut has_given_way = false;
        loop {
            let sync_ended = {
                let mut state = self.state();
                if state.is_durable(upto)? {
                    return Ok(());
                }
                state.log.mend()?;
                let written = state.log.written();
                match written.filter(|(_, mark)| upto.number() <= mark.revision) {
                    Some(_) if state.syncing => Some(self.sync_ended.notified()),
                    Some(_) if !has_given_way => None,
                    Some((segment, mark)) => return self.sync_for_all(state, &segment, mark),
                    None => {
                        let last = Revision::new(state.log.last);
                        return Err(StoreError::Unwritten { asked: upto, last });
                    }
                }
            };
            match sync_ended {
                Some(sync_ended) => sync_ended.await,
                None => {
                    give_way().await;
                    has_given_way = true;
                }
            }
        }
    }

    /// Syncs, without holding the state meanwhile, and tells all that wait.
    fn sync_for_all(
        &self,
        mut state: MutexGuard<'_, State>,
        segment: &Segment,
        mark: Mark,
    ) -> Result<(), StoreError> {
        state.syncing = true;
        let disk = state.log.disk.clone();
        drop(state);
        let synced = disk.sync(&segment.file, &segment.name.to_string());
        let mut state = self.state();
        state.syncing = false;
        let done = match synced {
            Ok(()) => {
                state.log.counters.syncs += 1;
                state.log.mark(mark);
                Ok(())
            }
            Err(error) => Err(state.take_back(error)),
        };
        drop(state);
        self.sync_ended.notify_waiters();
        done
    }
}

/// Lets whatever else is ready on this thread go first.
async fn give_way() {
    let mut has_given_way = false;
    poll_fn(|context| {
        if has_given_way {
            return Poll::Ready(());
        }
        has_given_way = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl State {
    /// Whether all up to that revision is; an error where it was taken back.
    fn is_durable(&self, upto: Revision) -> Result<bool, StoreError> {
        let mut lost = self.lost.iter();
        match lost.find(|lost| (lost.from..=lost.to).contains(&upto)) {
            Some(lost) => Err(lost.error()),
            None => Ok(upto.number() <= self.log.synced.revision),
        }
    }

    /// A compaction to make, if one is due and none is being made.
    fn plan(&mut self) -> Option<Plan> {
        let plan = (!self.compacting)
            .then(|| compact::plan(&self.log))
            .flatten()?;
        self.compacting = true;
        Some(plan)
    }

    /// The disk refused to sync: nothing since the last sync that succeeded may be believed.
    fn take_back(&mut self, error: StoreError) -> StoreError {
        let (from, to) = self.log.unsynced();
        if from > to {
            // Nothing was at stake but a seal; what is written is as it was.
            return self.log.take_back().err().unwrap_or(error);
        }
        let path = self.log.disk.dir().to_owned();
        let lost = Lost {
            from,
            to,
            path,
            cause: crate::text::chain(&error),
        };
        let told = lost.error();
        self.lost.push(lost);
        // Where this fails too, the log stays broken and each call tries it first.
        self.log.take_back().err();
        told
    }
}

impl Lost {
    fn error(&self) -> StoreError {
        let Self {
            from,
            to,
            path,
            cause,
        } = self;
        StoreError::Lost {
            from: *from,
            to: *to,
            path: path.clone(),
            cause: cause.clone(),
        }
    }
}

impl Store for Embedded {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        async move { self.get_now(key) }.boxed()
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        async move { self.scan_now(prefix, after, order, limit) }.boxed()
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        async move { self.keys_now(prefix, after, order, limit) }.boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, StoreError>> {
        async move { self.commit_batch(&batch).await }.boxed()
    }

    fn sync(&self, upto: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        self.sync_upto(upto).boxed()
    }

    fn counters(&self) -> Counters {
        self.state().log.counters
    }
}
