//! The end of a segment, on disks that fail and between threads that wait.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use super::super::disk::{Deed, Probe};
use super::faults::{Fault, Gate};
use super::{Folder, open, open_probed, put, state};
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
    let logs = super::files(dir).into_iter();
    let logs = logs.filter(|(name, _)| name.ends_with(".log"));
    assert_eq!(logs.count(), 2);
}
