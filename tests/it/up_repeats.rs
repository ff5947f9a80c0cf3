//! `Idempotency-Key`: a request that is repeated is answered with the first result and does nothing more.

use crate::belt::Bench;
use crate::http::Answer;
use crate::up::{Up, id};
use serde_json::{Value, json};
use std::thread;

fn keyed(up: &Up, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("idempotency-key", key)];
    up.ask("POST", path, &headers, body.to_string().as_bytes())
}

fn thing(name: &str) -> Value {
    json!({"name": name, "resource": "app", "pipeline": "line", "spec": {}})
}

fn count(up: &Up) -> usize {
    up.get("/runs?limit=1000").is(200)["runs"]
        .as_array()
        .unwrap()
        .len()
}

#[test]
fn a_repeat_gets_the_first_answer_also_after_a_restart() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let definition = json!({"name": "site", "schema": {}});
    let pipeline = json!({"name": "other", "resource": "app", "steps": []});
    let run = id(&up
        .post("/runs", &json!({"resource": thing("none")}))
        .is(201));
    let line = json!({"runid": run, "driver": "native", "message": "once"});
    let all = [
        ("/runs", json!({"resource": thing("one")})),
        ("/resources", thing("two")),
        ("/resource-definitions", definition.clone()),
        ("/resource-definitions/apply", definition),
        ("/pipelines", pipeline),
        ("/logs", line),
    ];
    let first: Vec<_> = all
        .iter()
        .map(|(path, body)| keyed(&up, path, "k", body).is(201))
        .collect();
    // The same key on another route is another request, and another key another.
    assert_eq!(keyed(&up, "/resources", "l", &all[1].1).status, 409);
    for (path, body) in &all {
        // The same to us, and not the same bytes: whoever sends it may mean something else.
        let other = format!("{body} ");
        let headers = [("idempotency-key", "k")];
        let said = up.ask("POST", path, &headers, other.as_bytes());
        assert!(said.refused(422).contains("another body"));
    }
    let up = up.killed_and_started(&bench);
    for ((path, body), first) in all.iter().zip(first) {
        assert_eq!(keyed(&up, path, "k", body).is(201), first);
    }
    assert_eq!(count(&up), 3);
    let lines = up.get("/logs?driver=native").is(200);
    assert_eq!(lines.as_array().unwrap().len(), 1, "{lines}");
    let waited = keyed(&up, "/runs?wait=120s", "k", &all[0].1).is(201);
    assert_eq!((&waited["status"], count(&up)), (&json!("succeeded"), 3));
    for key in ["", &"k".repeat(256)] {
        keyed(&up, "/runs", key, &all[0].1).refused(400);
    }
}

#[test]
fn many_at_the_same_time_make_one() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let run = id(&up
        .post("/runs", &json!({"resource": thing("none")}))
        .is(201));
    for round in 0..10 {
        let name = format!("thing-{round}");
        for (path, body) in [
            ("/runs", json!({"resource": thing(&format!("run-{round}"))})),
            (
                "/runs",
                json!({"pipeline": "line", "resource": thing("shared")}),
            ),
            ("/resources", thing(&name)),
            (
                "/pipelines",
                json!({"name": name, "resource": "app", "steps": []}),
            ),
            ("/resource-definitions", json!({"name": name, "schema": {}})),
            (
                "/resource-definitions/apply",
                json!({"name": name, "schema": {"type": "object"}}),
            ),
            (
                "/logs",
                json!({"runid": run, "driver": "native", "message": name}),
            ),
        ] {
            let key = format!("{round} {body}");
            let answers: Vec<_> = thread::scope(|scope| {
                let ask = || keyed(&up, path, &key, &body).is(201);
                let all: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert!(
                answers.iter().all(|answer| *answer == answers[0]),
                "{answers:?}"
            );
        }
        assert_eq!(count(&up), 1 + 3 * (round + 1));
        let lines = up.get("/logs?driver=native").is(200);
        assert_eq!(lines.as_array().unwrap().len(), round + 1, "{lines}");
    }
}

#[test]
fn a_refusal_is_not_kept() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    keyed(&up, "/resources", "k", &thing("one")).refused(400);
    up.line("line", json!([{"driver": "echo"}]));
    let made = keyed(&up, "/resources", "k", &thing("one")).is(201);
    assert_eq!(up.ended(&id(&made))["status"], "succeeded");
}

#[test]
fn a_rerun_or_a_retry_that_is_repeated_is_made_once_also_after_a_restart() {
    let bench = Bench::new(&["fail"]);
    let up = Up::start(&bench);
    up.line(
        "line",
        json!([{"driver": "fail", "retry": {"max_attempts": 1}}]),
    );
    let run = id(&up
        .post("/runs?wait=120s", &json!({"resource": thing("one")}))
        .is(201));
    let ask = |up: &Up, verb: &str, status| {
        keyed(up, &format!("/runs/{run}/{verb}"), "k", &json!({})).is(status)
    };
    let rerun = ask(&up, "rerun", 201);
    let retried = ask(&up, "retry", 202);
    up.ended(&id(&rerun));
    up.ended(&run);
    let is_done_once = |up: &Up| {
        assert_eq!(ask(up, "rerun", 201), rerun);
        assert_eq!(ask(up, "retry", 202), retried);
        assert_eq!((count(up), &up.ended(&run)["round"]), (2, &json!(2)));
    };
    is_done_once(&up);
    is_done_once(&up.killed_and_started(&bench));
}

#[test]
fn what_is_asked_of_a_run_is_done_once() {
    let bench = Bench::new(&["fail", "sleep"]);
    let up = Up::start(&bench);
    up.line(
        "line",
        json!([{"driver": "fail", "retry": {"max_attempts": 1}}]),
    );
    up.line("long", json!([{"driver": "sleep"}]));
    let failed = id(&up
        .post("/runs?wait=120s", &json!({"resource": thing("one")}))
        .is(201));
    let long = json!({"name": "two", "resource": "app", "pipeline": "long", "spec": {}});
    let slow = id(&up.post("/runs", &json!({"resource": long})).is(201));
    let all = [
        (format!("/runs/{failed}/retry"), json!({}), 202),
        (format!("/runs/{failed}/resume"), json!({}), 200),
        (format!("/runs/{slow}/resume"), json!({}), 202),
        (format!("/runs/{slow}/cancel"), json!({"force": true}), 202),
    ];
    let mut first = Vec::new();
    for (path, body, status) in &all {
        let answers: Vec<_> = thread::scope(|scope| {
            let ask = || keyed(&up, path, "k", body).is(*status);
            let all: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(answers.iter().all(|one| *one == answers[0]), "{answers:?}");
        first.push(answers[0].clone());
        let said = up.ask("POST", path, &[("idempotency-key", "k")], b"");
        assert!(said.refused(422).contains("another body"), "{path}");
        up.ended(&failed);
    }
    assert_eq!(up.ended(&slow)["status"], "cancelled");
    // Without the key it would be another round, and a refusal.
    let up = up.killed_and_started(&bench);
    for ((path, body, status), first) in all.iter().zip(first) {
        assert_eq!(keyed(&up, path, "k", body).is(*status), first, "{path}");
    }
    let run = up.ended(&failed);
    assert_eq!(
        (&run["status"], &run["round"]),
        (&json!("failed"), &json!(2))
    );
    let cancel = format!("/runs/{slow}/cancel");
    keyed(&up, &cancel, "l", &json!({"force": true})).refused(409);
}

#[test]
fn a_long_answer_is_kept_too() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    let with = json!({"text": "\"".repeat(30_000)});
    let step = |nth| json!({"id": format!("s{nth}"), "driver": "echo", "with": with});
    let steps: Vec<_> = (0..12).map(step).collect();
    let body = json!({"name": "long", "resource": "app", "steps": steps});
    let first = keyed(&up, "/pipelines", "k", &body);
    assert_eq!(first.is(201), up.get("/pipelines/long").is(200));
    let up = up.killed_and_started(&bench);
    up.delete("/pipelines/long").is(204);
    let again = keyed(&up, "/pipelines", "k", &body);
    assert_eq!((again.status, again.body), (201, first.body));
    up.get("/pipelines/long").refused(404);
}

#[test]
fn the_answer_is_kept_longer_than_the_run() {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let body = json!({"resource": thing("one"), "pipeline": "line"});
    let run = id(&keyed(&up, "/runs?wait=30s", "k", &body).is(201));
    let other = json!({"resource": thing("two"), "pipeline": "line"});
    keyed(&up, "/runs?wait=30s", "l", &other).is(201);
    assert_eq!(up.terminate().code, 0);
    let config = bench.read("belt.yaml");
    bench.write("belt.yaml", format!("retention: {{count: 1}}\n{config}"));
    let up = Up::start(&bench);
    up.until(&format!("/runs/{run}"), |found| found["status"] == 404);
    assert_eq!(id(&keyed(&up, "/runs?wait=30s", "k", &body).is(201)), run);
}
