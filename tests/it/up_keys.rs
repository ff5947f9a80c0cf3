//! The keys of a query: those that its route has, and no others; and `wait`, on each route that has it.

use crate::belt::Bench;
use crate::http::Answer;
use crate::up::{Up, id, order};
use serde_json::json;

/// A server with a run that has ended well.
fn ended() -> (Bench, Up, String) {
    let bench = Bench::new(&["echo"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"driver": "echo"}]));
    let run = up.begin("thing");
    up.succeeded(&run);
    (bench, up, run)
}

#[test]
fn a_key_that_a_route_does_not_have_is_refused_by_name() {
    let (_bench, up, run) = ended();
    let document = up.get("/openapi.json").is(200);
    let mut count = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{run}", &run).replace(['{', '}'], "");
            for query in ["foreign=1", "foreign", "for%65ign=1"] {
                let path = format!("{path}?{query}");
                let said = up.ask(&method.to_uppercase(), &path, &[], b"{}");
                let said = said.refused(400);
                assert!(said.starts_with("`foreign` is no key"), "{path}: {said}");
                count += 1;
            }
        }
    }
    assert!(count > 100, "{count}");
    up.succeeded(&run);
    for (path, advice) in [
        (
            "/runs?statsu=failed",
            "`statsu` is no key of this query; did you mean `status`?",
        ),
        (
            "/runs?limit=1&Status=failed",
            "`Status` is no key of this query; did you mean `status`?",
        ),
        (
            "/runs/?x=1",
            "`x` is no key of this query; this route takes `limit`, `cursor`, `status`, `pipeline`, `kind`, `resource`",
        ),
        (
            "/health?x=1",
            "`x` is no key of this query; this route takes none",
        ),
        ("/runs/latest/logs?stap=echo", "did you mean `step`?"),
        ("/runs/latest?wiat=1s", "did you mean `wait`?"),
        ("/resources/app?x", "this route takes `limit`, `after`"),
    ] {
        assert!(up.get(path).refused(400).ends_with(advice), "{path}");
    }
    // A head is asked for like the whole; it comes without a body.
    let mut connection = up.connect();
    connection.send("HEAD", "/runs?statsu=failed", &[], b"");
    assert_eq!(connection.head().unwrap().0, 400);
    let long = "x".repeat(20_000);
    assert!(up.get(&format!("/runs?{long}")).refused(400).len() < 300);
}

#[test]
fn a_key_that_a_route_has_is_taken() {
    let (_bench, up, _run) = ended();
    for path in [
        "/runs?",
        "/runs?limit=1&status=succeeded&pipeline=line&kind=app&resource=thing",
        "/runs?st%61tus=succeeded",
        "/runs/latest?wait=1s",
        "/runs/latest/logs?step=echo&after=",
        "/logs?pipeline=line&driver=echo&runid=none",
        "/pipelines?limit=1&after=a",
        "/docs?from=elsewhere",
    ] {
        let answer = up.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
}

/// A run that has failed, and succeeds in its second round.
fn failed(up: &Up) -> String {
    let with = json!({"kind": "permanent", "reason": "out of milk", "before_attempt": 2});
    up.line("line", json!([{"id": "s", "driver": "fail", "with": with}]));
    let run = up.begin("thing");
    assert_eq!(up.ended(&run)["status"], "failed");
    run
}

#[test]
fn a_retry_and_a_rerun_are_waited_for() {
    let bench = Bench::new(&["fail"]);
    let up = Up::start(&bench);
    let run = failed(&up);
    let post = |path: &str, key: &str| -> Answer {
        let path = format!("/runs/{run}/{path}");
        up.ask("POST", &path, &[("idempotency-key", key)], b"{}")
    };
    let retried = post("retry?wait=120s", "k").is(202);
    assert_eq!(
        (&retried["status"], &retried["round"]),
        (&json!("succeeded"), &json!(2))
    );
    // A repeat waits too, and has it go on no more.
    assert_eq!(post("retry?wait=120s", "k").is(202), retried);
    let rerun = post("rerun?wait=120s", "k").is(201);
    assert_eq!(
        (&rerun["status"], &rerun["rerun_of"]),
        (&json!("failed"), &json!(run))
    );
    assert_eq!(post("rerun?wait=120s", "k").is(201), rerun);
    let runs = up.get("/runs").is(200);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 2);
    for path in ["retry?wait=x", "rerun?wait=-1s"] {
        post(path, "l").refused(400);
    }
}

#[test]
fn a_retry_that_takes_longer_is_answered_as_it_is_then() {
    let bench = Bench::new(&["latch"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"id": "s", "driver": "latch"}]));
    let run = up.begin("thing");
    let path = format!("/runs/{run}");
    up.post(&format!("{path}/cancel"), &json!({"force": true}))
        .is(202);
    assert_eq!(up.ended(&run)["status"], "cancelled");
    let retried = up
        .post(&format!("{path}/retry?wait=1ms"), &json!({}))
        .is(202);
    assert_eq!(
        (&retried["run"], retried.get("ended_at")),
        (&json!(run), None)
    );
    let rerun = up
        .post(&format!("{path}/rerun?wait=1ms"), &json!({}))
        .is(201);
    assert_eq!(rerun.get("ended_at"), None);
    for run in [retried, rerun] {
        let path = format!("/runs/{}/cancel", id(&run));
        up.post(&path, &json!({"force": true})).is(202);
    }
}

#[test]
fn whoever_waits_is_answered_with_the_run_as_it_is_when_the_server_ends() {
    let bench = Bench::new(&["latch"]);
    let up = Up::with(&bench, &["--drain", "2s"]);
    up.line("line", json!([{"id": "s", "driver": "latch"}]));
    let first = up.begin("first");
    let ask = |method: &str, path: &str, body: &str| {
        let mut connection = up.connect();
        connection.send(method, path, &[], body.as_bytes());
        connection
    };
    let looks = ask("GET", &format!("/runs/{first}?wait=120s"), "");
    let begins = ask("POST", "/runs?wait=120s", &order("second").to_string());
    let reruns = ask("POST", &format!("/runs/{first}/rerun?wait=120s"), "{}");
    up.until("/runs", |page| {
        page["runs"].as_array().is_some_and(|runs| runs.len() == 3)
    });
    assert_eq!(up.terminate().code, 0);
    for (mut waiting, status) in [(looks, 200), (begins, 201), (reruns, 201)] {
        let run = waiting.answer().unwrap().is(status);
        assert_eq!(run.get("ended_at"), None, "{run:#}");
        assert!(
            ["pending", "running"].contains(&run["status"].as_str().unwrap()),
            "{run:#}"
        );
    }
}
