//! The folder's lock: one writer, or many readers.
//!
//! `LOCK` is held with `flock`, which the system lets go when the process dies, however it dies. The
//! process id in it is for people; nothing trusts it.

use std::fs::{File, TryLockError};
use std::os::unix::fs::FileExt;

use super::super::StoreError;
use super::disk::Disk;

const NAME: &str = "LOCK";

/// Held for as long as it lives.
pub(super) struct Lock {
    file: File,
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
        let lock = Self::held(disk, file.try_lock(), file)?;
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
        match File::open(&path) {
            Ok(file) => Self::held(disk, file.try_lock_shared(), file).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::io("open", &path, source)),
        }
    }

    fn held(disk: &Disk, tried: Result<(), TryLockError>, file: File) -> Result<Self, StoreError> {
        match tried {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                let pid = std::fs::read_to_string(disk.path(NAME)).ok();
                let pid = pid.and_then(|pid| pid.trim().parse().ok());
                Err(StoreError::Locked {
                    path: disk.dir().to_owned(),
                    pid,
                })
            }
            Err(TryLockError::Error(source)) => {
                Err(StoreError::io("lock", &disk.path(NAME), source))
            }
        }
    }
}

impl Drop for Lock {
    /// Lets go at once: a process that is being forked at this moment has the file open too.
    fn drop(&mut self) {
        self.file.unlock().ok();
    }
}
