//! What a client's driver may take to be compiled: over a limit it is refused by the limit's name, runs do not notice, and
//! no driver of the operator's waits for it.

use crate::belt::{Bench, guest};
use crate::compile_made::{in_minutes, with_all_memory};
use crate::live::Live;
use crate::up::{Up, id};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const WASM: [(&str, &str); 1] = [("content-type", "application/wasm")];

fn put(up: &Up, name: &str, bytes: &[u8]) -> Value {
    let answer = up.ask("PUT", &format!("/drivers/{name}"), &WASM, bytes);
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// The operator's file: a driver that waits, and what compiling one may take.
fn write(bench: &Bench, compile: &str, more: &str) {
    let drivers = [("latch", "out: rw"), ("echo", "")].map(|(name, grants)| {
        let path = guest(name).display().to_string();
        format!("  {name}: {{path: {path}, grants: {{{grants}}}}}\n")
    });
    let text = format!(
        "compile: {{{compile}}}\ndrivers:\n{}{more}",
        drivers.concat()
    );
    // As an editor does it: nobody reads half of it.
    bench.write("belt.new", text);
    fs::rename(bench.path("belt.new"), bench.path("belt.yaml")).unwrap();
}

/// With a cache of its own: what other tests have compiled is compiled anew.
fn start(bench: &Bench) -> Up {
    let mut command = bench.command(&crate::up::up(&[]));
    command.env("XDG_CACHE_HOME", bench.path("cache"));
    Up::of(bench, Live::start(command))
}

fn refused(up: &Up, name: &str, why: &str) -> Value {
    up.until(&format!("/drivers/{name}"), |driver| {
        let trouble = driver["trouble"].as_str().unwrap_or_default();
        driver["status"] == "refused" && trouble.contains(why)
    })
}

fn begin(up: &Up, pipeline: &str, name: &str) -> Value {
    let body =
        json!({"resource": {"name": name, "resource": "app", "pipeline": pipeline, "spec": {}}});
    up.post("/runs", &body).is(201)
}

/// How often a driver has been compiled, or it was tried.
fn compiled(up: &Up) -> u64 {
    let metrics = up.get("/metrics").text();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("beltline_compilations_total "));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_driver_over_a_limit_is_refused_by_name_and_a_run_goes_on() {
    let bench = Bench::new(&[]);
    write(&bench, "memory: 256MiB, cpu: 1m, time: 5m", "");
    let up = start(&bench);
    for name in ["latch", "echo"] {
        up.ready(name);
    }
    up.line(
        "line",
        json!([{"id": "s", "driver": "latch"}, {"driver": "echo"}]),
    );
    up.line("short", json!([{"driver": "echo"}]));
    let held = begin(&up, "line", "held");
    up.frames(&format!("/runs/{}/logs", id(&held)), &[]).next();

    let undisturbed = |nth: u32| {
        let short = id(&begin(&up, "short", &format!("short-{nth}")));
        up.succeeded(&short);
    };
    put(&up, "greedy", &with_all_memory());
    undisturbed(1);
    refused(&up, "greedy", "its memory limit of 256 MiB");

    // From here on with less of another: what is refused by the one is tried again under the other.
    for (nth, compile, why) in [
        (2, "cpu: 1s", "its CPU time limit of 1.0 s"),
        (3, "time: 300ms", "its time limit of 300 ms"),
    ] {
        write(&bench, compile, "");
        up.says("the operator's file was read again");
        put(&up, "slow", &in_minutes());
        undisturbed(nth);
        refused(&up, "slow", why);
    }

    // The run that was under way all the time has had one attempt, started once.
    fs::write(Path::new(held["out"].as_str().unwrap()).join("s.open"), "").unwrap();
    let held = up.succeeded(&id(&held));
    let attempts = held["steps"][0]["attempts"].as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["starts"]), (1, &json!(1)));
    up.get("/health").is(200);
}

#[test]
fn what_was_refused_is_not_compiled_again_until_the_limits_change() {
    let bench = Bench::new(&[]);
    write(&bench, "cpu: 1s", "");
    let up = start(&bench);
    up.ready("latch");
    up.ready("echo");
    let before = compiled(&up);
    let bytes = in_minutes();
    put(&up, "one", &bytes);
    refused(&up, "one", "CPU time limit of 1.0 s");
    assert_eq!(compiled(&up), before + 1);
    // Under another name, after it has gone, and as the operator's own.
    put(&up, "other", &bytes);
    refused(&up, "other", "CPU time limit of 1.0 s");
    up.delete("/drivers/one").is(204);
    put(&up, "one", &bytes);
    refused(&up, "one", "CPU time limit of 1.0 s");
    bench.write("slow.wasm", &bytes);
    write(&bench, "cpu: 1s", "  mine: {path: slow.wasm}\n");
    refused(&up, "mine", "CPU time limit of 1.0 s");
    assert_eq!(compiled(&up), before + 1);

    write(&bench, "cpu: 2s", "");
    refused(&up, "one", "CPU time limit of 2.0 s");
    refused(&up, "other", "CPU time limit of 2.0 s");
    assert_eq!(compiled(&up), before + 2);
}

#[test]
fn no_driver_of_the_operators_waits_for_a_clients() {
    let bench = Bench::new(&[]);
    write(&bench, "", "");
    let up = start(&bench);
    up.ready("latch");
    up.ready("echo");
    put(&up, "slow", &in_minutes());
    up.until("/drivers/slow", |driver| driver["status"] == "compiling");
    let say = guest("say").display().to_string();
    write(&bench, "", &format!("  say: {{path: {say}}}\n"));
    up.ready("say");
    let slow = up.get("/drivers/slow").is(200);
    assert_eq!(slow["status"], "compiling", "{slow}");
}
