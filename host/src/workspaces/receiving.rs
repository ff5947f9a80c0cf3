//! An archive on its way in.
//!
//! Owns the partial file: it is removed unless the archive is finished.

use super::hashed::Hashed;
use super::limits::{Exceeded, Limits};
use super::{WorkspaceError, io, partial_name};
use crate::digest::Digest;
use crate::durable;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// An archive that is being received. Where it is dropped before it is finished, nothing stays.
#[derive(Debug)]
pub struct Receiving {
    file: Hashed<File>,
    partial: Partial,
    folder: PathBuf,
    path: PathBuf,
    digest: Digest,
    limits: Limits,
}

/// A file that goes with this.
#[derive(Debug)]
struct Partial(PathBuf);

impl Receiving {
    /// Begins one that becomes the file `path` in `folder`.
    pub(super) fn begin(
        folder: &Path,
        path: PathBuf,
        digest: Digest,
        limits: Limits,
    ) -> Result<Self, WorkspaceError> {
        let partial = folder.join(partial_name(&digest.hex()));
        let file = File::create_new(&partial).map_err(io("make", &partial))?;
        Ok(Receiving {
            file: Hashed::new(file),
            partial: Partial(partial),
            folder: folder.to_owned(),
            path,
            digest,
            limits,
        })
    }

    /// That so many bytes more may come.
    ///
    /// # Errors
    /// [`WorkspaceError::Limit`].
    pub fn check_room(&self, bytes: u64) -> Result<(), WorkspaceError> {
        let max = self.limits.gzip_bytes;
        let left = max.saturating_sub(self.file.bytes());
        match bytes <= left {
            true => Ok(()),
            false => Err(WorkspaceError::Limit(Exceeded::GzipBytes(max))),
        }
    }

    /// Takes the next bytes. After an error this is of no more use.
    ///
    /// # Errors
    /// [`WorkspaceError::Limit`] before more than `ARCHIVE_GZIP_BYTES_MAX` is written, or the file system's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WorkspaceError> {
        self.check_room(bytes.len() as u64)?;
        let written = self.file.write_all(bytes);
        written.map_err(io("write", &self.partial.0))
    }

    /// Keeps the archive, if it is what it was said to be. It is on disk then.
    ///
    /// # Errors
    /// [`WorkspaceError::WrongDigest`], or the file system's.
    pub fn finish(self) -> Result<(), WorkspaceError> {
        let (file, found) = self.file.parts();
        if found != self.digest {
            return Err(WorkspaceError::WrongDigest {
                expected: self.digest,
                found,
            });
        }
        file.sync_all().map_err(io("sync", &self.partial.0))?;
        fs::rename(&self.partial.0, &self.path).map_err(io("keep", &self.path))?;
        durable::sync_folder(&self.folder).map_err(io("sync", &self.folder))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Not there where it was finished. What cannot be removed now is swept at the next start.
        let _ = fs::remove_file(&self.0);
    }
}
