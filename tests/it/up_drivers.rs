//! Drivers over HTTP: what is served, and components that clients bring.

use crate::belt::{Bench, guest};
use crate::compile_made::many_functions;
use crate::http::Answer;
use crate::live::Live;
use crate::up::{Up, id, order};
use beltline::clock;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

const WASM: [(&str, &str); 1] = [("content-type", "application/wasm")];

fn put(up: &Up, name: &str, bytes: &[u8]) -> Answer {
    up.ask("PUT", &format!("/drivers/{name}"), &WASM, bytes)
}

fn of(name: &str) -> Vec<u8> {
    fs::read(guest(name)).unwrap()
}

#[test]
fn the_operators_drivers_are_shown_and_read_only() {
    let bench = Bench::new(&["latch"]);
    let up = Up::start(&bench);
    let driver = up.ready("latch");
    assert_eq!(
        (&driver["source"], &driver["placement"]),
        (&json!("config"), &json!("wasm"))
    );
    assert_eq!(
        (&driver["version"], &driver["grants"]["out"]),
        (&json!("1.0.0"), &json!("rw"))
    );
    let listed = up.get("/drivers").is(200);
    assert_eq!(listed, json!({"drivers": [driver]}));
    assert!(
        put(&up, "latch", &of("echo"))
            .refused(409)
            .contains("belt.yaml")
    );
    up.delete("/drivers/latch").refused(409);
    up.get("/drivers/none").refused(404);
    up.delete("/drivers/none").refused(404);
}

#[test]
fn a_driver_that_a_client_brings_is_used_replaced_and_removed() {
    let bench = Bench::new(&["latch"]);
    let up = Up::start(&bench);
    put(&up, "mine", &of("echo")).is(201);
    up.line(
        "line",
        json!([{"id": "s", "driver": "latch"}, {"driver": "mine"}]),
    );
    let held = up.post("/runs", &order("one")).is(201);
    let before = up.ready("mine");
    assert_eq!(before["source"], "put");
    // It wants what it likes, and gets nothing.
    assert_eq!(before["grants"]["workspace"], "none");

    put(&up, "mine", &of("say")).is(200);
    let after = up.until("/drivers/mine", |driver| {
        driver["digest"] != before["digest"]
    });
    assert!(up.delete("/drivers/mine").refused(409).contains(&id(&held)));
    let up = up.killed_and_started(&bench);
    assert_eq!(up.ready("mine")["digest"], after["digest"]);
    let new = up.post("/runs", &order("two")).is(201);
    for run in [&held, &new] {
        fs::write(Path::new(run["out"].as_str().unwrap()).join("s.open"), "").unwrap();
    }
    let (held, new) = (up.ended(&id(&held)), up.ended(&id(&new)));
    assert_eq!(held["drivers"]["mine"]["digest"], before["digest"]);
    assert_eq!(new["drivers"]["mine"]["digest"], after["digest"]);
    assert_eq!(held["steps"][1]["output"]["kind"], "app");
    assert_eq!(new["steps"][1]["output"]["trace"], false);

    up.delete("/drivers/mine").is(204);
    up.get("/drivers/mine").refused(404);
    let said = up.post("/runs", &order("three")).refused(400);
    assert!(said.contains("PUT /drivers/mine"), "{said}");
}

#[test]
fn what_is_no_driver_is_refused_and_the_one_before_stays() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    put(&up, "mine", &of("echo")).is(201);
    let before = up.ready("mine");
    let echo = of("echo");
    // A module rather than a component.
    let module = wat::parse_str("(module)").unwrap();
    for bytes in [&b"no wasm"[..], b"", &echo[..echo.len() / 2], &module] {
        put(&up, "mine", bytes).refused(400);
        put(&up, "other", bytes).refused(400);
    }
    for name in ["a.b", "..", "a%2Fb", "a%20b", "*", &"x".repeat(300)] {
        let answer = put(&up, name, &echo);
        assert!(matches!(answer.status, 400 | 404), "{name}: {answer:?}");
    }
    assert_eq!(up.get("/drivers").is(200), json!({"drivers": [before]}));
}

#[test]
fn a_driver_over_the_limit_is_refused_before_it_is_sent() {
    let bench = Bench::new(&[]);
    let up = Up::start(&bench);
    let mut connection = up.connect();
    let length = ((64 << 20) + 1).to_string();
    let headers = [
        WASM[0],
        ("content-length", &length),
        ("expect", "100-continue"),
    ];
    connection.send("PUT", "/drivers/mine", &headers, b"");
    let said = connection.answer().unwrap().refused(413);
    assert!(said.contains("64 MiB"), "{said}");
    up.get("/health").is(200);
}

#[test]
fn a_driver_is_not_removed_from_under_a_run_that_was_accepted() {
    let bench = Bench::new(&["latch"]);
    let up = Up::start(&bench);
    let bring = || {
        put(&up, "mine", &of("echo"));
        up.ready("mine");
    };
    bring();
    let steps = json!([{"id": "s", "driver": "latch"}, {"driver": "mine"}]);
    up.line("line", steps);
    let mut seen = BTreeSet::new();
    for round in 0..100 {
        let begin = Barrier::new(8);
        let ask = |method: &str, path: &str, body: &str| {
            let mut connection = up.connect();
            begin.wait();
            connection.ask(method, path, &[], body.as_bytes())
        };
        let make = |nth: usize| ask("POST", "/runs", &order(&format!("thing-{nth}")).to_string());
        let remove = || ask("DELETE", "/drivers/mine", "");
        let (made, removed) = thread::scope(|scope| {
            let made = [0, 1, 2, 3].map(|nth| scope.spawn(move || make(nth)));
            let removed = [(); 4].map(|()| scope.spawn(remove));
            (
                made.map(|one| one.join().unwrap()),
                removed.map(|one| one.join().unwrap()),
            )
        });
        for answer in &made {
            assert!(matches!(answer.status, 201 | 400), "{answer:?}");
        }
        for answer in &removed {
            assert!(matches!(answer.status, 204 | 404 | 409), "{answer:?}");
        }
        let made: Vec<_> = made.iter().filter(|one| one.status == 201).collect();
        let is_removed = removed.iter().any(|one| one.status == 204);
        // Whatever was accepted has not ended, for it is held.
        assert!(
            made.is_empty() || !is_removed,
            "round {round}: {} were accepted",
            made.len()
        );
        seen.insert(is_removed);
        for run in made {
            let run = run.is(201);
            fs::write(Path::new(run["out"].as_str().unwrap()).join("s.open"), "").unwrap();
            assert_eq!(up.ended(&id(&run))["status"], "succeeded");
        }
        if is_removed {
            bring();
        }
    }
    // Both have come about, or it shows nothing.
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn one_that_is_removed_and_brought_again_while_others_are_compiled_is_ready_again() {
    let bench = Bench::new(&[]);
    let mut command = bench.command(&crate::up::up(&[]));
    command.env("XDG_CACHE_HOME", bench.path("cache"));
    let up = Up::of(&bench, Live::start(command));
    put(&up, "mine", &of("echo")).is(201);
    up.ready("mine");
    put(&up, "busy", &many_functions(20_000)).is(201);
    up.delete("/drivers/mine").is(204);
    put(&up, "mine", &of("echo")).is(201);
    assert_eq!(up.get("/drivers/busy").is(200)["status"], "compiling");
    up.ready("mine");
}

/// The sweep takes what nobody names, and a driver is named before it has been compiled.
#[test]
fn a_driver_that_a_client_brought_stays_over_a_restart() {
    let bench = Bench::new(&["latch"]);
    let up = Up::start(&bench);
    for name in ["echo", "say"] {
        put(&up, name, &of(name)).is(201);
        up.ready(name);
    }
    // The bytes of this one are nobody's any more.
    up.delete("/drivers/say").is(204);
    assert_eq!(up.terminate().code, 0);
    let files = || fs::read_dir(bench.path("state/drivers")).unwrap().count();
    let before = files();
    for file in fs::read_dir(bench.path("state/drivers")).unwrap() {
        let file = fs::File::open(file.unwrap().path()).unwrap();
        let old = clock::system_time(clock::now_ms()) - Duration::from_secs(2 * 60 * 60);
        file.set_modified(old).unwrap();
    }
    let up = Up::start(&bench);
    up.until("/health", |_| files() < before);
    up.ready("echo");
    assert_eq!(up.terminate().code, 0);
    let up = Up::start(&bench);
    up.ready("echo");
}
