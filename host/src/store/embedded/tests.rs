//! The embedded store held against the contract, crashes, damage, and full disks.

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use tempfile::TempDir;

use super::super::Store;
use super::super::contract::{Site, contract};
use super::Embedded;
use super::disk::Disk;

/// The embedded store answers within the first poll.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("an answer at once")
}

/// A folder of its own.
struct Folder {
    dir: TempDir,
    segment_bytes: u64,
}

impl Site for Folder {
    fn open(&self) -> Arc<dyn Store> {
        let disk = Disk::new(self.dir.path());
        Arc::new(Embedded::open_on(disk, self.segment_bytes).unwrap())
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        now(future)
    }
}

mod one_segment {
    use super::*;

    contract!(Folder {
        dir: tempfile::tempdir().unwrap(),
        segment_bytes: super::super::SEGMENT_BYTES
    });
}

/// Sealing and compaction behind nearly every commit.
mod many_segments {
    use super::*;

    contract!(Folder {
        dir: tempfile::tempdir().unwrap(),
        segment_bytes: 200
    });
}
