//! A driver that wants to look again: a run of the resource begins by itself, also after a restart.

use crate::belt::Bench;
use crate::up::{Up, id};
use serde_json::{Value, json};

fn begin(up: &Up, ms: u64) -> Value {
    let steps = json!([{"id": "s", "driver": "requeue", "with": {"ms": ms}}]);
    up.line("line", steps);
    let body = json!({"name": "thing", "resource": "app", "pipeline": "line", "spec": {"size": 1}});
    up.post("/resources", &body).is(201)
}

/// The runs when there are two of them and both have ended, the latest first.
fn both(up: &Up) -> Vec<Value> {
    let page = up.until("/runs", |page| {
        let runs = page["runs"].as_array().unwrap();
        runs.len() == 2 && runs.iter().all(|run| run.get("ended_at").is_some())
    });
    page["runs"].as_array().unwrap().clone()
}

#[test]
fn a_resync_begins_after_the_time_and_not_before() {
    let bench = Bench::new(&["requeue"]);
    let up = Up::start(&bench);
    let first = id(&begin(&up, 300));
    let runs = both(&up);
    assert_eq!(
        (id(&runs[1]), &runs[1]["event"]),
        (first.clone(), &json!("create"))
    );
    assert_eq!(
        (&runs[0]["event"], &runs[0]["status"]),
        (&json!("resync"), &json!("succeeded"))
    );
    let again = up.ended(&id(&runs[0]));
    assert_eq!(again["steps"][0]["output"]["event"], "resync");
    let at =
        |run: &Value, key: &str| -> jiff::Timestamp { run[key].as_str().unwrap().parse().unwrap() };
    let between = at(&again, "created_at").duration_since(at(&runs[1], "ended_at"));
    assert!(between.as_millis() >= 295, "{between:?}");
    let shown = up.get("/resources/app/thing").is(200);
    assert_eq!(shown["last_run"]["run"], again["run"]);
}

#[test]
fn a_resync_begins_also_after_a_restart() {
    let bench = Bench::new(&["requeue"]);
    let up = Up::start(&bench);
    // Long enough to be killed before, were the machine busy.
    let first = id(&begin(&up, 3_000));
    assert_eq!(up.ended(&first)["status"], "succeeded");
    let up = up.killed_and_started(&bench);
    assert_eq!(up.get("/runs").is(200)["runs"].as_array().unwrap().len(), 1);
    assert_eq!(both(&up)[0]["event"], "resync");
}

#[test]
fn a_resource_that_has_gone_is_not_looked_at_again() {
    let bench = Bench::new(&["requeue"]);
    let up = Up::start(&bench);
    let first = id(&begin(&up, 300));
    up.ended(&first);
    up.delete("/resources/app/thing").is(204);
    // Another one of that time shows that the time has come.
    let other = json!({"name": "other", "resource": "app", "pipeline": "line", "spec": {}});
    up.post("/resources", &other).is(201);
    up.until("/runs?resource=other", |page| {
        page["runs"].as_array().unwrap().len() == 2
    });
    assert_eq!(
        up.get("/runs?resource=thing").is(200)["runs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
