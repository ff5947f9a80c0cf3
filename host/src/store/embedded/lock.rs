//! The folder's lock: one writer, or many readers.
//!
//! `LOCK` is held with `flock`, which the system lets go when the process dies, however it dies. Who
//! holds it is asked of the system, never of the file: the process id in it is for people, and is the
//! last writer's.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::super::StoreError;
use super::disk::Disk;
use crate::clock;

const NAME: &str = "LOCK";

/// How long a writer waits for readers. They load a few records and end, in milliseconds; one that
/// takes longer waits for a person.
const READERS_WAIT_MAX: Duration = Duration::from_secs(2);

/// Between two looks whether they have ended.
const TRY_PAUSE: Duration = Duration::from_millis(2);

/// Held for as long as it lives.
pub(super) struct Lock {
    file: File,
}

/// Who keeps a lock from being had.
enum Holder {
    Writer,
    Readers,
}

impl Lock {
    /// For the one writer; leaves its process id in the file.
    pub(super) fn exclusive(disk: &Disk) -> Result<Self, StoreError> {
        let path = disk.path(NAME);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| StoreError::io("open", &path, source))?;
        let lock = match file.try_lock() {
            Ok(()) => Self { file },
            Err(TryLockError::WouldBlock) => match holder(disk)? {
                Holder::Writer => return Err(written_to(disk)),
                Holder::Readers => Self::after_readers(disk, file)?,
            },
            Err(TryLockError::Error(source)) => return Err(StoreError::io("lock", &path, source)),
        };
        let pid = format!("{}\n", std::process::id());
        let written = lock
            .file
            .set_len(0)
            .and_then(|()| lock.file.write_all_at(pid.as_bytes(), 0));
        // A full disk has no room for a process id; the lock itself needs none.
        match written.map_err(|source| StoreError::io("write to", &path, source)) {
            Ok(()) | Err(StoreError::Full { .. }) => Ok(lock),
            Err(error) => Err(error),
        }
    }

    /// For readers beside readers. A folder that never had a writer has nothing to lock.
    pub(super) fn shared(disk: &Disk) -> Result<Option<Self>, StoreError> {
        let path = disk.path(NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::io("open", &path, source)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Err(written_to(disk)),
            Err(TryLockError::Error(source)) => Err(StoreError::io("lock", &path, source)),
        }
    }

    /// Waits until those who read have ended.
    ///
    /// `flock` knows no deadline, so it is tried again and again: a thread that waited in it would have the lock one
    /// day, for nobody, and whoever came in that moment would be refused.
    fn after_readers(disk: &Disk, file: File) -> Result<Self, StoreError> {
        let deadline = clock::monotonic() + READERS_WAIT_MAX;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::WouldBlock) if clock::monotonic() < deadline => {
                    clock::pause(TRY_PAUSE);
                }
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(source)) => {
                    return Err(StoreError::io("lock", &disk.path(NAME), source));
                }
            }
        }
        match holder(disk)? {
            Holder::Writer => Err(written_to(disk)),
            // The last of them may have ended meanwhile.
            Holder::Readers => match file.try_lock() {
                Ok(()) => Ok(Self { file }),
                Err(_) => Err(StoreError::BeingRead {
                    path: disk.dir().to_owned(),
                }),
            },
        }
    }
}

impl Drop for Lock {
    /// Lets go at once: a process that is being forked at this moment has the file open too.
    fn drop(&mut self) {
        self.file.unlock().ok();
    }
}

/// Who holds the lock that was just refused to a writer: where a reader would get it, readers do.
fn holder(disk: &Disk) -> Result<Holder, StoreError> {
    match Lock::shared(disk) {
        Ok(_) => Ok(Holder::Readers),
        Err(StoreError::Locked { .. }) => Ok(Holder::Writer),
        Err(error) => Err(error),
    }
}

fn written_to(disk: &Disk) -> StoreError {
    StoreError::Locked {
        path: disk.dir().to_owned(),
        pid: writer(disk),
    }
}

/// The process id in the file, if there is such a process: a writer that has the lock since a moment ago
/// has not written its own yet, and a writer in another container has one that means nothing here.
fn writer(disk: &Disk) -> Option<u32> {
    let text = std::fs::read_to_string(disk.path(NAME)).ok()?;
    let pid: u32 = text.trim().parse().ok()?;
    let process = Pid::from_raw(i32::try_from(pid).ok()?)?;
    // One that we may not signal is there, too.
    (test_kill_process(process) != Err(Errno::SRCH)).then_some(pid)
}
