//! Workspaces of runs that were sent an archive, and the archives.
//!
//! Owns `archives/` and `workspaces/` in the state folder: an archive under its digest, a workspace under its run's
//! id. Each comes under a name that ends in `.partial` and gets its own when it is whole and on disk, so that what has
//! its own is whole. Never decides how long something stays, nor how much there may be in all; never opens the store.
//! The packing and unpacking itself knows nothing of states and runs.
//!
//! # Assumptions
//! One process has the state folder. All of this blocks.

mod hashed;
mod limits;
mod pack;
mod paths;
mod receiving;
mod removal;
mod unpack;

pub use limits::{
    ARCHIVE_BYTES_MAX, ARCHIVE_DEPTH_MAX, ARCHIVE_ENTRIES_MAX, ARCHIVE_GZIP_BYTES_MAX,
    ARCHIVE_PATH_BYTES_MAX, Exceeded, Limits,
};
pub use pack::{BELTIGNORE, PackError, Packed, pack, pack_within};
pub use paths::{PathFault, TargetFault};
pub use receiving::Receiving;
pub use unpack::{Fault, UnpackError, Unpacked, unpack, unpack_within};

use crate::digest::Digest;
use crate::durable;
use crate::state::StateFolder;
use hashed::Hashed;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// How the names end of what is not whole.
const PARTIAL: &str = ".partial";

/// Entries of a workspace that are synced one by one. Of more, the whole file system is: thousands of files take minutes
/// one by one on a slow disk. For a few that would be to wait for what everybody else has written.
const SYNCED_ALONE_MAX: u64 = 500;

/// Of a run's id as a folder's name. A UUID has 36.
const RUN_ID_BYTES_MAX: usize = 64;

/// The archives and workspaces of a state folder.
#[derive(Debug, Clone)]
pub struct Workspaces {
    archives: PathBuf,
    folders: PathBuf,
    limits: Limits,
}

/// An archive or workspace that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// A limit was hit.
    #[error("the archive goes over {0}; pack without what is not needed")]
    Limit(Exceeded),
    /// What was sent is something else.
    #[error("the archive that was sent as {expected} is {found}; send it under its own digest")]
    WrongDigest {
        /// What it was said to be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// None was sent.
    #[error("there is no archive {0}; send it first")]
    NoArchive(Digest),
    /// What is kept is not what its name says.
    #[error("the kept archive `{}` is damaged; send it again", .0.display())]
    DamagedArchive(PathBuf),
    /// The archive is whole, and refused.
    #[error("cannot make a workspace of the archive {digest}")]
    Unpack {
        /// The archive.
        digest: Digest,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// The run has one.
    #[error("the workspace `{}` is there; a run has one, made once", .0.display())]
    Taken(PathBuf),
    /// No folder may have that name.
    #[error("`{0}` is no run id; one has letters, digits and `-`")]
    NoRunId(String),
    /// The file system refuses.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// The file system's error.
        #[source]
        source: io::Error,
    },
}

impl Workspaces {
    /// Of a state folder. Makes nothing yet.
    pub fn of(state: &StateFolder) -> Self {
        Workspaces::within(state, Limits::default())
    }

    /// The same with limits of one's own.
    pub fn within(state: &StateFolder, limits: Limits) -> Self {
        Workspaces {
            archives: state.archives(),
            folders: state.workspaces(),
            limits,
        }
    }

    /// Begins to take an archive. One that is there is replaced by the same bytes when it is finished, which mends it
    /// where it was damaged.
    ///
    /// # Errors
    /// The file system's.
    pub fn receive(&self, digest: Digest) -> Result<Receiving, WorkspaceError> {
        durable::make_folder(&self.archives).map_err(io("make", &self.archives))?;
        Receiving::begin(&self.archives, self.archive(digest), digest, self.limits)
    }

    /// Whether an archive is there, and will be for a while: it is as fresh from here on as one that has just come. Only
    /// [`Workspaces::make`] finds out whether it is damaged.
    pub fn has(&self, digest: Digest) -> bool {
        let path = self.archive(digest);
        path.is_file() && durable::touch(&path).is_ok()
    }

    /// Makes the workspace of a run from an archive, and says where it is. It is on disk then.
    ///
    /// # Errors
    /// [`WorkspaceError`]. There is then no workspace.
    pub fn make(&self, digest: Digest, run: &str) -> Result<PathBuf, WorkspaceError> {
        let path = self.folder(run)?;
        if path.symlink_metadata().is_ok() {
            return Err(WorkspaceError::Taken(path));
        }
        let archive = self.open(digest)?;
        // No run names it yet.
        let path_of_archive = self.archive(digest);
        durable::touch(&path_of_archive).map_err(io("touch", &path_of_archive))?;
        durable::make_folder(&self.folders).map_err(io("make", &self.folders))?;
        let partial = self.folders.join(partial_name(run));
        let unpacked = self.fill(digest, archive, &partial)?;
        let kept = keep(&partial, &path, unpacked.entries)
            .and_then(|()| durable::sync_folder(&self.folders));
        if let Err(source) = kept {
            // The error that matters is the one at hand.
            let _ = removal::remove(&partial);
            return Err(io("keep", &path)(source));
        }
        Ok(path)
    }

    /// Removes the workspace of a run, whatever was made in it. Nothing happens where there is none.
    ///
    /// # Errors
    /// [`WorkspaceError::NoRunId`], or the file system's: what is left is under a name that
    /// [`Workspaces::sweep_partial`] removes.
    pub fn remove(&self, run: &str) -> Result<(), WorkspaceError> {
        let path = self.folder(run)?;
        let partial = self.folders.join(partial_name(run));
        match fs::rename(&path, &partial) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            renamed => renamed.map_err(io("remove", &path))?,
        }
        // Before anything of it goes: else a power cut could leave a part of it under its own name.
        durable::sync_folder(&self.folders).map_err(io("sync", &self.folders))?;
        removal::remove(&partial).map_err(io("remove", &partial))
    }

    /// Removes an archive. Nothing happens where there is none.
    ///
    /// # Errors
    /// The file system's.
    pub fn forget(&self, digest: Digest) -> Result<(), WorkspaceError> {
        let path = self.archive(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            removed => removed.map_err(io("remove", &path))?,
        }
        durable::sync_folder(&self.archives).map_err(io("sync", &self.archives))
    }

    /// Removes what an earlier process left half received, half made or half removed. For the start, before anything
    /// else.
    ///
    /// # Errors
    /// The file system's, with the name of what cannot be removed.
    pub fn sweep_partial(&self) -> Result<(), WorkspaceError> {
        for folder in [&self.archives, &self.folders] {
            let entries = match fs::read_dir(folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries.map_err(io("read", folder))?,
            };
            for entry in entries {
                let entry = entry.map_err(io("read", folder))?;
                let path = entry.path();
                if !path.to_string_lossy().ends_with(PARTIAL) {
                    continue;
                }
                let is_folder = entry.file_type().map_err(io("read", &path))?.is_dir();
                let removed = match is_folder {
                    true => removal::remove(&path),
                    false => fs::remove_file(&path),
                };
                removed.map_err(io("remove", &path))?;
            }
        }
        Ok(())
    }

    fn archive(&self, digest: Digest) -> PathBuf {
        self.archives.join(format!("{}.tar.gz", digest.hex()))
    }

    fn folder(&self, run: &str) -> Result<PathBuf, WorkspaceError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        match !run.is_empty() && run.len() <= RUN_ID_BYTES_MAX && run.bytes().all(is_plain) {
            true => Ok(self.folders.join(run)),
            false => Err(WorkspaceError::NoRunId(run.to_owned())),
        }
    }

    fn open(&self, digest: Digest) -> Result<File, WorkspaceError> {
        let path = self.archive(digest);
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(WorkspaceError::NoArchive(digest))
            }
            opened => opened.map_err(io("open", &path)),
        }
    }

    /// Unpacks an archive, which is hashed on its way: what a damaged one holds is not kept, nor believed to be why
    /// it is refused.
    fn fill(
        &self,
        digest: Digest,
        archive: File,
        partial: &Path,
    ) -> Result<Unpacked, WorkspaceError> {
        let mut archive = Hashed::new(archive);
        let unpacked = unpack_within(&mut archive, partial, self.limits);
        // What an archive that was refused still has.
        io::copy(&mut archive, &mut io::sink()).map_err(io("read", &self.archive(digest)))?;
        if archive.parts().1 != digest {
            // Of the two errors this is the one that says what to do.
            let _ = removal::remove(partial);
            return Err(WorkspaceError::DamagedArchive(self.archive(digest)));
        }
        unpacked.map_err(|source| WorkspaceError::Unpack { digest, source })
    }
}

/// Puts a folder with so many entries on disk and gives it its own name.
fn keep(partial: &Path, path: &Path, entries: u64) -> io::Result<()> {
    match entries {
        ..=SYNCED_ALONE_MAX => durable::sync_tree(partial, UNIX_EPOCH)?,
        _ => rustix::fs::syncfs(File::open(partial)?)?,
    }
    fs::rename(partial, path)
}

/// A name that is nobody else's for what becomes `name`.
fn partial_name(name: &str) -> String {
    // The standard library's source of random numbers without a dependency.
    let random = RandomState::new().build_hasher().finish();
    format!("{name}.{random:016x}{PARTIAL}")
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WorkspaceError {
    let path = path.to_owned();
    move |source| WorkspaceError::Io {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
