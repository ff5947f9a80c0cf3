//! What can go wrong with a store, in words for the person who has to act on it.

use std::io;
use std::path::{Path, PathBuf};

use super::Revision;
use super::embedded::Damage;

/// An error of any store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another writer was first.
    #[error("`{key}` has been changed by another writer; read it again")]
    Conflict {
        /// The first key whose expectation failed.
        key: String,
    },

    /// A limit of the port is exceeded.
    #[error("{name}: {found}, at most {max}")]
    Limit {
        /// What is limited.
        name: &'static str,
        /// As found.
        found: usize,
        /// As allowed.
        max: usize,
    },

    /// A key of a batch is empty.
    #[error("a key of the batch is empty")]
    EmptyKey,

    /// A batch names a key twice.
    #[error("`{key}` comes twice in one batch")]
    Repeated {
        /// That key.
        key: String,
    },

    /// The disk has no room. The commit is undone; the store works on.
    #[error("no space left for {}; free some and try again", path.display())]
    Full {
        /// The file that could not grow.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The store cannot be written to.
    #[error("{} cannot be written to; make it writable or choose another state folder", path.display())]
    ReadOnly {
        /// The folder or file.
        path: PathBuf,
        /// What the system said; nothing where the store was opened read-only.
        source: Option<io::Error>,
    },

    /// Another process writes to the folder.
    #[error(
        "{} is in use by {}; wait until it ends or choose another state folder",
        path.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The store's folder.
        path: PathBuf,
        /// The process that has it, where it could be told.
        pid: Option<u32>,
    },

    /// Other processes read the folder, and have not ended while a writer waited for them.
    #[error(
        "{} is being read by another process; wait until it ends or choose another state folder",
        path.display()
    )]
    BeingRead {
        /// The store's folder.
        path: PathBuf,
    },

    /// Stored bytes are not what was written.
    #[error("damaged: {}", list(.0))]
    Damaged(Vec<Damage>),

    /// The files are of a version that this build does not know.
    #[error("{} has format version {found}, this build reads {known}; use the build that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },

    /// The disk refused to sync, and what was not yet durable has been taken back.
    #[error("revisions {from} to {to} are lost, as {} could not be synced: {cause}", path.display())]
    Lost {
        /// The first revision that was taken back.
        from: Revision,
        /// The last one.
        to: Revision,
        /// The file.
        path: PathBuf,
        /// What the system said (to the caller whose sync it was; the others are told the same).
        cause: String,
    },

    /// A sync was asked for a revision that no commit has returned.
    #[error("revision {asked} was never written; the last is {last}")]
    Unwritten {
        /// The revision asked for.
        asked: Revision,
        /// The last one written.
        last: Revision,
    },

    /// Any other failure of the file system.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// Names a failure of the file system by what it means to the operator.
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let kind = source.kind();
        if matches!(
            kind,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            return Self::Full { path, source };
        }
        if matches!(
            kind,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
        ) {
            return Self::ReadOnly {
                path,
                source: Some(source),
            };
        }
        Self::Io {
            doing,
            path,
            source,
        }
    }
}

/// The first damages in full, the rest as a number: a file of zeros would fill the screen.
fn list(damages: &[Damage]) -> String {
    const SHOWN: usize = 3;
    let mut text = damages
        .iter()
        .take(SHOWN)
        .map(Damage::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    if let Some(more) = damages.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}
