//! The embedded store held against the contract, crashes, damage, and failing disks.

mod crash;
mod damage;
mod faults;
mod folder;
mod model;
mod real_disk;
mod seal;
mod slow;

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::super::contract::{Site, contract};
use super::super::{Batch, Order, Record, Revision, Store, StoreError};
use super::disk::{Disk, Probe};
use super::{Embedded, SIZES, Sizes};

const SEGMENT_BYTES: u64 = SIZES.segment;

/// The embedded store never waits for long.
fn now<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

impl Embedded {
    fn commit_now(&self, batch: &Batch) -> Result<Revision, StoreError> {
        now(self.commit_batch(batch))
    }

    fn sync_now(&self, upto: Revision) -> Result<(), StoreError> {
        now(self.sync_upto(upto))
    }
}

/// A folder of its own.
struct Folder {
    dir: TempDir,
    segment_bytes: u64,
}

impl Folder {
    fn new(segment_bytes: u64) -> Self {
        Self {
            dir: scratch(),
            segment_bytes,
        }
    }
}

impl Site for Folder {
    fn open(&self) -> Arc<dyn Store> {
        let dir = self.dir.path();
        match self.segment_bytes {
            SEGMENT_BYTES => Arc::new(Embedded::open(dir).unwrap()),
            bytes => Arc::new(open(dir, bytes).unwrap()),
        }
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        now(future)
    }
}

mod one_segment {
    use super::{Folder, SEGMENT_BYTES, contract};

    contract!(Folder::new(SEGMENT_BYTES));
}

/// Sealing and compaction behind nearly every commit.
mod many_segments {
    use super::{Folder, contract};

    contract!(Folder::new(200));
}

/// A folder in memory where the system has such a place: thousands of syncs are no test of the disk.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// As in use but for the length of segments, and a reserve of a few commits.
fn sizes(segment: u64) -> Sizes {
    Sizes {
        segment,
        reserve: segment.min(1024),
    }
}

fn open(dir: &Path, segment_bytes: u64) -> Result<Embedded, StoreError> {
    Embedded::open_on(Disk::new(dir), sizes(segment_bytes))
}

fn open_probed(
    dir: &Path,
    segment_bytes: u64,
    probe: Arc<dyn Probe>,
) -> Result<Embedded, StoreError> {
    Embedded::open_on(Disk::with_probe(dir, probe), sizes(segment_bytes))
}

/// Everything in a store: what its scan says, which `get` must confirm.
type State = BTreeMap<String, (Vec<u8>, Revision)>;

fn state(store: &Embedded) -> Result<State, StoreError> {
    let records = store.scan_now("", None, Order::Ascending, usize::MAX)?;
    for record in &records {
        assert_eq!(store.get_now(&record.key)?.as_ref(), Some(record));
    }
    Ok(records.into_iter().map(entry).collect())
}

fn entry(record: Record) -> (String, (Vec<u8>, Revision)) {
    (record.key, (record.value, record.revision))
}

/// What the batch makes of a state.
fn apply(state: &mut State, batch: &Batch, revision: Revision) {
    for (key, value) in batch.puts() {
        state.insert(key.clone(), (value.clone(), revision));
    }
    for key in batch.deletes() {
        state.remove(key);
    }
}

fn put(key: &str, value: &str) -> Batch {
    Batch::new().put(key, value)
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// File names and lengths of a store's folder.
fn files(dir: &Path) -> Vec<(String, u64)> {
    let names = Disk::new(dir).names().unwrap();
    let len = |name: &String| fs::metadata(dir.join(name)).unwrap().len();
    names.iter().map(|name| (name.clone(), len(name))).collect()
}

/// SplitMix64: the same numbers for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    /// Some puts and deletes of keys from a small set, so that most of them meet an older value.
    fn batch(&mut self) -> Batch {
        let mut batch = Batch::new();
        for key in 0..12 {
            let key = format!("run/{key}/{}", "x".repeat(key));
            match self.below(9) {
                0 => batch = batch.delete(key),
                1 | 2 => {
                    let len = self.below(90);
                    let value: Vec<u8> = (0..len).map(|_| self.next() as u8).collect();
                    batch = batch.put(key, value);
                }
                _ => {}
            }
        }
        batch
    }
}
