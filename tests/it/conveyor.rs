//! A driver written in Go as Conveyor's users write theirs, call for call what its SDK does: it takes part as it is.
//!
//! It is built by `make test` where Go is. Where it is not, these tests say in one line that they did not run.

use crate::belt::{Bench, root};
use crate::nats::{LEAST_TO_HEAR, LEAST_TO_PUBLISH, Nats, bench, consumer_config, user, users};
use crate::up::{Up, id, order};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

const KIND: &str = ", kinds: [app], wire: conveyor";

fn program() -> Option<PathBuf> {
    let path = root().join("target/conveyor-driver");
    if path.is_file() {
        return Some(path);
    }
    eprintln!(
        "not run: {} is not there, for there is no go here",
        path.display()
    );
    None
}

/// The program under way; each thing that happens to it is a line of JSON.
struct Go {
    child: Child,
    lines: Receiver<Value>,
}

impl Go {
    /// A driver of this name, attached.
    fn driver(nats: &Nats, name: &str, more: &[&str]) -> Go {
        let mut command = Command::new(program().unwrap());
        command.args(["-nats", &nats.url(), "-name", name, "-kind", "app"]);
        let mut child = command
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else {
                    continue;
                };
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut go = Go { child, lines };
        go.until("ready");
        go
    }

    /// The next line of that sort.
    #[track_caller]
    fn until(&mut self, at: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(crate::nats::PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it said no `{at}`"));
            if line["at"] == at {
                return line;
            }
        }
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mixed(up: &Up) {
    up.line("line", json!([{"id": "one", "driver": "a"}, {"id": "two", "driver": "say"}, {"id": "three", "driver": "b"}]));
}

fn two() -> (Nats, Bench, Up) {
    let nats = Nats::start();
    let bench = bench(&["say"], &[("a", KIND), ("b", KIND)]);
    let up = nats.up(&bench);
    mixed(&up);
    (nats, bench, up)
}

#[test]
fn it_completes_steps_of_a_mixed_pipeline_and_reads_what_came_before() {
    if program().is_none() {
        return;
    }
    let (nats, _bench, up) = two();
    let mut a = Go::driver(&nats, "a", &[]);
    let mut b = Go::driver(&nats, "b", &[]);
    let run = up.begin("thing");
    let message = a.until("message");
    assert_eq!(
        (&message["event"], &message["subject"]),
        (&json!("create"), &json!("drivers.a.resources.app"))
    );
    let message = b.until("message");
    assert_eq!(message["event"], "process");
    let seen: Vec<_> = message["seen"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(seen, ["a", "say"]);
    let shown = up.succeeded(&run);
    assert_eq!(
        shown["steps"][2]["output"],
        json!({"by": "b", "seen": ["a", "say"]})
    );
    assert!(
        shown["steps"][0]["attempts"][0].get("fenced").is_none(),
        "its answer echoes the resource"
    );
    // Its lines are in the run's log, and its answers in the resource.
    let path = format!("/runs/{run}/logs");
    up.until(&path, |lines| {
        lines
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["step"] == "three")
    });
    let resource = up.get("/resources/app/thing").is(200);
    let told: Value =
        serde_json::from_str(resource["metadata"]["driverresults.a"].as_str().unwrap()).unwrap();
    assert_eq!(told["message"], "done by a");
}

#[test]
fn a_restart_of_either_side_is_survived() {
    if program().is_none() {
        return;
    }
    let (mut nats, bench, up) = two();
    let mut a = Go::driver(&nats, "a", &[]);
    let run = up.begin("thing");
    a.until("stored");
    up.until(&format!("/runs/{run}"), |run| {
        run["steps"][2]["status"] == "waiting_for_driver"
    });
    // The host, while b is not there yet.
    let up = up.killed_and_started_with(&bench, &["--nats", &nats.url()]);
    let mut b = Go::driver(&nats, "b", &[]);
    b.until("stored");
    up.succeeded(&run);
    // The broker, while both are attached: their own consumers would vanish.
    nats.kill();
    nats.again();
    for name in ["again", "and-again"] {
        let run = up.begin(name);
        up.succeeded(&run);
    }
    assert!(consumer_config(&nats, "a").durable_name.is_some());
    // And the driver, between its acknowledgement and its answer.
    drop(a);
    let retry = json!({"max_attempts": 2, "backoff": "1ms"});
    up.line(
        "tried",
        json!([{"id": "one", "driver": "a", "timeout": "4s", "retry": retry}]),
    );
    let mut new = order("crashed");
    new["resource"]["pipeline"] = json!("tried");
    let mut a = Go::driver(&nats, "a", &["-mode", "crash"]);
    let run = id(&up.post("/runs", &new).is(201));
    a.until("message");
    drop(a);
    let _a = Go::driver(&nats, "a", &[]);
    let shown = up.succeeded(&run);
    assert_eq!(
        shown["steps"][0]["attempts"][0]["failure"]["kind"],
        "attempt_timeout"
    );
}

#[test]
fn a_driver_that_stands_twice_in_a_pipeline_is_told_apart() {
    if program().is_none() {
        return;
    }
    let (nats, _bench, up) = two();
    up.line("line", json!([{"id": "one", "driver": "a"}, {"id": "two", "driver": "b"}, {"id": "three", "driver": "a"}]));
    // It answers twice, and each time the stale answer comes first.
    let _a = Go::driver(&nats, "a", &["-mode", "stale"]);
    let _b = Go::driver(&nats, "b", &["-mode", "twice"]);
    let run = up.begin("thing");
    let shown = up.succeeded(&run);
    for step in shown["steps"].as_array().unwrap() {
        assert_eq!(step["attempts"].as_array().unwrap().len(), 1);
    }
    assert_eq!(shown["steps"][2]["output"]["seen"], json!(["a", "b"]));
}

/// Both are begun before either has a driver, with specs of their own; the first ends while the second is there.
#[test]
fn two_runs_of_one_resource_do_not_mix_and_an_edit_does_not_reach_them() {
    if program().is_none() {
        return;
    }
    let (nats, _bench, up) = two();
    let sized = |size: u32| {
        let mut order = order("thing");
        order["resource"]["spec"] = json!({"size": size});
        id(&up.post("/runs", &order).is(201))
    };
    let runs = [sized(1), sized(2)];
    // The pipeline is another now: runs that were made keep theirs.
    up.line("line", json!([{"id": "only", "driver": "b"}]));
    let mut a = Go::driver(&nats, "a", &[]);
    let mut b = Go::driver(&nats, "b", &[]);
    for (run, size) in runs.iter().zip(1_u32..) {
        let (of_a, of_b) = (a.until("message"), b.until("message"));
        for message in [&of_a, &of_b] {
            assert_eq!(
                (&message["run"], &message["spec"]),
                (&json!(run), &json!({"size": size}))
            );
        }
        assert_eq!(of_a["seen"], json!({}), "nothing of the run before");
        let before: Vec<_> = of_b["seen"].as_object().unwrap().keys().collect();
        assert_eq!(before, ["a", "say"]);
        let shown = up.succeeded(run);
        assert_eq!(shown["steps"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn answers_that_come_slowly_late_bare_or_large_are_taken_as_what_they_are() {
    if program().is_none() {
        return;
    }
    let (nats, _bench, up) = two();
    let retry = json!({"max_attempts": 3, "backoff": "1ms"});
    let only = |timeout: &str| {
        up.line(
            "line",
            json!([{"id": "one", "driver": "a", "timeout": timeout, "retry": retry}]),
        );
    };
    let attempts = |run: &str| {
        let shown = up.ended(run);
        let attempts = shown["steps"][0]["attempts"].as_array().unwrap().clone();
        (shown, attempts)
    };
    only("1m");
    for (mode, takes) in [("slow=50ms", 1), ("flaky=2", 3), ("large=100000", 1)] {
        let _a = Go::driver(&nats, "a", &["-mode", mode]);
        let (shown, attempts) = attempts(&up.begin(&mode.replace('=', "-")));
        assert_eq!(shown["status"], "succeeded", "{mode}: {shown:#}");
        assert_eq!(attempts.len(), takes, "{mode}: {shown:#}");
    }
    // Without the resource's metadata nothing tells which attempt it is to, but that there is one alone.
    {
        let _a = Go::driver(&nats, "a", &["-mode", "bare"]);
        let (shown, attempts) = attempts(&up.begin("bare"));
        assert_eq!(shown["status"], "succeeded", "{shown:#}");
        assert_eq!(attempts[0]["fenced"], false, "{shown:#}");
    }
    // Too large an output is a failure with its name.
    {
        let _a = Go::driver(&nats, "a", &["-mode", "large=500000"]);
        let (shown, _) = attempts(&up.begin("larger"));
        assert_eq!(shown["failure"]["kind"], "limit", "{shown:#}");
    }
    // Each answer comes when its attempt is over: it is worth nothing, and says which attempt it was to.
    only("1s");
    let _a = Go::driver(&nats, "a", &["-mode", "late=4s"]);
    let run = up.begin("late");
    let (shown, attempts) = attempts(&run);
    assert_eq!(shown["failure"]["kind"], "attempt_timeout", "{shown:#}");
    assert_eq!(attempts.len(), 3);
    let path = format!("/runs/{run}");
    let shown = up.until(&path, |run| {
        run["ignored"]
            .as_array()
            .is_some_and(|them| them.len() == 3)
    });
    for ignored in shown["ignored"].as_array().unwrap() {
        let reason = ignored["reason"].as_str().unwrap();
        assert!(reason.contains("of step `one` is not open"), "{reason}");
    }
}

#[test]
fn a_failure_a_silence_and_nonsense_end_as_they_should() {
    if program().is_none() {
        return;
    }
    let (nats, _bench, up) = two();
    up.line(
        "line",
        json!([{"id": "one", "driver": "a", "timeout": "3s"}]),
    );
    for (mode, kind) in [("fail", "retryable"), ("silent", "attempt_timeout")] {
        let _a = Go::driver(&nats, "a", &["-mode", mode]);
        let run = up.begin(mode);
        let shown = up.ended(&run);
        assert_eq!(shown["failure"]["kind"], kind, "{shown:#}");
    }
    // What is no answer at all comes before the right one.
    let _a = Go::driver(&nats, "a", &["-mode", "garbage"]);
    let run = up.begin("garbage");
    up.succeeded(&run);
}

#[test]
fn a_client_makes_its_calls_as_it_did() {
    if program().is_none() {
        return;
    }
    let (nats, _bench, up) = two();
    let _a = Go::driver(
        &nats,
        "a",
        &["-new", "-api", &format!("http://{}", up.address)],
    );
    let _b = Go::driver(
        &nats,
        "b",
        &["-new", "-api", &format!("http://{}", up.address)],
    );
    let mut command = Command::new(program().unwrap());
    command.args([
        "submit",
        "-api",
        &format!("http://{}", up.address),
        "-kind",
        "app",
        "-name",
        "web",
        "-pipeline",
        "line",
    ]);
    let said = command.output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(said.contains("Resource created successfully"), "{lines:#?}");
    let resource = up.until("/resources/app/web", |resource| {
        resource["last_run"]["status"] == "succeeded"
    });
    assert!(resource["metadata"]["driverresults.b"].is_string());
}

/// As docs/wire.md has it: what a driver needs, its own kind of consumer, and the inbox that all share.
#[test]
fn it_works_with_the_permissions_that_the_page_names() {
    if program().is_none() {
        return;
    }
    let create = "$JS.API.CONSUMER.CREATE.messages.a";
    let users = users(&[user(
        "a",
        &[&LEAST_TO_PUBLISH[..], &[create]].concat(),
        &[&LEAST_TO_HEAR[..], &["_INBOX.>"]].concat(),
    )]);
    let nats = Nats::of("current", &users);
    let bench = bench(&[], &[("a", KIND)]);
    let of = |user: &str| nats.url().replace("//", &format!("//{user}:p@"));
    let up = Up::with(&bench, &["--nats", &of("host")]);
    up.line("line", json!([{"id": "one", "driver": "a"}]));
    up.until("/drivers/a", |driver| driver["native"].is_object());
    let mut driver = Go::driver(&nats, "a", &["-nats", &of("a")]);
    let run = up.begin("thing");
    driver.until("message");
    up.succeeded(&run);
}
