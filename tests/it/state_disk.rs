//! A disk that is full, and one that cannot be written to. Both are small file systems of the test's own, which
//! takes a user who may mount.

use crate::belt::{Bench, Said};
use crate::live::Live;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs, there for as long as it lives.
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    pub fn mount(path: PathBuf, size: &str) -> Disk {
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={size}");
        run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], &path);
        Disk { path }
    }

    pub fn read_only(&self) {
        run("mount", &["-o", "remount,ro"], &self.path);
    }

    /// Takes every byte that is left. What gives them back is the path returned.
    pub fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            let bytes = vec![1; size];
            let full = std::iter::repeat_with(|| file.write_all(&bytes)).find_map(Result::err);
            assert_eq!(full.unwrap().kind(), ErrorKind::StorageFull);
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process of a failed test may still be there.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn run(program: &str, args: &[&str], path: &Path) {
    let output = Command::new(program).args(args).arg(path).output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "this test needs to mount a file system of its own, as root: {why}"
    );
}

fn list(bench: &Bench) -> Vec<Value> {
    let said = bench.belt(&["runs", "list", "--state", "state", "-o", "json"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    said.json().as_array().unwrap().clone()
}

#[track_caller]
fn refused(said: &Said, parts: &[&str]) {
    assert_eq!(
        (said.code, said.stdout.as_str()),
        (4, ""),
        "{}",
        said.stderr
    );
    for part in parts {
        assert!(said.stderr.contains(part), "no `{part}` in {}", said.stderr);
    }
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
}

#[test]
fn a_state_folder_that_cannot_be_written_to_is_refused_and_can_be_read() {
    let bench = Bench::with_steps(&["echo"], &["{driver: echo}"]);
    let disk = Disk::mount(bench.path("state"), "4m");
    assert_eq!(bench.run(&[]).code, 0);
    disk.read_only();
    let (state, runs) = (bench.state(), list(&bench));
    let said = bench.run(&[]);
    let parts = [
        "state/store/LOCK cannot be written to; make it writable or choose another",
        "Read-only file system",
    ];
    refused(&said, &parts);
    for verb in ["resume", "retry", "rerun"] {
        refused(&bench.belt(&["runs", verb, "--state", "state"]), &parts);
    }
    assert_eq!(runs[0]["status"], "succeeded");
    assert_eq!(bench.latest()["status"], "succeeded");
    assert!(bench.state() == state);
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let bench = Bench::with_steps(&[], &[]);
    let disk = Disk::mount(bench.path("disk"), "64k");
    disk.read_only();
    let here = bench.path("disk");
    for (state, what) in [("disk", "cannot write `"), ("disk/state", "cannot make `")] {
        let said = bench.belt(&[
            "run",
            "-f",
            "pipeline.yaml",
            "-r",
            "resource.yaml",
            "--state",
            state,
        ]);
        refused(&said, &[what, "Read-only file system"]);
    }
    assert_eq!(fs::read_dir(here).unwrap().count(), 0);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_what_was_there() {
    let bench = Bench::with_steps(&["echo", "relay"], &["{driver: echo}"]);
    let disk = Disk::mount(bench.path("state"), "2m");
    assert_eq!(bench.run(&[]).code, 0);
    let before = list(&bench);
    // A driver that the state has not yet kept takes room.
    bench.pipeline("", &["{driver: relay}"]);
    let filler = disk.fill();
    let state = bench.state();
    refused(
        &bench.run(&[]),
        &[
            "cannot write `",
            "state/drivers/",
            "No space left on device",
        ],
    );
    assert_eq!(list(&bench), before);
    assert!(changed(&state, &bench.state()).is_empty());
    fs::remove_file(filler).unwrap();
    assert_eq!(bench.run(&[]).code, 0);
    assert_eq!(list(&bench).len(), 2);
}

#[test]
fn a_disk_that_is_full_from_the_start_takes_no_run_and_later_all() {
    let bench = Bench::with_steps(&["echo"], &["{driver: echo}"]);
    let disk = Disk::mount(bench.path("state"), "1m");
    let filler = disk.fill();
    refused(&bench.run(&[]), &["cannot ", "No space left on device"]);
    assert_eq!(fs::read_dir(bench.path("state")).unwrap().count(), 1);
    fs::remove_file(filler).unwrap();
    assert_eq!(bench.run(&[]).code, 0);
    assert_eq!(bench.read("state/.gitignore"), "*\n");
}

/// Paths of files that are not as they were; the lock's process id changes with each process.
fn changed(before: &[(PathBuf, Vec<u8>)], after: &[(PathBuf, Vec<u8>)]) -> Vec<PathBuf> {
    let lock = |path: &Path| path.ends_with("LOCK");
    let new = after
        .iter()
        .filter(|file| !before.contains(file) && !lock(&file.0));
    let gone = before
        .iter()
        .filter(|file| !after.contains(file) && !lock(&file.0));
    new.chain(gone).map(|(path, _)| path.clone()).collect()
}

#[test]
fn a_disk_that_fills_up_under_a_run_costs_no_finished_step() {
    let large = "driver: output_large, with: {bytes: 250000}";
    let steps = [
        "{id: first, driver: relay}".to_owned(),
        "{id: wait, driver: gate}".to_owned(),
        format!("{{id: l1, {large}}}"),
        format!("{{id: l2, {large}}}"),
        format!("{{id: l3, {large}}}"),
        "{id: last, driver: append}".to_owned(),
    ];
    let steps: Vec<_> = steps.iter().map(String::as_str).collect();
    let bench = Bench::with_steps(&["relay", "gate", "append", "output_large"], &steps);
    let disk = Disk::mount(bench.path("state"), "4m");
    let mut live = Live::run(&bench, &[]);
    live.until("at the gate");
    let filler = disk.fill();
    bench.write("work/wait.open", "");
    refused(
        &live.end(),
        &["no space left for ", ".log; free some and try again"],
    );

    // Still full, it can be looked at.
    let run = bench.latest();
    assert_eq!(run["status"], "running");
    assert_eq!(run["steps"][0]["status"], "succeeded");

    fs::remove_file(filler).unwrap();
    let said = bench.belt(&["runs", "resume", "--state", "state", "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let resumed = said.json();
    assert_eq!(resumed["run"], run["run"]);
    assert_eq!(resumed["status"], "succeeded");
    assert_eq!(resumed["steps"][0], run["steps"][0]);
    let effects = bench.read("work/effects");
    let steps = effects.lines().map(|key| key.rsplit('/').nth(1).unwrap());
    assert_eq!(steps.collect::<Vec<_>>(), ["first", "last"]);
}
