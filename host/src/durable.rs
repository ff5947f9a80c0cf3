//! Files and folders outside the store that must survive a power cut: kept drivers, what steps made.
//!
//! Owns the order of writing and syncing. A file is there when its bytes and its folder's entry are synced; a folder
//! is there when its parent is.

mod tree;

pub use tree::sync_tree;

use crate::clock;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Makes a folder and those above it, each durably. Nothing happens where it is there.
///
/// # Errors
/// The file system's.
pub fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_folder(parent.unwrap_or(Path::new(".")))
}

/// Writes a file. One that could not be written whole does not stay. Its folder is for the caller to sync.
///
/// # Errors
/// The file system's.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // The error that matters is the one at hand.
        let _ = fs::remove_file(path);
    }
    written
}

/// Syncs the entries of a folder.
///
/// # Errors
/// The file system's.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Gives a file the time of now, so that whoever removes what is old and nobody's leaves it alone for a while.
///
/// # Errors
/// The file system's.
pub fn touch(path: &Path) -> io::Result<()> {
    File::open(path)?.set_modified(clock::system_time(clock::now_ms()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_with_those_above_it_and_may_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        make_folder(&path).unwrap();
        make_folder(&path).unwrap();
        assert!(path.is_dir());
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a"), b"x").unwrap();
        assert!(make_folder(&folder.path().join("a/b")).is_err());
        assert!(make_folder(&folder.path().join("a")).is_err());
    }
}
