//! Failing disks: an operation fails, the store says so, and says nothing else that is untrue.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use super::super::disk::{Deed, Probe};
use super::{Folder, Random, SEGMENT_BYTES, State, apply, open, open_probed, put, state};
use crate::store::{Batch, Order, Revision, StoreError};

/// Fails one deed on files of one ending, for as long as it is switched on.
pub(super) struct Fault {
    deed: Deed,
    ending: &'static str,
    kind: io::ErrorKind,
    written: usize,
    on: AtomicBool,
}

impl Fault {
    pub(super) fn new(deed: Deed, ending: &'static str, kind: io::ErrorKind) -> Arc<Self> {
        Arc::new(Self {
            deed,
            ending,
            kind,
            written: 20,
            on: AtomicBool::new(false),
        })
    }

    pub(super) fn set(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
    }
}

impl Probe for Fault {
    fn before(&self, deed: Deed, name: &str) -> Result<(), (usize, io::Error)> {
        let meant = deed == self.deed && name.ends_with(self.ending);
        match meant && self.on.load(Ordering::SeqCst) {
            true => Err((self.written, self.kind.into())),
            false => Ok(()),
        }
    }
}

#[test]
fn a_full_disk_fails_the_commit_and_no_other() {
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    let fault = Fault::new(Deed::Write, ".log", io::ErrorKind::StorageFull);
    let store = open_probed(dir, SEGMENT_BYTES, fault.clone()).unwrap();
    let first = store.commit_now(&put("a", "1")).unwrap();
    let path = dir.join("00000000000000000001.log");
    let commits = || {
        let bytes = std::fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[..=end].to_vec()
    };
    let before = commits();
    fault.set(true);
    let error = store
        .commit_now(&put("a", "2").expect("a", first))
        .unwrap_err();
    let expected = format!(
        "no space left for {}; free some and try again",
        path.display()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(commits(), before, "the part that was written is gone");
    assert_eq!(store.get_now("a").unwrap().unwrap().revision, first);
    store.sync_now(first).unwrap();
    fault.set(false);
    let second = store.commit_now(&put("a", "3").expect("a", first)).unwrap();
    store.sync_now(second).unwrap();
    let found = state(&store).unwrap();
    drop(store);
    assert_eq!(state(&open(dir, SEGMENT_BYTES).unwrap()).unwrap(), found);
}

/// What a failed write leaves behind is removed before the next one, even if not at once.
#[test]
fn a_part_that_could_not_be_removed() {
    struct Stuck(AtomicBool);
    impl Probe for Stuck {
        fn before(&self, deed: Deed, name: &str) -> Result<(), (usize, io::Error)> {
            let fails = matches!(deed, Deed::Write | Deed::Truncate) && name.ends_with(".log");
            match fails && self.0.load(Ordering::SeqCst) {
                true => Err((90, io::ErrorKind::StorageFull.into())),
                false => Ok(()),
            }
        }
    }
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    let stuck = Arc::new(Stuck(AtomicBool::new(false)));
    let store = open_probed(dir, SEGMENT_BYTES, stuck.clone()).unwrap();
    store.commit_now(&put("a", "1")).unwrap();
    let file = dir.join("00000000000000000001.log");
    let before = std::fs::read(&file).unwrap();
    stuck.0.store(true, Ordering::SeqCst);
    store.commit_now(&put("b", "1")).unwrap_err();
    assert_ne!(std::fs::read(&file).unwrap(), before, "a part was written");
    store.commit_now(&put("b", "2")).unwrap_err();
    stuck.0.store(false, Ordering::SeqCst);
    let last = store.commit_now(&put("c", "")).unwrap();
    store.sync_now(last).unwrap();
    let found = state(&store).unwrap();
    drop(store);
    assert_eq!(state(&open(dir, SEGMENT_BYTES).unwrap()).unwrap(), found);
}

#[test]
fn a_failed_sync_takes_back_what_it_should_have_made_durable() {
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    let fault = Fault::new(Deed::Sync, ".log", io::ErrorKind::Other);
    let store = open_probed(dir, SEGMENT_BYTES, fault.clone()).unwrap();
    let first = store.commit_now(&put("a", "1")).unwrap();
    store.sync_now(first).unwrap();
    let second = store.commit_now(&put("a", "2")).unwrap();
    let third = store.commit_now(&put("b", "3")).unwrap();
    fault.set(true);
    let error = store.sync_now(second).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("revisions 2 to 3 are lost, as "), "{text}");
    assert!(matches!(error, StoreError::Lost { from, to, .. } if from == second && to == third));
    fault.set(false);

    assert_eq!(store.get_now("a").unwrap().unwrap().value, b"1");
    assert_eq!(store.get_now("b").unwrap(), None);
    for revision in [second, third] {
        assert!(matches!(
            store.sync_now(revision),
            Err(StoreError::Lost { .. })
        ));
    }
    let conflict = store
        .commit_now(&put("a", "x").expect("a", second))
        .unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { .. }));
    let fourth = store.commit_now(&put("a", "4").expect("a", first)).unwrap();
    assert!(
        fourth > third,
        "a revision that was taken back is not given again"
    );
    store.sync_now(fourth).unwrap();
    assert!(matches!(
        store.sync_now(third),
        Err(StoreError::Lost { .. })
    ));
    let found = state(&store).unwrap();
    drop(store);
    assert_eq!(state(&open(dir, SEGMENT_BYTES).unwrap()).unwrap(), found);
}

/// Holds one sync until it is let go, and fails it on demand.
pub(super) struct Gate {
    ending: &'static str,
    pub(super) entered: Barrier,
    pub(super) leave: Barrier,
    pub(super) armed: AtomicBool,
    fails: bool,
}

impl Gate {
    pub(super) fn new(ending: &'static str, fails: bool) -> Arc<Self> {
        let (entered, leave) = (Barrier::new(2), Barrier::new(2));
        Arc::new(Self {
            ending,
            entered,
            leave,
            armed: AtomicBool::new(false),
            fails,
        })
    }
}

impl Probe for Gate {
    fn before(&self, deed: Deed, name: &str) -> Result<(), (usize, io::Error)> {
        let meant = deed == Deed::Sync && name.ends_with(self.ending);
        if !meant || !self.armed.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        self.entered.wait();
        self.leave.wait();
        match self.fails {
            true => Err((0, io::Error::other("the disk is gone"))),
            false => Ok(()),
        }
    }
}

/// While one sync is under way others commit and wait; one more sync serves them all.
#[test]
fn those_that_come_during_a_sync_share_the_next() {
    const OTHERS: usize = 12;
    let folder = Folder::new(SEGMENT_BYTES);
    let gate = Gate::new(".log", false);
    let store = open_probed(folder.dir.path(), SEGMENT_BYTES, gate.clone()).unwrap();
    let first = store.commit_now(&put("first", "x")).unwrap();
    gate.armed.store(true, Ordering::SeqCst);
    let written = Barrier::new(OTHERS + 1);
    thread::scope(|scope| {
        scope.spawn(|| store.sync_now(first).unwrap());
        gate.entered.wait();
        for n in 0..OTHERS {
            let (store, written) = (&store, &written);
            scope.spawn(move || {
                let revision = store.commit_now(&put(&n.to_string(), "x")).unwrap();
                written.wait();
                store.sync_now(revision).unwrap();
            });
        }
        written.wait();
        gate.leave.wait();
    });
    assert_eq!(store.state().log.counters.syncs, 2);
}

/// A commit made while a sync is under way falls with it, and its own sync is told.
#[test]
fn a_failed_sync_takes_those_that_came_meanwhile() {
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    let gate = Gate::new(".log", true);
    let store = open_probed(dir, SEGMENT_BYTES, gate.clone()).unwrap();
    let first = store.commit_now(&put("a", "1")).unwrap();
    gate.armed.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let leader = scope.spawn(|| store.sync_now(first));
        gate.entered.wait();
        let second = store.commit_now(&put("b", "1")).unwrap();
        let waiter = scope.spawn({
            let store = &store;
            move || store.sync_now(second)
        });
        gate.leave.wait();
        assert!(matches!(
            leader.join().unwrap(),
            Err(StoreError::Lost { .. })
        ));
        assert!(matches!(
            waiter.join().unwrap(),
            Err(StoreError::Lost { .. })
        ));
    });
    assert_eq!(state(&store).unwrap(), State::new());
}

/// A compaction under way when a sync fails and all is read anew: nothing is lost, whichever wins.
#[test]
fn a_failed_sync_during_a_compaction() {
    let folder = Folder::new(300);
    let dir = folder.dir.path();
    let gate = Gate::new(".base.new", false);
    let store = open_probed(dir, 300, gate.clone()).unwrap();
    gate.armed.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..8 {
                let revision = store
                    .commit_now(&put("k", &format!("{n}").repeat(200)))
                    .unwrap();
                store.sync_now(revision).unwrap();
            }
        });
        gate.entered.wait();
        // The commit that met the seal stands in the tail, unsynced, and falls.
        let lost = store.state().log.last;
        store.state().take_back(StoreError::Unwritten {
            asked: Revision::default(),
            last: Revision::default(),
        });
        assert_eq!(store.state().log.last, lost - 1);
        gate.leave.wait();
        writer.join().unwrap_err();
    });
    let found = state(&store).unwrap();
    assert_eq!(found["k"].1, Revision::new(store.state().log.last));
    let revision = store.commit_now(&put("more", "x")).unwrap();
    store.sync_now(revision).unwrap();
    let found = state(&store).unwrap();
    drop(store);
    assert_eq!(state(&open(dir, 300).unwrap()).unwrap(), found);
}

/// A reader whose place is taken back under it reads again; it never calls that damage.
#[test]
fn reads_while_commits_are_taken_back() {
    const LEN: usize = 256 * 1024;
    let folder = Folder::new(SEGMENT_BYTES);
    let fault = Fault::new(Deed::Sync, ".log", io::ErrorKind::Other);
    let store = open_probed(folder.dir.path(), SEGMENT_BYTES, fault.clone()).unwrap();
    let first = store.commit_now(&put("k", "first")).unwrap();
    store.sync_now(first).unwrap();
    fault.set(true);
    let over = AtomicBool::new(false);
    let seen = AtomicU64::new(0);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let found = store.get_now("k").unwrap().unwrap();
                let one = found.value[0];
                assert!(found.value == b"first" || found.value.iter().all(|byte| *byte == one));
                seen.store(found.revision.number(), Ordering::SeqCst);
            }
        });
        for n in 0..300_usize {
            let batch = Batch::new().put("k", vec![n as u8; LEN]);
            let revision = store.commit_now(&batch).unwrap();
            while seen.load(Ordering::SeqCst) != revision.number() {
                assert!(!reader.is_finished(), "the reader has failed");
                thread::yield_now();
            }
            store.sync_now(revision).unwrap_err();
        }
        over.store(true, Ordering::SeqCst);
    });
}

/// What a killed process left unsynced is synced before anybody builds upon it, and only that.
#[test]
fn opening_makes_durable_what_it_finds() {
    struct Syncs(Mutex<Vec<String>>);
    impl Probe for Syncs {
        fn before(&self, deed: Deed, name: &str) -> Result<(), (usize, io::Error)> {
            if deed == Deed::Sync {
                self.0.lock().unwrap().push(name.to_owned());
            }
            Ok(())
        }
    }
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    let reopened = || {
        let syncs = Arc::new(Syncs(Mutex::default()));
        drop(open_probed(dir, SEGMENT_BYTES, syncs.clone()).unwrap());
        std::mem::take(&mut *syncs.0.lock().unwrap())
    };
    let store = open(dir, SEGMENT_BYTES).unwrap();
    store.commit_now(&put("a", "1")).unwrap();
    drop(store);
    assert_eq!(reopened(), ["00000000000000000001.log"]);
    assert_eq!(reopened(), [""; 0]);
}

/// Where not even taking back works, every call fails until it does.
#[test]
fn a_log_that_cannot_be_taken_back_answers_nothing() {
    struct Dead(AtomicBool);
    impl Probe for Dead {
        fn before(&self, deed: Deed, _: &str) -> Result<(), (usize, io::Error)> {
            let fails = matches!(deed, Deed::Sync | Deed::Truncate);
            match fails && self.0.load(Ordering::SeqCst) {
                true => Err((0, io::Error::other("the disk is gone"))),
                false => Ok(()),
            }
        }
    }
    let folder = Folder::new(SEGMENT_BYTES);
    let dead = Arc::new(Dead(AtomicBool::new(false)));
    let store = open_probed(folder.dir.path(), SEGMENT_BYTES, dead.clone()).unwrap();
    let first = store.commit_now(&put("a", "1")).unwrap();
    store.sync_now(first).unwrap();
    let second = store.commit_now(&put("a", "2")).unwrap();
    dead.0.store(true, Ordering::SeqCst);
    assert!(matches!(
        store.sync_now(second),
        Err(StoreError::Lost { .. })
    ));
    assert!(matches!(store.get_now("a"), Err(StoreError::Io { .. })));
    let (all, order) = (usize::MAX, Order::Ascending);
    let scan = store.scan_now("", None, order, all);
    assert!(matches!(scan, Err(StoreError::Io { .. })));
    let keys = store.keys_now("", None, order, all);
    assert!(matches!(keys, Err(StoreError::Io { .. })));
    assert!(matches!(
        store.commit_now(&put("b", "1")),
        Err(StoreError::Io { .. })
    ));
    dead.0.store(false, Ordering::SeqCst);
    assert_eq!(store.get_now("a").unwrap().unwrap().revision, first);
    assert!(store.commit_now(&put("b", "1")).unwrap() > second);
}

/// Fails any deed now and then.
struct Weather(Mutex<(Random, bool)>);

impl Probe for Weather {
    fn before(&self, _: Deed, name: &str) -> Result<(), (usize, io::Error)> {
        let (random, on) = &mut *self.0.lock().unwrap();
        if !*on || !random.one_in(12) {
            return Ok(());
        }
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::Other];
        // The marker's few bytes lie within one sector and are never written by half.
        let written = if name.starts_with("synced") {
            0
        } else {
            random.below(200)
        };
        Err((written, kinds[random.below(2)].into()))
    }
}

/// Under random failures: what was committed is there, what failed is not, what was lost was named,
/// and the next process finds the same.
#[test]
fn any_weather() {
    for seed in 0..150 {
        let segment_bytes = 400 + 20 * seed;
        let folder = Folder::new(segment_bytes);
        let dir = folder.dir.path();
        let weather = Arc::new(Weather(Mutex::new((Random(seed), false))));
        let store = open_probed(dir, segment_bytes, weather.clone()).unwrap();
        weather.0.lock().unwrap().1 = true;
        let mut random = Random(1000 + seed);
        let mut history = BTreeMap::from([(Revision::default(), State::new())]);
        let forget = |history: &mut BTreeMap<Revision, State>, from| {
            history.split_off(&from);
        };
        for _ in 0..120 {
            let (last, model) = history.last_key_value().unwrap();
            let (last, mut model) = (*last, model.clone());
            if random.one_in(4) {
                if let Err(StoreError::Lost { from, .. }) = store.sync_now(last) {
                    forget(&mut history, from);
                }
                continue;
            }
            let batch = random.batch();
            match store.commit_now(&batch) {
                Ok(revision) => {
                    apply(&mut model, &batch, revision);
                    history.insert(revision, model);
                }
                Err(StoreError::Lost { from, .. }) => forget(&mut history, from),
                Err(_) => {}
            }
        }
        weather.0.lock().unwrap().1 = false;
        let (_, model) = history.last_key_value().unwrap();
        assert_eq!(state(&store).unwrap(), *model, "seed {seed}");
        drop(store);
        let found = state(&open(dir, segment_bytes).unwrap()).unwrap();
        assert_eq!(found, *model, "seed {seed} after opening again");
    }
}
