//! Clients that are slow, never read, or hang up: the others are served, and what was begun is carried out.

use crate::belt::Bench;
use crate::up::{Up, id};
use serde_json::{Value, json};
use std::thread;

fn well(up: &Up) {
    assert_eq!(up.get("/health").is(200)["status"], "ok");
}

#[test]
fn a_client_that_hangs_up_halfway_is_forgotten() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let body =
        json!({"resource": {"name": "thing", "resource": "app", "pipeline": "line", "spec": {}}})
            .to_string();
    for _ in 0..50 {
        // One with half a body, one that does not wait for its answer.
        let mut connection = up.connect();
        connection.send(
            "POST",
            "/runs",
            &[("content-length", "4000")],
            body.as_bytes(),
        );
        drop(connection);
        let mut connection = up.connect();
        connection.send("POST", "/runs?wait=120s", &[], body.as_bytes());
        drop(connection);
        up.connect();
    }
    well(&up);
    // What was taken ends, whoever asked for it.
    let run = up
        .post("/runs?wait=120s", &serde_json::from_str(&body).unwrap())
        .is(201);
    assert_eq!(run["status"], "succeeded");
    // Requests whose clients have gone may come after those of who is still there.
    let runs = up.until("/runs?limit=1000", |page| {
        let mut runs = page["runs"].as_array().unwrap().iter();
        runs.all(|run| run.get("ended_at").is_some())
    });
    let runs = runs["runs"].as_array().unwrap();
    assert!(runs.len() <= 51, "half a body started a run");
    assert!(
        runs.iter().all(|run| run["status"] == "succeeded"),
        "{runs:#?}"
    );
}

#[test]
fn what_was_begun_for_a_client_that_has_gone_is_carried_out() {
    let bench = Bench::new(&["fail"]);
    let up = Up::start(&bench);
    up.line(
        "line",
        json!([{"driver": "fail", "retry": {"max_attempts": 1}}]),
    );
    let body =
        json!({"resource": {"name": "thing", "resource": "app", "pipeline": "line", "spec": {}}});
    let run = id(&up.post("/runs?wait=120s", &body).is(201));
    for verb in ["retry", "rerun", "retry", "rerun"]
        .into_iter()
        .cycle()
        .take(100)
    {
        let mut connection = up.connect();
        connection.send("POST", &format!("/runs/{run}/{verb}"), &[], b"{}");
        drop(connection);
    }
    // A run that was written and is carried by nobody would stay as it is until the next start.
    let runs = up.until("/runs?limit=1000", |page| {
        let mut runs = page["runs"].as_array().unwrap().iter();
        runs.all(|run| run.get("ended_at").is_some())
    });
    for run in runs["runs"].as_array().unwrap() {
        assert_eq!(run["status"], "failed", "{run:#}");
    }
}

#[test]
fn clients_that_never_read_cost_the_others_nothing() {
    let bench = Bench::new(&["log_flood", "echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "log_flood"}]));
    let thing = |name: &str| json!({"resource": {"name": name, "resource": "app", "pipeline": "line", "spec": {}}});
    let run = id(&up.post("/runs", &thing("loud")).is(201));
    let mut silent = Vec::new();
    for route in ["events", "logs", "progress", "logs", "logs", "progress"] {
        let mut connection = up.connect();
        let accept = [("accept", "text/event-stream")];
        connection.send("GET", &format!("/runs/{run}/{route}"), &accept, b"");
        silent.push(connection);
    }
    // One that sends a byte now and then never gets to the end of a head.
    let mut slow = up.connect();
    slow.write(b"GET /heal").unwrap();
    assert!(up.ended(&run).get("ended_at").is_some());
    up.line("line", json!([{"driver": "echo"}]));
    thread::scope(|scope| {
        for client in 0..8 {
            let up = &up;
            scope.spawn(move || {
                for nth in 0..10 {
                    let name = format!("thing-{client}-{nth}");
                    let run = up.post("/runs?wait=120s", &thing(&name)).is(201);
                    assert_eq!(run["status"], Value::from("succeeded"));
                }
            });
        }
    });
    drop(silent);
    well(&up);
}
