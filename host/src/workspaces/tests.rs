//! What several tests look at.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What is in a folder, by path: `0644 bytes`, `0755/` or `-> target`.
pub(super) fn listing(folder: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    list(folder, folder, &mut found);
    found
}

fn list(root: &Path, folder: &Path, found: &mut BTreeMap<Vec<u8>, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = path.symlink_metadata().unwrap();
        let mode = about.permissions().mode() & 0o7777;
        let is = if about.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else if about.is_dir() {
            list(root, &path, found);
            format!("{mode:04o}/")
        } else {
            format!("{mode:04o} {}", fs::read(&path).unwrap().escape_ascii())
        };
        let inside = path.strip_prefix(root).unwrap();
        found.insert(inside.as_os_str().as_bytes().to_owned(), is);
    }
}
