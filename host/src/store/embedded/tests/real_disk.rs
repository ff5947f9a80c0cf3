//! A real small disk, really full, and one that is really read-only: a tmpfs in a mount namespace of
//! its own, which needs no rights beyond those of an ordinary user and is gone with the process.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::folder::{child, child_dir, path_of};
use super::{Embedded, SEGMENT_BYTES, open, put, state};
use crate::store::{Batch, StoreError};

/// Runs the test again, as root of a namespace in which it may mount.
fn in_namespace(test: &str) {
    let dir = tempfile::tempdir().unwrap();
    let test = child(&path_of(module_path!(), test), dir.path());
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--user", "--map-root-user", "--mount"])
        .arg(test.get_program());
    unshare.args(test.get_args());
    unshare.envs(
        test.get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let output = unshare
        .output()
        .expect("`unshare` of util-linux is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("1 passed"), "{text}");
}

fn mount(dir: &Path, options: &str) {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir);
    assert!(mount.status().unwrap().success(), "mount -o {options}");
}

#[test]
fn a_full_disk() {
    let Some(dir) = child_dir() else {
        return in_namespace("a_full_disk");
    };
    mount(&dir, "size=256k");
    let store_dir = dir.join("store");
    let store = Embedded::open(&store_dir).unwrap();
    let value = |n: u8| Batch::new().put(format!("k{n:03}"), vec![n; 5000]);
    let mut written = 0;
    let error = loop {
        match store.commit_now(&value(written)) {
            Ok(revision) => store.sync_now(revision).unwrap(),
            Err(error) => break error,
        }
        written += 1;
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(written > 10);
    assert_eq!(state(&store).unwrap().len(), written as usize);
    drop(store);
    // A full disk can be opened, and has its records.
    let store = Embedded::open(&store_dir).unwrap();
    assert_eq!(state(&store).unwrap().len(), written as usize);
    assert!(matches!(
        store.commit_now(&value(written)),
        Err(StoreError::Full { .. })
    ));
    let remount = Command::new("mount")
        .args(["-o", "remount,size=4m"])
        .arg(&dir)
        .status();
    assert!(remount.unwrap().success());
    let revision = store.commit_now(&value(written)).unwrap();
    store.sync_now(revision).unwrap();
    drop(store);
    assert_eq!(
        state(&Embedded::open(&store_dir).unwrap()).unwrap().len(),
        written as usize + 1
    );
}

/// A disk that is full before the store is made.
#[test]
fn no_room_to_begin() {
    let Some(dir) = child_dir() else {
        return in_namespace("no_room_to_begin");
    };
    mount(&dir, "size=64k");
    fs::write(dir.join("ballast"), vec![1; 64 * 1024]).unwrap();
    let store_dir = dir.join("store");
    let full = |error| matches!(error, Some(StoreError::Full { .. }));
    assert!(full(open(&store_dir, SEGMENT_BYTES).err()));
    fs::remove_file(dir.join("ballast")).unwrap();
    open(&store_dir, SEGMENT_BYTES)
        .unwrap()
        .commit_now(&put("a", "1"))
        .unwrap();
}

#[test]
fn a_read_only_folder() {
    let Some(dir) = child_dir() else {
        return in_namespace("a_read_only_folder");
    };
    mount(&dir, "size=1m");
    let store_dir = dir.join("store");
    open(&store_dir, SEGMENT_BYTES)
        .unwrap()
        .commit_now(&put("a", "1"))
        .unwrap();
    let remount = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(&dir)
        .status();
    assert!(remount.unwrap().success());
    let error = open(&store_dir, SEGMENT_BYTES).err().unwrap();
    assert!(
        matches!(
            error,
            StoreError::ReadOnly {
                source: Some(_),
                ..
            }
        ),
        "{error}"
    );
    let new = open(&dir.join("new"), SEGMENT_BYTES).err().unwrap();
    assert_eq!(
        new.to_string(),
        format!(
            "{} cannot be written to; make it writable or choose another state folder",
            dir.join("new").display()
        )
    );
    assert_eq!(
        state(&Embedded::open_read_only(&store_dir).unwrap())
            .unwrap()
            .len(),
        1
    );
}
