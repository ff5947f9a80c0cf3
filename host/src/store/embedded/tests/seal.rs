//! The end of a segment, on disks that fail and between threads that wait.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::super::disk::{Deed, Disk, Probe};
use super::super::keys;
use super::super::recover::Sealed;
use super::super::scan::scan;
use super::super::segment::Name;
use super::faults::{Fault, Gate};
use super::{Embedded, Folder, files, open, open_probed, put, state};
use crate::store::StoreError;

/// Where a segment must end and the disk has no room for the seal, or for the next one.
#[test]
fn a_full_disk_at_the_end_of_a_segment() {
    for ending in [".log", ".log.new", ".keys"] {
        let folder = Folder::new(200);
        let dir = folder.dir.path();
        let fault = Fault::new(Deed::Write, ending, io::ErrorKind::StorageFull);
        let store = open_probed(dir, 200, fault.clone()).unwrap();
        let first = store.commit_now(&put("a", &"x".repeat(200))).unwrap();
        fault.set(true);
        let failed = store.commit_now(&put("b", "1"));
        match ending {
            ".keys" => assert!(failed.is_ok(), "its own shortcut is no commit's concern"),
            _ => assert!(matches!(failed, Err(StoreError::Full { .. })), "{ending}"),
        }
        store.sync_now(first).unwrap();
        fault.set(false);
        store.commit_now(&put("c", "1").expect("a", first)).unwrap();
        let found = state(&store).unwrap();
        assert_eq!(found.contains_key("b"), ending == ".keys");
        drop(store);
        assert_eq!(state(&open(dir, 200).unwrap()).unwrap(), found, "{ending}");
    }
}

/// The sync that a seal makes is a sync like any other.
#[test]
fn a_failed_sync_at_the_end_of_a_segment() {
    let folder = Folder::new(200);
    let dir = folder.dir.path();
    let fault = Fault::new(Deed::Sync, ".log", io::ErrorKind::Other);
    let store = open_probed(dir, 200, fault.clone()).unwrap();
    let first = store.commit_now(&put("a", "1")).unwrap();
    store.sync_now(first).unwrap();
    let second = store.commit_now(&put("b", &"x".repeat(200))).unwrap();
    fault.set(true);
    let error = store.commit_now(&put("c", "1")).unwrap_err();
    assert!(matches!(error, StoreError::Lost { from, to, .. } if from == second && to == second));
    fault.set(false);
    assert!(store.commit_now(&put("c", "1")).unwrap() > second);
    let found = state(&store).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "c"]);
    drop(store);
    assert_eq!(state(&open(dir, 200).unwrap()).unwrap(), found);
}

/// Two syncs of one file at once may each be told half of a failure: a seal waits for its turn.
#[test]
fn a_seal_waits_for_the_sync_under_way() {
    let folder = Folder::new(200);
    let gate = Gate::new(".log", true);
    let store = open_probed(folder.dir.path(), 200, gate.clone()).unwrap();
    let first = store.commit_now(&put("a", &"x".repeat(200))).unwrap();
    gate.armed.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let leader = scope.spawn(|| store.sync_now(first));
        gate.entered.wait();
        let (done, sealed) = mpsc::channel();
        let store = &store;
        scope.spawn(move || {
            done.send(store.commit_now(&put("b", "1")).unwrap())
                .unwrap()
        });
        let early = sealed.recv_timeout(Duration::from_millis(100));
        gate.leave.wait();
        assert!(early.is_err(), "sealed while a sync was under way");
        assert!(matches!(
            leader.join().unwrap(),
            Err(StoreError::Lost { .. })
        ));
        assert!(sealed.recv().unwrap() > first);
    });
    assert_eq!(state(&store).unwrap().keys().collect::<Vec<_>>(), ["b"]);
}

/// Fails one sync and the first attempt to take back what it should have made durable.
struct Relapse {
    gate: Arc<Gate>,
    truncate_fails: AtomicBool,
}

impl Probe for Relapse {
    fn before(&self, deed: Deed, name: &str) -> Result<(), (usize, io::Error)> {
        match deed == Deed::Truncate && self.truncate_fails.swap(false, Ordering::SeqCst) {
            true => Err((0, io::Error::other("the disk is gone"))),
            false => self.gate.before(deed, name),
        }
    }
}

/// One that waited to seal finds a log that could not be taken back: it must not seal what was lost.
#[test]
fn a_seal_that_waited_for_a_sync_that_failed_seals_nothing_lost() {
    let folder = Folder::new(200);
    let dir = folder.dir.path();
    let relapse = Arc::new(Relapse {
        gate: Gate::new(".log", true),
        truncate_fails: AtomicBool::new(true),
    });
    let (gate, store) = (&relapse.gate, open_probed(dir, 200, relapse.clone()));
    let store = store.unwrap();
    let first = store.commit_now(&put("a", &"x".repeat(200))).unwrap();
    gate.armed.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let leader = scope.spawn(|| store.sync_now(first));
        gate.entered.wait();
        let (done, committed) = mpsc::channel();
        let store = &store;
        scope.spawn(move || done.send(store.commit_now(&put("b", "1"))).unwrap());
        let early = committed.recv_timeout(Duration::from_millis(100));
        assert!(early.is_err(), "sealed while a sync was under way");
        gate.leave.wait();
        assert!(matches!(
            leader.join().unwrap(),
            Err(StoreError::Lost { .. })
        ));
        assert!(committed.recv().unwrap().unwrap() > first);
    });
    assert!(!relapse.truncate_fails.load(Ordering::SeqCst));
    let found = state(&store).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["b"]);
    drop(store);
    assert_eq!(state(&open(dir, 200).unwrap()).unwrap(), found);
}

/// Of many that wait to seal one does; the others commit into the next segment.
#[test]
fn a_segment_is_sealed_once() {
    const WRITERS: usize = 4;
    let folder = Folder::new(4000);
    let dir = folder.dir.path();
    let gate = Gate::new(".log", false);
    let store = open_probed(dir, 4000, gate.clone()).unwrap();
    let first = store.commit_now(&put("a", &"x".repeat(4000))).unwrap();
    gate.armed.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let (done, committed) = mpsc::channel();
        let store = &store;
        scope.spawn(move || store.sync_now(first).unwrap());
        gate.entered.wait();
        for n in 0..WRITERS {
            let done = done.clone();
            scope.spawn(move || {
                done.send(store.commit_now(&put(&n.to_string(), "x")))
                    .unwrap()
            });
        }
        let early = committed.recv_timeout(Duration::from_millis(100));
        assert!(early.is_err(), "sealed while a sync was under way");
        gate.leave.wait();
        for _ in 0..WRITERS {
            committed.recv().unwrap().unwrap();
        }
    });
    let logs = files(dir).into_iter();
    let logs = logs.filter(|(name, _)| name.ends_with(".log"));
    assert_eq!(logs.count(), 2);
}

/// The keys beside a segment are those in it: also where it was begun before a restart, and after a sync that failed.
#[test]
fn the_keys_beside_a_segment_are_those_in_it() {
    // A few times what is written of them at once.
    const SEGMENT_BYTES: u64 = 1_000_000;
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    let fault = Fault::new(Deed::Sync, ".log", io::ErrorKind::Other);
    let mut store = open_probed(dir, SEGMENT_BYTES, fault.clone()).unwrap();
    let disk = Disk::new(dir);
    let sealed = |store: &Embedded| -> Vec<_> {
        let log = &store.state().log;
        log.sealed.values().cloned().collect()
    };
    let mut number = 0;
    while sealed(&store).len() < 3 {
        let key = format!("{number:0200}");
        let last = store.commit_now(&put(&key, "x").delete(format!("{:0200}", number / 2)));
        match number {
            1_500 => store.sync_now(last.unwrap()).unwrap(),
            1_600 => {
                fault.set(true);
                assert!(store.sync_now(last.unwrap()).is_err());
                fault.set(false);
            }
            2_500 => {
                drop(store);
                store = open_probed(dir, SEGMENT_BYTES, fault.clone()).unwrap();
            }
            _ => {}
        }
        number += 1;
    }
    for Sealed { segment, len } in sealed(&store) {
        let (name, salt) = (segment.name, segment.salt);
        let rows = keys::read(&disk, keys::Of { name, salt, len }).unwrap();
        let rows = rows.expect("they are whole");
        assert!(rows.len() > 1_000, "{}", rows.len());
        assert!(rows == scan(&disk, &segment, None).unwrap().rows, "{name}");
    }
}

/// Whoever has a segment's keys half written, and no room for the rest, has none of them.
#[test]
fn keys_that_have_no_room_are_given_up() {
    const SEGMENT_BYTES: u64 = 1_000_000;
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    let fault = Fault::new(Deed::Write, ".keys", io::ErrorKind::StorageFull);
    let store = open_probed(dir, SEGMENT_BYTES, fault.clone()).unwrap();
    let is_there = || files(dir).iter().any(|(name, _)| name.ends_with(".keys"));
    let mut number = 0;
    while store.state().log.sealed.is_empty() {
        fault.set(number > 800);
        store
            .commit_now(&put(&format!("{number:0200}"), "x"))
            .unwrap();
        assert!(is_there() || number > 800);
        number += 1;
    }
    fault.set(false);
    assert!(number > 1_500, "{number}");
    let sealed = Name::Log(1).keys();
    assert!(files(dir).iter().all(|(name, _)| *name != sealed));
    let found = state(&store).unwrap();
    drop(store);
    assert_eq!(state(&open(dir, SEGMENT_BYTES).unwrap()).unwrap(), found);
    assert!(is_there());
}
