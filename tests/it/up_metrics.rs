//! What `/metrics` counts: every run, step and attempt once, whoever wrote its end.

use crate::belt::Bench;
use crate::up::{Up, id, order};
use serde_json::json;

/// The value of a sample by its name and labels.
#[track_caller]
fn sample(text: &str, name: &str) -> f64 {
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let found = found.unwrap_or_else(|| panic!("`{name}` is not in\n{text}"));
    found.parse().unwrap()
}

#[test]
fn runs_steps_and_attempts_are_counted_also_of_a_run_that_had_to_queue() {
    let bench = Bench::new(&["latch", "fail"]);
    let up = Up::start(&bench);
    let fails = json!({"id": "f", "driver": "fail", "with": {"kind": "retryable"},
        "retry": {"max_attempts": 2, "backoff": "1ms"}});
    up.line("line", json!([{"id": "s", "driver": "latch"}, fails]));
    let runs: Vec<_> = (0..2)
        .map(|_| up.post("/runs", &order("one")).is(201))
        .collect();
    let text = up.get("/metrics").text();
    assert_eq!(sample(&text, "beltline_runs_begun_total"), 2.0);
    assert_eq!(sample(&text, "beltline_runs_under_way"), 1.0);
    assert_eq!(sample(&text, "beltline_runs_waiting"), 1.0);
    for run in &runs {
        let out = run["out"].as_str().unwrap();
        std::fs::create_dir_all(out).unwrap();
        std::fs::write(format!("{out}/s.open"), "").unwrap();
        assert_eq!(up.ended(&id(run))["status"], "failed");
    }
    let text = up.get("/metrics").text();
    for (name, value) in [
        ("beltline_runs_begun_total", 2.0),
        ("beltline_runs_ended_total{result=\"failed\"}", 2.0),
        (
            "beltline_steps_ended_total{driver=\"latch\",result=\"succeeded\"}",
            2.0,
        ),
        (
            "beltline_steps_ended_total{driver=\"fail\",result=\"failed\"}",
            2.0,
        ),
        (
            "beltline_attempts_ended_total{driver=\"latch\",result=\"succeeded\"}",
            2.0,
        ),
        (
            "beltline_attempts_ended_total{driver=\"fail\",result=\"retryable\"}",
            4.0,
        ),
        ("beltline_run_duration_seconds_count", 2.0),
        (
            "beltline_step_duration_seconds_count{driver=\"latch\"}",
            2.0,
        ),
        ("beltline_step_duration_seconds_count{driver=\"fail\"}", 2.0),
        (
            "beltline_attempt_duration_seconds_count{driver=\"latch\"}",
            2.0,
        ),
        (
            "beltline_attempt_duration_seconds_count{driver=\"fail\"}",
            4.0,
        ),
    ] {
        assert_eq!(sample(&text, name), value, "{name}\n{text}");
    }
    for name in [
        "beltline_store_sync_duration_seconds_count",
        "beltline_guest_cpu_seconds_total{driver=\"fail\"}",
        "beltline_guest_memory_last_bytes{driver=\"fail\"}",
    ] {
        assert!(sample(&text, name) > 0.0, "{name}\n{text}");
    }
}
