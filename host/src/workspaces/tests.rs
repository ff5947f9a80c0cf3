//! The owner of archives and workspaces, on a state folder of its own.

use super::*;
use crate::clock;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

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

/// A state folder and an archive of a small folder.
struct Bench {
    folder: tempfile::TempDir,
    workspaces: Workspaces,
    archive: Vec<u8>,
    digest: Digest,
}

impl Bench {
    fn new() -> Self {
        Bench::within(Limits::default())
    }

    fn within(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::locate(Some(&folder.path().join("state"))).unwrap();
        let work = folder.path().join("work");
        fs::create_dir_all(work.join("src")).unwrap();
        fs::write(work.join("src/a"), "hello").unwrap();
        let mut archive = Vec::new();
        let packed = pack(&work, &mut archive).unwrap();
        Bench {
            workspaces: Workspaces::within(&state, limits),
            folder,
            archive,
            digest: packed.digest,
        }
    }

    fn send(&self, digest: Digest, bytes: &[u8]) -> Result<(), WorkspaceError> {
        let mut receiving = self.workspaces.receive(digest)?;
        for piece in bytes.chunks(50) {
            receiving.write(piece)?;
        }
        receiving.finish()
    }

    /// The names in a folder of the state.
    fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("state").join(folder)) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

#[test]
fn an_archive_that_was_received_becomes_workspaces() {
    let bench = Bench::new();
    assert!(!bench.workspaces.has(bench.digest));
    bench.send(bench.digest, &bench.archive).unwrap();
    assert!(bench.workspaces.has(bench.digest));
    assert_eq!(
        bench.names("archives"),
        [format!("{}.tar.gz", bench.digest.hex())]
    );
    for run in ["run-1", "run-2"] {
        let path = bench.workspaces.make(bench.digest, run).unwrap();
        assert!(path.ends_with(format!("workspaces/{run}")));
        let all = [
            (b"src".to_vec(), "0755/".to_owned()),
            (b"src/a".to_vec(), "0644 hello".to_owned()),
        ];
        assert_eq!(listing(&path), BTreeMap::from(all));
    }
    bench.workspaces.remove("run-1").unwrap();
    bench.workspaces.remove("run-1").unwrap();
    assert_eq!(bench.names("workspaces"), ["run-2"]);
    bench.workspaces.forget(bench.digest).unwrap();
    bench.workspaces.forget(bench.digest).unwrap();
    assert!(!bench.workspaces.has(bench.digest));
}

#[test]
fn an_archive_comes_twice_and_mends_a_damaged_one() {
    let bench = Bench::new();
    bench.send(bench.digest, &bench.archive).unwrap();
    bench.send(bench.digest, &bench.archive).unwrap();
    let kept = bench.workspaces.archive(bench.digest);
    let mut damaged = bench.archive.clone();
    // A header of gzip: nothing but the digest tells.
    damaged[4] ^= 1;
    fs::write(&kept, damaged).unwrap();
    let error = bench.workspaces.make(bench.digest, "run").unwrap_err();
    assert!(
        matches!(&error, WorkspaceError::DamagedArchive(path) if *path == kept),
        "{error}"
    );
    fs::write(&kept, &bench.archive[..60]).unwrap();
    let error = bench.workspaces.make(bench.digest, "run").unwrap_err();
    assert!(
        matches!(error, WorkspaceError::DamagedArchive(_)),
        "{error}"
    );
    assert_eq!(bench.names("workspaces"), [""; 0]);
    bench.send(bench.digest, &bench.archive).unwrap();
    bench.workspaces.make(bench.digest, "run").unwrap();
    assert_eq!(bench.names("archives").len(), 1);
}

#[test]
fn what_is_not_what_it_was_said_to_be_does_not_stay() {
    let bench = Bench::new();
    let other = Digest::of(b"other");
    let error = bench.send(other, &bench.archive).unwrap_err().to_string();
    assert!(error.contains(&other.to_string()), "{error}");
    assert!(error.contains(&bench.digest.to_string()), "{error}");
    assert_eq!(bench.names("archives"), [""; 0]);
}

#[test]
fn what_is_dropped_does_not_stay() {
    let bench = Bench::new();
    let mut receiving = bench.workspaces.receive(bench.digest).unwrap();
    receiving.write(&bench.archive[..10]).unwrap();
    let [partial] = &bench.names("archives")[..] else {
        panic!("one partial file")
    };
    assert!(partial.ends_with(PARTIAL), "{partial}");
    drop(receiving);
    assert_eq!(bench.names("archives"), [""; 0]);
    assert!(!bench.workspaces.has(bench.digest));
}

#[test]
fn no_more_is_written_than_an_archive_may_have() {
    let limits = Limits {
        gzip_bytes: 100,
        ..Limits::default()
    };
    let bench = Bench::within(limits);
    let mut receiving = bench.workspaces.receive(bench.digest).unwrap();
    receiving.write(&[0; 100]).unwrap();
    let error = receiving.write(&[0]).unwrap_err().to_string();
    assert!(error.contains("ARCHIVE_GZIP_BYTES_MAX, 100"), "{error}");
    let name = &bench.names("archives")[0];
    let about = bench.workspaces.archives.join(name).metadata().unwrap();
    assert_eq!(about.len(), 100);
}

#[test]
fn an_archive_that_is_refused_leaves_no_workspace() {
    let limits = Limits {
        bytes: 4,
        ..Limits::default()
    };
    let bench = Bench::within(limits);
    bench.send(bench.digest, &bench.archive).unwrap();
    let error = bench.workspaces.make(bench.digest, "run").unwrap_err();
    let text = crate::text::chain(&error);
    assert!(text.contains(&bench.digest.to_string()), "{text}");
    assert!(
        text.contains("`src/a`") && text.contains("ARCHIVE_BYTES_MAX, 4"),
        "{text}"
    );
    assert_eq!(bench.names("workspaces"), [""; 0]);
    let error = bench.workspaces.make(Digest::of(b"x"), "run").unwrap_err();
    assert!(matches!(error, WorkspaceError::NoArchive(_)), "{error}");
}

#[test]
fn a_run_has_one_workspace() {
    let bench = Bench::new();
    bench.send(bench.digest, &bench.archive).unwrap();
    let path = bench.workspaces.make(bench.digest, "run").unwrap();
    fs::write(path.join("made"), "x").unwrap();
    let error = bench.workspaces.make(bench.digest, "run").unwrap_err();
    assert!(matches!(error, WorkspaceError::Taken(_)), "{error}");
    assert!(path.join("made").exists());
}

#[test]
fn a_run_id_is_no_path() {
    let bench = Bench::new();
    bench.send(bench.digest, &bench.archive).unwrap();
    let long = "n".repeat(65);
    for run in [
        "",
        ".",
        "..",
        "../archives",
        "a/b",
        "/tmp",
        "a.partial",
        &long,
    ] {
        let made = bench.workspaces.make(bench.digest, run);
        assert!(matches!(made, Err(WorkspaceError::NoRunId(_))), "{run}");
        let removed = bench.workspaces.remove(run);
        assert!(matches!(removed, Err(WorkspaceError::NoRunId(_))), "{run}");
    }
    assert!(bench.workspaces.has(bench.digest));
}

#[test]
fn what_a_crash_left_is_swept_and_nothing_else() {
    let bench = Bench::new();
    bench.workspaces.sweep_partial().unwrap();
    bench.send(bench.digest, &bench.archive).unwrap();
    bench.workspaces.make(bench.digest, "run").unwrap();
    // As a killed process leaves them: no destructor runs.
    let mut receiving = bench.workspaces.receive(bench.digest).unwrap();
    receiving.write(b"x").unwrap();
    std::mem::forget(receiving);
    let partial = bench.workspaces.folders.join(partial_name("run"));
    fs::create_dir_all(partial.join("src")).unwrap();
    fs::write(partial.join("src/a"), "hel").unwrap();
    assert_eq!(bench.names("archives").len(), 2);
    bench.workspaces.sweep_partial().unwrap();
    assert_eq!(bench.names("archives").len(), 1);
    assert!(bench.workspaces.has(bench.digest));
    assert_eq!(bench.names("workspaces"), ["run"]);
}

/// The archive is a FIFO here: it comes as far as this test lets it.
#[test]
fn a_workspace_has_its_name_when_it_is_whole() {
    let bench = Bench::new();
    let kept = bench.workspaces.archive(bench.digest);
    fs::create_dir_all(&bench.workspaces.archives).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &kept, fifo, mode, 0).unwrap();
    std::thread::scope(|scope| {
        let made = scope.spawn(|| bench.workspaces.make(bench.digest, "run"));
        let mut archive = File::options().read(true).write(true).open(&kept).unwrap();
        let (half, rest) = bench.archive.split_at(bench.archive.len() / 2);
        archive.write_all(half).unwrap();
        let start = clock::monotonic();
        while bench.names("workspaces").is_empty() {
            assert!(clock::monotonic() - start < Duration::from_secs(20));
            std::thread::yield_now();
        }
        let names = bench.names("workspaces");
        assert!(
            names.iter().all(|name| name.ends_with(PARTIAL)),
            "{names:?}"
        );
        archive.write_all(rest).unwrap();
        drop(archive);
        made.join().unwrap().unwrap();
    });
    assert_eq!(bench.names("workspaces"), ["run"]);
}
