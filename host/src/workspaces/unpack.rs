//! An archive becomes a folder, whoever wrote the archive.
//!
//! Owns what an archive may do: make files, folders and links within a fresh folder, and nothing else. Never writes
//! outside of it, never follows a link, and leaves nothing where an archive is refused.
//!
//! # What is an archive
//! One gzip member with nothing after it. In it a tar (v7, ustar, GNU or PAX) with an end mark, after which only zeros
//! follow. Files and folders get the modes 0644, 0755 for a file that its owner may execute, and 0755 for a folder;
//! times, owners and extended attributes are left out. A folder may be named twice, or not at all before what is in
//! it. Refused by name: hard links, devices, FIFOs, sparse files, contiguous files and all other types, a path that is
//! taken, one that leads out or through a link, a link that points out.

mod fault;
mod members;
mod pax;
mod tree;

pub use fault::{Fault, UnpackError};

use super::limits::{Limits, Tally};
use super::removal;
use members::{Kind, Member, Members};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use tree::Tree;

/// What came out of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// In the files.
    pub bytes: u64,
    /// Files, folders and links, with those named twice and folders that are only in others' paths.
    pub entries: u64,
}

/// Unpacks an archive into a folder that is not there or empty. Syncs nothing.
///
/// # Errors
/// [`UnpackError`]. The folder is then as it was: not there or empty.
pub fn unpack(archive: impl Read, folder: &Path) -> Result<Unpacked, UnpackError> {
    unpack_within(archive, folder, Limits::default())
}

/// The same with limits of one's own.
///
/// # Errors
/// [`UnpackError`].
pub fn unpack_within(
    archive: impl Read,
    folder: &Path,
    limits: Limits,
) -> Result<Unpacked, UnpackError> {
    let fresh = Fresh::take(folder)?;
    let mut tree = Tree::open(folder)?;
    let mut tally = Tally::new(limits);
    let mut members = Members::new(archive, limits);
    while let Some(member) = members.next(&mut tally)? {
        make(member, &mut members, &mut tree, &mut tally)?;
    }
    fresh.keep();
    Ok(Unpacked {
        bytes: tally.bytes,
        entries: tally.entries,
    })
}

fn make<R: Read>(
    member: Member,
    members: &mut Members<R>,
    tree: &mut Tree<'_>,
    tally: &mut Tally,
) -> Result<(), UnpackError> {
    let path = &member.path;
    match member.kind {
        Kind::Folder => tree.folder(path, tally),
        Kind::Link { target } => tree.link(path, &target, tally),
        Kind::File {
            bytes,
            is_executable,
        } => {
            // Counted first: a file that is too large as a whole is not begun.
            let counted = tally.file(bytes);
            counted.map_err(|limit| UnpackError::over(path.bytes(), limit))?;
            let mut file = tree.file(path, is_executable, tally)?;
            members.content(bytes, |piece| {
                let written = file.write_all(piece);
                written.map_err(|error| tree.error("write", path.bytes(), error))
            })
        }
    }
}

/// A folder that is being filled. Unless it is kept, what is in it is removed again, and it too if this made it.
struct Fresh<'a> {
    folder: &'a Path,
    is_made: bool,
    is_kept: bool,
}

impl<'a> Fresh<'a> {
    fn take(folder: &'a Path) -> Result<Self, UnpackError> {
        let is_made = match fs::create_dir(folder) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => return Err(UnpackError::io("make", folder, error)),
        };
        let mut entries =
            fs::read_dir(folder).map_err(|error| UnpackError::io("read", folder, error))?;
        if entries.next().is_some() {
            return Err(UnpackError::NotEmpty(folder.to_owned()));
        }
        Ok(Fresh {
            folder,
            is_made,
            is_kept: false,
        })
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // The error that matters is the one that brought us here.
        let _ = match self.is_made {
            true => removal::remove(self.folder),
            false => removal::clear(self.folder),
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
