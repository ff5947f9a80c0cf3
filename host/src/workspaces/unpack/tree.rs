//! The folder that an archive is unpacked into.
//!
//! Owns how something is made in it: by the descriptor of the folder that it is in, which was reached from the top one
//! name at a time and never by a link; and only where nothing is yet. So nothing that an archive made leads a later
//! write anywhere else.

use super::fault::{Fault, UnpackError};
use crate::workspaces::limits::Tally;
use crate::workspaces::paths::{Inside, names};
use rustix::fs::{Mode, OFlags, fchmod, mkdirat, openat, symlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Of folders, whatever the process would leave out.
const FOLDER_MODE: u32 = 0o755;

/// A folder that is being filled.
pub(super) struct Tree<'a> {
    folder: &'a Path,
    root: OwnedFd,
    /// The folder that was used last: archives name what is in one folder in a row.
    last: Option<(Vec<u8>, OwnedFd)>,
}

impl<'a> Tree<'a> {
    pub(super) fn open(folder: &'a Path) -> Result<Self, UnpackError> {
        let root = rustix::fs::open(folder, folder_flags(), Mode::empty());
        let root = root.map_err(|error| UnpackError::io("open", folder, error.into()))?;
        Ok(Tree {
            folder,
            root,
            last: None,
        })
    }

    /// Makes a folder, if it is not there.
    pub(super) fn folder(&mut self, path: &Inside, tally: &mut Tally) -> Result<(), UnpackError> {
        count(path, tally)?;
        let Some((above, name)) = path.split() else {
            return Ok(());
        };
        let above = self.reach(path, above, tally)?;
        let made = match make_folder(above, name) {
            Err(Errno::EXIST) => enter(above, name),
            made => made,
        };
        match made {
            Ok(_) => Ok(()),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                Err(UnpackError::member(path.bytes(), Fault::Taken))
            }
            Err(error) => Err(self.error("make", path.bytes(), error.into())),
        }
    }

    /// Makes an empty file.
    pub(super) fn file(
        &mut self,
        path: &Inside,
        is_executable: bool,
        tally: &mut Tally,
    ) -> Result<File, UnpackError> {
        let (above, name) = self.place(path, tally)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if is_executable { 0o755 } else { 0o644 });
        let made = openat(above, name, flags, mode).and_then(|file| {
            // What the process would leave out of a mode counts no more than what the archive would put in.
            fchmod(&file, mode)?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(file.into()),
            Err(error) => Err(self.not_made(path, error)),
        }
    }

    /// Makes a link.
    pub(super) fn link(
        &mut self,
        path: &Inside,
        target: &[u8],
        tally: &mut Tally,
    ) -> Result<(), UnpackError> {
        let (above, name) = self.place(path, tally)?;
        let made = symlinkat(target, above, name);
        made.map_err(|error| self.not_made(path, error))
    }

    /// An error of the file system's with something of that path.
    pub(super) fn error(&self, doing: &'static str, path: &[u8], source: io::Error) -> UnpackError {
        UnpackError::io(doing, &self.folder.join(OsStr::from_bytes(path)), source)
    }

    fn not_made(&self, path: &Inside, error: Errno) -> UnpackError {
        match error {
            Errno::EXIST => UnpackError::member(path.bytes(), Fault::Taken),
            error => self.error("make", path.bytes(), error.into()),
        }
    }

    /// Where something new is to be made: its folder and its name there.
    fn place<'p>(
        &mut self,
        path: &'p Inside,
        tally: &mut Tally,
    ) -> Result<(&OwnedFd, &'p [u8]), UnpackError> {
        count(path, tally)?;
        match path.split() {
            Some((above, name)) => Ok((self.reach(path, above, tally)?, name)),
            // The folder itself is there.
            None => Err(UnpackError::member(b".", Fault::Taken)),
        }
    }

    /// The folder that `path` is in, made with those above it where it is not there.
    fn reach(
        &mut self,
        path: &Inside,
        above: &[u8],
        tally: &mut Tally,
    ) -> Result<&OwnedFd, UnpackError> {
        if above.is_empty() {
            return Ok(&self.root);
        }
        let (mut here, rest) = match self.last.take() {
            Some((last, folder)) if is_within(above, &last) => {
                (Some(folder), above.get(last.len()..).unwrap_or_default())
            }
            Some(_) | None => (None, above),
        };
        for name in names(rest) {
            let from = here.as_ref().unwrap_or(&self.root);
            let next = match enter(from, name) {
                Err(Errno::NOENT) => {
                    count(path, tally)?;
                    make_folder(from, name)
                }
                entered => entered,
            };
            here = match next {
                Ok(folder) => Some(folder),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    return Err(UnpackError::member(path.bytes(), Fault::Through));
                }
                Err(error) => return Err(self.error("make", above, error.into())),
            };
        }
        Ok(match here {
            Some(folder) => &self.last.insert((above.to_owned(), folder)).1,
            None => &self.root,
        })
    }
}

fn count(path: &Inside, tally: &mut Tally) -> Result<(), UnpackError> {
    let counted = tally.entry();
    counted.map_err(|limit| UnpackError::over(path.bytes(), limit))
}

/// Whether a path is that folder or in it.
fn is_within(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Opens a folder that is one, and no link to one.
fn enter(from: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    openat(from, name, folder_flags(), Mode::empty())
}

/// Makes and opens a folder.
fn make_folder(from: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_raw_mode(FOLDER_MODE);
    mkdirat(from, name, mode)?;
    let folder = enter(from, name)?;
    fchmod(&folder, mode)?;
    Ok(folder)
}
