//! What people ask of runs over HTTP: to stop, to go on, to be made once more. And in which order runs get their turn.

use crate::belt::Bench;
use crate::up::{Up, id, order};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn open(run: &Value, step: &str) {
    let out = Path::new(run["out"].as_str().unwrap());
    fs::create_dir_all(out).unwrap();
    fs::write(out.join(format!("{step}.open")), "").unwrap();
}

#[test]
fn a_run_is_cancelled_gracefully_or_at_once() {
    let bench = Bench::new(&["wait", "latch"]);
    let up = Up::start(&bench);
    up.line(
        "line",
        json!([{"id": "s", "driver": "wait"}, {"driver": "latch"}]),
    );
    let run = id(&up.post("/runs", &order("one")).is(201));
    up.frames(&format!("/runs/{run}/logs"), &[])
        .find(|frame| frame.data["message"] == "waiting");
    let path = format!("/runs/{run}/cancel");
    let asked = up.post(&path, &json!({})).is(202);
    assert_eq!(id(&asked), run);
    let ended = up.ended(&run);
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(ended["steps"][1]["attempts"], json!([]));
    assert!(
        up.post(&path, &json!({}))
            .refused(409)
            .contains("cancelled")
    );

    // This one does not listen.
    up.line("line", json!([{"id": "s", "driver": "latch"}]));
    let run = id(&up.post("/runs", &order("two")).is(201));
    up.frames(&format!("/runs/{run}/logs"), &[]).next();
    up.post(&format!("/runs/{run}/cancel"), &json!({"force": true}))
        .is(202);
    assert_eq!(up.ended(&run)["status"], "cancelled");
    up.post(&format!("/runs/{run}/cancel"), &json!({"fource": true}))
        .refused(400);
}

#[test]
fn runs_of_one_resource_wait_for_each_other_and_others_do_not() {
    let bench = Bench::new(&["latch"]);
    let up = Up::start(&bench);
    up.line("line", json!([{"id": "s", "driver": "latch"}]));
    let runs: Vec<_> = (0..4)
        .map(|_| up.post("/runs", &order("one")).is(201))
        .collect();
    let other = up.post("/runs", &order("two")).is(201);
    up.frames(&format!("/runs/{}/logs", id(&other)), &[]).next();
    let status = |run: &Value| up.get(&format!("/runs/{}", id(run))).is(200)["status"].clone();
    let statuses: Vec<_> = runs.iter().map(status).collect();
    assert_eq!(statuses, ["running", "pending", "pending", "pending"]);

    // Cancelled out of turn, it must not do anything first.
    up.post(&format!("/runs/{}/cancel", id(&runs[2])), &json!({}))
        .is(202);
    let cancelled = up.ended(&id(&runs[2]));
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(
        cancelled["steps"][0]["attempts"],
        json!([]),
        "{cancelled:#}"
    );
    assert_eq!(status(&runs[1]), "pending");

    // They go on in their order, also after a restart.
    let up = up.killed_and_started(&bench);
    let mut before = String::new();
    for nth in [0, 1, 3] {
        open(&runs[nth], "s");
        let run = up.ended(&id(&runs[nth]));
        assert_eq!(run["status"], "succeeded");
        let started = run["steps"][0]["attempts"][0]["started_at"]
            .as_str()
            .unwrap();
        assert!(
            nth == 0 || started >= before.as_str(),
            "{started} is before {before}"
        );
        before = run["ended_at"].as_str().unwrap().to_owned();
    }
    open(&other, "s");
    up.ended(&id(&other));
}

#[test]
fn a_run_goes_on_from_the_failed_step_or_a_named_one() {
    let bench = Bench::new(&["echo", "fail"]);
    let up = Up::start(&bench);
    let fail = json!({"id": "b", "driver": "fail", "with": {"before_attempt": 2}, "retry": {"max_attempts": 1}});
    up.line(
        "line",
        json!([{"id": "a", "driver": "echo"}, fail, {"id": "c", "driver": "echo"}]),
    );
    let run = id(&up.post("/runs?wait=120s", &order("one")).is(201));
    assert_eq!(up.ended(&run)["status"], "failed");
    let retry = format!("/runs/{run}/retry");
    assert!(
        up.post(&retry, &json!({"from": "x"}))
            .refused(400)
            .contains("it has a, b, c")
    );
    let going = up.post(&retry, &json!({})).is(202);
    assert_eq!(going["round"], 2);
    assert!(going["since"]["revision"].is_u64());
    let attempts = |run: &Value| -> Vec<usize> {
        let steps = run["steps"].as_array().unwrap().iter();
        steps
            .map(|step| step["attempts"].as_array().unwrap().len())
            .collect()
    };
    let again = up.ended(&run);
    assert_eq!(
        (&again["status"], attempts(&again)),
        (&json!("succeeded"), vec![1, 2, 1])
    );
    up.post(&retry, &json!({"from": "a"})).is(202);
    let again = up.ended(&run);
    assert_eq!(
        (&again["round"], attempts(&again)),
        (&json!(3), vec![2, 3, 2])
    );

    // A rerun is a run of its own, of the same snapshots.
    up.line("line", json!([]));
    let rerun = up.post(&format!("/runs/{run}/rerun"), &json!({})).is(201);
    assert_eq!(rerun["rerun_of"], run.as_str());
    let ended = up.ended(&id(&rerun));
    assert_eq!(
        (&ended["status"], attempts(&ended)),
        (&json!("failed"), vec![1, 1, 0])
    );
    assert_eq!(
        up.get("/resources/app/one").is(200)["last_run"]["run"],
        rerun["run"]
    );
    up.post(&format!("/runs/{run}/rerun"), &json!({"from": "a"}))
        .refused(400);
}

#[test]
fn of_several_retries_at_once_one_is_carried_out() {
    let bench = Bench::new(&["fail"]);
    let up = Up::start(&bench);
    up.line(
        "line",
        json!([{"driver": "fail", "retry": {"max_attempts": 1}}]),
    );
    let run = id(&up.post("/runs?wait=120s", &order("one")).is(201));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || up.post(&format!("/runs/{run}/retry"), &json!({})).status;
        let all: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(
        statuses.iter().all(|status| matches!(status, 202 | 409)),
        "{statuses:?}"
    );
    let accepted = statuses.iter().filter(|status| **status == 202).count();
    let ended = up.ended(&run);
    assert_eq!(ended["round"], 1 + accepted);
    assert!(accepted >= 1);
}
