//! What a driver gets: what it wants and was granted, both, and nothing else.

use crate::belt::{Bench, Said, guest};
use crate::live::Live;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::process::{Command, Stdio};

/// A bench with one step of a guest that has these grants and does this; the workspace has a file.
fn bench(name: &str, grants: &str, with: &str) -> Bench {
    let bench = Bench::new(&[]);
    let path = guest(name).display().to_string();
    bench.write(
        "belt.yaml",
        format!("drivers: {{{name}: {{path: {path}, grants: {grants}}}}}\n"),
    );
    bench.pipeline(
        "",
        &[&format!("{{id: look, driver: {name}, with: {with}}}")],
    );
    bench.write("work/given.txt", "given");
    bench
}

/// What the step left.
#[track_caller]
fn left(said: &Said) -> Value {
    assert_eq!(said.code, 0, "{}", said.stderr);
    said.json()["steps"][0]["output"].clone()
}

/// Reads and writes in both folders.
const READ_AND_WRITE: &str = "{do: [{read: /workspace/given.txt}, {write: /workspace/new.txt, text: new}, \
     {write: /workspace/given.txt, text: new}, {remove: /workspace/given.txt}, \
     {write: /out/made.txt, text: made}]}";

/// Which of them went through.
fn went(output: &Value) -> Vec<bool> {
    output
        .as_array()
        .unwrap()
        .iter()
        .map(|did| did.get("ok").is_some())
        .collect()
}

#[test]
fn with_nothing_granted_there_is_nothing() {
    let bench = bench("snoop", "{}", "{}");
    let mut command: Command = bench.command(&[
        "run",
        "-f",
        "pipeline.yaml",
        "-r",
        "resource.yaml",
        "-o",
        "json",
    ]);
    bench.write("input.txt", "a secret");
    let input = File::open(bench.path("input.txt")).unwrap();
    command.env("SECRET", "a secret").stdin(Stdio::from(input));
    let output = command.output().unwrap();
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = &run["steps"][0]["output"];
    assert_eq!((&found["env"], &found["args"]), (&json!(0), &json!(0)));
    assert_eq!(found["stdin"], json!({"found": 0}));
    for place in ["root", "here", "workspace", "out", "connect"] {
        assert!(found[place].get("error").is_some(), "{place}: {found}");
    }
}

#[test]
fn a_workspace_to_read_is_not_one_to_write() {
    let bench = bench("files", "{workspace: ro}", READ_AND_WRITE);
    let said = bench.run(&["-o", "json"]);
    assert_eq!(left(&said)[0], json!({"ok": "given"}));
    assert_eq!(went(&left(&said)), [true, false, false, false, false]);
    assert_eq!(bench.read("work/given.txt"), "given");
    assert!(!bench.path("work/new.txt").exists());
    let notes: Vec<_> = said
        .stderr
        .lines()
        .filter(|line| line.contains("grants less"))
        .collect();
    assert_eq!(
        notes,
        [
            "note: driver `files` wants `workspace` and belt.yaml grants less",
            "note: driver `files` wants `out` and belt.yaml grants less",
        ]
    );
}

#[test]
fn a_workspace_to_write_and_out() {
    let bench = bench("files", "{workspace: rw, out: rw}", READ_AND_WRITE);
    let said = bench.run(&["-o", "json", "--out", "made"]);
    assert_eq!(went(&left(&said)), [true; 5]);
    assert!(!said.stderr.contains("grants less"), "{}", said.stderr);
    assert_eq!(
        (bench.read("work/new.txt"), bench.read("made/made.txt")),
        ("new".into(), "made".into())
    );
    assert!(!bench.path("work/given.txt").exists());
}

#[test]
fn out_alone_lies_in_the_state_unless_named() {
    let bench = bench("files", "{out: rw}", READ_AND_WRITE);
    let said = bench.run(&["-o", "json"]);
    assert_eq!(went(&left(&said)), [false, false, false, false, true]);
    let run = said.json();
    let out = format!("state/out/{}/made.txt", run["run"].as_str().unwrap());
    assert_eq!(bench.read(&out), "made");
}

#[test]
fn what_is_wanted_and_not_granted_is_not_there() {
    let bench = bench("files", "{}", READ_AND_WRITE);
    assert_eq!(went(&left(&bench.run(&["-o", "json"]))), [false; 5]);
    assert_eq!(bench.read("work/given.txt"), "given");
}

#[test]
fn what_is_granted_and_not_wanted_is_not_there() {
    let bench = bench("snoop", "{workspace: rw, out: rw}", "{}");
    let found = left(&bench.run(&["-o", "json"]));
    for place in ["root", "here", "workspace", "out"] {
        assert!(found[place].get("error").is_some(), "{place}: {found}");
    }
    assert_eq!(
        bench.latest()["drivers"]["snoop"]["grants"],
        json!({"workspace": "none", "out": "none"})
    );
}

/// Checks that a run with these arguments is refused with these words and writes no state.
#[track_caller]
fn refuses(bench: &Bench, args: &[&str], words: &str) {
    let run = [
        "run",
        "-f",
        "pipeline.yaml",
        "-r",
        "resource.yaml",
        "--state",
        "state",
    ];
    let said = bench.belt(&[&run[..], args].concat());
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(
        said.stderr.contains(words),
        "{words:?} is not in {:?}",
        said.stderr
    );
    assert!(!bench.path("state").exists());
}

#[test]
fn a_granted_workspace_must_be_named_and_be_there() {
    let bench = bench("files", "{workspace: ro}", READ_AND_WRITE);
    refuses(
        &bench,
        &[],
        "error: step `look`: driver `files` is granted the workspace, and this run has none; name one with --workspace DIR\n",
    );
    let there = |name: &str| format!("workspace `{name}` is no folder that can be used");
    refuses(&bench, &["--workspace", "nowhere"], &there("nowhere"));
    refuses(&bench, &["--workspace", "belt.yaml"], &there("belt.yaml"));
}

/// File calls are made on the attempt's own thread: when an attempt is stopped, none of its calls goes on elsewhere.
#[test]
fn file_calls_start_no_threads() {
    let bench = bench("gate", "{workspace: ro}", "{}");
    let mut live = Live::run(&bench, &[]);
    live.until("at the gate");
    let tasks = format!("/proc/{}/task", live.pid());
    for _ in 0..500 {
        // The guest looks for its file all the while.
        let names = fs::read_dir(&tasks).unwrap().flatten();
        let names = names.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        let runtime = names.filter(|name| name.starts_with("tokio")).count();
        assert_eq!(runtime, 0);
    }
    bench.write("work/look.open", "");
    assert_eq!(live.end().code, 0);
}
