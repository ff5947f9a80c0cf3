//! Nothing is acknowledged before it is on the disk: while no sync returns, no answer comes.

use crate::belt::Bench;
use crate::http::{Answer, Connection};
use crate::live::Live;
use crate::up::{Up, id, order, up};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long no answer comes. One that does not wait for the disk is there in a few milliseconds; a slow machine lets a wrong one
/// pass, and never fails a right one.
const SILENCE: Duration = Duration::from_millis(250);

/// A server whose disk can be held.
struct Held {
    up: Up,
    socket: PathBuf,
    held: PathBuf,
}

impl Held {
    fn start(bench: &Bench) -> Held {
        let source = crate::belt::root().join("tests/fixtures/held_sync.c");
        let library = bench.path("held_sync.so");
        let mut compile = Command::new("cc");
        compile
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source]);
        assert!(compile.arg("-ldl").status().unwrap().success());
        let held = bench.path("held");
        let mut command = bench.command(&up(&[]));
        command.env("LD_PRELOAD", &library).env("HELD_SYNCS", &held);
        let up = Up::of(bench, Live::start(command));
        let socket = bench.path("state/belt.sock");
        Held { up, socket, held }
    }

    /// What is answered once the disk goes on, and not before.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        // Over the network whatever is answered is made durable once more.
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        let mut connection = Connection::new(stream.try_clone().unwrap(), "belt");
        let body = match body.is_null() {
            true => Vec::new(),
            false => body.to_string().into_bytes(),
        };
        fs::write(&self.held, "").unwrap();
        connection.send(method, path, &[], &body);
        if let Ok((status, _)) = connection.head() {
            panic!("{method} {path} is answered with {status}, and nothing is on the disk");
        }
        fs::remove_file(&self.held).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .unwrap();
        connection.answer().unwrap()
    }
}

#[test]
fn no_answer_comes_before_the_disk_has_what_it_tells() {
    let bench = Bench::new(&["say", "latch"]);
    let host = Held::start(&bench);
    let definition = json!({"name": "app", "schema": {"type": "object"}});
    host.ask("POST", "/resource-definitions", &definition)
        .is(201);
    let described = json!({"name": "app", "description": "more", "schema": {"type": "object"}});
    host.ask("PUT", "/resource-definitions/app", &described)
        .is(200);
    let line = |name: &str, driver: &str| json!({"name": name, "resource": "app", "steps": [{"id": "s", "driver": driver}]});
    host.ask("POST", "/pipelines", &line("line", "say")).is(201);
    host.ask("POST", "/pipelines", &line("gate", "latch"))
        .is(201);
    // A run that begins at once, in each of the ways in which one does.
    let resource = |name: &str, pipeline: &str, size: u32| json!({"name": name, "resource": "app", "pipeline": pipeline, "spec": {"size": size}});
    host.ask("POST", "/resources", &resource("one", "line", 1))
        .is(201);
    host.ask("PUT", "/resources/app/one", &resource("one", "line", 2))
        .is(200);
    let ended = host.ask("POST", "/runs", &order("two")).is(201);
    host.up.succeeded(&id(&ended));
    // One of no driver, which is over as it is made.
    host.ask(
        "POST",
        "/resources",
        &json!({"name": "none", "resource": "app", "spec": {}}),
    )
    .is(201);
    // One that is put in line behind another of its resource.
    let gate = json!({"resource": resource("gate", "gate", 1)});
    let open = host.up.post("/runs", &gate).is(201);
    let waits = host.ask("POST", "/runs", &gate).is(201);
    host.ask(
        "POST",
        &format!("/runs/{}/cancel", id(&waits)),
        &json!({"force": true}),
    )
    .is(202);
    host.ask(
        "POST",
        &format!("/runs/{}/cancel", id(&open)),
        &json!({"force": true}),
    )
    .is(202);
    host.up.ended(&id(&open));
    host.ask(
        "POST",
        &format!("/runs/{}/retry", id(&ended)),
        &json!({"from": "s"}),
    )
    .is(202);
    host.up.succeeded(&id(&ended));
    host.ask("POST", &format!("/runs/{}/rerun", id(&ended)), &json!({}))
        .is(201);
    let said = json!({"runid": id(&ended), "driver": "say", "pipeline": "line", "timestamp": "0", "message": "more"});
    host.ask("POST", "/logs", &said).is(201);
    host.ask("DELETE", "/resources/app/none", &Value::Null)
        .is(204);
    host.ask("DELETE", "/pipelines/gate", &Value::Null).is(204);
}
