//! Files and folders outside the store that must survive a power cut: kept drivers, what steps made.
//!
//! Owns the order of writing and syncing. A file is there when its bytes and its folder's entry are synced; a folder
//! is there when its parent is.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::SystemTime;

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

/// Syncs what has changed in a folder since `since`, all the way down, without following links out of it. What may
/// not even be read was not written by this process.
///
/// # Errors
/// The file system's, with the file's name in it.
pub fn sync_tree(folder: &Path, since: SystemTime) -> io::Result<()> {
    let named = |path: &Path, error: io::Error| {
        io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
        entries => entries.map_err(|error| named(folder, error))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| named(folder, error))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| named(&path, error))?;
        if kind.is_dir() {
            sync_tree(&path, since)?;
        } else if kind.is_file() && is_newer(&path, since) {
            let synced = File::open(&path).and_then(|file| file.sync_data());
            synced.map_err(|error| named(&path, error))?;
        }
    }
    if is_newer(folder, since) {
        sync_folder(folder).map_err(|error| named(folder, error))?;
    }
    Ok(())
}

/// Whether something has changed since; also where that cannot be told.
fn is_newer(path: &Path, since: SystemTime) -> bool {
    let changed = fs::symlink_metadata(path).and_then(|about| about.modified());
    changed.map_or(true, |changed| changed >= since)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_synced_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        make_folder(&folder.path().join("a/b")).unwrap();
        make_folder(&folder.path().join("a/b")).unwrap();
        write(&folder.path().join("a/b/file"), b"x").unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.path().join("link")).unwrap();
        sync_tree(folder.path(), SystemTime::UNIX_EPOCH).unwrap();
        let error = sync_tree(&folder.path().join("none"), SystemTime::UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains("none`"), "{error}");
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a"), b"x").unwrap();
        assert!(make_folder(&folder.path().join("a/b")).is_err());
        assert!(make_folder(&folder.path().join("a")).is_err());
    }
}
