//! The sync of a whole folder that drivers have written to, however they made it.
//!
//! Owns the choice of what is synced by itself. Never fails because of a tree's shape: where a walk comes to no end,
//! the whole file system is synced.

use std::fs::{self, File, Metadata, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Folders within folders that are walked. Each on the way is open meanwhile, and trees that tools make are not half
/// as deep.
const DEPTH_MAX: usize = 64;

/// How far a walk came.
#[derive(Debug, PartialEq, Eq)]
enum Walked {
    Whole,
    /// Something in it is too deep, has too long a path, or cannot be opened.
    InPart,
}

/// What is synced.
#[derive(Clone, Copy)]
enum Kind {
    File,
    Folder,
}

/// What is done with each thing that has changed. Its error ends the walk.
type Sync<'a> = &'a mut dyn FnMut(&Path, &File, Kind) -> io::Result<()>;

/// Syncs what has changed in a folder since `since`, all the way down, without following links out of it. Where not
/// all of it can be reached, its whole file system is synced.
///
/// # Errors
/// The file system's, with the file's name in it.
pub fn sync_tree(folder: &Path, since: SystemTime) -> io::Result<()> {
    // Opened first, so that it is there when the walk has used up all that may be open.
    let root = File::open(folder).map_err(|error| named(folder, error))?;
    let walked = walk(folder, since, &mut |path, file, kind| {
        let synced = match kind {
            Kind::File => file.sync_data(),
            Kind::Folder => file.sync_all(),
        };
        synced.map_err(|error| named(path, error))
    })?;
    match walked {
        Walked::Whole => Ok(()),
        Walked::InPart => rustix::fs::syncfs(&root).map_err(|error| named(folder, error.into())),
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

/// Goes through a tree, each folder after what is in it.
fn walk(folder: &Path, since: SystemTime, sync: Sync<'_>) -> io::Result<Walked> {
    let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut way: Vec<(PathBuf, ReadDir)> = Vec::new();
    let mut next = Some(folder.to_owned());
    loop {
        if let Some(path) = next.take() {
            match fs::read_dir(&path) {
                Ok(entries) if way.len() <= DEPTH_MAX => way.push((path, entries)),
                Ok(_) | Err(_) => return Ok(Walked::InPart),
            }
        }
        let Some((path, entries)) = way.last_mut() else {
            return Ok(Walked::Whole);
        };
        let (path, kind) = match entries.next() {
            None => (std::mem::take(path), Kind::Folder),
            Some(Err(_)) => return Ok(Walked::InPart),
            Some(Ok(entry)) => match entry.file_type() {
                Err(_) => return Ok(Walked::InPart),
                Ok(kind) if kind.is_dir() => {
                    next = Some(entry.path());
                    continue;
                }
                Ok(kind) if kind.is_file() => (entry.path(), Kind::File),
                Ok(_) => continue,
            },
        };
        if let Kind::Folder = kind {
            way.pop();
        }
        if is_changed(&path, since) {
            match File::open(&path) {
                Ok(file) => sync(&path, &file, kind)?,
                Err(_) => return Ok(Walked::InPart),
            }
        }
    }
}

/// Whether something has changed since that time after the epoch; also where that cannot be told. This goes by the
/// time that the kernel sets: the one of its content is whatever a driver, or what unpacks, sets it to.
fn is_changed(path: &Path, since: Duration) -> bool {
    fs::symlink_metadata(path).map_or(true, |about| changed(&about) >= since)
}

fn changed(about: &Metadata) -> Duration {
    let seconds = u64::try_from(about.ctime()).unwrap_or_default();
    Duration::new(
        seconds,
        u32::try_from(about.ctime_nsec()).unwrap_or_default(),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::durable::{make_folder, write};
    use rustix::fs::{Mode, OFlags, mkdirat, openat};
    use std::os::fd::OwnedFd;

    /// How far a walk came, and what it would sync, by its path in the tree.
    fn picked(root: &Path, since: SystemTime) -> (Walked, Vec<String>) {
        let mut all = Vec::new();
        let walked = walk(root, since, &mut |path, _, _| {
            let path = path.strip_prefix(root).unwrap();
            all.push(path.display().to_string());
            Ok(())
        });
        (walked.unwrap(), all)
    }

    /// Folders within folders, made as a guest makes them: each by the one above it.
    fn nest(root: &Path, count: usize, name: &str) {
        let mut above: OwnedFd = File::open(root).unwrap().into();
        for _ in 0..count {
            mkdirat(&above, name, Mode::RWXU).unwrap();
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
            above = openat(&above, name, flags, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn a_tree_is_synced_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        make_folder(&folder.path().join("a/b")).unwrap();
        write(&folder.path().join("a/b/file"), b"x").unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.path().join("link")).unwrap();
        let all = ["a/b/file", "a/b", "a", ""].map(str::to_owned).to_vec();
        let picked = picked(folder.path(), UNIX_EPOCH);
        assert_eq!(picked, (Walked::Whole, all));
        sync_tree(folder.path(), UNIX_EPOCH).unwrap();
        let error = sync_tree(&folder.path().join("none"), UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains("none`"), "{error}");
    }

    #[test]
    fn a_tree_whose_paths_are_too_long_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        nest(folder.path(), 30, &"n".repeat(200));
        assert_eq!(picked(folder.path(), UNIX_EPOCH).0, Walked::InPart);
        sync_tree(folder.path(), UNIX_EPOCH).unwrap();
    }

    #[test]
    fn a_tree_is_walked_so_deep_and_synced_beyond() {
        let folder = tempfile::tempdir().unwrap();
        nest(folder.path(), DEPTH_MAX, "n");
        let (walked, all) = picked(folder.path(), UNIX_EPOCH);
        assert_eq!((walked, all.len()), (Walked::Whole, DEPTH_MAX + 1));
        let deeper = tempfile::tempdir().unwrap();
        nest(deeper.path(), DEPTH_MAX + 1, "n");
        assert_eq!(picked(deeper.path(), UNIX_EPOCH).0, Walked::InPart);
        sync_tree(deeper.path(), UNIX_EPOCH).unwrap();
    }

    #[test]
    fn what_only_looks_old_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let tick = Duration::from_millis(100);
        let now = clock::system_time(clock::now_ms());
        let file = folder.path().join("file");
        write(&file, b"x").unwrap();
        let file = File::options().write(true).open(file).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
        File::open(folder.path())
            .unwrap()
            .set_modified(UNIX_EPOCH)
            .unwrap();
        let both = ["file", ""].map(str::to_owned).to_vec();
        assert_eq!(picked(folder.path(), now - tick).1, both);
        let hour = Duration::from_secs(3_600);
        assert_eq!(picked(folder.path(), now + hour).1, [""; 0]);
    }

    #[test]
    fn a_sync_that_fails_is_an_error_even_where_the_rest_is_out_of_reach() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("file"), b"x").unwrap();
        let failed = walk(folder.path(), UNIX_EPOCH, &mut |_, _, _| {
            Err(io::Error::other("the disk is gone"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is gone");
    }
}
