//! A client over TCP, and a server that is killed and started again under it: what the client says is what it would have
//! said, after a pause.

use crate::belt::{Bench, Said};
use crate::live::Live;
use crate::proxy::Proxy;
use crate::up::{Up, id, order};
use beltline::clock;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

/// What a client says that waits.
const WAITS: &str = "waiting up to";

fn bench(more: &[&str]) -> (Bench, Up) {
    let bench = Bench::new(&["say", "latch"]);
    bench.pipeline(
        "",
        &[
            "{id: a, driver: say}",
            "{id: b, driver: latch}",
            "{id: c, driver: say}",
        ],
    );
    let up = Up::with(&bench, more);
    up.line(
        "line",
        json!([{"id": "a", "driver": "say"}, {"id": "b", "driver": "latch"}, {"id": "c", "driver": "say"}]),
    );
    (bench, up)
}

/// A command of a client of that server.
fn client(bench: &Bench, server: &str, args: &[&str]) -> Live {
    Live::start(bench.command(&[args, &["--server", server]].concat()))
}

/// `kill -9` once the run waits at its latch; the server is there again when the client has said that it waits for it.
fn restarted(bench: &Bench, up: Up, clients: &mut [&mut Live]) -> Up {
    let address = up.address;
    up.kill();
    for client in clients {
        client.until(WAITS);
    }
    Up::started_there(bench, address)
}

fn open(run: &Value) {
    fs::write(Path::new(run["out"].as_str().unwrap()).join("b.open"), "").unwrap();
}

/// Waits until the step at the latch has been started so often.
fn at_the_latch(up: &Up, starts: usize) -> Value {
    up.until("/runs/latest", |run| {
        run["steps"][1]["attempts"][0]["starts"] == starts && run["steps"][1]["status"] == "running"
    });
    // And it has said so.
    let is_said = |lines: &Value| {
        let lines = lines.as_array().unwrap().iter();
        lines
            .filter(|line| line["message"] == "at the latch")
            .count()
            == starts
    };
    up.until("/runs/latest/logs", is_said);
    up.get("/runs/latest").is(200)
}

/// Waits until a process has a connection to that port.
fn until_connected(pid: u32, port: u16) {
    let give_up = clock::monotonic() + Duration::from_secs(60);
    let remote = format!(":{port:04X} 01 ");
    let is_connected = || {
        let all = fs::read_to_string("/proc/net/tcp").unwrap();
        let inodes = all
            .lines()
            .filter(|line| line.contains(&remote))
            .filter_map(|line| line.split_whitespace().nth(9));
        let sockets: Vec<_> = inodes.map(|inode| format!("socket:[{inode}]")).collect();
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        open.filter_map(|file| fs::read_link(file.path()).ok())
            .any(|link| sockets.iter().any(|socket| link == Path::new(socket)))
    };
    while !is_connected() {
        assert!(clock::monotonic() < give_up, "{pid} does not connect");
        std::thread::yield_now();
    }
}

/// The lines of drivers, as a client has shown them: `step │ message`.
fn shown(said: &Said) -> Vec<String> {
    let lines = said
        .stderr
        .lines()
        .filter_map(|line| line.split_once(" │ "));
    lines
        .map(|(step, message)| format!("{step}: {message}"))
        .collect()
}

/// The same, as the server has stored them.
fn stored(up: &Up, run: &str) -> Vec<String> {
    let lines = up.get(&format!("/runs/{run}/logs")).is(200);
    let shown = |line: &Value| {
        let message = line["message"].as_str().unwrap();
        let fields = line.get("fields").and_then(Value::as_object);
        let fields = fields.into_iter().flatten();
        let fields: String = fields
            .map(|(key, value)| format!(" {key}={value}"))
            .collect();
        format!("{}: {message}{fields}", line["step"].as_str().unwrap())
    };
    lines.as_array().unwrap().iter().map(shown).collect()
}

#[test]
fn belt_run_goes_on_without_gap_or_repeat() {
    let (bench, up) = bench(&[]);
    let args = ["run", "-f", "pipeline.yaml", "-r", "resource.yaml"];
    let mut run = client(&bench, &up.url(), &args);
    run.until("at the latch");
    at_the_latch(&up, 1);
    let up = restarted(&bench, up, &mut [&mut run]);
    open(&at_the_latch(&up, 2));
    let said = run.end();
    assert_eq!(said.code, 0, "{said:?}");
    let id = id(&up.get("/runs/latest").is(200));
    assert_eq!(shown(&said), stored(&up, &id), "{}", said.stderr);
    // That it waits once, and each step once.
    assert_eq!(said.stderr.matches(WAITS).count(), 1, "{}", said.stderr);
    for step in ["✓ a ", "✓ b ", "✓ c "] {
        assert_eq!(
            said.stderr.matches(step).count(),
            1,
            "{step}\n{}",
            said.stderr
        );
    }
    assert_eq!(up.get("/runs").is(200)["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn whoever_waits_watches_or_follows_goes_on() {
    let (bench, up) = bench(&[]);
    let run = id(&up.post("/runs", &order("thing")).is(201));
    at_the_latch(&up, 1);
    let of = |verb: &[&str]| client(&bench, &up.url(), &[&["runs"], verb, &[&run]].concat());
    let mut waits = of(&["wait", "-o", "json"]);
    let mut watches = of(&["watch"]);
    let mut follows = of(&["logs", "-f", "-o", "json"]);
    watches.until("at the latch");
    // A server that was not there before is none.
    for client in [&waits, &follows] {
        until_connected(client.pid(), up.address.port());
    }
    let up = restarted(&bench, up, &mut [&mut watches, &mut waits, &mut follows]);
    open(&at_the_latch(&up, 2));
    let [waits, watches, follows] = [waits, watches, follows].map(Live::end);
    assert_eq!(
        (waits.code, &waits.json()["status"]),
        (0, &json!("succeeded"))
    );
    assert_eq!(watches.code, 0, "{watches:?}");
    assert_eq!(shown(&watches), stored(&up, &run), "{}", watches.stderr);
    assert_eq!(follows.code, 0, "{follows:?}");
    let lines = follows
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(
        Value::from_iter(lines),
        up.get(&format!("/runs/{run}/logs")).is(200)
    );
}

/// A server that is ended as it should be hangs up on whoever follows, and is waited for all the same.
#[test]
fn one_that_drains_is_waited_for() {
    let (bench, up) = bench(&["--drain", "1ms"]);
    let args = ["run", "-f", "pipeline.yaml", "-r", "resource.yaml"];
    let mut run = client(&bench, &up.url(), &args);
    run.until("at the latch");
    at_the_latch(&up, 1);
    let address = up.address;
    assert_eq!(up.terminate().code, 0);
    let up = Up::started_there(&bench, address);
    open(&at_the_latch(&up, 2));
    let said = run.end();
    assert_eq!(said.code, 0, "{said:?}");
}

/// The request came through, its answer did not: it is sent again under the same key, and one run comes of it.
#[test]
fn a_request_whose_answer_is_lost_is_sent_again_and_begins_one_run() {
    let (bench, up) = bench(&[]);
    let proxy = Proxy::beside(up.address.port());
    proxy.mute(true);
    let args = ["run", "-f", "pipeline.yaml", "-r", "resource.yaml"];
    let server = format!("http://{}", proxy.address);
    let mut run = client(&bench, &server, &args);
    let began = at_the_latch(&up, 1);
    proxy.mute(false);
    proxy.cut();
    run.until("at the latch");
    open(&began);
    let said = run.end();
    assert_eq!(said.code, 0, "{said:?}");
    let runs = up.get("/runs").is(200);
    let runs: Vec<_> = runs["runs"].as_array().unwrap().iter().map(id).collect();
    assert_eq!(runs, [id(&began)]);
}

#[test]
fn a_server_that_never_was_there_is_not_waited_for() {
    let bench = Bench::new(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let said = client(&bench, &format!("http://{address}"), &["runs", "list"]).end();
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.stderr.contains("cannot reach"), "{said:?}");
    assert!(!said.stderr.contains(WAITS), "{said:?}");
}
