//! The store port: what every store of Beltline's state promises, whichever adapter keeps it.
//!
//! It owns the words (revision, record, batch), the limits and the promises. It never knows what a
//! record means: keys are text, values are bytes, and runs, steps and events are the runner's.
//!
//! Adapters: [`Embedded`], a log of its own in one folder, for one process on one machine. Every
//! adapter passes the one suite in `store/contract.rs`.
//!
//! # The effect barrier
//!
//! A commit is *written* when [`Store::commit`] returns and *durable* when [`Store::sync`] of its
//! revision returns. The store does not decide when that must be; its caller does, by one rule:
//! sync before anything that cannot be taken back, which is the start of a step that can touch the
//! outside world and everything that is shown outside the process.
//!
//! ```text
//! let revision = store.commit(batch).await?;   // a step's outcome: survives kill -9
//! if next_step.has_effects() {
//!     store.sync(revision).await?;             // survives the power cut, and so may be built upon
//! }
//! start(next_step);
//! ```
//!
//! Steps without effects therefore cost no sync at all, and many runs that sync at once share one.

mod error;

mod embedded;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod contract;

use std::fmt;

use futures::future::BoxFuture;

pub use self::embedded::{Damage, Embedded, Flaw};
pub use self::error::StoreError;

/// Longest key, in bytes. Keys are paths of words, ids and numbers, the longest of them
/// `snapshot/` and a digest in hexadecimal, 73 bytes; each is held in memory by the embedded store and
/// written twice into its log, so they are kept short.
pub const KEY_BYTES_MAX: usize = 512;

/// Largest value, in bytes. The largest thing that Beltline stores in one record is 256 KiB (a
/// resource, a context, an output); JSON escapes can make four times of it, and etcd takes requests
/// of up to 1.5 MiB unless told otherwise.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// Keys and values of one batch together, in bytes: room for a new run's snapshots (pipeline,
/// resource, context and several `with`) in one commit, and little enough to hold twice in memory.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Puts and deletes of one batch together, and likewise its expectations: a run of some hundred
/// steps is made in one commit, and a commit stays a matter of microseconds for those that wait.
pub const BATCH_KEYS_MAX: usize = 1024;

/// A point in the history of the whole store: the revision of the commit that last wrote a key.
///
/// Revisions increase with every commit that changes something, and are never given twice within
/// one opened store, even when a failed sync takes commits back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// The revision with that number, as stored or sent earlier; zero is before the first commit.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key's present value, and the commit that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Up to [`KEY_BYTES_MAX`] bytes.
    pub key: String,
    /// Up to [`VALUE_BYTES_MAX`] bytes.
    pub value: Vec<u8>,
    /// Of the commit that last wrote this key: what the next writer expects.
    pub revision: Revision,
}

/// What one commit expects and changes. A key may be expected once and changed once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    expect: Vec<(String, Option<Revision>)>,
    put: Vec<(String, Vec<u8>)>,
    delete: Vec<String>,
}

impl Batch {
    /// A batch that expects and changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if `key` was last written at `revision`.
    #[must_use]
    pub fn expect(mut self, key: impl Into<String>, revision: Revision) -> Self {
        self.expect.push((key.into(), Some(revision)));
        self
    }

    /// Only if `key` does not exist.
    #[must_use]
    pub fn expect_absent(mut self, key: impl Into<String>) -> Self {
        self.expect.push((key.into(), None));
        self
    }

    /// Write `value` under `key`, whether or not it exists.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.put.push((key.into(), value.into()));
        self
    }

    /// Remove `key`; no error if it does not exist.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.delete.push(key.into());
        self
    }

    /// Expectations so far: a key, and its revision or `None` for absence.
    pub fn expectations(&self) -> &[(String, Option<Revision>)] {
        &self.expect
    }

    /// Puts so far.
    pub fn puts(&self) -> &[(String, Vec<u8>)] {
        &self.put
    }

    /// Deletes so far.
    pub fn deletes(&self) -> &[String] {
        &self.delete
    }

    /// Keys and values that it hands over, in bytes.
    pub fn bytes(&self) -> usize {
        let puts: usize = self
            .put
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let deletes: usize = self.delete.iter().map(String::len).sum();
        puts + deletes
    }

    /// Holds the batch against the limits above; every adapter calls it first.
    ///
    /// # Errors
    /// [`StoreError::Limit`] with the limit's name and value; [`StoreError::EmptyKey`];
    /// [`StoreError::Repeated`] for a key that is expected or changed twice.
    pub fn check(&self) -> Result<(), StoreError> {
        let limit = |name, found, max| match found > max {
            true => Err(StoreError::Limit { name, found, max }),
            false => Ok(()),
        };
        limit("expectations of a batch", self.expect.len(), BATCH_KEYS_MAX)?;
        limit(
            "changes of a batch",
            self.put.len() + self.delete.len(),
            BATCH_KEYS_MAX,
        )?;
        limit("bytes of a batch", self.bytes(), BATCH_BYTES_MAX)?;
        for (_, value) in &self.put {
            limit("bytes of a value", value.len(), VALUE_BYTES_MAX)?;
        }
        let changed = || self.put.iter().map(|(key, _)| key).chain(&self.delete);
        let expected = || self.expect.iter().map(|(key, _)| key);
        for key in changed().chain(expected()) {
            if key.is_empty() {
                return Err(StoreError::EmptyKey);
            }
            limit("bytes of a key", key.len(), KEY_BYTES_MAX)?;
        }
        once(changed())?;
        once(expected())
    }
}

/// Refuses a key that comes twice.
fn once<'a>(keys: impl Iterator<Item = &'a String>) -> Result<(), StoreError> {
    let mut keys: Vec<&String> = keys.collect();
    keys.sort_unstable();
    match keys
        .windows(2)
        .find_map(|pair| (pair.first() == pair.last()).then(|| pair.first()))
    {
        Some(Some(key)) => Err(StoreError::Repeated {
            key: (*key).clone(),
        }),
        Some(None) | None => Ok(()),
    }
}

/// The direction of a [`Store::scan`] or [`Store::keys`], by the bytes of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Ascending,
    /// Largest key first: the latest run, as run ids grow with time.
    Descending,
}

/// What a store has done since it was opened. Tests and the bench count with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits that changed something.
    pub commits: u64,
    /// Times that a [`Store::sync`] went to the disk; one may cover many commits, and one that finds
    /// its revision durable does not count. What the adapter syncs for itself does not either.
    pub syncs: u64,
    /// Keys and values handed to those commits, in bytes.
    pub bytes: u64,
    /// Rewrites of the adapter's files that gave back dead space.
    pub compactions: u64,
    /// Such rewrites that failed; the old files stay in use and it is tried again later. The adapter
    /// keeps the reason.
    pub compactions_failed: u64,
}

/// A store of records, shared by all runs of a host.
///
/// Methods may be called from many threads at once. The embedded adapter does its work on the
/// caller's thread and blocks it while the disk works; callers run on threads where that is allowed.
/// Whoever waits for another's sync blocks no thread.
pub trait Store: Send + Sync {
    /// The record under `key`, if there is one.
    ///
    /// # Guarantees
    /// Sees every commit that returned before the call, synced or not. What comes back is what was
    /// put, byte for byte, or an error.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where the stored bytes no longer match their checksum.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, StoreError>>;

    /// Up to `limit` records whose keys begin with `prefix`, in `order`; with `after`, only those
    /// that come after that key in this order (whether or not it exists).
    ///
    /// # Guarantees
    /// One call sees one state of the store: no commit is seen by half. No record is left out.
    ///
    /// # Errors
    /// As [`Store::get`], with the first record that is damaged.
    fn scan<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>>;

    /// The keys that [`Store::scan`] would find. Reads no values, and so is not stopped by a damaged
    /// one: what cannot be read is still known to exist.
    ///
    /// # Guarantees
    /// As [`Store::scan`].
    ///
    /// # Errors
    /// [`StoreError::Io`] where the store cannot be read at all.
    fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;

    /// Compares every expectation with the store and, if all hold, makes every change of the batch.
    /// Returns the new revision, which all changed keys now bear; where nothing changes (no puts, no
    /// deletes of keys that exist) the store's present one.
    ///
    /// # Guarantees
    /// All or nothing, now and after any crash. *Written* when it returns: it survives the death of
    /// the process, not yet that of the machine. Commits become durable in the order of their
    /// revisions: none survives without all before it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] with the first key whose expectation fails; nothing is changed.
    /// [`StoreError::Full`] where the disk has no room: nothing is changed, and the store goes on
    /// working. Those of [`Batch::check`].
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// Waits until everything up to and including `upto` is durable.
    ///
    /// # Guarantees
    /// When it returns, every commit with a revision up to `upto` survives a power cut. One wait for
    /// the disk serves all who wait at that time.
    ///
    /// # Errors
    /// [`StoreError::Lost`] where the disk refused: commits that were written and not yet synced are
    /// taken back, each sync of theirs gets this error, and their revisions are not given again, so
    /// that a later commit that expects one conflicts.
    fn sync(&self, upto: Revision) -> BoxFuture<'_, Result<(), StoreError>>;

    /// What has been done since the store was opened.
    fn counters(&self) -> Counters;
}
