//! Ctrl-C, timeouts, and what people ask of a run that has ended.

use crate::belt::{Bench, Said};
use crate::live::Live;
use beltline_engine::CANCEL_GRACE_MS;
use serde_json::{Value, json};

fn statuses(run: &Value) -> Vec<&str> {
    let steps = run["steps"].as_array().unwrap().iter();
    steps.map(|step| step["status"].as_str().unwrap()).collect()
}

fn runs(bench: &Bench, args: &[&str]) -> Said {
    bench.belt(&[&["runs"], args, &["--state", "state", "-o", "json"]].concat())
}

/// Starts a run, waits until its driver says so, and presses Ctrl-C as often as this.
fn interrupted(bench: &Bench, driver_says: &str, times: u32) -> Said {
    let mut live = Live::run(bench, &[]);
    live.until(driver_says);
    live.interrupt();
    live.until("stopping: steps under way may finish; Ctrl-C again to end them at once");
    for _ in 1..times {
        live.interrupt();
        live.until("stopping now");
    }
    live.end()
}

#[test]
fn ctrl_c_lets_the_driver_end_and_nothing_else_begin() {
    let bench = Bench::with_steps(&["wait", "echo"], &["{driver: wait}", "{driver: echo}"]);
    let said = interrupted(&bench, "waiting", 1);
    assert_eq!(said.code, 3, "{}", said.stderr);
    let run = bench.latest();
    assert_eq!(run["status"], "cancelled");
    assert_eq!(statuses(&run), ["cancelled", "cancelled"]);
    assert_eq!(
        run["steps"][0]["attempts"][0]["failure"],
        json!({"kind": "cancelled", "reason": "the driver stopped"})
    );
    assert_eq!(run["steps"][1]["attempts"], json!([]));
}

#[test]
fn a_step_that_finishes_after_ctrl_c_has_finished() {
    let bench = Bench::with_steps(&["gate", "echo"], &["{driver: gate}", "{driver: echo}"]);
    let mut live = Live::run(&bench, &[]);
    live.until("at the gate");
    live.interrupt();
    live.until("stopping: ");
    bench.write("work/gate.open", "");
    assert_eq!(live.end().code, 3);
    let run = bench.latest();
    assert_eq!(run["status"], "cancelled");
    assert_eq!(statuses(&run), ["succeeded", "cancelled"]);
}

#[test]
fn ctrl_c_twice_ends_what_would_never_end() {
    for (guest, says) in [("spin", "spinning"), ("sleep", "sleeping")] {
        let bench = Bench::with_steps(
            &[guest, "echo"],
            &[&format!("{{driver: {guest}}}"), "{driver: echo}"],
        );
        let said = interrupted(&bench, says, 2);
        assert_eq!(said.code, 3, "{}", said.stderr);
        let run = bench.latest();
        assert_eq!(run["status"], "cancelled");
        assert_eq!(statuses(&run), ["cancelled", "cancelled"]);
        // It was forced: with one Ctrl-C alone the same end comes after the grace.
        assert!(
            run["elapsed_ms"].as_u64().unwrap() < CANCEL_GRACE_MS,
            "{run:#}"
        );
    }
}

#[test]
fn a_retry_goes_on_in_the_next_round_and_counts_its_attempts_on() {
    let bench = Bench::with_steps(
        &["relay", "gate"],
        &["{id: a, driver: relay}", "{id: b, driver: gate}"],
    );
    assert_eq!(interrupted(&bench, "at the gate", 2).code, 3);
    bench.write("work/b.open", "");
    let said = runs(&bench, &["retry"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let run = said.json();
    assert_eq!(
        (&run["status"], &run["round"]),
        (&json!("succeeded"), &json!(2))
    );
    // What had succeeded keeps its outcome and its round.
    assert_eq!(run["steps"][0]["round"], 1);
    assert_eq!(bench.read("work/effects").lines().count(), 1);
    let attempts = run["steps"][1]["attempts"].as_array().unwrap();
    let numbers = attempts
        .iter()
        .map(|one| (one["attempt"].as_u64(), one["round"].as_u64()));
    assert!(
        numbers.eq([(Some(1), Some(1)), (Some(2), Some(2))]),
        "{run:#}"
    );
    let key = format!("{}/b/2", run["run"].as_str().unwrap());
    assert_eq!(run["steps"][1]["output"], json!({"attempt": 2, "key": key}));
}

#[test]
fn a_retry_from_a_step_covers_it_and_all_after_it() {
    let steps = [
        "{id: a, driver: relay}",
        "{id: b, driver: relay}",
        "{id: c, driver: relay}",
    ];
    let bench = Bench::with_steps(&["relay"], &steps);
    assert_eq!(bench.run(&[]).code, 0);
    let said = runs(&bench, &["retry", "--from", "b"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let run = said.json();
    let rounds = run["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["round"].as_u64());
    assert!(rounds.eq([Some(1), Some(2), Some(2)]), "{run:#}");
    let effects = bench.read("work/effects");
    let keys = effects.lines().map(|key| key.split_once('/').unwrap().1);
    assert_eq!(
        keys.collect::<Vec<_>>(),
        ["a/1", "b/1", "c/1", "b/2", "c/2"]
    );
}

#[test]
fn the_runs_own_timeout_ends_it_as_timed_out() {
    let bench = Bench::new(&["sleep", "echo"]);
    bench.pipeline("timeout: 300ms", &["{driver: sleep}", "{driver: echo}"]);
    let said = bench.run(&["-o", "json"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    let run = said.json();
    assert_eq!(run["status"], "timed_out");
    assert_eq!(statuses(&run), ["timed_out", "skipped"]);
    assert_eq!(
        run["steps"][0]["failure"],
        json!({"kind": "run_timeout", "reason": "the run's timeout of 300ms passed"})
    );
}

#[test]
fn an_attempts_timeout_fails_the_run_unless_it_is_retried() {
    for guest in ["sleep", "spin"] {
        let step = format!("{{driver: {guest}, timeout: 200ms}}");
        let bench = Bench::with_steps(&[guest, "echo"], &[&step, "{driver: echo}"]);
        let said = bench.run(&["-o", "json"]);
        assert_eq!(said.code, 1, "{}", said.stderr);
        let run = said.json();
        assert_eq!(run["status"], "failed");
        assert_eq!(statuses(&run), ["timed_out", "skipped"]);
        assert_eq!(
            run["failure"],
            json!({"step": guest, "kind": "attempt_timeout", "reason": "no answer within 200ms"})
        );
    }
    let step = "{driver: spin_once, timeout: 500ms, retry: {max_attempts: 2, backoff: 1ms}}";
    let bench = Bench::with_steps(&["spin_once"], &[step]);
    let said = bench.run(&["-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let attempts = said.json()["steps"][0]["attempts"].clone();
    assert_eq!(attempts[0]["failure"]["kind"], "attempt_timeout");
    assert_eq!(attempts[1]["message"], "done");
}

#[test]
fn a_rerun_is_a_new_run_of_the_same_snapshots() {
    let bench = Bench::new(&["echo"]);
    bench.pipeline("context: {colour: red}", &["{driver: echo, with: {n: 1}}"]);
    assert_eq!(bench.run(&["--set", "colour=blue"]).code, 0);
    let first = bench.latest();
    bench.pipeline(
        "context: {colour: green}",
        &["{driver: echo, with: {n: 2}}"],
    );
    bench.write(
        "resource.yaml",
        "name: other\nresource: app\nspec: {size: 9}\n",
    );
    let said = runs(&bench, &["rerun"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let second = said.json();
    assert_ne!(second["run"], first["run"]);
    assert_eq!(second["rerun_of"], first["run"]);
    assert_eq!(second["drivers"], first["drivers"]);
    let output = &second["steps"][0]["output"];
    for part in ["context", "resource", "with", "pipeline"] {
        assert_eq!(output[part], first["steps"][0]["output"][part]);
    }
    assert_eq!(output["context"], json!({"colour": "blue"}));
    let listed = runs(&bench, &["list"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_retried_is_refused_and_stays_as_it_is() {
    let bench = Bench::with_steps(&["gate"], &["{driver: gate}"]);
    let refused = |args: &[&str], message: &str| {
        let before = bench.latest();
        let said = runs(&bench, args);
        assert_eq!((said.code, said.stderr), (2, format!("error: {message}\n")));
        assert_eq!(bench.latest(), before);
    };
    let mut live = Live::run(&bench, &[]);
    live.until("at the gate");
    live.kill();
    let message = "the run has not ended: it is running; `belt runs resume` has it go on";
    refused(&["retry"], message);
    refused(&["retry", "--from", "gate"], message);
    bench.write("work/gate.open", "");
    assert_eq!(runs(&bench, &["resume"]).code, 0);
    refused(
        &["retry"],
        "every step of the run succeeded; name the step to retry from",
    );
    refused(
        &["retry", "--from", "gat"],
        "the run has no step `gat`; it has gate",
    );
    let unknown = "00000000-0000-7000-8000-000000000000";
    let message = format!("there is no run {unknown}; `belt runs list` names those there are");
    for verb in ["retry", "rerun", "resume", "get", "logs"] {
        refused(&[verb, unknown], &message);
    }
    let said = runs(&bench, &["resume"]);
    assert_eq!(said.code, 0);
    assert_eq!(
        said.stderr,
        "note: the run has ended already, there is nothing to resume\n"
    );
}
