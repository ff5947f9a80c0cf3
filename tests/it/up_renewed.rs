//! `belt up` keeps up with the operator's file and the driver files that it names, without a restart.

use crate::belt::{Bench, guest};
use crate::up::{Up, id, order};
use serde_json::json;
use std::fs;
use std::path::Path;

fn copy(bench: &Bench, name: &str, to: &str) {
    // As tools do: whole, or not at all.
    fs::copy(guest(name), bench.path("new")).unwrap();
    fs::rename(bench.path("new"), bench.path(to)).unwrap();
}

#[test]
fn a_changed_file_is_taken_by_new_runs_alone() {
    let bench = Bench::new(&[]);
    copy(&bench, "echo", "mine.wasm");
    copy(&bench, "latch", "latch.wasm");
    bench.write(
        "belt.yaml",
        "drivers:\n  mine: {path: mine.wasm}\n  latch: {path: latch.wasm, grants: {out: rw}}\n",
    );
    let up = Up::start(&bench);
    up.line(
        "line",
        json!([{"id": "s", "driver": "latch"}, {"driver": "mine"}]),
    );
    let held = up.post("/runs", &order("one")).is(201);
    let before = up.ready("mine");
    copy(&bench, "say", "mine.wasm");
    let after = up.until("/drivers/mine", |driver| {
        driver["digest"] != before["digest"]
    });
    let new = up.post("/runs", &order("two")).is(201);
    for run in [&held, &new] {
        fs::write(Path::new(run["out"].as_str().unwrap()).join("s.open"), "").unwrap();
    }
    for (run, driver) in [(held, &before), (new, &after)] {
        let run = up.ended(&id(&run));
        assert_eq!(
            (&run["status"], &run["drivers"]["mine"]["digest"]),
            (&json!("succeeded"), &driver["digest"])
        );
    }
    // A file that is no driver is told, and what was there goes on.
    bench.write("mine.wasm", "no wasm");
    let refused = up.until("/drivers/mine", |driver| driver["status"] == "refused");
    assert_eq!(refused["digest"], after["digest"]);
    assert!(!refused["trouble"].as_str().unwrap().is_empty());
    up.line("line", json!([{"driver": "mine"}]));
    let run = up.post("/runs?wait=120s", &order("three")).is(201);
    assert_eq!(run["status"], "succeeded");
    copy(&bench, "echo", "mine.wasm");
    assert_eq!(up.ready("mine")["digest"], before["digest"]);
}

#[test]
fn a_pinned_file_that_has_changed_is_told_and_not_taken() {
    let bench = Bench::new(&[]);
    copy(&bench, "echo", "mine.wasm");
    bench.write("belt.yaml", "drivers:\n  mine: {path: mine.wasm}\n");
    let up = Up::start(&bench);
    let digest = up.ready("mine")["digest"].as_str().unwrap().to_owned();
    bench.write(
        "belt.yaml",
        format!("drivers:\n  mine: {{path: mine.wasm, digest: \"{digest}\"}}\n"),
    );
    up.says("the operator's file was read again");
    copy(&bench, "say", "mine.wasm");
    let refused = up.until("/drivers/mine", |driver| driver["status"] == "refused");
    assert_eq!(refused["digest"], digest);
    up.says("the driver cannot be used");
    up.line("line", json!([{"driver": "mine"}]));
    let run = up.post("/runs?wait=120s", &order("one")).is(201);
    assert_eq!(
        (&run["status"], &run["drivers"]["mine"]["digest"]),
        (&json!("succeeded"), &json!(digest))
    );
}

#[test]
fn a_changed_operators_file_is_read_again_and_a_broken_one_is_told() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    let echo = guest("echo").display().to_string();
    bench.write(
        "belt.yaml",
        format!("drivers:\n  echo: {{path: {echo}}}\n  more: {{path: {echo}, kinds: [app]}}\n"),
    );
    up.ready("more");
    bench.write("belt.yaml", "drivers:\n  more: {pth: x}\n");
    let told = up.until("/drivers", |drivers| drivers["trouble"].is_string());
    assert!(
        told["trouble"].as_str().unwrap().contains("pth"),
        "{told:#}"
    );
    assert_eq!(told["drivers"].as_array().unwrap().len(), 2);
    up.says("the operator's file cannot be used");
    // What clients do meanwhile does not hide it.
    let wasm = fs::read(guest("say")).unwrap();
    up.ask(
        "PUT",
        "/drivers/mine",
        &[("content-type", "application/wasm")],
        &wasm,
    )
    .is(201);
    up.ready("mine");
    assert_eq!(up.get("/drivers").is(200)["trouble"], told["trouble"]);
    up.line("line", json!([{"driver": "more"}, {"driver": "mine"}]));
    let run = up.post("/runs?wait=120s", &order("one")).is(201);
    assert_eq!(run["status"], "succeeded");

    bench.write("belt.yaml", format!("drivers:\n  mine: {{path: {echo}}}\n"));
    let drivers = up.until("/drivers", |drivers| drivers["trouble"].is_null());
    let names: Vec<_> = drivers["drivers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    // The operator's own wins over what a client has put under that name.
    assert_eq!(names, ["mine"]);
    assert_eq!(up.ready("mine")["source"], "config");
    let said = up.post("/runs", &order("two")).refused(400);
    assert!(said.contains("there is no driver `more`"), "{said}");
}

#[test]
fn a_file_that_cannot_be_used_at_the_start_stops_it_there() {
    let bench = Bench::new(&[]);
    let start = || bench.belt(&crate::up::up(&[]));
    bench.write("belt.yaml", "drivers: {x: {pth: y}}\n");
    let said = start();
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("pth"), "{said:?}");
    fs::remove_file(bench.path("belt.yaml")).unwrap();
    let said = start();
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("drivers: {}"), "{said:?}");
    // A driver file that is not there yet may come: it is told, and the others are served.
    bench.write("belt.yaml", "drivers: {late: {path: late.wasm}}\n");
    let up = Up::start(&bench);
    up.until("/drivers/late", |driver| driver["status"] == "refused");
    copy(&bench, "echo", "late.wasm");
    up.ready("late");
}

/// After a restart the operator's file may be another: runs take the drivers that are served then.
#[test]
fn a_run_goes_on_where_the_operators_file_has_moved() {
    let bench = Bench::new(&["latch"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"id": "s", "driver": "latch"}]));
    let held = up.post("/runs", &order("thing")).is(201);
    up.frames(&format!("/runs/{}/logs", id(&held)), &[]).next();
    up.kill();
    fs::rename(bench.path("belt.yaml"), bench.path("other.yaml")).unwrap();
    let up = Up::with(&bench, &["--config", "other.yaml"]);
    let open = |run: &serde_json::Value| {
        fs::write(Path::new(run["out"].as_str().unwrap()).join("s.open"), "").unwrap();
    };
    open(&held);
    let path = format!("/runs/{}", id(&held));
    up.succeeded(&id(&held));
    up.post(&format!("{path}/retry"), &json!({"from": "s"}))
        .is(202);
    up.succeeded(&id(&held));
    let again = up.post(&format!("{path}/rerun"), &json!({})).is(201);
    open(&again);
    up.succeeded(&id(&again));
}
