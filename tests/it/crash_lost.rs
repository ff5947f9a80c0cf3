//! Attempts whose end nobody recorded: a driver that takes the host down, and steps that must not run twice.
//! Their timeouts only keep a broken host from hanging the tests.

use crate::belt::{Bench, guest};
use crate::live::Live;
use serde_json::{Value, json};

/// What is told of the attempts of the run's only step: how often each was started, and how it failed.
fn attempts(run: &Value) -> Vec<(u64, &str)> {
    let attempts = run["steps"][0]["attempts"].as_array().unwrap().iter();
    let told = attempts.map(|attempt| {
        let failure = attempt["failure"]["kind"].as_str().unwrap_or("none");
        (attempt["starts"].as_u64().unwrap(), failure)
    });
    told.collect()
}

#[test]
fn a_driver_that_takes_the_host_down_is_lost_where_its_third_start_is_due() {
    let bench = Bench::with_steps(
        &["sleep"],
        &["{id: bomb, driver: sleep, timeout: 1m}", "{driver: sleep}"],
    );
    for verb in ["run", "resume"] {
        let mut live = match verb {
            "run" => Live::run(&bench, &[]),
            verb => Live::runs(&bench, verb, &[]),
        };
        live.until("sleeping");
        live.kill();
    }
    assert_eq!(attempts(&bench.latest()), [(2, "none")]);
    let ended = bench.belt(&["runs", "resume", "--state", "state", "-o", "json"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let run = ended.json();
    assert_eq!(run["status"], "failed");
    assert_eq!(attempts(&run), [(2, "lost")]);
    assert_eq!(
        run["failure"],
        json!({"step": "bomb", "kind": "lost", "reason": "the host ended 2 times before the attempt did"})
    );
    assert_eq!(run["steps"][1]["status"], "skipped");
}

#[test]
fn a_lost_attempt_is_tried_again_as_often_as_the_step_allows() {
    let retry = "retry: {max_attempts: 2, backoff: 1ms}";
    let bench = Bench::with_steps(
        &["sleep"],
        &[&format!(
            "{{id: bomb, driver: sleep, timeout: 1m, {retry}}}"
        )],
    );
    let mut live = Live::run(&bench, &[]);
    live.until("sleeping");
    live.kill();
    for lost in [false, true, false] {
        let mut live = Live::runs(&bench, "resume", &[]);
        if lost {
            live.until("retrying    the host ended 2 times before the attempt did");
        }
        live.until("sleeping");
        live.kill();
    }
    assert_eq!(attempts(&bench.latest()), [(2, "lost"), (2, "none")]);
    let ended = bench.belt(&["runs", "resume", "--state", "state"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(
        ended.stdout.contains("bomb: lost: the host ended 2 times"),
        "{}",
        ended.stdout
    );
    assert_eq!(attempts(&bench.latest()), [(2, "lost"), (2, "lost")]);
}

/// A run of one step that has its effect and then lingers, killed there.
fn killed_after_its_effect(on_lost: &str) -> Bench {
    let step = format!(
        "{{id: pay, driver: relay, with: {{linger: true}}, timeout: 1m, on_lost: {on_lost}}}"
    );
    let bench = Bench::with_steps(&["relay"], &[&step]);
    let mut live = Live::run(&bench, &[]);
    live.until("lingering");
    live.kill();
    assert_eq!(bench.read("work/effects").lines().count(), 1);
    bench
}

#[test]
fn on_lost_fail_never_has_an_effect_twice() {
    let bench = killed_after_its_effect("fail");
    let ended = bench.belt(&["runs", "resume", "--state", "state", "-o", "json"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let run = ended.json();
    assert_eq!(attempts(&run), [(1, "lost")]);
    assert_eq!(
        run["failure"]["reason"],
        "the host ended before the attempt did, and `on_lost` is `fail`"
    );
    assert_eq!(bench.read("work/effects").lines().count(), 1);
}

#[test]
fn on_lost_retry_starts_the_attempt_again_under_its_own_key() {
    let bench = killed_after_its_effect("retry");
    let mut live = Live::runs(&bench, "resume", &[]);
    live.until("lingering");
    live.kill();
    let effects = bench.read("work/effects");
    let keys: Vec<_> = effects.lines().collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    assert_eq!(attempts(&bench.latest()), [(2, "none")]);
}

#[test]
fn on_lost_fail_does_not_stop_a_step_without_effects() {
    let bench = Bench::with_steps(
        &[],
        &["{id: look, driver: relay, with: {linger: true}, timeout: 1m, on_lost: fail}"],
    );
    let relay = guest("relay").display().to_string();
    bench.write(
        "belt.yaml",
        format!("drivers: {{relay: {{path: {relay}}}}}\n"),
    );
    for verb in ["run", "resume"] {
        let mut live = match verb {
            "run" => Live::run(&bench, &[]),
            verb => Live::runs(&bench, verb, &[]),
        };
        live.until("lingering");
        live.kill();
    }
    assert_eq!(attempts(&bench.latest()), [(2, "none")]);
}
