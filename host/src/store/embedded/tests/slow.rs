//! Slow disks: who waits for one blocks no thread, and whoever is ready meanwhile shares the next sync.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use futures::FutureExt;
use futures::future::join_all;

use super::super::disk::{Deed, Probe};
use super::{Folder, SEGMENT_BYTES, now, open, open_probed, put};
use crate::store::Store;
use std::sync::Arc;

/// Says that a sync has begun, and lets it end when it is told to.
struct Gate {
    began: Mutex<Sender<()>>,
    open: Mutex<Receiver<()>>,
}

impl Probe for Gate {
    fn before(&self, deed: Deed, name: &str) -> Result<(), (usize, io::Error)> {
        if deed == Deed::Sync && name.ends_with(".log") {
            self.began.lock().unwrap().send(()).unwrap();
            // Open for ever once nobody holds it shut.
            let _ = self.open.lock().unwrap().recv();
        }
        Ok(())
    }
}

#[test]
fn nobody_is_held_up_who_does_not_wait_and_nobody_blocks_who_does() {
    let folder = Folder::new(SEGMENT_BYTES);
    let (began, has_begun) = channel();
    let (opens, open) = channel();
    let gate = Arc::new(Gate {
        began: Mutex::new(began),
        open: Mutex::new(open),
    });
    let store = open_probed(folder.dir.path(), SEGMENT_BYTES, gate).unwrap();
    let first = store.commit_now(&put("a", "1")).unwrap();
    thread::scope(|scope| {
        let syncs = scope.spawn(|| store.sync_now(first));
        has_begun.recv().unwrap();
        let later = (0..100).map(|n| store.commit_now(&put(&format!("b/{n}"), "1")).unwrap());
        let last = later.last().unwrap();
        let mut waits = Box::pin(store.sync_upto(last));
        assert!(waits.as_mut().now_or_never().is_none(), "the disk is slow");
        assert_eq!(store.get_now("b/99").unwrap().unwrap().revision, last);
        drop(opens);
        now(waits).unwrap();
        syncs.join().unwrap().unwrap();
    });
    assert_eq!(
        store.counters().syncs,
        2,
        "one for the first, one for all others"
    );
}

#[test]
fn all_that_are_ready_on_a_thread_share_one_sync() {
    let folder = Folder::new(SEGMENT_BYTES);
    let store = open(folder.dir.path(), SEGMENT_BYTES).unwrap();
    let each = (0..200).map(|n| {
        let store = &store;
        async move {
            let revision = store.commit(put(&format!("a/{n}"), "1")).await?;
            store.sync(revision).await
        }
    });
    for done in now(join_all(each)) {
        done.unwrap();
    }
    assert_eq!(store.counters().syncs, 1);
}
