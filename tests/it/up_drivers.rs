//! Drivers over HTTP: what is served, and components that clients bring.

use crate::belt::{Bench, guest};
use crate::http::Answer;
use crate::up::{Up, id, order};
use serde_json::json;
use std::fs;
use std::path::Path;

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
