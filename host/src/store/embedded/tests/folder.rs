//! The folder: who may have it, and what is refused at the door.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{Embedded, Folder, SEGMENT_BYTES, open, put, state};
use crate::store::{Revision, StoreError};

/// Set for a test that plays a process of its own.
const CHILD: &str = "BELT_TEST_STORE";

/// This test binary again, running that test alone with `CHILD` set to `dir`.
pub(super) fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--nocapture", "--test-threads=1", test])
        .env(CHILD, dir);
    command
}

/// The folder to work on, in the child.
pub(super) fn child_dir() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD).map(Into::into)
}

/// The path of a test of this module, as the test binary knows it.
pub(super) fn path_of(module: &str, test: &str) -> String {
    let module = module.split_once("::").expect("a module in a crate").1;
    format!("{module}::{test}")
}

/// Starts the child and waits until it has the store. It ends with a line on its standard input, and
/// must be able to go on writing until then.
fn start(test: &str, dir: &Path) -> (Child, ChildStdin, impl Sized) {
    let mut child = child(test, dir);
    let mut child = child
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let held = lines.by_ref().any(|line| line.unwrap() == "held");
    assert!(held, "the child has it not");
    let stdin = child.stdin.take().unwrap();
    (child, stdin, lines)
}

#[test]
fn another_process_is_refused_by_pid() {
    if let Some(dir) = child_dir() {
        let _store = open(&dir, SEGMENT_BYTES).unwrap();
        println!("\nheld");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    let test = path_of(module_path!(), "another_process_is_refused_by_pid");
    let (mut holder, mut stdin, _lines) = start(&test, dir);
    let expected = format!(
        "{} is in use by process {}; wait until it ends or choose another state folder",
        dir.display(),
        holder.id()
    );
    assert_eq!(
        open(dir, SEGMENT_BYTES).err().unwrap().to_string(),
        expected
    );
    assert_eq!(
        Embedded::open_read_only(dir).err().unwrap().to_string(),
        expected
    );
    stdin.write_all(b"\n").unwrap();
    assert!(holder.wait().unwrap().success());
    open(dir, SEGMENT_BYTES).unwrap();
}

#[test]
fn a_lock_ends_with_its_process() {
    let folder = Folder::new(SEGMENT_BYTES);
    let test = path_of(module_path!(), "another_process_is_refused_by_pid");
    let (mut holder, _stdin, _lines) = start(&test, folder.dir.path());
    holder.kill().unwrap();
    holder.wait().unwrap();
    open(folder.dir.path(), SEGMENT_BYTES).unwrap();
}

#[test]
fn the_same_process_is_refused_too() {
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    let store = open(dir, SEGMENT_BYTES).unwrap();
    let pid = std::process::id();
    let locked = |error| matches!(error, StoreError::Locked { pid: Some(by), .. } if by == pid);
    assert!(locked(open(dir, SEGMENT_BYTES).err().unwrap()));
    assert!(locked(Embedded::open_read_only(dir).err().unwrap()));
    drop(store);
    open(dir, SEGMENT_BYTES).unwrap();
}

/// The process id in the file is then that of the last writer, which may well be alive.
#[test]
fn readers_who_stay_are_not_called_by_the_last_writers_pid() {
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    drop(open(dir, SEGMENT_BYTES).unwrap());
    let pid = format!("{}\n", std::process::id());
    assert_eq!(fs::read_to_string(dir.join("LOCK")).unwrap(), pid);
    let reader = Embedded::open_read_only(dir).unwrap();
    let other = Embedded::open_read_only(dir).unwrap();
    let expected = format!(
        "{} is being read by another process; wait until it ends or choose another state folder",
        dir.display()
    );
    assert_eq!(
        open(dir, SEGMENT_BYTES).err().unwrap().to_string(),
        expected
    );
    drop(reader);
    Embedded::open_read_only(dir).unwrap();
    drop(other);
    open(dir, SEGMENT_BYTES).unwrap();
}

#[test]
fn a_writer_waits_for_readers_a_moment() {
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    drop(open(dir, SEGMENT_BYTES).unwrap());
    let reader = Embedded::open_read_only(dir).unwrap();
    thread::scope(|scope| {
        let (done, opened) = mpsc::channel();
        scope.spawn(move || done.send(open(dir, SEGMENT_BYTES)).unwrap());
        let early = opened.recv_timeout(Duration::from_millis(100));
        drop(reader);
        assert!(early.is_err(), "refused or let in beside a reader");
        opened.recv().unwrap().unwrap();
    });
}

/// A writer that has the lock and has not written its process id yet: the one before it left its own.
#[test]
fn a_process_that_has_ended_is_not_named() {
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    let _store = open(dir, SEGMENT_BYTES).unwrap();
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    fs::write(dir.join("LOCK"), format!("{}\n", ended.id())).unwrap();
    let expected = format!(
        "{} is in use by another process; wait until it ends or choose another state folder",
        dir.display()
    );
    for error in [
        open(dir, SEGMENT_BYTES).err(),
        Embedded::open_read_only(dir).err(),
    ] {
        assert_eq!(error.unwrap().to_string(), expected);
    }
}

#[test]
fn reading_changes_nothing() {
    let folder = Folder::new(300);
    let dir = folder.dir.path();
    let store = open(dir, 300).unwrap();
    for n in 0..20 {
        store
            .commit_now(&put(&format!("k{n}"), "some value"))
            .unwrap();
    }
    let expected = state(&store).unwrap();
    drop(store);
    let torn = files_of_newest(dir);
    fs::write(&torn, [fs::read(&torn).unwrap(), b"torn".to_vec()].concat()).unwrap();
    let before = contents(dir);
    let store = Embedded::open_read_only(dir).unwrap();
    assert_eq!(state(&store).unwrap(), expected);
    assert_eq!(store.damage(), []);
    store.sync_now(Revision::new(20)).unwrap();
    drop(store);
    assert_eq!(contents(dir), before);
}

fn files_of_newest(dir: &Path) -> std::path::PathBuf {
    let files = super::files(dir);
    let newest = files
        .iter()
        .rev()
        .find(|(name, _)| name.ends_with(".log"))
        .unwrap();
    dir.join(&newest.0)
}

fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let files = super::files(dir).into_iter();
    files
        .map(|(name, _)| (name.clone(), fs::read(dir.join(name)).unwrap()))
        .collect()
}

#[test]
fn a_missing_folder_is_made_to_write_and_refused_to_read() {
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path().join("deep/store");
    let error = Embedded::open_read_only(&dir).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!("could not list {}", dir.display())
    );
    open(&dir, SEGMENT_BYTES)
        .unwrap()
        .commit_now(&put("a", "1"))
        .unwrap();
    assert_eq!(
        state(&Embedded::open_read_only(&dir).unwrap())
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn another_format_version_is_refused_by_name() {
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    open(dir, SEGMENT_BYTES)
        .unwrap()
        .commit_now(&put("a", "1"))
        .unwrap();
    let file = dir.join("00000000000000000001.log");
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 2;
    bytes[8 + 48] = 2;
    fs::write(&file, bytes).unwrap();
    let expected = format!(
        "{} has format version 2, this build reads 1; use the build that wrote it",
        file.display()
    );
    assert_eq!(
        open(dir, SEGMENT_BYTES).err().unwrap().to_string(),
        expected
    );
    assert_eq!(
        Embedded::open_read_only(dir).err().unwrap().to_string(),
        expected
    );
}

/// The way out that the message about a damaged marker names.
#[test]
fn without_its_marker_the_log_opens() {
    let folder = Folder::new(SEGMENT_BYTES);
    let dir = folder.dir.path();
    let store = open(dir, SEGMENT_BYTES).unwrap();
    let revision = store.commit_now(&put("a", "1")).unwrap();
    store.sync_now(revision).unwrap();
    drop(store);
    fs::write(dir.join("synced"), "nonsense").unwrap();
    let error = open(dir, SEGMENT_BYTES).err().unwrap().to_string();
    assert!(
        error.contains("the marker is damaged; remove it to open the log without it"),
        "{error}"
    );
    fs::remove_file(dir.join("synced")).unwrap();
    assert_eq!(state(&open(dir, SEGMENT_BYTES).unwrap()).unwrap().len(), 1);
    assert!(dir.join("synced").exists());
}
