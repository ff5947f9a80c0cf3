//! Runs whose drivers have gone: they can be cancelled, keep their order, and go on when the drivers are there again.

use crate::belt::{Bench, guest};
use crate::up::{Up, id, order};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn configure(bench: &Bench, drivers: &[&str]) {
    let line = |name: &&str| {
        format!(
            "  {name}: {{path: {}, grants: {{out: rw}}}}\n",
            guest(name).display()
        )
    };
    let lines: String = drivers.iter().map(line).collect();
    let text = match lines.is_empty() {
        true => "drivers: {}\n".to_owned(),
        false => format!("drivers:\n{lines}"),
    };
    bench.write("belt.new", text);
    fs::rename(bench.path("belt.new"), bench.path("belt.yaml")).unwrap();
}

fn cancel(up: &Up, run: &str, force: bool) -> Value {
    let path = format!("/runs/{run}/cancel");
    up.post(&path, &json!({"force": force})).is(202);
    up.ended(run)
}

fn attempts(run: &Value) -> usize {
    run["steps"][0]["attempts"].as_array().unwrap().len()
}

#[test]
fn a_run_whose_driver_has_gone_is_cancelled_at_once_and_the_next_has_its_turn() {
    let bench = Bench::new(&[]);
    configure(&bench, &["latch", "echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"id": "s", "driver": "latch"}]));
    let begin = |up: &Up| id(&up.post("/runs", &order("one")).is(201));
    let (begun, waiting, kept) = (begin(&up), begin(&up), begin(&up));
    up.frames(&format!("/runs/{begun}/logs"), &[]).next();
    up.kill();
    configure(&bench, &["echo"]);
    let up = Up::start(&bench);
    up.says("could not be moved on");
    // Also one whose turn it is not.
    let run = cancel(&up, &waiting, false);
    assert_eq!((&run["status"], attempts(&run)), (&json!("cancelled"), 0));
    let run = cancel(&up, &begun, true);
    assert_eq!((&run["status"], attempts(&run)), (&json!("cancelled"), 1));
    let run = up.get(&format!("/runs/{kept}")).is(200);
    assert_eq!(run["status"], "pending");

    configure(&bench, &["latch", "echo"]);
    up.frames(&format!("/runs/{kept}/logs"), &[]).next();
    fs::write(Path::new(run["out"].as_str().unwrap()).join("s.open"), "").unwrap();
    up.succeeded(&kept);
}

#[test]
fn an_attempt_that_died_with_its_host_begins_again_when_its_driver_is_back() {
    let bench = Bench::new(&[]);
    configure(&bench, &["latch"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"id": "s", "driver": "latch"}]));
    let run = up.post("/runs", &order("one")).is(201);
    up.frames(&format!("/runs/{}/logs", id(&run)), &[]).next();
    up.kill();
    configure(&bench, &[]);
    let up = Up::start(&bench);
    up.says("could not be moved on");
    configure(&bench, &["latch"]);
    up.ready("latch");
    fs::write(Path::new(run["out"].as_str().unwrap()).join("s.open"), "").unwrap();
    let run = up.succeeded(&id(&run));
    assert_eq!(run["steps"][0]["attempts"][0]["starts"], 2);
}
