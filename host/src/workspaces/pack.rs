//! A folder becomes an archive.
//!
//! Owns what of a folder is packed: all but what `.gitignore` and `.beltignore` name, `.git`, and `.belt` folders. The
//! same tree gives the same bytes, whenever and in whatever order its folders list it. That holds for one build of
//! Beltline: another may compress differently. Holds no more of an archive in memory than one block, and writes
//! nothing to the folder.

mod archive;
mod walk;

use super::limits::{Exceeded, Limits, Tally};
use super::paths::{Inside, PathFault, TargetFault, shown};
use crate::digest::Digest;
use archive::Archive;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File, FileType};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The ignore file that is stronger than `.gitignore`, and reads the same.
pub const BELTIGNORE: &str = ".beltignore";

/// An archive that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// Of the archive's bytes, as they were written.
    pub digest: Digest,
    /// How many there are.
    pub bytes: u64,
    /// Files, folders and links in it.
    pub entries: u64,
}

/// A folder that cannot be packed. Paths are those within the folder.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It is not there, or cannot be read.
    #[error("cannot open the folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The file system's error.
        #[source]
        source: io::Error,
    },
    /// A folder in it cannot be listed.
    #[error("cannot go through the folder; name what is in the way in `{BELTIGNORE}`")]
    Walk(#[source] ignore::Error),
    /// An ignore file cannot be read or has a line that is no pattern.
    #[error("cannot use an ignore file; mend it")]
    IgnoreFile(#[source] ignore::Error),
    /// Something that no archive holds.
    #[error("`{path}` is {kind}, which is not packed; name it in `{BELTIGNORE}`")]
    Special {
        /// Where it is.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// No archive holds a path like that.
    #[error("cannot pack `{path}`; name it in `{BELTIGNORE}`")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        #[source]
        fault: PathFault,
    },
    /// A link that leads out, or may.
    #[error(
        "cannot pack the link `{path}` to `{target}`; let it point to a place in the folder, or name it in `{BELTIGNORE}`"
    )]
    Link {
        /// The link.
        path: String,
        /// Where it points.
        target: String,
        /// What is wrong with that.
        #[source]
        fault: TargetFault,
    },
    /// A limit was hit.
    #[error(
        "with `{path}` the archive goes over {limit}; name what is not needed in `{BELTIGNORE}`"
    )]
    Limit {
        /// What was about to be packed.
        path: String,
        /// The limit.
        limit: Exceeded,
    },
    /// A file had another size at its end than at its start.
    #[error(
        "`{path}` changed while it was packed, from {was} bytes; pack when nothing writes to it"
    )]
    Changed {
        /// The file.
        path: String,
        /// Its size when it was opened, in bytes.
        was: u64,
    },
    /// The file system's.
    #[error("cannot read `{path}`")]
    Read {
        /// The file or link.
        path: String,
        /// The file system's error.
        #[source]
        source: io::Error,
    },
    /// The archive's taker failed.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
}

/// Packs a folder into a gzip'd tar.
///
/// # Errors
/// [`PackError`]. What was written until then is no archive.
pub fn pack(folder: &Path, out: impl Write) -> Result<Packed, PackError> {
    pack_within(folder, out, Limits::default())
}

/// The same with limits of one's own.
///
/// # Errors
/// [`PackError`].
pub fn pack_within(folder: &Path, out: impl Write, limits: Limits) -> Result<Packed, PackError> {
    let root = opened(folder).map_err(|source| PackError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    let mut packing = Packing {
        archive: Archive::new(out),
        tally: Tally::new(limits),
        limits,
    };
    for found in walk::of(&root) {
        let found = found.map_err(PackError::Walk)?;
        if let Some(error) = found.error() {
            return Err(PackError::IgnoreFile(error.clone()));
        }
        let path = found.path().strip_prefix(&root).unwrap_or(found.path());
        if let (Some(kind), false) = (found.file_type(), path.as_os_str().is_empty()) {
            packing.add(path.as_os_str().as_bytes(), found.path(), kind)?;
        }
    }
    let entries = packing.tally.entries;
    let written = packing.archive.end().map_err(PackError::Write)?;
    if written.bytes() > limits.gzip_bytes {
        return Err(over(b".", Exceeded::GzipBytes(limits.gzip_bytes)));
    }
    Ok(Packed {
        bytes: written.bytes(),
        digest: written.parts().1,
        entries,
    })
}

fn opened(folder: &Path) -> io::Result<PathBuf> {
    let root = fs::canonicalize(folder)?;
    match fs::metadata(&root)?.is_dir() {
        true => Ok(root),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

fn over(path: &[u8], limit: Exceeded) -> PackError {
    PackError::Limit {
        path: shown(path),
        limit,
    }
}

struct Packing<W: Write> {
    archive: Archive<W>,
    tally: Tally,
    limits: Limits,
}

impl<W: Write> Packing<W> {
    /// Packs what was found at a path, which is `at` in the file system.
    fn add(&mut self, path: &[u8], at: &Path, kind: FileType) -> Result<(), PackError> {
        let inside = Inside::read(path, &self.limits).map_err(|fault| PackError::Path {
            path: shown(path),
            fault,
        })?;
        self.tally.entry().map_err(|limit| over(path, limit))?;
        if kind.is_dir() {
            self.archive.folder(path).map_err(PackError::Write)?;
        } else if kind.is_symlink() {
            self.link(&inside, at)?;
        } else if kind.is_file() {
            self.file(path, at)?;
        } else {
            return Err(special(path, kind));
        }
        self.check_size(path)
    }

    fn link(&mut self, inside: &Inside, at: &Path) -> Result<(), PackError> {
        let path = inside.bytes();
        let target = fs::read_link(at).map_err(|source| read(path, source))?;
        let target = target.as_os_str().as_bytes();
        let allowed = inside.may_point_to(target, &self.limits);
        allowed.map_err(|fault| PackError::Link {
            path: shown(path),
            target: shown(target),
            fault,
        })?;
        self.archive.link(path, target).map_err(PackError::Write)
    }

    fn file(&mut self, path: &[u8], at: &Path) -> Result<(), PackError> {
        // What became a link or a FIFO meanwhile is neither followed nor waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(at, flags, Mode::empty());
        let mut file = File::from(opened.map_err(|error| read(path, error.into()))?);
        let about = file.metadata().map_err(|source| read(path, source))?;
        if !about.is_file() {
            return Err(special(path, about.file_type()));
        }
        let was = about.len();
        let tallied = self.tally.file(was);
        tallied.map_err(|limit| over(path, limit))?;
        let is_executable = about.mode() & 0o100 != 0;
        let begun = self.archive.file(path, was, is_executable);
        begun.map_err(PackError::Write)?;
        self.content(path, &mut file, was)?;
        self.archive.pad(was).map_err(PackError::Write)
    }

    /// Packs as many bytes as the file had when it was opened, and finds out whether these are all.
    fn content(&mut self, path: &[u8], file: &mut File, was: u64) -> Result<(), PackError> {
        let changed = || PackError::Changed {
            path: shown(path),
            was,
        };
        let mut buffer = [0; 1 << 16];
        let mut left = was;
        loop {
            let count = match file.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read_so_far => read_so_far.map_err(|source| read(path, source))?,
            };
            if count == 0 {
                break;
            }
            left = left.checked_sub(count as u64).ok_or_else(changed)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            self.archive.content(bytes).map_err(PackError::Write)?;
            self.check_size(path)?;
        }
        if left > 0 { Err(changed()) } else { Ok(()) }
    }

    fn check_size(&self, path: &[u8]) -> Result<(), PackError> {
        if self.archive.bytes() > self.limits.gzip_bytes {
            return Err(over(path, Exceeded::GzipBytes(self.limits.gzip_bytes)));
        }
        Ok(())
    }
}

fn read(path: &[u8], source: io::Error) -> PackError {
    PackError::Read {
        path: shown(path),
        source,
    }
}

fn special(path: &[u8], kind: FileType) -> PackError {
    let kind = if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "no file, folder or link any more"
    };
    PackError::Special {
        path: shown(path),
        kind,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
