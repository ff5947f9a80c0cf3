//! The end of a folder, whatever was made in it.
//!
//! Owns how a tree is taken down: what is deep is brought up first, so that no depth uses up the stack or what may be
//! open. Never follows a link.

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Removes a folder and what is in it.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    clear(folder)?;
    fs::remove_dir(folder)
}

/// Removes what is in a folder.
pub(super) fn clear(folder: &Path) -> io::Result<()> {
    let top = rustix::fs::open(folder, folder_flags(), Mode::empty())?;
    let mut brought_up = 0;
    // Each time what is in the folders of the last time.
    while clear_once(&top, &mut brought_up)? {}
    Ok(())
}

/// Removes the files of a folder, and its folders once what is in them is one up. Says whether there was anything.
fn clear_once(top: &OwnedFd, brought_up: &mut u64) -> Result<bool, Errno> {
    let mut is_any = false;
    for entry in Dir::read_from(top)? {
        let entry = entry?;
        let name = entry.file_name();
        if [&b"."[..], b".."].contains(&name.to_bytes()) {
            continue;
        }
        is_any = true;
        if unlink(top, name)? == Unlinked::No {
            let folder = openat(top, name, folder_flags(), Mode::empty())?;
            empty_into(top, &folder, brought_up)?;
            unlinkat(top, name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(is_any)
}

/// Removes the files of `folder`, which is in `top`, and moves its folders there.
fn empty_into(top: &OwnedFd, folder: &OwnedFd, brought_up: &mut u64) -> Result<(), Errno> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if [&b"."[..], b".."].contains(&name.to_bytes()) {
            continue;
        }
        while unlink(folder, name)? == Unlinked::No {
            let up = format!(".{brought_up}.partial");
            *brought_up += 1;
            match renameat(folder, name, top, up.as_str()) {
                Ok(()) => break,
                // Something of that name is there: the next one.
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Unlinked {
    Yes,
    /// It is a folder.
    No,
}

fn unlink(folder: &OwnedFd, name: &CStr) -> Result<Unlinked, Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => Ok(Unlinked::Yes),
        Err(Errno::ISDIR) => Ok(Unlinked::No),
        Err(error) => Err(error),
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustix::fs::mkdirat;
    use std::fs::File;

    #[test]
    fn a_folder_goes_and_what_its_links_point_to_stays() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("folder");
        fs::create_dir_all(folder.join("a/b/c")).unwrap();
        fs::create_dir_all(folder.join(".0.partial/full")).unwrap();
        fs::write(folder.join("a/b/file"), "x").unwrap();
        fs::write(folder.join(".1.partial"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.join("a/link")).unwrap();
        remove(&folder).unwrap();
        assert!(!folder.exists());
        assert!(outside.path().join("kept").exists());
        assert!(remove(&folder).is_err());
    }

    #[test]
    fn a_folder_that_is_a_link_is_not_entered() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        let parent = tempfile::tempdir().unwrap();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        assert!(remove(&link).is_err());
        assert!(outside.path().join("kept").exists());
    }

    /// Deeper than a process may have files open as a rule: each folder is made by the one above it, as a guest does.
    #[test]
    fn no_depth_is_too_deep() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let mut above: OwnedFd = File::open(&folder).unwrap().into();
        for _ in 0..3_000 {
            mkdirat(&above, "n", Mode::RWXU).unwrap();
            above = openat(&above, "n", folder_flags(), Mode::empty()).unwrap();
        }
        drop(above);
        remove(&folder).unwrap();
        assert!(!folder.exists());
    }
}
