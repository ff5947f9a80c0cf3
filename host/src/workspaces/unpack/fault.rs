//! Why an archive is refused.

use super::members::PAX_BYTES_MAX;
use crate::workspaces::limits::Exceeded;
use crate::workspaces::paths::{PathFault, TargetFault, shown};
use std::io;
use std::path::{Path, PathBuf};

/// An archive that cannot be unpacked. All but [`UnpackError::NotEmpty`] and [`UnpackError::Io`] are its sender's.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// There is something in the folder.
    #[error("the folder `{}` is not empty; unpack into a fresh one", .0.display())]
    NotEmpty(PathBuf),
    /// It is no gzip, has a wrong checksum, or ends too early.
    #[error("cannot read the archive, which is no whole gzip; pack and send it again")]
    Gzip(#[source] io::Error),
    /// The tar within ends before its end mark.
    #[error("the tar in the archive is cut short at byte {at}; pack and send it again")]
    CutShort {
        /// Where it ends.
        at: u64,
    },
    /// A header is no header.
    #[error("the header at byte {at} of the tar in the archive is damaged; pack and send it again")]
    Header {
        /// Where it starts.
        at: u64,
    },
    /// A header says more than any has to.
    #[error(
        "the header before byte {at} of the tar in the archive goes over PAX_BYTES_MAX, {PAX_BYTES_MAX} bytes; \
         pack without extended attributes"
    )]
    LongHeader {
        /// Where what it says starts.
        at: u64,
    },
    /// Something follows the end.
    #[error("the archive goes on after its end; send one gzip'd tar and nothing else")]
    Trailing,
    /// A header for all that follows says more than a remark.
    #[error("the archive sets `{key}` for all of its files; pack it without")]
    Global {
        /// What it sets.
        key: String,
    },
    /// Something in it is refused.
    #[error("cannot unpack `{path}`; pack without it")]
    Member {
        /// Its path, as the archive has it.
        path: String,
        /// Why.
        #[source]
        fault: Fault,
    },
    /// A limit was hit.
    #[error("with `{path}` the archive goes over {limit}; pack without what is not needed")]
    Limit {
        /// What was about to be unpacked.
        path: String,
        /// The limit.
        limit: Exceeded,
    },
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

/// What is wrong with one member of an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its path.
    #[error(transparent)]
    Path(#[from] PathFault),
    /// Where it points.
    #[error(transparent)]
    Target(#[from] TargetFault),
    /// No workspace has one.
    #[error("it is {0}; a workspace has files, folders and symbolic links")]
    Kind(&'static str),
    /// Of no type that has a name.
    #[error("it has the type `{}`; a workspace has files, folders and symbolic links", .0.escape_ascii())]
    Type(u8),
    /// There is something already.
    #[error("its path is taken by an earlier one")]
    Taken,
    /// A name on its way is no folder.
    #[error("its path leads through a link or a file")]
    Through,
    /// A file of a folder's name.
    #[error("it is a file and its path ends in `/`")]
    Slash,
    /// A folder or link with content.
    #[error("it is no file and has {0} bytes of content")]
    Content(u64),
    /// Its headers say different things.
    #[error("its headers disagree about its {0}")]
    Disagree(&'static str),
}

impl UnpackError {
    pub(super) fn member(path: &[u8], fault: impl Into<Fault>) -> Self {
        UnpackError::Member {
            path: shown(path),
            fault: fault.into(),
        }
    }

    pub(super) fn over(path: &[u8], limit: Exceeded) -> Self {
        UnpackError::Limit {
            path: shown(path),
            limit,
        }
    }

    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        UnpackError::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}
