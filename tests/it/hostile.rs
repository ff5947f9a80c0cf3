//! Drivers that misbehave: what they break is their own attempt. Each ends in a failure of its kind that says
//! what happened, the steps after it are skipped, and the state is fit for the next run.

use crate::belt::Bench;
use serde_json::{Value, json};

/// A bench with the step `bad` of this guest, its other keys as given, and a step after it.
fn bench(guest: &str, keys: &str) -> Bench {
    let bench = Bench::new(&[guest, "echo"]);
    steps(&bench, guest, keys);
    bench
}

fn steps(bench: &Bench, guest: &str, keys: &str) {
    let bad = format!("{{id: bad, driver: {guest}, {keys}}}");
    // The run's own time is over long after any attempt's: which of the two ends a step tells how long that took.
    bench.pipeline("timeout: 1m", &[&bad, "{id: next, driver: echo}"]);
}

/// Runs it and checks that it fails as this kind, with these words. Returns the run.
#[track_caller]
fn check(bench: &Bench, kind: &str, words: &[&str]) -> Value {
    let said = bench.run(&["-o", "json"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    let run = bench.latest();
    assert_eq!(run, said.json(), "`runs get` and `run` show the same");
    let failure = &run["failure"];
    assert_eq!(
        (&run["status"], &failure["step"]),
        (&json!("failed"), &json!("bad"))
    );
    let reason = failure["reason"].as_str().unwrap();
    assert_eq!(failure["kind"], kind, "{reason}");
    for word in words {
        assert!(reason.contains(word), "{word:?} is not in {reason:?}");
    }
    assert!(reason.len() <= 4096, "{}", reason.len());
    let [bad, next] = run["steps"].as_array().unwrap().as_slice() else {
        panic!("{run}")
    };
    assert_eq!(bad["failure"]["reason"], failure["reason"]);
    assert_eq!(
        (&next["status"], &next["attempts"]),
        (&json!("skipped"), &json!([]))
    );
    and_the_next_run_works(bench, &run);
    run
}

/// The same state takes another run, and still has the one that failed.
#[track_caller]
fn and_the_next_run_works(bench: &Bench, failed: &Value) {
    bench.pipeline("", &["{id: well, driver: echo}"]);
    let said = bench.run(&["-o", "json"]);
    assert_eq!(
        (said.code, &said.json()["status"]),
        (0, &json!("succeeded"))
    );
    let id = failed["run"].as_str().unwrap();
    let again = bench.belt(&["runs", "get", id, "--state", "state", "-o", "json"]);
    assert_eq!(again.json(), *failed);
}

#[test]
fn a_trap() {
    let words = [
        "wasm `unreachable` instruction executed",
        "\n  at trap::step_on_it\n",
    ];
    check(&bench("trap", ""), "trap", &words);
}

#[test]
fn a_panic() {
    let run = check(
        &bench("panic", ""),
        "trap",
        &["\n  at panic::open_the_safe\n"],
    );
    let reason = run["failure"]["reason"].as_str().unwrap();
    let message = reason.lines().next().unwrap();
    assert_eq!(
        message,
        "panicked at panic.rs:13:5: the safe of `bad` is empty"
    );
}

#[test]
fn an_exit() {
    let words = [
        "it exited with status 1 instead of answering",
        "reconciler@0.1.0#reconcile",
    ];
    let run = check(&bench("exit", ""), "trap", &words);
    let reason = run["failure"]["reason"].as_str().unwrap();
    assert!(!reason.contains("wasi_snapshot_preview1"), "{reason}");
}

#[test]
fn an_output_that_is_no_json() {
    let words = ["the output is not JSON: expected ident at line 1 column 8"];
    let run = check(&bench("output_not_json", ""), "trap", &words);
    assert_eq!(run["steps"][0]["output"], Value::Null);
}

#[test]
fn spinning_ends_with_the_attempt() {
    for guest in ["spin", "call_storm"] {
        let bench = bench(guest, "timeout: 300ms");
        let run = check(&bench, "attempt_timeout", &["no answer within 300ms"]);
        assert_eq!(run["steps"][0]["status"], "timed_out");
    }
}

#[test]
fn sleeping_in_a_host_call_ends_with_the_attempt() {
    let bench = bench("sleep", "timeout: 300ms");
    check(&bench, "attempt_timeout", &["no answer within 300ms"]);
}

#[test]
fn an_endless_flood_ends_with_the_attempt() {
    let bench = bench("log_flood", "timeout: 1s");
    check(&bench, "attempt_timeout", &["no answer within 1s"]);
}

/// The second attempt begins in the same process, where the first one spun, and only when that is over.
#[test]
fn what_spun_is_retried() {
    let retry = "timeout: 300ms, retry: {max_attempts: 2, backoff: 1ms}";
    let bench = bench("spin_once", retry);
    let said = bench.run(&["-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let run = said.json();
    let [first, second] = run["steps"][0]["attempts"].as_array().unwrap().as_slice() else {
        panic!("{run}")
    };
    assert_eq!(first["failure"]["kind"], "attempt_timeout");
    assert_eq!(
        (&second["attempt"], &second["message"]),
        (&json!(2), &json!("done"))
    );
    assert!(
        first["ended_at"].as_str() <= second["started_at"].as_str(),
        "{run}"
    );
    assert_eq!(run["steps"][0]["output"], json!({"attempt": 2}));
}

/// Where every attempt spins, each is ended and the step fails with the last one's.
#[test]
fn what_spins_for_ever_is_retried_as_often_as_asked() {
    let bench = bench(
        "spin",
        "timeout: 200ms, retry: {max_attempts: 3, backoff: 1ms}",
    );
    let run = check(&bench, "attempt_timeout", &["no answer within 200ms"]);
    assert_eq!(run["steps"][0]["attempts"].as_array().unwrap().len(), 3);
}

/// Neither a trap nor a limit is mended by another attempt.
#[test]
fn traps_and_limits_are_not_retried() {
    for (guest, kind) in [("trap", "trap"), ("recurse", "limit"), ("exit", "trap")] {
        let bench = bench(guest, "retry: {max_attempts: 3, backoff: 1ms}");
        let run = check(&bench, kind, &[]);
        assert_eq!(run["steps"][0]["attempts"].as_array().unwrap().len(), 1);
    }
}
